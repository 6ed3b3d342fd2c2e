"""One plot as lines of text: curves on one or several y scales, axes, marks, crosshair."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from backprop_tui.app.glyphs import Glyphs
from backprop_tui.app.marks import KINDS
from backprop_tui.app.widgets import axes
from backprop_tui.app.widgets.canvas import Canvas, Window
from backprop_tui.app.widgets.chart_metrics import metric_of
from backprop_tui.app.widgets.chart_parts import (
    MARK_SIGNS,
    NO_SCALE,
    Area,
    Drawn,
    Plot,
    Scale,
    measure,
    odd_places,
    scales_of,
)
from backprop_tui.app.widgets.chart_state import XAxis
from backprop_tui.app.widgets.painted import Line, Piece

if TYPE_CHECKING:
    pass

#: Cells between two signs along one curve, when colour alone would have to tell it from others.
_SIGN_EVERY = 18
#: Cells per evaluation below which their points run together and a line is drawn instead.
_POINTS_TO_A_LINE = 3
#: Columns from which a second y scale is written at the right.
_SECOND_SCALE = 56


def draw(
    plot: Plot, width: int, height: int, glyphs: Glyphs, before: tuple[int, int] = (6, 0)
) -> tuple[list[Line], Area]:
    """The plot with its axes as `height` lines of `width` cells, and where its inside is.

    Args:
        plot: what to draw.
        width: cells across.
        height: lines, at least 3.
        glyphs: the signs.
        before: widths of the labels at the left and right the last time (`Area.gutters`); a right guess saves work.
    """
    rows, parts = height - 2, max(2, (height - 2) // 3)
    (left, right), fresh = before, True
    while True:
        # The columns depend on the labels and the labels on what the columns hold; the last guess is nearly always right.
        canvas = Canvas(max(1, width - left - 1 - right), rows, Window(plot.start, plot.stop, 0.0, 1.0), glyphs.marks)
        drawn = measure(plot, canvas.columns, parts)
        scales = scales_of(drawn)
        main = scales[0] if scales else NO_SCALE
        second = scales[1] if len(scales) > 1 and width >= _SECOND_SCALE else None
        wanted = _gutter(main), _gutter(second) if second else 0
        if (left, right) == wanted or (not fresh and wanted[0] <= left and wanted[1] <= right):
            break
        # Only wider from here on: two guesses may each ask for the other.
        left, right = wanted if fresh else (max(left, wanted[0]), max(right, wanted[1]))
        fresh = False
    canvas.window = Window(plot.start, plot.stop, main.low, main.high)
    _lines_behind(canvas, plot, glyphs)
    for one in drawn:
        if one.front is not None:
            canvas.fill(one.low, one.high, "faint", Window(plot.start, plot.stop, one.scale.low, one.scale.high))
    for one in reversed(drawn):
        if one.curve.beside and len(one.curve.source.curve(one.curve.metric)[0]) <= canvas.width // _POINTS_TO_A_LINE:
            continue
        window = Window(plot.start, plot.stop, one.scale.low, one.scale.high)
        canvas.fill(*(one.front or (one.low, one.high)), one.curve.role, window)
    for one in reversed(drawn):
        window = Window(plot.start, plot.stop, one.scale.low, one.scale.high)
        _signs(canvas, plot, one, window, glyphs)
    if plot.tight:
        _beyond(canvas, drawn, glyphs)
    _cross(canvas, plot, drawn, glyphs)

    named = {canvas.row_of(tick): text for tick, text in zip(main.ticks, main.labels, strict=True)}
    other: dict[int, str] = {}
    if second is not None:
        window = Window(plot.start, plot.stop, second.low, second.high)
        other = {canvas.row_of(tick, window): text for tick, text in zip(second.ticks, second.labels, strict=True)}
    ink = {one.scale.unit: one.curve.role for one in reversed(drawn)} if second is not None else {}
    lines: list[Line] = []
    for row, cells in enumerate(canvas.lines()):
        text = named.get(row)
        line: list[Piece] = [
            (f"{text or '':>{left - 1}} ", ink.get(main.unit, "muted")),
            (glyphs.tick if text else glyphs.axis, "grid"),
            *cells,
        ]
        if second is not None:
            mark = other.get(row)
            line += [
                (("├" if glyphs.marks != "ascii" else "+") if mark else glyphs.axis, "grid"),
                (f" {mark or '':<{right - 2}}", ink.get(second.unit, "muted")),
            ]
        lines.append(tuple(line))
    lines.append(((" " * left, "text"), (glyphs.corner, "grid"), *_mark_row(canvas, plot, glyphs)))
    lines.append(((_x_labels(canvas, plot.axis, left + 1, width), "muted"),))
    return lines, Area(plot, left + 1, 0, canvas.width, rows, (left, right))


def _gutter(scale: Scale) -> int:
    return max(len(text) for text in scale.labels) + 2


def _lines_behind(canvas: Canvas, plot: Plot, glyphs: Glyphs) -> None:
    """Where later attempts went on, where later runs of a multi-run begin, and the ends of a range being chosen."""
    import numpy as np

    source = plot.curves[0].source if plot.curves else None
    if source is not None and source.store.seams:
        for seam in source.to_units(np.array(source.store.seams, dtype=np.float64), plot.axis):
            canvas.line_at(float(seam), "┊" if glyphs.marks != "ascii" else ":", "grid")
    # Only a run's own series knows of them.
    if source is not None and (boundaries := getattr(source.store, "boundaries", ())):
        for boundary in source.to_units(np.array(boundaries, dtype=np.float64), plot.axis):
            canvas.line_at(float(boundary), glyphs.boundary, "muted")
    for end in plot.selection or ():
        canvas.line_at(end, glyphs.axis, "focus")


def _signs(canvas: Canvas, plot: Plot, one: Drawn, window: Window, glyphs: Glyphs) -> None:
    """Points of evaluations, a curve's sign along it, and what is not a number at the top: it has no height."""
    import numpy as np

    curve, per = one.curve, canvas.columns // canvas.width
    steps, values = curve.source.curve(curve.metric)
    if (curve.beside or metric_of(curve.metric).sparse) and len(steps) <= canvas.width // _POINTS_TO_A_LINE:
        x = curve.source.to_units(steps, plot.axis)
        with np.errstate(all="ignore"):
            y = np.log10(np.where(values > 0, values, np.nan)) if plot.log else values
        canvas.points(x, y, curve.sign(glyphs), curve.role, window)
    elif plot.crowded:
        low, high = one.front or (one.low, one.high)
        for column in range((curve.slot * 5 + 3) % _SIGN_EVERY, canvas.width, _SIGN_EVERY):
            dots = slice(column * per, (column + 1) * per)
            seen = np.isfinite(high[dots])
            if seen.any():
                middle = float(np.mean((low[dots][seen] + high[dots][seen]) / 2))
                row = canvas.row_of(middle, window)
                canvas.codes[row, column], canvas.roles[row, column] = ord(curve.sign(glyphs)), canvas.role(curve.role)
    for place in odd_places(curve, plot):
        column = canvas.column_of(place)
        canvas.codes[0, column], canvas.roles[0, column] = ord(glyphs.odd), canvas.role("bad")


