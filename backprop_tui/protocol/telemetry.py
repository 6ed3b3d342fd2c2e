"""Readings of the sensors, put together: what is known of each GPU and of the machine, and since when it is not any more.

A reading leaves out what it said before, and a sensor may fall silent for a while. The state kept here is one JSON-ready
dict: `{"wall", "gpus", "gpu_reason", "host"}`, each GPU and the host with every key said so far, plus `seen`: for each
value that was known and is unknown now, the last value and its time. Pure; what does not fit in a payload is passed over.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from backprop_tui.protocol.codec import number

#: Keys of a GPU's reading that are sent only when they differ from what was said last.
FACTS = (
    "name", "memory_total", "power_limit", "slowdown", "shutdown", "max_operating", "clock_max", "memory_clock_max",
    "pcie_generation", "pcie_generation_max", "pcie_width", "pcie_width_max", "ecc_corrected", "ecc_uncorrected",
    "processes", "others", "unknown",
)  # fmt: skip
#: Keys whose last value is remembered while they are unknown.
AGEING = (
    "temperature", "utilisation", "memory_used", "run_memory", "power", "fan", "clock", "memory_clock", "cpu", "load",
    "swap_used", "worker_rss", "run_cpu", "disk_free",
)  # fmt: skip
#: What holds a GPU's clocks down, in words.
THROTTLES = {
    "heat": "heat",
    "heat_hardware": "heat (hardware)",
    "power_cap": "power cap",
    "power_brake": "power brake",
    "hardware": "hardware slowdown",
    "sync_boost": "sync boost",
    "display": "display clocks",
    "set_clocks": "clocks set by hand",
}
#: Throttling that is a sign of trouble; a power cap is how a busy card works.
TROUBLE = frozenset({"heat", "heat_hardware", "power_brake", "hardware"})
#: Seconds after which a value that is no longer read is not shown any more.
FORGOTTEN = 3600.0
#: Cards believed in: a damaged journal must not fill the memory.
_MOST_GPUS = 64


def merged(before: Mapping[str, Any], reading: Mapping[str, Any], wall: float) -> dict[str, Any]:
    """The state after a reading taken at `wall` (Unix seconds). `before` is left as it was; {} begins.

    Raises:
        TypeError: it is no reading.
    """
    if not isinstance(reading.get("gpus"), list):
        raise TypeError("a reading has a list of GPUs")
    reason = reading.get("gpu_reason")
    told = _by_index(reading.get("gpus"))
    known = _by_index(before.get("gpus"))
    gpus = [_joined(known.get(index, {}), gpu, before, wall) for index, gpu in told.items()]
    for index, gpu in known.items():
        if index not in told:
            why = str(reason or "the driver does not list it any more")
            gpus.append(
                _joined(gpu, {key: None for key in AGEING if key in gpu} | {"unknown": {"": why}}, before, wall)
            )
    gpus.sort(key=lambda gpu: gpu["index"])
    host = reading.get("host")
    old_host = before.get("host")
    return {
        "wall": wall,
        "gpus": gpus[:_MOST_GPUS],
        "gpu_reason": reason,
        "host": _joined(old_host if isinstance(old_host, dict) else {}, host, before, wall)
        if isinstance(host, dict)
        else {},
    }


def slimmed(reading: dict[str, Any], said: Mapping[int, Mapping[str, Any]]) -> dict[str, Any]:
    """A GPU's reading without the facts that `said`, by GPU index, holds already."""
    last = said.get(reading["index"])
    if last is None:
        return reading
    return {key: value for key, value in reading.items() if key not in FACTS or key not in last or last[key] != value}


def last_known(part: Mapping[str, Any], key: str, now: float | None) -> tuple[float, float] | None:
    """The value a silent sensor had last, and its age in seconds; None when it never spoke or is silent for too long.

    Args:
        part: a GPU or the host of the state.
        key: the value's name.
        now: the time to count from, the run's newest event.
    """
    seen = part.get("seen")
    entry = seen.get(key) if isinstance(seen, Mapping) else None
    if not isinstance(entry, (list, tuple)) or len(entry) != 2 or now is None:
        return None
    value, wall = number(entry[0]), number(entry[1])
    if value is None or wall is None or not 0 <= now - wall <= FORGOTTEN:
        return None
    return value, now - wall


def why_unknown(part: Mapping[str, Any], key: str) -> str:
    """Why a value is missing, in words; "" when nobody said. Foreign text: clean it before it is shown."""
    unknown = part.get("unknown")
    if not isinstance(unknown, Mapping):
        return ""
    return str(unknown.get(key) or unknown.get("") or "")


def throttles(gpu: Mapping[str, Any]) -> list[str]:
    """What holds the clocks down, keys of `THROTTLES`; empty also when it is unknown."""
    held = gpu.get("throttle")
    return [key for key in held if key in THROTTLES] if isinstance(held, list) else []


def is_hot(gpu: Mapping[str, Any]) -> bool:
    """Whether the card slows down for heat, or is as warm as where it would."""
    if {"heat", "heat_hardware"} & set(throttles(gpu)):
        return True
    degrees, limit = number(gpu.get("temperature")), number(gpu.get("slowdown"))
    return degrees is not None and limit is not None and degrees >= limit


def run_gpus(gpus: list[dict[str, Any]]) -> list[int] | None:
    """Indices of the GPUs on which this run holds memory; None when the driver does not say."""
    ours, told = [], False
    for gpu in gpus:
        held = number(gpu.get("run_memory"))
        told |= held is not None
        if held:
            ours.append(int(gpu["index"]))
    return ours if ours or told else None


def _joined(old: Mapping[str, Any], new: Mapping[str, Any], before: Mapping[str, Any], wall: float) -> dict[str, Any]:
    part = {**old, **new}
    if "unknown" not in new:
        part["unknown"] = old.get("unknown") or {}
    seen = old.get("seen")
    ages: dict[str, Any] = dict(seen) if isinstance(seen, dict) else {}
    for key in AGEING:
        if key not in part:
            continue
        if part[key] is not None:
            ages.pop(key, None)
        elif (value := number(old.get(key))) is not None and "wall" in before:
            ages[key] = [value, before["wall"]]
    part["seen"] = ages
    return part


def _by_index(gpus: Any) -> dict[int, dict[str, Any]]:
    if not isinstance(gpus, (list, tuple)):
        return {}
    found: dict[int, dict[str, Any]] = {}
    for gpu in gpus:
        index = gpu.get("index") if isinstance(gpu, dict) else None
        if isinstance(index, int) and not isinstance(index, bool) and index >= 0:
            found.setdefault(index, gpu)
    return found
