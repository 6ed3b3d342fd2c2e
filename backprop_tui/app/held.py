"""A screen nobody looks at costs nothing: without the focus it holds still, and says so; it goes on when it is looked at.

Also here: a terminal that went through several sizes at once has lost what was drawn in between, so it is drawn again.

The terminal says when its window or pane gets and loses the focus (tmux does with `focus-events on`). Facts go on arriving
meanwhile, so what is shown afterwards is up to date at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from textual import events
from textual.geometry import Size

from backprop_tui.app.typeahead import TypeAhead

if TYPE_CHECKING:
    from rich.console import RenderableType
    from textual.screen import Screen
    from textual.timer import Timer

#: Seconds of painting after something that must be seen, also at two frames a second.
_GLANCE = 2.0
#: Seconds without another size after which the last one counts.
_SETTLED = 0.3
_INPUT = (events.Key, events.MouseDown, events.MouseScrollDown, events.MouseScrollUp, events.Paste, events.Resize)


class HoldsStill(TypeAhead):
    """An app that paints nothing while it has no focus.

    Attributes:
        may_hold: whether it does. held: whether it does just now.
    """

    may_hold = True

    def __init__(self, driver_class: type[Any] | None = None) -> None:
        super().__init__(driver_class=driver_class)
        self.held = False
        self._batched = False
        self._missed = False
        self._again: Timer | None = None
        self._sizes = 0
        self._size_said = Size(0, 0)
        self._settled: Timer | None = None

    def show_held(self) -> None:
        """Show or take away the mark that the screen holds still. Override."""

    def glance(self) -> None:
        """Something happened that must be seen: paint for a moment, then hold still again."""
        if not self.held:
            return
        self._let_go()
        if self._again is not None:
            self._again.stop()
        # A new size takes several frames until everything has its place.
        self._again = self.set_timer(_GLANCE, self._hold)

    async def on_event(self, event: events.Event) -> None:
        """What a person does to the screen is answered, focus or not; a screen of another size is drawn again."""
        if self.held and isinstance(event, _INPUT):
            self.glance()
        if isinstance(event, events.Resize):
            self._resized(event.size)
        await super().on_event(event)

    def _resized(self, size: Size) -> None:
        """Textual draws for a size it does not have yet; one that comes back before it looked is nothing new to it."""
        self._sizes += 1 if size != self._size_said else 2
        self._size_said = size
        if not self.is_up:
            return
        if self._settled is not None:
            self._settled.stop()
        self._settled = self.set_timer(_SETTLED, self._draw_anew)

    def _draw_anew(self) -> None:
        self._settled = None
        ask = getattr(self._driver, "size_now", None)
        if ask is not None and (size := ask()) != self._size_said:
            # One signal may interrupt the telling of another, and then the older size comes last.
            self.post_message(events.Resize(size, size))
            return
        if self._sizes > 1:
            self.screen.refresh()
        self._sizes = 0

    def on_app_blur(self) -> None:
        """Hold still once the last frame, with its mark, is out."""
        if self.may_hold and self.is_up and not self.held:
            self.held = True
            self.show_held()
            self.call_after_refresh(self._hold)

    def on_app_focus(self) -> None:
        """Go on."""
        if self.held:
            self.held = False
            self._let_go()
            self.show_held()

    def _hold(self) -> None:
        if self.held and not self._batched:
            self._batched = True
            self._begin_batch()

    def _let_go(self) -> None:
        if self._batched:
            self._batched = False
            self._end_batch()
            if self._missed:
                self._missed = False
                self.screen.refresh(layout=True)

    def _display(self, screen: Screen[Any], renderable: RenderableType | None) -> None:
        # What Textual draws outside its own pace, a dialog or a new size, is lost in a batch: it is drawn again afterwards.
        self._missed |= self._batched and renderable is not None
        super()._display(screen, renderable)