def _beyond(canvas: Canvas, drawn: list[Drawn], glyphs: Glyphs) -> None:
    """A sign at the edge where values lie outside of a tight axis: they are cut, not gone."""
    import numpy as np

    per = canvas.columns // canvas.width
    for one in drawn:
        slack = 1e-9 * (one.scale.high - one.scale.low)
        with np.errstate(invalid="ignore"):
            above = (one.high > one.scale.high + slack).reshape(canvas.width, per).any(axis=1)
            below = (one.low < one.scale.low - slack).reshape(canvas.width, per).any(axis=1)
        for where, row, sign in ((above, 0, glyphs.up), (below, -1, glyphs.down)):
            canvas.codes[row, where], canvas.roles[row, where] = ord(sign), canvas.role("warn")


def _cross(canvas: Canvas, plot: Plot, drawn: list[Drawn], glyphs: Glyphs) -> None:
    import numpy as np

    if plot.cursor is None or not drawn:
        return
    x = float(drawn[0].curve.source.to_units(np.array([plot.cursor]), plot.axis)[0])
    if not plot.start <= x <= plot.stop:
        return
    canvas.line_at(x, glyphs.axis, "focus")
    at = canvas.column_of(x)
    for one in drawn:
        found = one.curve.source.at(one.curve.metric, plot.cursor, one.curve.smoothing)
        if found is None or not math.isfinite(found[1]) or (plot.log and found[1] <= 0):
            continue
        if one.curve.source is drawn[0].curve.source and found[0] != plot.cursor:
            continue
        row = canvas.row_of(
            math.log10(found[1]) if plot.log else found[1], Window(plot.start, plot.stop, one.scale.low, one.scale.high)
        )
        canvas.codes[row, at], canvas.roles[row, at] = ord(one.curve.sign(glyphs)), canvas.role(one.curve.role)


def _mark_row(canvas: Canvas, plot: Plot, glyphs: Glyphs) -> list[Piece]:
    """The x axis with the run's marks on it."""
    import numpy as np

    row: list[Piece] = [(glyphs.frame[4], "grid")] * canvas.width
    source = plot.curves[0].source if plot.curves else None
    if plot.marks is not None and source is not None:
        for kind in KINDS:
            steps = plot.marks.steps(kind)
            if not len(steps):
                continue
            x = source.to_units(steps, plot.axis)
            sign, plain, role = MARK_SIGNS[kind]
            for column in np.unique(canvas.columns_of(x[(x >= plot.start) & (x <= plot.stop)])).tolist():
                row[column] = (plain if glyphs.marks == "ascii" else sign, role)
    return row


def x_label(value: float, axis: XAxis) -> str:
    """A place on the x axis in words."""
    if axis == "time":
        return axes.duration(value)
    return axes.label(value, 0 if value == round(value) else 2) if axis == "epoch" else axes.label(round(value), 0)


def x_ticks(start: float, stop: float, axis: XAxis, parts: int) -> list[float]:
    """Round places between start and stop."""
    step = axes.nice_seconds(stop - start, parts) if axis == "time" else axes.nice_step(stop - start, parts)
    if axis != "epoch":
        step = max(1.0, step)
    first = math.ceil(start / step - 1e-9)
    return [index * step for index in range(first, math.floor(stop / step + 1e-9) + 1)]


def _x_labels(canvas: Canvas, axis: XAxis, offset: int, width: int) -> str:
    start, stop = canvas.window.start, canvas.window.stop
    row, free = [" "] * width, 0
    for tick in x_ticks(start, stop, axis, max(1, canvas.width // 14)):
        text = x_label(tick, axis)
        at = max(min(offset + canvas.column_of(min(tick, stop)) - len(text) // 2, width - len(text)), offset - 1)
        if at >= free:
            row[at : at + len(text)] = text
            free = at + len(text) + 2
    return "".join(row[:width])
