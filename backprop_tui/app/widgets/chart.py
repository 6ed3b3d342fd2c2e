"""The chart: a `ChartModel` on the screen, with its keys and the mouse."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from textual import events
from textual.binding import BindingType
from textual.content import Content
from textual.message import Message

from backprop_tui.app.actions import bindings
from backprop_tui.app.context import glyphs_of
from backprop_tui.app.keymap import chart as keymap
from backprop_tui.app.widgets.chart_metrics import metric_of
from backprop_tui.app.widgets.chart_model import ChartModel
from backprop_tui.app.widgets.chart_parts import Area
from backprop_tui.app.widgets.painted import Line, Painted
from backprop_tui.app.widgets.panel import Panel

#: Cells between press and release from which a range was chosen rather than a place.
_DRAGGED = 2


class Chart(Painted, can_focus=True):
    """Draws its `model`; the panel around it carries legend and range."""

    DEFAULT_CSS = "Chart { height: 1fr; width: 1fr; }"
    BINDINGS: ClassVar[list[BindingType]] = bindings(keymap.ACTIONS)

    @dataclass
    class ExportAsked(Message):
        """Somebody wants what is seen as a file; the screen asks where."""

        chart: Chart

    @dataclass
    class Said(Message):
        """A sentence for the footer."""

        text: str

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.model = ChartModel()
        self._pressed: tuple[Area, int] | None = None

    def paint(self, width: int, height: int) -> Sequence[Line]:
        """The plot."""
        return self.model.paint(width, height, glyphs_of(self))

    def show(self) -> None:
        """Bring plot and frame up to date."""
        self.repaint()
        panel = self.parent
        if isinstance(panel, Panel):
            glyphs, model = glyphs_of(self), self.model
            panel.label(title=model.title, facts=model.facts(panel.size.width, glyphs), foot=model.foot(glyphs))

    def on_resize(self, event: events.Resize) -> None:
        """The legend is shorter where it is narrow."""
        self.call_after_refresh(self.show)

    # -- keys ---------------------------------------------------------------------------------------------------------

    def action_y_scale(self) -> None:
        """Linear or logarithmic."""
        self.model.state.log_y = not self.model.state.log_y
        self.show()

    def action_tight(self) -> None:
        """The y axis around nearly all values, or around all."""
        self.model.state.tight = not self.model.state.tight
        self.show()

    def action_x_axis(self) -> None:
        """The next x axis."""
        self.model.next_axis()
        self.show()

    def action_smoothing(self) -> None:
        """The next smoothing."""
        self.model.next_smoothing()
        self.show()

    def action_layout(self) -> None:
        """One metric, a grid, several over one another."""
        self.model.next_layout()
        self.show()

    def action_metric_step(self, by: int) -> None:
        """The next metric."""
        self.model.next_metric(by)
        self.show()

    def action_row(self, by: int) -> None:
        """The metric above or below in a grid."""
        across = self.model.grid[0] if self.model.state.layout == "grid" else 1
        self.action_metric_step(by * across)

    def action_alone(self) -> None:
        """The selected metric of a grid alone, and the grid again."""
        state = self.model.state
        state.layout = "single" if state.layout == "grid" else "grid"
        self.show()

    def action_overlay(self) -> None:
        """Choose a metric to lay over the others."""
        from backprop_tui.app.widgets.modal import Choice, ConfirmModal

        names = self.model.names
        if not names or self.model.others:
            self.post_message(
                self.Said("Nothing has been recorded yet." if not names else "One metric at a time here.")
            )
            return
        shown = self.model.metrics if self.model.state.layout == "overlay" else [self.model.metric]
        choices = tuple(
            Choice(name, f"{'take away' if name in shown else 'lay over'}  {metric_of(name).title}") for name in names
        )
        words = Content("Up to four metrics of this run share the picture, each unit with its own scale.")
        first = next((name for name in names if name not in shown), names[0])
        self.app.push_screen(ConfirmModal(Content("several metrics"), words, choices, first), self._overlaid)

    def _overlaid(self, name: str | None) -> None:
        if name is not None:
            self.model.overlay(name)
            self.show()

    def action_zoom(self, factor: float) -> None:
        """Closer or farther."""
        self.model.zoom(factor)
        self.show()

    def action_sideways(self, direction: int, far: int = 0) -> None:
        """The crosshair by a point or ten; without one, the view by a quarter or by all of it."""
        if self.model.state.cursor is not None:
            self.model.move_cursor(direction * (10 if far else 1))
        else:
            self.model.pan(direction * (1.0 if far else 0.25))
        self.show()

    def action_edge(self, direction: int) -> None:
        """The first or the newest point."""
        if self.model.state.cursor is not None:
            self.model.move_cursor(direction * (1 << 50))
        else:
            self.model.pan(direction * 1e9)
        self.show()

    def action_fit(self) -> None:
        """The whole run."""
        self.model.fit()
        self.show()

    def action_cursor(self) -> None:
        """Crosshair on or off."""
        self.model.toggle_cursor()
        self.show()

    def action_mark(self, direction: int) -> None:
        """The crosshair on the next mark."""
        if self.model.jump_mark(direction) is None:
            self.post_message(self.Said("Nothing more is marked there."))
        self.show()

    def action_back(self) -> None:
        """One level out: the crosshair, the zoom, the grid or overlay."""
        state = self.model.state
        if state.cursor is not None:
            state.cursor = None
        elif state.span is not None:
            self.model.fit()
        elif state.layout != "single":
            state.layout = "single"
        self.show()

    def action_export(self) -> None:
        """What is seen as a file."""
        if not self.model.known:
            self.post_message(self.Said("Nothing has been recorded yet."))
            return
        self.post_message(self.ExportAsked(self))

    # -- mouse --------------------------------------------------------------------------------------------------------

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        """The wheel zooms around the mouse; with shift it moves the view."""
        self._wheel(event, 1)

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        """The wheel, the other way."""
        self._wheel(event, -1)

    def _wheel(self, event: events.MouseEvent, direction: int) -> None:
        event.stop()
        if event.shift or event.ctrl:
            self.model.pan(-0.1 * direction)
        else:
            area = self._area(event)
            self.model.zoom(1.25**direction, area.x_at(event.x) if area else None)
        self.show()

    def on_mouse_down(self, event: events.MouseDown) -> None:
        """A place, or the first end of a range."""
        area = self._area(event)
        if event.button == 1 and area is not None:
            self._pressed = (area, event.x)
            self.model.hover = None
            self.capture_mouse()

    def on_mouse_move(self, event: events.MouseMove) -> None:
        """A range being chosen, else the crosshair under the mouse; only terminals that report motion get here."""
        if self._pressed is not None:
            area, pressed = self._pressed
            chosen = abs(event.x - pressed) >= _DRAGGED
            self.model.selection = (area.x_at(pressed), area.x_at(event.x)) if chosen else None
            self.show()
            return
        here = self._area(event)
        hover = self.model.nearest(here.x_at(event.x)) if here is not None else None
        if hover != self.model.hover:
            self.model.hover = hover
            self.show()

    def on_mouse_up(self, event: events.MouseUp) -> None:
        """The range is shown, or the crosshair stays where the click was."""
        if self._pressed is None:
            return
        area, pressed = self._pressed
        self._pressed = None
        self.release_mouse()
        self.model.selection = None
        if abs(event.x - pressed) >= _DRAGGED:
            self.model.show_range(area.x_at(pressed), area.x_at(event.x))
        else:
            if self.model.state.layout == "grid" and area.plot.curves:
                self.model.metric = area.plot.curves[0].metric
            step = self.model.nearest(area.x_at(event.x))
            # A second click on the crosshair takes it away.
            self.model.state.cursor = None if step == self.model.state.cursor else step
        self.show()

    def on_leave(self, event: events.Leave) -> None:
        """The mouse went elsewhere."""
        if self.model.hover is not None:
            self.model.hover = None
            self.show()

    def _area(self, event: events.MouseEvent) -> Area | None:
        return next((area for area in self.model.areas if area.holds(event.x, event.y)), None)
