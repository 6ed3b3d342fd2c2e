"""Plays a run's journal again in its own rhythm, faster or slower. It reads ahead by one piece of the file at a time."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator

from backprop_tui.protocol.events import Event
from backprop_tui.store.journal import JournalTail, newest_events
from backprop_tui.store.layout import RunDir

#: Speeds there are, in seconds of the run per second.
SLOWEST, FASTEST = 0.25, 5000.0
#: A pause of the run longer than this is played as long as this, in seconds of the run.
LONGEST_GAP_S = 60.0
#: Seconds between two batches at least: the screen is not shown more often anyway.
_TICK_S = 0.05
#: Events handed over at once while skipping ahead.
_SKIPPED = 5000


class Player:
    """One replay of one run.

    Args:
        run: which. speed: seconds of the run per second. begin: the part of the journal handed over at once, 0 to 1.

    Attributes:
        speed: seconds of the run per second. paused: whether it holds. seq: the newest event played. last: the newest
            event of the journal, 0 before it is known. over: whether all is played.
    """

    def __init__(self, run: RunDir, speed: float, begin: float = 0.0) -> None:
        self.run = run
        self._begin = begin
        self.speed = min(FASTEST, max(SLOWEST, speed))
        self.paused = False
        self.seq = self.last = 0
        self.over = False
        self._target = 0
        self._changed = asyncio.Event()

    @property
    def share(self) -> float:
        """The part of the journal that was played, 0 to 1."""
        return min(1.0, self.seq / self.last) if self.last else 0.0

    def hold(self, paused: bool) -> None:
        """Stop the clock, or let it go on."""
        self.paused = paused
        self._changed.set()

    def faster(self, factor: float) -> None:
        """Another speed, within its bounds."""
        self.speed = min(FASTEST, max(SLOWEST, self.speed * factor))
        self._changed.set()

    def skip_to(self, share: float) -> None:
        """Hand over at once whatever comes before a part of the journal, 0 to 1. Going back takes another player."""
        self._target = round(self.last * min(1.0, max(0.0, share)))
        self._changed.set()

    async def events(self) -> AsyncIterator[list[Event]]:
        """Events in batches, when they are due; ends with the journal."""
        newest = await asyncio.to_thread(newest_events, self.run.journal_file)
        self.last = newest[-1].seq if newest else 0
        self._target = max(self._target, round(self.last * self._begin))
        tail = JournalTail(self.run.journal_file)
        waiting: deque[Event] = deque()
        before: float | None = None
        credit, clock = 0.0, time.monotonic()
        try:
            while True:
                if not waiting:
                    waiting.extend(await asyncio.to_thread(tail.poll))
                    if not waiting:
                        break
                batch: list[Event] = []
                now = time.monotonic()
                credit += 0.0 if self.paused else (now - clock) * self.speed
                clock = now
                while waiting and len(batch) < _SKIPPED:
                    gap = 0.0 if before is None else min(LONGEST_GAP_S, max(0.0, waiting[0].wall - before))
                    if waiting[0].seq > self._target:
                        if gap > credit or self.paused:
                            break
                        credit -= gap
                    event = waiting.popleft()
                    before = event.wall
                    batch.append(event)
                if batch:
                    self.seq = batch[-1].seq
                    yield batch
                if waiting and waiting[0].seq > self._target:
                    gap = 0.0 if before is None else min(LONGEST_GAP_S, max(0.0, waiting[0].wall - before))
                    await self._rest(None if self.paused else max(_TICK_S, (gap - credit) / self.speed))
                else:
                    await asyncio.sleep(0)
        finally:
            tail.close()
        self.over = True

    async def _rest(self, seconds: float | None) -> None:
        """Wait for the next event's time, or for somebody to change something."""
        self._changed.clear()
        try:
            await asyncio.wait_for(self._changed.wait(), seconds)
        except TimeoutError:
            return


def read_speed(text: str) -> float | None:
    """A speed somebody typed, `20` or `20x`; None when it is none."""
    try:
        speed = float(text.strip().rstrip("x×"))
    except ValueError:
        return None
    return speed if SLOWEST <= speed <= FASTEST else None


def read_share(text: str) -> float | None:
    """A percentage somebody typed, `40` or `40%`, as a part from 0 to 1; None when it is none."""
    try:
        share = float(text.strip().rstrip("%")) / 100
    except ValueError:
        return None
    return share if 0.0 <= share <= 1.0 else None
