"""The worker's two pipes: events out to the host, commands in.

Training never waits for the host and never fails because of it. The write end is non-blocking: what the pipe does not
take at once is kept in memory and drained by a thread, in order. A host that is gone shows as end-of-file on the command
pipe; from then on events are dropped and the run saves itself.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

from backprop_tui.protocol import events as ev
from backprop_tui.protocol.changes import RateChange
from backprop_tui.protocol.codec import to_json
from backprop_tui.protocol.commands import Command, CommandName
from backprop_tui.protocol.errors import UsageError
from backprop_tui.protocol.payloads import Level, PhaseName

#: Smallest time between two progress events of one phase, in seconds.
_PROGRESS_EVERY = 0.2
_ASKED = "Stop was asked for."


class StoppedEarly(Exception):
    """A stop arrived before the first step: there is nothing to save."""


class StoppedSpoilt(Exception):
    """A stop arrived when the weights were no numbers any more: there is nothing worth saving."""


class Rewind(Exception):
    """Asked to go on from the last checkpoint, which takes another worker."""


class EventSink:
    """Sends events to the host. Thread-safe; never raises; never blocks.

    Args:
        fd: write end of the pipe; made non-blocking and owned from here on.

    Attributes:
        struck: the phase in which an exception came up, None while none did.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd
        os.set_blocking(fd, False)
        self._lock = threading.RLock()
        self._backlog: deque[bytes] = deque()
        self._wake = threading.Event()
        self._ended = False
        self._broken = False
        self._flusher: threading.Thread | None = None
        self.struck: str | None = None

    @property
    def ended(self) -> bool:
        """Whether the run's last event was sent."""
        return self._ended

    def send(self, kind: str, /, **payload: Any) -> None:
        """Send one event. After `end` nothing more is sent."""
        with self._lock:
            if self._ended:
                return
            self._write(to_json({"k": kind, **payload}).encode("ascii") + b"\n")

    def end(self, outcome: str, step: int, reason: str, checkpoint: str | None) -> None:
        """Send the last event; only the first call counts."""
        with self._lock:
            self.send(ev.END, outcome=outcome, step=step, reason=reason, checkpoint=checkpoint)
            self._ended = True

    def state(self, state: str, reason: str = "") -> None:
        """Tell that the run moved to another state."""
        self.send(ev.STATE, state=state, reason=reason)

    def log(self, level: Level, source: str, message: str) -> None:
        """A line worth showing."""
        self.send(ev.LOG, level=level, source=source, message=message)

    def command_done(self, command: Command, ok: bool, detail: str, rate: RateChange | None = None) -> None:
        """Answer a command after it took effect, or could not; `rate` is how it changed the learning rate."""
        words = {} if rate is None else {"rate": rate.to_dict()}
        self.send(ev.COMMAND_DONE, id=command.id, name=command.name.value, ok=ok, detail=detail, **words)

    @contextlib.contextmanager
    def phase(self, name: PhaseName, detail: str = "") -> Iterator[Phase]:
        """Frame a piece of work with `start` and `end` events; the end carries its seconds."""
        started = time.perf_counter()
        self.send(ev.PHASE, phase=name, status="start", detail=detail)
        try:
            yield Phase(self, name)
        except BaseException:
            self.struck = self.struck or name
            raise
        finally:
            self.send(ev.PHASE, phase=name, status="end", seconds=round(time.perf_counter() - started, 4))

    def close(self, timeout: float = 5.0) -> None:
        """Wait until the host has taken everything, at most `timeout` seconds, and close the pipe."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            with self._lock:
                if self._broken or not self._backlog:
                    break
            with contextlib.suppress(OSError, ValueError):
                select.select([], [self._fd], [], 0.05)
            self._drain()
        with self._lock:
            if not self._broken:
                self._broken = True
                os.close(self._fd)

    def _write(self, line: bytes) -> None:
        if self._broken:
            return
        self._backlog.append(line)
        if len(self._backlog) == 1:
            self._drain()
        if self._backlog and not self._broken:
            if self._flusher is None:
                self._flusher = threading.Thread(target=self._flush_forever, name="events", daemon=True)
                self._flusher.start()
            self._wake.set()

    def _drain(self) -> None:
        with self._lock:
            while self._backlog and not self._broken:
                line = self._backlog[0]
                try:
                    written = os.write(self._fd, line)
                except BlockingIOError:
                    return
                except OSError:
                    self._broken = True
                    self._backlog.clear()
                    with contextlib.suppress(OSError):
                        os.close(self._fd)
                    return
                if written < len(line):
                    self._backlog[0] = line[written:]
                else:
                    self._backlog.popleft()

    def _flush_forever(self) -> None:
        while not self._broken:
            self._wake.wait()
            with self._lock:
                if not self._backlog:
                    self._wake.clear()
                    continue
            with contextlib.suppress(OSError, ValueError):
                select.select([], [self._fd], [], 1.0)
            self._drain()


class Phase:
    """Progress inside a phase, thinned out so that a fast loop costs nothing."""

    def __init__(self, sink: EventSink, name: PhaseName) -> None:
        self._sink = sink
        self._name = name
        self._last = 0.0
        self._detail = ""

    def progress(self, done: int, total: int | None, unit: str, detail: str = "") -> None:
        """Tell how far it is. A new detail and the last unit are always told, the rest at most five times a second."""
        now = time.monotonic()
        if detail == self._detail and done != total and now - self._last < _PROGRESS_EVERY:
            return
        self._last, self._detail = now, detail
        self._sink.send(ev.PHASE, phase=self._name, status="progress", done=done, total=total, unit=unit, detail=detail)


class Inbox:
    """Commands as they arrive, and whether the run has been asked to stop.

    A thread reads the pipe, so that a stop is known inside a long evaluation; everything else waits for a step end.

    Args:
        on_abort: called on the reading thread the moment an abort arrives.
        on_stop: called on the reading thread when a stop command arrives, before it can take effect.
        on_bad_command: called with a command that does not fit the protocol: (id, name, what is wrong).
    """

    def __init__(
        self,
        on_abort: Callable[[Command], None] = lambda command: None,
        on_stop: Callable[[str], None] = lambda reason: None,
        on_bad_command: Callable[[str, str, str], None] = lambda identity, name, cause: None,
    ) -> None:
        self._on_abort = on_abort
        self._on_stop = on_stop
        self._on_bad_command = on_bad_command
        self._changed = threading.Condition()
        self._commands: deque[Command] = deque()
        self._stop_reason: str | None = None
        self._stop_requests = 0
        self._stop_since = 0.0
        self._host_lost = False

    def stop_asked(self) -> bool:
        """Whether a stop was asked for, by command or signal, or the host is gone."""
        return self._stop_reason is not None

    @property
    def stop_reason(self) -> str:
        """Why, as a sentence; empty while nobody asked."""
        return self._stop_reason or ""

    @property
    def stop_since(self) -> float:
        """When a stop was first asked for, on the monotonic clock; 0 while nobody asked."""
        return self._stop_since

    @property
    def stop_requests(self) -> int:
        """How many times a stop was asked for; a second one means "even without saving"."""
        return self._stop_requests

    @property
    def host_lost(self) -> bool:
        """Whether the command pipe has closed."""
        return self._host_lost

    def listen(self, fd: int) -> None:
        """Read commands from `fd` on a thread of its own until end-of-file."""
        threading.Thread(target=self._read, args=(fd,), name="commands", daemon=True).start()

    def put(self, command: Command) -> None:
        """Hand in a command as if it had arrived on the pipe."""
        if command.name is CommandName.ABORT:
            self._on_abort(command)
        with self._changed:
            self._commands.append(command)
            self._changed.notify_all()
        if command.name is CommandName.STOP:
            reason = str(command.args.get("reason") or _ASKED)
            self._on_stop(reason)
            self.request_stop(reason)

    def request_stop(self, reason: str, *, host_lost: bool = False) -> None:
        """Ask the run to stop; safe inside a signal handler."""
        with self._changed:
            self._stop_requests += 1
            self._host_lost = self._host_lost or host_lost
            if self._stop_reason is None:
                self._stop_reason, self._stop_since = reason, time.monotonic()
            self._changed.notify_all()

    def refresh(self) -> None:
        """Agree with the run's other processes on what has arrived; a process alone has nobody to ask."""

    def drain(self) -> list[Command]:
        """Take the commands that have arrived."""
        with self._changed:
            taken = list(self._commands)
            self._commands.clear()
        return taken

    def wait(self, known_stops: int = 0, timeout: float | None = None) -> None:
        """Sleep until there is a command, or more stop requests than the caller knows of, at most `timeout` seconds."""
        with self._changed:
            self._changed.wait_for(lambda: bool(self._commands) or self._stop_requests > known_stops, timeout)

    def _read(self, fd: int) -> None:
        with os.fdopen(fd, "rb") as lines:
            for line in lines:
                self._take(line)
        self.request_stop("The engine host is gone.", host_lost=True)

    def _take(self, line: bytes) -> None:
        try:
            message = json.loads(line)
        except ValueError:
            return
        if not isinstance(message, dict):
            return
        try:
            self.put(Command.from_message(message))
        except UsageError as error:
            self._on_bad_command(str(message.get("id", "")), str(message.get("name", "")), error.cause)
