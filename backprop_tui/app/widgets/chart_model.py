"""What a chart shows and how keys change it, apart from the widget: metrics, layout, axes, smoothing, the part in view."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from backprop_tui.app.glyphs import Glyphs
from backprop_tui.app.marks import Marks
from backprop_tui.app.widgets import axes, chart_words
from backprop_tui.app.widgets.chart_data import Curves, Source
from backprop_tui.app.widgets.chart_grid import draw_grid, grid_shape
from backprop_tui.app.widgets.chart_metrics import in_order, metric_of
from backprop_tui.app.widgets.chart_plot import Area, Curve, Plot, draw
from backprop_tui.app.widgets.chart_state import LAYOUTS, MOST_OVERLAID, X_AXES, ChartState, XAxis
from backprop_tui.app.widgets.painted import Line, fit
from backprop_tui.app.widgets.smoothing import SMOOTHINGS

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Steps from which a run is smoothed more.
_LONG_RUN = 300
_LEAST_WIDTH, _LEAST_HEIGHT = 24, 4
#: A view is never narrower than this many units of its axis, nor than this share of all of it where units are fractions.
_LEAST_SPAN, _LEAST_SHARE = 2.0, 1e-6


class Other(NamedTuple):
    """Another run laid over: harmless label, its curves, its colour slot (`chart_metrics.slots_for`), when it began."""

    label: str
    store: Curves
    slot: int
    began: float | None = None


class ChartModel:
    """One chart. Set the attributes, call the methods, ask `paint` and the words of the frame.

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
        self._sources: dict[int, Source] = {}

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
        kept: dict[int, Source] = {}
        for other in wanted:
            source = self._sources.get(id(other.store)) or Source(other.label, other.store)
            source.label, source.slot, source.began = other.label, other.slot, other.began
            kept[id(other.store)] = source
        self._sources = kept
        return list(kept.values())

    def plots(self) -> list[Plot]:
        """Everything on the screen, for drawing it here or as a picture."""
        start, stop = self.view()
        found = []
        for group in [self.metrics] if self.state.layout == "overlay" else [[name] for name in self.metrics]:
            title = " + ".join(metric_of(name).title for name in group)
            found.append(
                Plot(
                    title, tuple(self._curves(group)), self.axis, start, stop, self.state.log_y, self.cursor,
                    self.selection, self.marks, self.state.layout == "grid" and group[0] == self.metric,
                )
            )  # fmt: skip
        return found

    def _curves(self, metrics: Sequence[str]) -> list[Curve]:
        sources = self.sources()
        if len(metrics) > 1:
            return [
                Curve(sources[0], name, metric_of(name).title, slot, self.smoothing_of(name))
                for slot, name in enumerate(metrics)
            ]
        name = metrics[0]
        curves = [
            Curve(
                source,
                name,
                source.label if len(sources) > 1 else metric_of(name).title,
                source.slot,
                self.smoothing_of(name),
            )
            for source in sources
            if name in source.store.names()
        ]
        beside = metric_of(name).beside
        if len(sources) == 1 and beside in sources[0].store.names():
            curves.append(Curve(sources[0], beside, metric_of(beside).title, sources[0].slot + 1, beside=True))
        return curves

    # -- what keys do -------------------------------------------------------------------------------------------------

    def next_axis(self) -> None:
        """Step, tokens, time, epoch, around; the view starts over because the units differ."""
        self.state.axis = X_AXES[(X_AXES.index(self.axis) + 1) % len(X_AXES)]
        self.fit()

    def next_smoothing(self) -> None:
        """The next smoothing."""
        here = self.state.smoothing or self.smoothing_of("loss")
        self.state.smoothing = SMOOTHINGS[(SMOOTHINGS.index(here) + 1) % len(SMOOTHINGS)]

    def next_layout(self) -> None:
        """One metric, a grid, several over one another."""
        self.state.layout = LAYOUTS[(LAYOUTS.index(self.state.layout) + 1) % len(LAYOUTS)]
        if self.state.layout == "overlay" and not self.state.overlaid:
            second = "grad_norm" if self.metric != "grad_norm" else "loss"
            self.state.overlaid = [self.metric, second]

    def overlay(self, name: str) -> None:
        """Lay a metric over the others, or take it away again."""
        chosen = self.state.overlaid if self.state.layout == "overlay" else [self.metric]
        chosen = [one for one in chosen if one != name] if name in chosen else [*chosen, name][-MOST_OVERLAID:]
        self.state.overlaid = chosen
        self.state.layout = "overlay" if len(chosen) > 1 else "single"
        if len(chosen) == 1:
            self.metric = chosen[0]

    def next_metric(self, by: int) -> None:
        """The next metric recorded, around."""
        names = self.names
        if names:
            here = names.index(self.metric) if self.metric in names else -1
            self.metric = names[(here + by) % len(names)]
            if self.state.layout == "overlay":
                self.state.layout = "single"

    def zoom(self, factor: float, around: float | None = None) -> None:
        """Show a `factor`-th of what is shown, around a place: the crosshair, else the middle, else the end followed."""
        start, stop = self.view()
        end, least = self._end(), self._least()
        span = max(least, (stop - start) / factor)
        if span >= end:
            self.fit()
            return
        place = around if around is not None else self._place(self.state.cursor)
        if place is None and self.follow:
            self.state.start = max(0.0, end - span)
        else:
            place = min(max(start, place if place is not None else (start + stop) / 2), stop)
            self.state.start = min(max(0.0, place - (place - start) / (stop - start) * span), max(0.0, end - span))
            self.follow = self.state.start + span >= end
        self.state.span = span

    def show_range(self, start: float, stop: float) -> None:
        """Show just this range of the axis."""
        start, stop = max(0.0, min(start, stop)), max(start, stop)
        self.state.span = max(self._least(), stop - start)
        self.state.start, self.follow = start, False

    def pan(self, share: float) -> None:
        """Move by a share of what is shown; at the right end following begins again."""
        start, stop = self.view()
        end, span = self._end(), stop - start
        if self.state.span is None and span >= end:
            return
        self.state.span = span
        self.state.start = min(max(0.0, start + share * span), max(0.0, end - span))
        self.follow = self.state.start + span >= end

    def fit(self) -> None:
        """The whole run."""
        self.state.start, self.state.span, self.follow = 0.0, None, True

    # -- crosshair ----------------------------------------------------------------------------------------------------

    def toggle_cursor(self) -> None:
        """A crosshair on the newest point in view, or none."""
        self.hover = None
        if self.state.cursor is not None:
            self.state.cursor = None
            return
        self.state.cursor = self.nearest(self.view()[1])

    def move_cursor(self, by: int) -> None:
        """The crosshair so many points on; the view comes along."""
        import numpy as np

        steps = self._steps()
        if self.state.cursor is None or steps is None:
            return
        index = int(steps.searchsorted(np.asarray(self.state.cursor, dtype=steps.dtype)))
        self.put_cursor(int(steps[min(max(0, index + by), len(steps) - 1)]))

    def jump_mark(self, direction: int) -> str | None:
        """The crosshair on the next mark or the one before; the mark's words, or None where there is none."""
        if self.marks is None or not self.known:
            return None
        start, stop = self.view()
        here = self.state.cursor
        if here is None:
            import numpy as np

            sources = self.sources()
            edge = sources[0].to_steps(np.array([start - 1 if direction > 0 else stop]), self.axis)[0]
            here = int(edge) + (1 if direction < 0 else 0)
        step = self.marks.next(here, direction)
        if step is None:
            return None
        self.put_cursor(step)
        return ", ".join(words for _, words in self.marks.at(step))

    def put_cursor(self, step: int) -> None:
        """The crosshair on a step, moving the view where it would be outside."""
        self.hover = None
        self.state.cursor = step
        place = self._place(step)
        start, stop = self.view()
        if place is not None and self.state.span is not None and not start <= place <= stop:
            span = stop - start
            self.state.start = min(max(0.0, place - span / 2), max(0.0, self._end() - span))
            self.follow = False

    def nearest(self, x: float) -> int | None:
        """The step of the point nearest to a place on the axis."""
        import numpy as np

        steps = self._steps()
        if steps is None:
            return None
        source = self.sources()[0]
        at = float(source.to_steps(np.array([x]), self.axis)[0])
        index = int(steps.searchsorted(np.asarray(max(0, math.ceil(at)), dtype=steps.dtype)))
        near = steps[max(0, index - 1) : index + 1]
        return int(min(near.tolist(), key=lambda step: abs(step - at)))

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

    # -- words and picture --------------------------------------------------------------------------------------------

    @property
    def title(self) -> str:
        """The frame's title."""
        if self.state.layout == "grid":
            return "metrics"
        return " + ".join(metric_of(name).title for name in self.metrics)

    def facts(self, width: int, glyphs: Glyphs) -> Line:
        """Legend and settings, or the values at the crosshair, for the title line."""
        return chart_words.facts(self, width, glyphs)

    def foot(self, glyphs: Glyphs) -> str:
        """What part is in view."""
        return chart_words.foot(self, glyphs)

    def paint(self, width: int, height: int, glyphs: Glyphs) -> list[Line]:
        """The chart as at most `height` lines."""
        before, self.areas = self.areas, []
        if width < _LEAST_WIDTH or height < _LEAST_HEIGHT or not self.known:
            # An empty chart must not cost the first paint an import of numpy.
            message: Line = ((f" {self.empty or 'Nothing recorded yet.'}", "muted"),)
            return [fit((), width)] * (height // 2) + [message]
        if self.state.layout == "grid":
            self.grid = grid_shape(width, height, len(self.names))
            lines, self.areas = draw_grid(self.plots(), self.grid, width, height, glyphs, before)
            return lines
        plot = self.plots()[0]
        if not plot.curves:
            message = ((f" {metric_of(self.metric).title} was not recorded by this run; m lists what was.", "muted"),)
            return [fit((), width)] * (height // 2) + [message]
        legend = chart_words.legend(plot, width, glyphs) if plot.crowded and height >= _LEAST_HEIGHT + 4 else []
        lines, area = draw(plot, width, height - len(legend), glyphs, *(area.gutters for area in before[:1]))
        self.areas = [replace(area, top=len(legend))]
        return [*legend, *lines]
