"""How hot, full or silent a run may become, and how patient its host is: one list feeds the person's settings, the run's own
settings and the host, which reads them from run.json and knows no pydantic.

Temperatures are degrees Celsius, times seconds. 80, 90 and 95 °C lie around where data-centre cards begin to slow down
(`nvidia-smi -q -d TEMPERATURE` names a card's own limits).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

from backprop_tui.protocol.codec import number


class Limit(NamedTuple):
    """One limit: its value where nobody says otherwise, its words, its unit and what it may be."""

    default: float
    title: str
    help: str
    unit: str
    low: float
    high: float


LIMITS: dict[str, Limit] = {
    "warn_celsius": Limit(80.0, "warn at", "GPU temperature that is told; 0 is never", "°C", 0, 150),
    "pause_celsius": Limit(
        90.0, "pause at", "GPU temperature at which the run pauses until it has cooled; the GPU's own limit counts where "
        "lower; 0 is never", "°C", 0, 150,
    ),
    "stop_celsius": Limit(
        95.0, "stop at", "GPU temperature at which the run is saved and stopped; 0 is never", "°C", 0, 150
    ),
    "cool_celsius": Limit(
        10.0, "cool by", "degrees below the pause temperature at which a run paused for heat goes on", "°C", 1, 100
    ),
    "heat_readings": Limit(
        3, "readings", "sensor readings in a row that must agree before anything is done", "readings", 1, 1000
    ),
    "heat_tries": Limit(
        6, "heat pauses", "pauses for heat after which a run is saved and stopped instead; an hour without one counts anew",
        "times", 1, 1000,
    ),
    "cool_s": Limit(
        1800.0, "wait to cool", "how long a run stays paused for heat before it is saved and stopped", "s", 0, 604_800
    ),
    "vram_percent": Limit(98.0, "GPU memory", "share of a GPU's memory in use that is told; 0 is never", "%", 0, 100),
    "power_percent": Limit(
        105.0, "GPU power", "share of a GPU's power limit that is told; 0 is never", "%", 0, 1000
    ),
    "ram_percent": Limit(95.0, "memory", "share of the machine's memory in use that is told; 0 is never", "%", 0, 100),
    "disk_gb": Limit(2.0, "disk", "free space on the run's disk below which it is told; 0 is never", "GB", 0, 1e6),
    "stall_s": Limit(
        600.0, "silence", "time without progress after which a run counts as stuck; six times that while loading, measuring, "
        "saving and in the first step; 0 is never", "s", 0, 604_800,
    ),
    "stall_steps": Limit(
        10.0, "silence in steps", "a run is given the time of this many of its steps where that is longer", "steps", 1, 10_000
    ),
    "stall_grace_s": Limit(
        300.0, "stuck grace", "time a stuck run is still given, its stacks in worker.log, before it is ended", "s", 0,
        604_800,
    ),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of one run, as `LIMITS` words them. 0 in a threshold means never."""

    warn_celsius: float = LIMITS["warn_celsius"].default
    pause_celsius: float = LIMITS["pause_celsius"].default
    stop_celsius: float = LIMITS["stop_celsius"].default
    cool_celsius: float = LIMITS["cool_celsius"].default
    heat_readings: float = LIMITS["heat_readings"].default
    heat_tries: float = LIMITS["heat_tries"].default
    cool_s: float = LIMITS["cool_s"].default
    vram_percent: float = LIMITS["vram_percent"].default
    power_percent: float = LIMITS["power_percent"].default
    ram_percent: float = LIMITS["ram_percent"].default
    disk_gb: float = LIMITS["disk_gb"].default
    stall_s: float = LIMITS["stall_s"].default
    stall_steps: float = LIMITS["stall_steps"].default
    stall_grace_s: float = LIMITS["stall_grace_s"].default

    @classmethod
    def of_spec(cls, spec: Mapping[str, Any]) -> Limits:
        """Those of a run.json; what it does not say, or says wrongly, is the default."""
        part = spec.get("safety")
        if not isinstance(part, Mapping):
            return cls()
        known: dict[str, float] = {}
        for field in fields(cls):
            value, limit = number(part.get(field.name)), LIMITS[field.name]
            if value is not None and limit.low <= value <= limit.high:
                known[field.name] = value
        return cls(**known)
