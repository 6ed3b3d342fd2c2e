"""The machine under a run as lines of text: a line per GPU, or one for all of them, and one for the host."""

from __future__ import annotations

from typing import Any

from backprop_tui.cli import words
from backprop_tui.protocol.codec import number
from backprop_tui.protocol.telemetry import THROTTLES, TROUBLE, is_hot, throttles, why_unknown
from backprop_tui.protocol.text import safe_text

#: GPUs that still get a line each.
_FEW = 4


def machine_lines(telemetry: dict[str, Any]) -> list[str]:
    """Lines for `RunView.telemetry`; none before the first reading."""
    if not telemetry:
        return []
    gpus: list[dict[str, Any]] = telemetry.get("gpus") or []
    lines = [_gpu(gpu) for gpu in gpus] if len(gpus) <= _FEW else [_all(gpus)]
    if not gpus and telemetry.get("gpu_reason"):
        lines.append(f"gpu  {safe_text(telemetry['gpu_reason'], limit=200)}")
    host: dict[str, Any] = telemetry.get("host") or {}
    memory = f"{words.size(number(host.get('memory_used')))} of {words.size(number(host.get('memory_total')))}"
    disk = words.size(number(host.get("disk_free")))
    run = number(host.get("run_memory"))
    held = "" if run is None else f"  run {words.size(run)}"
    return [*lines, f"host  cpu {_with(host.get('cpu'), '%')}  memory {memory}{held}  disk {disk} free"]


def _gpu(gpu: dict[str, Any]) -> str:
    why = safe_text(why_unknown(gpu, ""), limit=80)
    if why:
        return f"gpu {gpu['index']}  {words.UNKNOWN}  {why}"
    memory = f"{words.size(number(gpu.get('memory_used')))} of {words.size(number(gpu.get('memory_total')))}"
    heat = _with(gpu.get("temperature"), "°C") + (" HOT" if is_hot(gpu) else "")
    slowed = [THROTTLES[key] for key in throttles(gpu) if key in TROUBLE]
    tail = [f"slowed by {slowed[0]}"] if slowed else []
    values = [f"gpu {gpu['index']}", _with(gpu.get("utilisation"), "%"), memory, heat, _with(gpu.get("power"), "W")]
    return "  ".join([*values, *tail])


def _all(gpus: list[dict[str, Any]]) -> str:
    loads, degrees, watts = (_known(gpus, key) for key in ("utilisation", "temperature", "power"))
    used, total = _known(gpus, "memory_used"), _known(gpus, "memory_total")
    parts = [f"{len(gpus)} gpus"]
    parts.append(f"{sum(loads) / len(loads):.0f} %" if loads else f"{words.UNKNOWN} %")
    if len(used) == len(total) == len(gpus):
        parts.append(f"{words.size(sum(used))} of {words.size(sum(total))}")
    parts.append(f"{min(degrees):.0f} to {max(degrees):.0f} °C" if degrees else f"{words.UNKNOWN} °C")
    parts.append(f"{sum(watts):,.0f} W" if watts else f"{words.UNKNOWN} W")
    hot, silent = sum(is_hot(gpu) for gpu in gpus), len(gpus) - len(degrees)
    parts += [f"{hot} HOT"] if hot else []
    parts += [f"{silent} silent"] if silent else []
    return "  ".join(parts)


def _known(gpus: list[dict[str, Any]], key: str) -> list[float]:
    return [value for gpu in gpus if (value := number(gpu.get(key))) is not None]


def _with(value: object, unit: str) -> str:
    known = number(value)
    return words.UNKNOWN if known is None else f"{known:.0f} {unit}"
