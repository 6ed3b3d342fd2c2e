"""Keys typed faster than the screen follows reach whatever the keys before them opened.

Textual sends every key to the widget focused at that moment; a key that opens a field has not moved the focus yet when the
next one of the same burst arrives, and slow links deliver keys in bursts. Here a key waits until the one before it has
travelled all the way: a marker follows each key along the same queues, once more for each message its effect may take
("accepted" from the line, "found" from the bar). Nor does a key go to a room whose list or form is still being read: what
it is meant for is not there yet. Keys of the app itself, such as those to another room, need not wait for that.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from textual import events
from textual.message import Message

from backprop_tui.app.spans import SpanApp

if TYPE_CHECKING:
    from textual.driver import Driver
    from textual.screen import Screen
    from textual.timer import Timer
    from textual.widget import Widget

#: Seconds after which a marker that did not arrive is looked for: its carrier may have gone with its queue.
_PATIENCE = 0.5
#: How often it is waited for again while its carrier is there. A busy machine or a link that takes no bytes may hold up the
#: whole app for longer than a moment, and keys that went on then would reach the wrong place.
_AGAIN = 20
#: The same for a room that is being filled: nobody should wait for a slow disk.
_FILLED_AGAIN = 4
#: Trips of the marker from the focused widget to the app.
_TRIPS = 4


class TypeAhead(SpanApp):
    """An app whose keys take effect one after the other."""

    class Travelled(Message):
        """The key sent before this marker has been handled, by a widget or by the app."""

        def __init__(self, key: events.Key, trips: int) -> None:
            super().__init__()
            self.key = key
            self.trips = trips

    def __init__(self, driver_class: type[Driver] | None = None) -> None:
        super().__init__(driver_class=driver_class)
        # Until the first screen is up every key waits: there is nothing yet that it could be meant for.
        self._on_the_way: events.Key | None = events.Key("start", None)
        self.is_up = False
        self._waiting: deque[events.Key] = deque()
        self._carrier: Widget | None = None
        self._patience: Timer | None = None
        self._waited = 0
        self._given_up: Screen[Any] | None = None

    async def on_event(self, event: events.Event) -> None:
        """Hold back a key while another is on its way, or while there is nothing yet that it could be meant for."""
        if not isinstance(event, events.Key) or event.is_forwarded:
            await super().on_event(event)
        elif self._on_the_way is None and not self._waiting and self._may_go(event):
            await self._send_key(event)
        else:
            self._waiting.append(event)
            self._wait()

    @property
    def _filling(self) -> bool:
        return self.screen is not self._given_up and not getattr(self.screen, "filled", True)

    def _may_go(self, key: events.Key) -> bool:
        if not self._filling:
            return True
        bound = self.screen.active_bindings.get(key.key)
        return bound is not None and bound.node is self

    def let_keys_go(self) -> None:
        """A room has been filled: what was typed meanwhile goes to it."""
        self.call_later(self._go_on_if_idle)

    def on_ready(self) -> None:
        """The first screen is up; what was typed before goes to whatever has the focus then."""
        self.is_up = True
        self.call_after_refresh(self._go_on)

    async def on_type_ahead_travelled(self, message: Travelled) -> None:
        """The next key's turn."""
        message.stop()
        if message.key is not self._on_the_way:
            return
        if message.trips > 1:
            self._follow(message.key, message.trips - 1)
        else:
            await self._go_on()

    def _wait(self) -> None:
        if self._patience is None:
            self._patience = self.set_timer(_PATIENCE, self._look_for_it)

    async def _look_for_it(self) -> None:
        """The marker is late: wait again while its carrier is there or the room is being filled, else let the next key go."""
        self._patience = None
        self._waited += 1
        if self._on_the_way is None:
            hopeful = self._filling and self._waited < _FILLED_AGAIN
        else:
            carried = not self.is_up or (self._carrier is not None and self._carrier.is_running)
            hopeful = carried and self._waited < _AGAIN
        if hopeful:
            self._wait()
            return
        if self._on_the_way is None:
            self._given_up = self.screen
        await self._go_on()

    async def _go_on_if_idle(self) -> None:
        if self._on_the_way is None:
            await self._go_on()

    async def _go_on(self) -> None:
        if self._on_the_way is not None:
            self._on_the_way, self._waited = None, 0
        if self._waiting and self._may_go(self._waiting[0]):
            self._waited = 0
            if self._patience is not None:
                self._patience.stop()
                self._patience = None
            await self._send_key(self._waiting.popleft())
        if self._waiting:
            self._wait()

    async def _send_key(self, key: events.Key) -> None:
        self._on_the_way = key
        target = self.focused or self.screen
        await super().on_event(key)
        self._follow(key, _TRIPS, target)

    def _follow(self, key: events.Key, trips: int, target: Widget | None = None) -> None:
        self._carrier = target or self.focused or self.screen
        if not self._carrier.post_message(self.Travelled(key, trips)):
            self.call_later(self._go_on)
