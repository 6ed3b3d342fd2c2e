"""The chart: a `ChartModel` on the screen, with its keys."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual import events
from textual.binding import BindingType

from backprop_tui.app.actions import bindings
from backprop_tui.app.context import glyphs_of
from backprop_tui.app.keymap import run as keymap
from backprop_tui.app.widgets.chart_model import ChartModel
from backprop_tui.app.widgets.painted import Line, Painted
from backprop_tui.app.widgets.panel import Panel


class Chart(Painted, can_focus=True):
    """Draws its `model`; the panel around it carries legend and range."""

    DEFAULT_CSS = "Chart { height: 1fr; width: 1fr; }"
    BINDINGS: ClassVar[list[BindingType]] = bindings(a for a in keymap.ACTIONS if a.scope == "chart")

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.model = ChartModel()

    def paint(self, width: int, height: int) -> Sequence[Line]:
        """The plot."""
        return self.model.paint(width, height, glyphs_of(self))

    def show(self) -> None:
        """Bring plot and frame up to date."""
        self.repaint()
        panel = self.parent
        if isinstance(panel, Panel):
            glyphs = glyphs_of(self)
            title = self.model.metric.replace("_", " ")
            panel.label(title=title, facts=self.model.facts(panel.size.width, glyphs), foot=self.model.foot(glyphs))

    def on_resize(self, event: events.Resize) -> None:
        """The legend is shorter where it is narrow."""
        self.call_after_refresh(self.show)

    def action_y_scale(self) -> None:
        """Linear or logarithmic."""
        self.model.log_y = not self.model.log_y
        self.show()

    def action_x_axis(self) -> None:
        """The next x axis."""
        self.model.next_axis()
        self.show()

    def action_smoothing(self) -> None:
        """The next smoothing."""
        self.model.next_weight()
        self.show()

    def action_zoom(self, factor: float) -> None:
        """Closer or farther."""
        self.model.zoom(factor)
        self.show()

    def action_pan(self, share: float) -> None:
        """Left or right."""
        self.model.pan(share)
        self.show()

    def action_fit(self) -> None:
        """The whole run."""
        self.model.fit()
        self.show()

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        """The wheel zooms."""
        event.stop()
        self.action_zoom(1.25)

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        """The wheel zooms."""
        event.stop()
        self.action_zoom(0.8)
