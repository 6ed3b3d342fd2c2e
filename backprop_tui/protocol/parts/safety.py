"""How hot, full or silent a run may become; unset is what the person's settings say."""

from __future__ import annotations

from typing import Any

from backprop_tui.protocol.limits import LIMITS
from backprop_tui.protocol.parts.base import Part, setting


def _limit(name: str) -> Any:
    """A limit of this run alone, with the words and bounds of the setting of the same name."""
    limit = LIMITS[name]
    words = f"{limit.help}; unset takes the program's setting"
    return setting(None, limit.title, words, unit=limit.unit, advanced=True, ge=limit.low, le=limit.high)


class SafetyPart(Part):
    """What the host watches while the run trains. `launch.safety` fills in what is unset, so run.json has numbers."""

    warn_celsius: float | None = _limit("warn_celsius")
    pause_celsius: float | None = _limit("pause_celsius")
    stop_celsius: float | None = _limit("stop_celsius")
    cool_celsius: float | None = _limit("cool_celsius")
    heat_readings: int | None = _limit("heat_readings")
    heat_tries: int | None = _limit("heat_tries")
    cool_s: float | None = _limit("cool_s")
    vram_percent: float | None = _limit("vram_percent")
    power_percent: float | None = _limit("power_percent")
    ram_percent: float | None = _limit("ram_percent")
    disk_gb: float | None = _limit("disk_gb")
    stall_s: float | None = _limit("stall_s")
    stall_steps: float | None = _limit("stall_steps")
    stall_grace_s: float | None = _limit("stall_grace_s")
