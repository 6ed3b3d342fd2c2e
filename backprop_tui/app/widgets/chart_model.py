"""One chart apart from its widget: what is drawn of which metrics, how, and with which words around it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from backprop_tui.app.glyphs import Glyphs
from backprop_tui.app.widgets import chart_words
from backprop_tui.app.widgets.chart_base import Other as Other
from backprop_tui.app.widgets.chart_grid import draw_grid, grid_shape
from backprop_tui.app.widgets.chart_metrics import metric_of
from backprop_tui.app.widgets.chart_moves import ChartMoves
from backprop_tui.app.widgets.chart_parts import Curve, Plot
from backprop_tui.app.widgets.chart_plot import draw
from backprop_tui.app.widgets.chart_state import LAYOUTS, MOST_OVERLAID, X_AXES
from backprop_tui.app.widgets.painted import Line, fit
from backprop_tui.app.widgets.smoothing import SMOOTHINGS

_LEAST_WIDTH, _LEAST_HEIGHT = 24, 4


class ChartModel(ChartMoves):
    """One chart. Set the attributes, call the methods, ask `paint` and the words of the frame."""

    def plots(self) -> list[Plot]:
        """Everything on the screen, for drawing it here or as a picture."""
        start, stop = self.view()
        found = []
        for group in [self.metrics] if self.state.layout == "overlay" else [[name] for name in self.metrics]:
            title = " + ".join(metric_of(name).title for name in group)
            found.append(
                Plot(
                    title, tuple(self._curves(group)), self.axis, start, stop, self.state.log_y, self.state.tight,
                    self.cursor,
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
