"""The words around a plot: legend, settings, exact values under the crosshair, the part of the run in view."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from backprop_tui.app import wording
from backprop_tui.app.glyphs import Glyphs
from backprop_tui.app.widgets.chart_metrics import metric_of
from backprop_tui.app.widgets.chart_parts import Curve, Plot
from backprop_tui.app.widgets.chart_plot import x_label
from backprop_tui.app.widgets.painted import Line, Piece, ellipsis, fit, width_of

if TYPE_CHECKING:
    from backprop_tui.app.widgets.chart_model import ChartModel

#: Columns from which the frame also names the scales.
_SETTINGS = 70
_LEGEND_LINES = 3
_LABEL = 24


def exact(value: float | None) -> str:
    """A value to seven digits, which is what single precision holds; `nan` and `inf` by name, unknown as a dash."""
    if value is None:
        return wording.UNKNOWN
    if not math.isfinite(value):
        return "nan" if math.isnan(value) else f"{value:+.0f}".replace("+inf", "inf")
    return f"{value:,.0f}" if value == round(value) and abs(value) < 1e15 else f"{value:.7g}"


def facts(model: ChartModel, width: int, glyphs: Glyphs) -> Line:
    """Legend and settings, or the values at the crosshair while there is one."""
    plots = model.plots() if model.known else []
    if model.cursor is not None and plots and model.state.layout == "single" and not plots[0].crowded:
        return (*_step(model), *values(plots[0], width - 24, glyphs), *_happened(model, glyphs))
    words: list[Piece] = []
    if plots and len(plots) == 1 and not plots[0].crowded:
        words += _key(plots[0].curves, glyphs)
        if any(getattr(curve.source.store, "boundaries", ()) for curve in plots[0].curves):
            words += [("  next run ", "muted"), (glyphs.boundary, "muted")]
    elif model.cursor is not None:
        words += [*_step(model), *_happened(model, glyphs)]
    smooth = model.smoothing_of(model.metric)
    hidden = _left_out(plots)
    if width < _SETTINGS:
        scale = f"  log{hidden}" if model.state.log_y else ""
        scale += "  tight" if model.state.tight else ""
        return (*words, (f"  {smooth}{scale}", "muted"))
    scale = f"log{hidden}" if model.state.log_y else "lin"
    scale += " tight" if model.state.tight else ""
    axis = model.axis if all(source.measures(model.axis) for source in model.sources()) else f"step (no {model.axis})"
    if model.axis == "time" and width >= 100:
        axis += " (wall, with pauses)"
    return (*words, (f"   {smooth}   y:{scale}   x:{axis}", "muted"))


def foot(model: ChartModel, glyphs: Glyphs) -> str:
    """What part is in view, and how to follow again."""
    start, stop = model.view()
    follow = "" if model.follow else f"  {glyphs.dot} f follow"
    names = model.names
    page = ""
    if model.state.layout == "grid" and len(names) > len(model.metrics) and model.metric in names:
        page = f"{names.index(model.metric) + 1}/{len(names)} {glyphs.dot} "
    return f"{page}{glyphs.both} {x_label(start, model.axis)}{glyphs.dash}{x_label(stop, model.axis)}{follow}"


def values(plot: Plot, room: int, glyphs: Glyphs) -> Line:
    """Every curve's value at the crosshair, or its newest one; as many as fit."""
    found: list[Piece] = []
    for curve in plot.curves:
        pieces = _value(curve, plot, glyphs, named=len(plot.curves) > 1)
        if found and width_of(found) + width_of(pieces) + 2 > room:
            break
        found += [("  ", "text"), *pieces] if found else pieces
    return tuple(found)


def legend(plot: Plot, width: int, glyphs: Glyphs) -> list[Line]:
    """Lines above a plot of several curves: sign, name, value at the crosshair or newest, range where scales differ."""
    lines: list[list[Piece]] = [[]]
    left = 0
    for curve in plot.curves:
        item: list[Piece] = [(f" {curve.sign(glyphs)} ", curve.role)]
        item += [
            (f"{ellipsis(curve.label, _LABEL, glyphs.ellipsis)} ", "muted"),
            *_value(curve, plot, glyphs, named=False),
        ]
        if lines[-1] and width_of(lines[-1]) + width_of(item) + 1 > width:
            if len(lines) == _LEGEND_LINES:
                left += 1
                continue
            lines.append([])
        lines[-1] += item
    if left:
        lines[-1].append((f" +{left}", "muted"))
    return [fit(line, width) for line in lines]


def _step(model: ChartModel) -> Line:
    return ((f"step {model.cursor or 0:,}  ", "strong"),)


def _happened(model: ChartModel, glyphs: Glyphs) -> Line:
    """What the marks under the crosshair mean; last, because values matter more where room is short."""
    marks = model.marks.at(model.cursor or 0) if model.marks is not None else []
    return ((f"  {glyphs.dot} {', '.join(words for _, words in marks)}", "accent"),) if marks else ()


def _key(curves: tuple[Curve, ...], glyphs: Glyphs) -> list[Piece]:
    if len(curves) == 1:
        return [(curves[0].label, "muted")]
    names = {"loss": "train", "eval_loss": "eval"}
    pieces: list[Piece] = []
    for curve in curves:
        sign = glyphs.eval_point if curve.beside else glyphs.bar_rest
        pieces += [(f"{'  ' if pieces else ''}{names.get(curve.metric, curve.label)} ", "muted"), (sign, curve.role)]
    return pieces


def _value(curve: Curve, plot: Plot, glyphs: Glyphs, *, named: bool) -> list[Piece]:
    names = {"loss": "train", "eval_loss": "eval"}
    at = plot.cursor if plot.cursor is not None else 1 << 53
    point = curve.source.at(curve.metric, at)
    name: list[Piece] = [(f"{names.get(curve.metric, metric_of(curve.metric).title)} ", "muted")] if named else []
    if point is None:
        return [*name, (wording.UNKNOWN, "muted")]
    role = curve.role if math.isfinite(point[1]) else "bad"
    if plot.cursor is None:
        return [*name, (wording.significant(point[1]), role)]
    pieces: list[Piece] = [*name, (exact(point[1]), role)]
    smoothed = curve.source.at(curve.metric, at, curve.smoothing) if curve.smoothing != "raw" else None
    if smoothed is not None and math.isfinite(smoothed[1]):
        pieces.append((f" ({curve.smoothing.partition(' ')[0]} {wording.significant(smoothed[1])})", "muted"))
    if point[0] != plot.cursor:
        # The newest value before the crosshair, and where it was measured.
        pieces.append((f" @{point[0]:,}", "muted"))
    return pieces


def _left_out(plots: list[Plot]) -> str:
    """How many values a log axis has no place for."""
    if not plots or not plots[0].log:
        return ""
    import numpy as np

    count = 0
    for plot in plots:
        for curve in plot.curves:
            with np.errstate(invalid="ignore"):
                count += int(np.count_nonzero(curve.source.curve(curve.metric)[1] <= 0))
    return f" ({count:,} not above 0 left out)" if count else ""
