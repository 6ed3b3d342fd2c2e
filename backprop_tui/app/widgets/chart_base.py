"""What a chart knows: the runs on it, what is chosen, the part of the x axis in view."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

from backprop_tui.app.marks import Marks
from backprop_tui.app.widgets import axes
from backprop_tui.app.widgets.chart_data import Curves, Source
from backprop_tui.app.widgets.chart_metrics import in_order, metric_of
from backprop_tui.app.widgets.chart_parts import Area
from backprop_tui.app.widgets.chart_state import ChartState, XAxis
from backprop_tui.protocol.text import safe_text

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Steps from which a run is smoothed more.
_LONG_RUN = 300
#: A view is never narrower than this many units of its axis, nor than this share of all of it where units are fractions.
_LEAST_SPAN, _LEAST_SHARE = 2.0, 1e-6


class Other(NamedTuple):
    """Another run laid over: what it is called, its curves, its colour slot (`chart_metrics.slots_for`), when it began."""

    label: str
    store: Curves
    slot: int
    began: float | None = None


class ChartBase:
    """The facts of one chart.

    Attributes:
        store: the run's curves; None is no run. others: runs laid over it.
        label, slot, began, marks: the run's own name, colour, beginning and marks.
        live: whether it may still grow. total_steps: where it will end, when known. empty: what an empty chart says.
        hover: the step under the mouse. selection: a range being chosen with it, in units of the axis.
        state: what outlives the app. areas: where the plots of the last picture are.
    """

    def __init__(self) -> None:
        self.store: Curves | None = None
        self.others: list[Other] = []
        self.label = "this run"
        self.slot = 0
        self.began: float | None = None
        self.marks: Marks | None = None
        self.live = False
        self.total_steps: int | None = None
        self.empty = ""
        self.state = ChartState()
        self.hover: int | None = None
        self.selection: tuple[float, float] | None = None
        self.grid: tuple[int, int] = (1, 1)
        self.areas: list[Area] = []
        self._sources: dict[int, tuple[str, Source]] = {}

    # -- what is shown ------------------------------------------------------------------------------------------------

    @property
    def metric(self) -> str:
        """What a single chart shows, and what is selected in a grid."""
        return self.state.metric

    @metric.setter
    def metric(self, name: str) -> None:
        self.state.metric = name

    @property
    def axis(self) -> XAxis:
        """What the chart runs along."""
        return self.state.axis

    @property
    def follow(self) -> bool:
        """Whether the newest point stays in view."""
        return self.state.follow

    @follow.setter
    def follow(self, value: bool) -> None:
        self.state.follow = value

    @property
    def names(self) -> list[str]:
        """Metrics recorded by the run or by one laid over it, the most telling first."""
        every = [store.names() for store in (self.store, *(other.store for other in self.others)) if store is not None]
        return in_order(dict.fromkeys(name for names in every for name in names))

    @property
    def known(self) -> bool:
        """Whether there is anything to draw; asked before any array is touched."""
        return bool(self.names)

    @property
    def metrics(self) -> list[str]:
        """Metrics on the screen."""
        if self.state.layout == "overlay":
            known = [name for name in self.state.overlaid if name in self.names]
            return known or [self.metric]
        if self.state.layout == "grid":
            names, size = self.names, self.grid[0] * self.grid[1]
            page = names.index(self.metric) // size if self.metric in names else 0
            return names[page * size : (page + 1) * size]
        return [self.metric]

    @property
    def cursor(self) -> int | None:
        """The step whose values are read out."""
        return self.hover if self.hover is not None else self.state.cursor

    def smoothing_of(self, metric: str) -> str:
        """How a metric is smoothed: the person's choice, else little on short runs, where an average lags visibly."""
        if not metric_of(metric).noisy:
            return "raw"
        if self.state.smoothing is not None:
            return self.state.smoothing
        return "ema 0.9" if (self.total_steps or self._newest_step()) >= _LONG_RUN else "ema 0.6"

    def sources(self) -> list[Source]:
        """The run and the others, with what was made of their curves before."""
        wanted = [Other(self.label, self.store, self.slot, self.began)] if self.store is not None else []
        wanted += [Other(*other) for other in self.others]
        kept: dict[int, tuple[str, Source]] = {}
        for other in wanted:
            known = self._sources.get(id(other.store))
            source = known[1] if known is not None else Source(other.label, other.store)
            if known is not None and known[0] != other.label:
                source.label = safe_text(other.label, limit=80)
            source.slot, source.began = other.slot, other.began
            kept[id(other.store)] = (other.label, source)
        self._sources = kept
        return [source for _, source in kept.values()]

    # -- the part in view ---------------------------------------------------------------------------------------------

    def view(self) -> tuple[float, float]:
        """Start and end of the x axis in view."""
        end, span = self._end(), self.state.span
        if span is None:
            return 0.0, end
        if self.follow:
            # Strides again: a tenth of the view at a time.
            stride = span / 10
            stop = max(span, math.ceil(self._newest() / stride) * stride) if self.live else max(end, span)
            return stop - span, stop
        return self.state.start, self.state.start + span

    def _newest_step(self) -> int:
        if not self.known:
            return 0
        return max((int(steps[-1]) for source in self.sources() if len(steps := source.curve("loss")[0])), default=0)

    def _newest(self) -> float:
        if not self.known:
            return 0.0
        return max((source.end(self.axis, name) for source in self.sources() for name in self.metrics), default=0.0)

    def _end(self) -> float:
        newest = self._newest()
        if not self.live:
            return newest or 1.0
        return axes.grown_end(newest, float(self.total_steps) if self.axis == "step" and self.total_steps else None)

    def _least(self) -> float:
        return self._end() * _LEAST_SHARE if self.axis == "epoch" else _LEAST_SPAN

    def _steps(self) -> NDArray[Any] | None:
        """Steps of the chart's first metric, of the loss where it has none."""
        for name in (*self.metrics, "loss"):
            for source in self.sources():
                steps, _ = source.curve(name)
                if len(steps):
                    return steps
        return None

    def _place(self, step: int | None) -> float | None:
        import numpy as np

        sources = self.sources()
        if step is None or not sources:
            return None
        return float(sources[0].to_units(np.array([step]), self.axis)[0])
