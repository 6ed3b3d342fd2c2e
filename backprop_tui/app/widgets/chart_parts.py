"""What a plot is made of: curves, the part in view, y scales, and every curve cut into columns. Nothing of how it is drawn.

`chart_plot` draws a `Plot` as text, `chart_picture` as a picture.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from backprop_tui.app.glyphs import Glyphs
from backprop_tui.app.marks import MarkKind, Marks
from backprop_tui.app.widgets import axes
from backprop_tui.app.widgets.chart_data import Source
from backprop_tui.app.widgets.chart_metrics import metric_of
from backprop_tui.app.widgets.chart_state import XAxis

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

#: Signs of series by slot, beside their colours; all of width 1 in every terminal.
SERIES_SIGNS = "●▲■◆○△□◇"
SERIES_SIGNS_ASCII = "*^#%o+x&"
#: Signs of marks and their roles.
MARK_SIGNS: dict[MarkKind, tuple[str, str, str]] = {
    "end": ("■", "=", "muted"),
    "eval": ("○", "o", "series-2"),
    "save": ("◆", "#", "accent"),
    "pause": ("‖", '"', "warn"),
    "restart": ("»", ">", "warn"),
    "alert": ("!", "!", "bad"),
    "fault": ("✗", "x", "bad"),
}
#: Percent of the columns at either end that a tight y axis may leave out, and how far beyond the others, in spans of those.
_FEW, _FAR = 5.0, 1.0


@dataclass(frozen=True, slots=True)
class Curve:
    """One line of a plot. `beside` is drawn as points joined by a line and not smoothed, as evaluations are."""

    source: Source
    metric: str
    label: str
    slot: int
    smoothing: str = "raw"
    beside: bool = False

    @property
    def role(self) -> str:
        """Its colour."""
        return f"series-{self.slot % 8 + 1}"

    def sign(self, glyphs: Glyphs) -> str:
        """Its sign."""
        if self.beside:
            return glyphs.eval_point
        return (SERIES_SIGNS_ASCII if glyphs.marks == "ascii" else SERIES_SIGNS)[self.slot % 8]


@dataclass(frozen=True, slots=True)
class Plot:
    """What one plot shows: curves over [start, stop] of an axis, and the step under the crosshair."""

    title: str
    curves: tuple[Curve, ...]
    axis: XAxis
    start: float
    stop: float
    log: bool = False
    tight: bool = False
    cursor: int | None = None
    selection: tuple[float, float] | None = None
    marks: Marks | None = None
    picked: bool = False

    @property
    def crowded(self) -> bool:
        """Whether curves need signs to be told apart without colour."""
        return len([curve for curve in self.curves if not curve.beside]) > 1


@dataclass(frozen=True, slots=True)
class Scale:
    """A y axis shared by the curves of one unit; ends and ticks are decimal logarithms where `log`."""

    unit: str
    low: float
    high: float
    ticks: list[float]
    labels: list[str]


@dataclass(frozen=True, slots=True)
class Drawn:
    """A curve with its envelopes per column: its values, and its average in front of them (None where not smoothed)."""

    curve: Curve
    scale: Scale
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    front: tuple[NDArray[np.float64], NDArray[np.float64]] | None


NO_SCALE = Scale("", 0.0, 1.0, [0.0, 1.0], ["0", "1"])


def measure(plot: Plot, columns: int, parts: int) -> list[Drawn]:
    """Cut every curve into columns and give each unit the scale that holds all of it in view."""
    import numpy as np

    view = (plot.start, plot.stop, columns)
    cut = []
    reach: dict[str, list[float]] = {}
    for curve in plot.curves:
        low, high = curve.source.envelope(curve.metric, "raw", plot.axis, view, log=plot.log)
        front = None
        if curve.smoothing != "raw":
            front = curve.source.envelope(curve.metric, curve.smoothing, plot.axis, view, log=plot.log)
        cut.append((curve, low, high, front))
        if np.isfinite(low).any():
            ends = _bulk(low, high, front) if plot.tight else (float(np.nanmin(low)), float(np.nanmax(high)))
            reach.setdefault(metric_of(curve.metric).unit, []).extend(ends)
    scales = {unit: _scale(unit, min(ends), max(ends), parts, log=plot.log) for unit, ends in reach.items()}
    return [
        Drawn(curve, scales.get(metric_of(curve.metric).unit, NO_SCALE), low, high, front)
        for curve, low, high, front in cut
    ]


def _bulk(
    low: NDArray[np.float64], high: NDArray[np.float64], front: tuple[NDArray[np.float64], NDArray[np.float64]] | None
) -> tuple[float, float]:
    """Where a curve lies but for outliers: the columns near the middle nine tenths, and all of its average."""
    import numpy as np

    known = np.isfinite(low)
    low, high = low[known], high[known]
    floor, ceiling = float(np.percentile(low, _FEW)), float(np.percentile(high, 100 - _FEW))
    reach = _FAR * (ceiling - floor)
    ends = [float(low[low >= floor - reach].min()), float(high[high <= ceiling + reach].max())]
    if front is not None and np.isfinite(front[0]).any():
        ends += [float(np.nanmin(front[0])), float(np.nanmax(front[1]))]
    return min(ends), max(ends)


def scales_of(drawn: list[Drawn]) -> list[Scale]:
    """The scales in use, in the order of their first curves."""
    return list({one.scale.unit: one.scale for one in reversed(drawn)}.values())[::-1]


def _scale(unit: str, low: float, high: float, parts: int, *, log: bool) -> Scale:
    if log:
        low, high = min(max(low, -300.0), 300.0), min(max(high, -300.0), 300.0)
        low, high, ticks = axes.log_range(10**low, 10**high, parts)
        return Scale(unit, low, high, ticks, [f"{10**tick:.4g}" for tick in ticks])
    low, high, ticks = axes.linear_range(low, high, parts)
    decimals = axes.decimals_for(ticks)
    labels = [axes.label(tick, decimals) if tick or decimals <= 2 else "0" for tick in ticks]
    return Scale(unit, low, high, ticks, labels)


@dataclass(frozen=True, slots=True)
class Area:
    """Where the inside of a plot is, in cells of the whole chart, and which plot it is."""

    plot: Plot
    left: int
    top: int
    width: int
    height: int
    gutters: tuple[int, int]

    def holds(self, x: int, y: int) -> bool:
        """Whether a cell belongs to the plot; its axes count."""
        return self.left - 1 <= x <= self.left + self.width and self.top <= y < self.top + self.height + 2

    def x_at(self, column: float) -> float:
        """The place on the axis under a cell's middle, kept in view."""
        share = min(1.0, max(0.0, (column - self.left + 0.5) / self.width))
        return self.plot.start + share * (self.plot.stop - self.plot.start)


def odd_places(curve: Curve, plot: Plot) -> list[float]:
    """Where a curve in view is not a number, in units of the axis; the newest thousand."""
    import numpy as np

    odd = curve.source.odd(curve.metric)
    if not len(odd):
        return []
    ends = curve.source.to_steps(np.array([plot.start, plot.stop]), plot.axis)
    odd = odd[(odd >= ends[0]) & (odd <= ends[1])][-1000:]
    return [x for x in curve.source.to_units(odd, plot.axis).tolist() if plot.start <= x <= plot.stop]
