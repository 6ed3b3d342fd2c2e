"""Up to 64 GPUs in the room there is: blocks side by side, then a line each, then cells, then one sign each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from backprop_tui.app import wording
from backprop_tui.app.glyphs import Glyphs
from backprop_tui.app.sensors import Sensors
from backprop_tui.app.widgets.gauge import bar, spark
from backprop_tui.app.widgets.machine_words import (
    WARM,
    gpu_name,
    heat,
    held_down,
    of,
    percent,
    share,
    watts,
)
from backprop_tui.app.widgets.painted import Line, Piece, ellipsis, fit, width_of
from backprop_tui.protocol.codec import number
from backprop_tui.protocol.telemetry import is_hot

Gpu = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Look:
    """What drawing needs beside the readings: recent values, the time to count ages from, the signs."""

    sensors: Sensors
    now: float | None
    glyphs: Glyphs


@dataclass(frozen=True, slots=True)
class Cell:
    """One way to show a GPU: `draw` makes `height` lines of the width it is given, at least `width`."""

    width: int
    height: int
    draw: Callable[[Gpu, int, Look], list[Line]]
    host: bool = True


def grid(gpus: Sequence[Gpu], width: int, height: int, look: Look) -> tuple[list[Line], int]:
    """The richest lines that show every GPU, and how many lines are left for the host.

    A line is kept for the host as long as every GPU can still be told from the others.
    """
    for cell in CELLS:
        room = height - (1 if cell.host else 0)
        columns = min(len(gpus), max(0, (width + 1) // (cell.width + 1)))
        if columns and -(-len(gpus) // columns) * cell.height <= room:
            # As many columns as are needed, so that each is as wide as can be; a block never stretches over a wide screen.
            while columns > 1 and -(-len(gpus) // (columns - 1)) * cell.height <= room and cell.height == 1:
                columns -= 1
            lines = arranged(gpus, cell, columns, width, look)
            return lines, height - len(lines)
    return [strip(gpus, width, look)][:height], max(0, height - 1)


def arranged(gpus: Sequence[Gpu], cell: Cell, columns: int, width: int, look: Look) -> list[Line]:
    """Cells in rows of `columns`, numbered along the rows."""
    each = (width - columns + 1) // columns
    lines: list[Line] = []
    for start in range(0, len(gpus), columns):
        drawn = [cell.draw(gpu, each, look) for gpu in gpus[start : start + columns]]
        for y in range(cell.height):
            line: list[Piece] = []
            for block in drawn:
                line += [*fit(block[y], each), (" ", "text")]
            lines.append(tuple(line[:-1]))
    return lines


def strip(gpus: Sequence[Gpu], width: int, look: Look) -> Line:
    """All GPUs in one line: a sign each, as high as it is busy and coloured as it is hot; then what they have in common."""
    signs = look.glyphs.spark
    marks: list[Piece] = []
    for gpu in gpus:
        load, degrees = number(gpu.get("utilisation")), number(gpu.get("temperature"))
        sign = look.glyphs.dash if load is None else signs[min(len(signs) - 1, int(load / 100 * len(signs)))]
        role = "bad" if is_hot(gpu) else "warn" if degrees is not None and degrees >= WARM else "series-1"
        marks.append((sign, "muted" if load is None else role))
    loads, warm = _known(gpus, "utilisation"), _known(gpus, "temperature")
    hot = sum(is_hot(gpu) for gpu in gpus)
    used, total, power = _known(gpus, "memory_used"), _known(gpus, "memory_total"), _known(gpus, "power")
    tail: list[Piece] = [(f"  {percent(sum(loads) / len(loads) if loads else None).strip()}", "text")]
    if warm:
        span = f"{min(warm):.0f}–{max(warm):.0f}" if min(warm) != max(warm) else f"{max(warm):.0f}"
        tail.append((f"  {span}{look.glyphs.degree}", "text"))
    if hot:
        tail.append((f" {hot} HOT", "bad"))
    whole = len(used) == len(total) == len(gpus)
    extras = [f"  {of(sum(used), sum(total))}" if whole else "", f"  {sum(power) / 1000:.1f} kW" if power else ""]
    line: list[Piece] = [(f" {len(gpus)} GPUs ", "strong"), *marks, *tail]
    for extra in extras:
        if width_of(line) + len(extra) <= width:
            line.append((extra, "muted"))
    return tuple(line)


def block(gpu: Gpu, width: int, look: Look, height: int) -> list[Line]:
    """A GPU with gauges and histories, in 3 to 6 lines."""
    glyphs, index = look.glyphs, gpu["index"]
    used, total, load = (number(gpu.get(key)) for key in ("memory_used", "memory_total", "utilisation"))
    room = max(4, width - 19)
    left: list[Piece] = [
        (f" GPU{index}  ", "strong"),
        heat(gpu, look.now, glyphs),
        ("  ", "text"),
        watts(gpu, look.now),
    ]
    name = ellipsis(gpu_name(gpu), max(0, width - width_of(left) - 2), glyphs.ellipsis)
    reasons = held_down(gpu)
    clock = number(gpu.get("clock"))
    speed = f"{wording.UNKNOWN} MHz" if clock is None else f"{clock:,.0f} MHz"
    lines: list[Line] = [
        (*left, (f"  {name}" if len(name) > 4 else "", "muted")),
        (("  util ", "muted"), *bar(share(load, 100.0), room, glyphs), (f" {percent(load)}", "text")),
        (("  mem  ", "muted"), *bar(share(used, total), room, glyphs, "series-2"), (f" {of(used, total)}", "text")),
    ]
    limit = number(gpu.get("slowdown"))
    warmth = spark(look.sensors.gpu(index, "temperature"), room, glyphs, low=30, high=limit or 95)
    lines.append(
        (
            ("  heat ", "muted"),
            (warmth, "series-3"),
            (f" of {limit:.0f}{glyphs.degree}" if limit is not None else " no limit given", "muted"),
        )
    )
    busy = spark(look.sensors.gpu(index, "utilisation"), room, glyphs, low=0, high=100)
    lines.append((("  busy ", "muted"), (busy, "series-1"), (" lately", "muted")))
    lines.append((("  clock ", "muted"), (speed, "text"), ("  ", "text"), reasons))
    return lines[:height]


def _row_wide(gpu: Gpu, width: int, look: Look) -> list[Line]:
    used, total, load = (number(gpu.get(key)) for key in ("memory_used", "memory_total", "utilisation"))
    room = min(16, max(6, (width - 52) // 2))
    text, role = held_down(gpu)
    return [
        (
            (f"{gpu['index']:>2} ", "strong"),
            *bar(share(load, 100.0), room, look.glyphs),
            (f" {percent(load)}  ", "text"),
            *bar(share(used, total), room, look.glyphs, "series-2"),
            (f" {of(used, total):<11} ", "text"),
            _padded(heat(gpu, look.now, look.glyphs), 10),
            _padded(watts(gpu, look.now), 11),
            (text, role),
        )
    ]


def _row(gpu: Gpu, width: int, look: Look) -> list[Line]:
    used, total, load = (number(gpu.get(key)) for key in ("memory_used", "memory_total", "utilisation"))
    room = max(4, min(12, width - 33))
    return [
        (
            (f"{gpu['index']:>2} ", "strong"),
            *bar(share(load, 100.0), room, look.glyphs),
            (f" {percent(load)} {of(used, total):>9} ", "text"),
            _padded(heat(gpu, look.now, look.glyphs, words=False), 6),
            watts(gpu, look.now, limit=False),
        )
    ]


def _small(gpu: Gpu, width: int, look: Look) -> list[Line]:
    load = number(gpu.get("utilisation"))
    room = max(2, min(10, width - 15))
    return [
        (
            (f"{gpu['index']:>2} ", "strong"),
            *bar(share(load, 100.0), room, look.glyphs),
            (f" {percent(load)} ", "text"),
            heat(gpu, look.now, look.glyphs, words=False),
        )
    ]


def _tiny(gpu: Gpu, width: int, look: Look) -> list[Line]:
    load = number(gpu.get("utilisation"))
    text, role = heat(gpu, look.now, look.glyphs, words=False)
    return [
        (
            (f"{gpu['index']:>2}", "strong"),
            (f" {wording.UNKNOWN if load is None else f'{load:.0f}':>3}% ", "text"),
            (text.replace("C", ""), role),
        )
    ]


#: From the richest to the poorest; the last is `strip`.
CELLS: tuple[Cell, ...] = (
    Cell(34, 6, lambda gpu, width, look: block(gpu, width, look, 6)),
    Cell(34, 4, lambda gpu, width, look: block(gpu, width, look, 4)),
    Cell(34, 3, lambda gpu, width, look: block(gpu, width, look, 3)),
    Cell(70, 1, _row_wide),
    Cell(36, 1, _row),
    Cell(18, 1, _small),
    Cell(12, 1, _tiny),
    Cell(18, 1, _small, host=False),
    Cell(12, 1, _tiny, host=False),
)
ROW_WIDE, ROW, SMALL = CELLS[3], CELLS[4], CELLS[5]


def _padded(piece: Piece, width: int) -> Piece:
    return f"{piece[0]:<{width}}", piece[1]


def _known(gpus: Sequence[Gpu], key: str) -> list[float]:
    return [value for gpu in gpus if (value := number(gpu.get(key))) is not None]
