"""Keys typed faster than the screen follows reach whatever the keys before them opened.

Textual sends every key to the widget focused at that moment; a key that opens a field has not moved the focus yet when the
next one of the same burst arrives, and slow links deliver keys in bursts. Here a key waits until the one before it has
travelled all the way: a marker follows each key along the same queues, once more for each message its effect may take
("accepted" from the line, "found" from the bar).
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from textual import events
from textual.message import Message

from backprop_tui.app.spans import SpanApp

if TYPE_CHECKING:
    from textual.driver import Driver
    from textual.timer import Timer
    from textual.widget import Widget

#: Seconds a key waits at most: its predecessor's widget may have gone with its queue.
_PATIENCE = 0.5
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
        self._patience: Timer | None = None

    async def on_event(self, event: events.Event) -> None:
        """Hold back a key while another is on its way."""
        if not isinstance(event, events.Key) or event.is_forwarded:
            await super().on_event(event)
        elif self._on_the_way is None:
            await self._send_key(event)
        else:
            self._waiting.append(event)
            if self._patience is None:
                self._patience = self.set_timer(_PATIENCE, self._go_on)

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

    async def _go_on(self) -> None:
        self._on_the_way = None
        if self._patience is not None:
            self._patience.stop()
            self._patience = None
        if self._waiting:
            await self._send_key(self._waiting.popleft())
        if self._waiting:
            self._patience = self.set_timer(_PATIENCE, self._go_on)

    async def _send_key(self, key: events.Key) -> None:
        self._on_the_way = key
        target = self.focused or self.screen
        await super().on_event(key)
        self._follow(key, _TRIPS, target)

    def _follow(self, key: events.Key, trips: int, target: Widget | None = None) -> None:
        if not (target or self.focused or self.screen).post_message(self.Travelled(key, trips)):
            self.call_later(self._go_on)
