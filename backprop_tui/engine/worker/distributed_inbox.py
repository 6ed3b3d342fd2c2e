"""Commands to a run of several processes: all of them obey the same ones at the same step.

Only the first process hears the host, and a signal may reach any of them. At each look they compare notes with one sum of a
few bytes; only when somebody has news are the news themselves sent round.
"""

from __future__ import annotations

import time

from backprop_tui.engine.worker.channel import Inbox
from backprop_tui.engine.worker.distributed import World
from backprop_tui.protocol.commands import Command

#: How long a paused run waits before its processes look at each other again, in seconds: one that died is then noticed.
_LOOK_EVERY = 2.0


class AgreedInbox(Inbox):
    """What all processes know. It changes only in `refresh`, `drain` and `wait`, which all of them call together.

    Args:
        own: what this process hears by itself.
        world: all processes.
    """

    def __init__(self, own: Inbox, world: World) -> None:
        super().__init__()
        self._own = own
        self._world = world
        self._heard_stops = 0

    def refresh(self) -> None:
        """Agree on what has arrived."""
        commands = self._own.drain() if self._world.first else []
        stops = self._own.stop_requests - self._heard_stops
        if not self._world.most(len(commands) + stops)[0]:
            return
        self._heard_stops += stops
        told = self._world.of_all((commands, stops, self._own.stop_reason, self._own.host_lost))
        most = max(stops for _, stops, _, _ in told)
        with self._changed:
            self._commands.extend(told[0][0])
            self._stop_requests += most
            self._host_lost = self._host_lost or any(lost for _, _, _, lost in told)
            if self._stop_reason is None and most:
                self._stop_reason = next(reason for _, stops, reason, _ in told if stops)
                self._stop_since = time.monotonic()

    def drain(self) -> list[Command]:
        """Take the commands all have agreed on."""
        self.refresh()
        return super().drain()

    def wait(self, known_stops: int = 0, timeout: float | None = None) -> None:
        """Sleep, together, until there is something; the first process looks at the clock."""
        end = None if timeout is None else time.monotonic() + timeout
        while True:
            self.refresh()
            over = end is not None and time.monotonic() >= end
            if self._commands or self._stop_requests > known_stops or self._world.from_first(over):
                return
            if self._world.first:
                left = _LOOK_EVERY if end is None else min(_LOOK_EVERY, max(0.0, end - time.monotonic()))
                self._own.wait(self._heard_stops, left)
