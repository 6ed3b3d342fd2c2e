"""One run's events as a single stream, whatever happens to the pipe: history from the journal, news from the engine."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

from backprop_tui.launch.client import PipeClient, send_command
from backprop_tui.protocol.commands import Command, Reply
from backprop_tui.protocol.errors import BackpropError
from backprop_tui.protocol.events import Event
from backprop_tui.store import locks
from backprop_tui.store.journal import JournalTail, newest_events
from backprop_tui.store.layout import RunDir

if TYPE_CHECKING:
    from backprop_tui.store.stretch import Stretch

T = TypeVar("T")
#: Pause between looks at the journal while there is no pipe, and between attempts to connect, in seconds.
_LOOK_EVERY = 0.2
_CONNECT_EVERY = 1.0


class RunSession:
    """A client's view of one run, live or past.

    >>> async with RunSession(run) as session:
    ...     async for batch in session.events():
    ...         view.apply(batch)

    While the pipe is open nothing is polled: an idle session costs nothing. One session is read once, by `events` or by
    `stream`.

    Attributes:
        connected: whether events arrive over the pipe at the moment.
    """

    def __init__(self, run: RunDir) -> None:
        self.run = run
        self.connected = False
        self._client: PipeClient | None = None
        self._tail: JournalTail | None = None

    async def __aenter__(self) -> RunSession:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._hang_up()
        if self._tail is not None:
            self._tail.close()

    async def events(self, after: int = 0) -> AsyncIterator[list[Event]]:
        """Events above `after`, each once and in order, in batches; ends when no engine holds the run and all is read."""
        tail = self._tail = JournalTail(self.run.journal_file, after=after)
        async with aclosing(self._both(tail, lambda: tail.poll() or None)) as batches:
            async for batch in batches:
                yield batch

    async def stream(self) -> AsyncIterator[Stretch | list[Event]]:
        """The same from the beginning, for who draws curves: what the journal holds in stretches, what is live as events."""
        from backprop_tui.store.columns import place_of
        from backprop_tui.store.history import History

        tail = self._tail = JournalTail(self.run.journal_file)
        history = History(tail, place_of(self.run.id))
        try:
            async with aclosing(self._both(tail, history.next)) as batches:
                async for batch in batches:
                    yield batch
        finally:
            history.close()

    async def _both(self, tail: JournalTail, read: Callable[[], T | None]) -> AsyncGenerator[T | list[Event]]:
        """What `read` gives, which is None at the end of the journal, and what the pipe brings."""
        next_connect = 0.0
        while True:
            # Asked before reading: what was written before the lock went free is then read for certain.
            held = await asyncio.to_thread(locks.is_held, self.run.lock_file)
            while (batch := await asyncio.to_thread(read)) is not None:
                yield batch
            if not held:
                return
            if time.monotonic() >= next_connect:
                async with aclosing(self._live(tail, read)) as batches:
                    async for news in batches:
                        yield news
                next_connect = time.monotonic() + _CONNECT_EVERY
            await asyncio.sleep(_LOOK_EVERY)

    @property
    def damaged(self) -> int:
        """Lines of the journal passed over so far because they are damaged or not ours."""
        return self._tail.damaged if self._tail is not None else 0

    async def newest(self) -> list[Event]:
        """The last events of the journal, which say how the run stands before its past is read. They come again in order."""
        return await asyncio.to_thread(newest_events, self.run.journal_file)

    async def send(self, command: Command, timeout: float = 5.0) -> Reply:
        """Send a command and wait for its answer; see `send_command`."""
        return await asyncio.to_thread(send_command, self.run, command, timeout)

    async def _live(self, tail: JournalTail, read: Callable[[], T | None]) -> AsyncGenerator[T | list[Event]]:
        """Events over the pipe until it closes; nothing when it can't be opened."""
        try:
            client = self._client = await PipeClient.connect(self.run)
        except BackpropError:
            return
        try:
            client.subscribe(tail.seq)
            self.connected = True
            async for messages in client.messages():
                batch = _fresh(messages, tail)
                if batch:
                    yield batch
                if any(message.get("type") == "gap" for message in messages):
                    while (missed := await asyncio.to_thread(read)) is not None:
                        yield missed
        finally:
            await self._hang_up()

    async def _hang_up(self) -> None:
        self.connected = False
        client, self._client = self._client, None
        if client is not None:
            await client.close()


def _fresh(messages: list[dict[str, Any]], tail: JournalTail) -> list[Event]:
    """The events that directly follow what was read so far. A hole is never jumped: the journal fills it first."""
    found: list[Event] = []
    for message in messages:
        if message.get("type") == "gap":
            break
        if message.get("type") != "events":
            continue
        for record in message.get("events", ()):
            event = Event.from_record(record) if isinstance(record, dict) else None
            if event is not None and event.seq > tail.seq:
                tail.skip_to(event.seq)
                found.append(event)
    return found
