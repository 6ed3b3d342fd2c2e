"""The machine under the run: GPUs where there are any, else the reason in words, and CPU, memory and disk."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from backprop_tui.app import wording
from backprop_tui.app.context import glyphs_of
from backprop_tui.app.glyphs import Glyphs
from backprop_tui.app.run_model import RunModel
from backprop_tui.app.widgets.gauge import bar, spark
from backprop_tui.app.widgets.painted import Line, Painted, Piece, ellipsis
from backprop_tui.app.widgets.panel import Panel
from backprop_tui.protocol.codec import number
from backprop_tui.protocol.text import safe_text

#: Degrees Celsius from which a temperature is worth a colour; HOT when the card itself would slow down.
_WARM = 80.0


class Machine(Painted, can_focus=True):
    """Gauges of the newest telemetry."""

    DEFAULT_CSS = "Machine { height: 1fr; }"

    def __init__(self) -> None:
        super().__init__()
        self._model: RunModel | None = None

    def show(self, model: RunModel) -> None:
        """Bring it up to date."""
        self._model = model
        gpus = model.view.telemetry.get("gpus") or []
        panel = self.parent
        if isinstance(panel, Panel):
            panel.label(title="gpu" if gpus else "machine", facts="nvml" if gpus else "")
        self.repaint()

    def paint(self, width: int, height: int) -> Sequence[Line]:
        """As much detail as fits."""
        if self._model is None or not self._model.view.telemetry:
            return [((" No reading yet.", "muted"),)] if height else []
        return machine_lines(self._model, width, height, glyphs_of(self))


def machine_lines(model: RunModel, width: int, height: int, glyphs: Glyphs) -> list[Line]:
    """Lines for the newest reading: full, one line per GPU, or a summary, whichever fits."""
    telemetry = model.view.telemetry
    gpus: list[dict[str, Any]] = [gpu for gpu in telemetry.get("gpus") or [] if isinstance(gpu, dict)]
    host = telemetry.get("host") if isinstance(telemetry.get("host"), dict) else {}
    if gpus:
        if width < 60 and len(gpus) * 4 + 1 <= height:
            full = [line for gpu in gpus for line in (*_gpu_full(gpu, model, width, glyphs), ())]
            return [*full, *_host_full(host or {}, model, width, glyphs)][:height]
        rows = [_gpu_row(gpu, width, glyphs) for gpu in gpus]
        if len(rows) > height:
            return [*rows[: height - 1], ((f" and {len(rows) - height + 1} more GPUs", "muted"),)]
        return [*rows, _host_row(host or {}, width, glyphs)][:height]
    reason = safe_text(telemetry.get("gpu_reason") or "no GPU", limit=200)
    words: Line = ((" ", "text"), (reason, "warn"), ("  training on the CPU", "muted"))
    if height < 4:
        return [words, _host_row(host or {}, width, glyphs)][-height:] if height else []
    return [words, (), *_host_full(host or {}, model, width, glyphs)][:height]


def _gpu_full(gpu: dict[str, Any], model: RunModel, width: int, glyphs: Glyphs) -> list[Line]:
    index = gpu.get("index")
    name = safe_text(gpu.get("name") or "", limit=60).removeprefix("NVIDIA ")
    room = max(6, width - 22)
    used, total = number(gpu.get("memory_used")), number(gpu.get("memory_total"))
    load = number(gpu.get("utilisation"))
    head: Line = (
        (f" GPU{index}  ", "strong"),
        *_heat(gpu, glyphs),
        (f"  {_watts(gpu)}", "text"),
        (f"  {ellipsis(name, max(0, width - 34), glyphs.ellipsis)}" if width > 40 else "", "muted"),
    )
    history = model.usage.get(index, ()) if isinstance(index, int) else ()
    return [
        head,
        (
            ("  util ", "muted"),
            *bar(None if load is None else load / 100, room, glyphs),
            (f" {_percent(load)}", "text"),
        ),
        (("  mem  ", "muted"), *bar(_share(used, total), room, glyphs, "series-2"), (f" {_of(used, total)}", "text")),
        (("  ", "text"), (spark(history, room + 5, glyphs, low=0, high=100), "series-1")),
    ]


def _gpu_row(gpu: dict[str, Any], width: int, glyphs: Glyphs) -> Line:
    used, total = number(gpu.get("memory_used")), number(gpu.get("memory_total"))
    load = number(gpu.get("utilisation"))
    room = min(24, max(4, width - 46))
    return (
        (f" {gpu.get('index')} ", "strong"),
        *bar(None if load is None else load / 100, room, glyphs),
        (f" {_percent(load)}  {_of(used, total)}  ", "text"),
        *_heat(gpu, glyphs),
        (f"  {_watts(gpu)}", "muted"),
    )


def _heat(gpu: dict[str, Any], glyphs: Glyphs) -> list[Piece]:
    degrees, limit = number(gpu.get("temperature")), number(gpu.get("slowdown"))
    if degrees is None:
        return [(f"{wording.UNKNOWN}{glyphs.degree}", "muted")]
    text = f"{degrees:.0f}{glyphs.degree}"
    if limit is not None and degrees >= limit:
        return [(f"{text} HOT", "bad")]
    return [(f"{text} warm", "warn")] if degrees >= _WARM else [(text, "muted" if degrees < 70 else "text")]


def _watts(gpu: dict[str, Any]) -> str:
    power, limit = number(gpu.get("power")), number(gpu.get("power_limit"))
    if power is None:
        return f"{wording.UNKNOWN} W"
    return f"{power:.0f} W" if limit is None else f"{power:.0f}/{limit:.0f} W"


def _host_full(host: dict[str, Any], model: RunModel, width: int, glyphs: Glyphs) -> list[Line]:
    cpu = number(host.get("cpu"))
    used, total = number(host.get("memory_used")), number(host.get("memory_total"))
    free, disk = number(host.get("disk_free")), number(host.get("disk_total"))
    worker = number(host.get("worker_rss"))
    room = max(6, min(40, width - 23))
    taken = None if free is None or disk is None else disk - free
    return [
        ((" cpu   ", "muted"), *bar(None if cpu is None else cpu / 100, room, glyphs), (f" {_percent(cpu)}", "text")),
        ((" mem   ", "muted"), *bar(_share(used, total), room, glyphs, "series-2"), (f" {_of(used, total)}", "text")),
        (
            (" disk  ", "muted"),
            *bar(_share(taken, disk), room, glyphs, "series-3"),
            (f" {wording.size(free)} free", "text"),
        ),
        ((" train ", "muted"), (f"{wording.size(worker)} resident", "text")),
        ((" cpu   ", "muted"), (spark(model.cpu, room, glyphs, low=0, high=100), "series-1"), (" lately", "muted")),
    ]


def _host_row(host: dict[str, Any], width: int, glyphs: Glyphs) -> Line:
    cpu = number(host.get("cpu"))
    used, total = number(host.get("memory_used")), number(host.get("memory_total"))
    room = 10 if width >= 76 else 5
    return (
        (" cpu ", "muted"), *bar(None if cpu is None else cpu / 100, room, glyphs), (f" {_percent(cpu)}", "text"),
        ("  mem ", "muted"), *bar(_share(used, total), room, glyphs, "series-2"), (f" {_of(used, total)}", "text"),
        ("  disk ", "muted"), (f"{wording.size(number(host.get('disk_free')))} free", "text"),
    )  # fmt: skip


def _percent(value: float | None) -> str:
    return f"{wording.UNKNOWN:>3} %" if value is None else f"{value:3.0f} %"


def _share(part: float | None, whole: float | None) -> float | None:
    return part / whole if part is not None and whole else None


def _of(used: float | None, total: float | None) -> str:
    """`61/80 GB`, in the unit of the whole."""
    if used is None or total is None:
        return wording.size(used)
    unit, suffix = (1e9, "GB") if total >= 1e9 else (1e6, "MB")
    digits = 0 if total / unit >= 20 else 1
    return f"{used / unit:.{digits}f}/{total / unit:.{digits}f} {suffix}"
