"""The worker process as the host sees it: two inherited pipes, a log file, an exit.

The worker is its own process group, so that it and its helpers can be ended together, and it inherits `worker.lock`: as
long as any of them lives, also after the host died, no second worker can start on the same run.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from backprop_tui.protocol.codec import MAX_FRAME
from backprop_tui.store.layout import RunDir
from backprop_tui.store.locks import RunLock

#: Longest message taken from the worker, in bytes; what is stamped around it must still fit into a frame.
MAX_MESSAGE = MAX_FRAME - 4096
_READ = 1 << 16
#: How long helpers of a dead worker may take to notice, in seconds.
_HELPERS_GRACE = 1.0


class WorkerProcess:
    """Starts one worker and speaks with it; lives on the host's event loop.

    Args:
        run: its run directory.
        on_message: called with each JSON object the worker sends.
        on_garbage: called with a sentence when it sent something else.
        on_exit: called once with the return code (negative: killed by that signal), after its last message.

    Attributes:
        pid: its process id and its group's. signalled: whether the host had to signal it.
    """

    def __init__(
        self,
        run: RunDir,
        *,
        on_message: Callable[[dict[str, Any]], None],
        on_garbage: Callable[[str], None],
        on_exit: Callable[[int], None],
    ) -> None:
        self._run = run
        self._on_message = on_message
        self._on_garbage = on_garbage
        self._on_exit = on_exit
        self._loop = asyncio.get_running_loop()
        self._buffer = bytearray()
        self._oversized = 0
        self._outgoing = bytearray()
        self._events_fd = self._control_fd = -1
        self._ladder: list[asyncio.TimerHandle] = []
        self._reaper: threading.Thread | None = None
        self.pid = 0
        self.signalled = False

    def start(self, command: Sequence[str], environment: Mapping[str, str], lock: RunLock) -> None:
        """Spawn it; `lock` (worker.lock, held) passes over to it.

        Raises:
            OSError: it could not be started.
        """
        self._events_fd, events_w = os.pipe()
        control_r, self._control_fd = os.pipe()
        log = os.open(self._run.worker_log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            process = subprocess.Popen(
                list(command),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self._run.path,
                env={**environment, "BACKPROP_EVENTS_FD": str(events_w), "BACKPROP_CONTROL_FD": str(control_r)},
                pass_fds=(events_w, control_r, lock.fd),
                process_group=0,
            )
        finally:
            for fd in (events_w, control_r, log):
                os.close(fd)
            # Closing our descriptor does not unlock: the worker holds the same open file.
            lock.release()
        self.pid = process.pid
        os.set_blocking(self._events_fd, False)
        os.set_blocking(self._control_fd, False)
        self._loop.add_reader(self._events_fd, self._readable)
        self._reaper = threading.Thread(target=self._wait, args=(process,), name="worker-exit", daemon=True)
        self._reaper.start()

    def send(self, message: dict[str, Any]) -> None:
        """Hand a command over; never blocks. A worker that is gone says so by its exit."""
        self._outgoing += json.dumps(message).encode("ascii") + b"\n"
        self._writable()

    def end_by(self, *rungs: tuple[float, signal.Signals]) -> None:
        """Signal the worker's whole group after each of these delays in seconds; replaces an earlier ladder."""
        for handle in self._ladder:
            handle.cancel()
        self._ladder = [self._loop.call_later(delay, self._signal, signum) for delay, signum in rungs]

    def join(self, timeout: float) -> None:
        """Wait until the worker's helpers are gone as well."""
        if self._reaper is not None:
            self._reaper.join(timeout)

    def _signal(self, signum: signal.Signals) -> None:
        self.signalled = True
        with contextlib.suppress(OSError):
            os.killpg(self.pid, signum)

    def _readable(self) -> None:
        try:
            data = os.read(self._events_fd, _READ)
        except (BlockingIOError, InterruptedError):
            return
        if not data:
            self._loop.remove_reader(self._events_fd)
            return
        self._feed(data)

    def _feed(self, data: bytes) -> None:
        *lines, rest = data.split(b"\n")
        for line in lines:
            whole = bytes(self._buffer) + line if self._buffer else line
            self._buffer.clear()
            if self._oversized:
                self._on_garbage(f"A message of {self._oversized + len(line):,} bytes from the worker was dropped.")
                self._oversized = 0
            elif whole:
                self._line(whole)
        if self._oversized or len(self._buffer) + len(rest) > MAX_MESSAGE:
            self._oversized += len(self._buffer) + len(rest)
            self._buffer.clear()
        else:
            self._buffer += rest

    def _line(self, line: bytes) -> None:
        try:
            message = json.loads(line)
        except (ValueError, RecursionError):
            message = None
        if isinstance(message, dict) and len(line) <= MAX_MESSAGE:
            self._on_message(message)
        else:
            self._on_garbage(f"A message of {len(line):,} bytes from the worker was not understood and was dropped.")

    def _writable(self) -> None:
        if self._control_fd < 0:
            return
        try:
            while self._outgoing:
                del self._outgoing[: os.write(self._control_fd, self._outgoing)]
        except BlockingIOError:
            self._loop.add_writer(self._control_fd, self._writable)
            return
        except OSError:
            self._outgoing.clear()
        self._loop.remove_writer(self._control_fd)

    def _wait(self, process: subprocess.Popen[bytes]) -> None:
        code = process.wait()
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._exited, code)
        # Data loaders and the like notice by themselves; what does not is ended, or it would keep the GPU's memory.
        deadline = time.monotonic() + _HELPERS_GRACE
        while _group_exists(process.pid):
            if time.monotonic() > deadline:
                with contextlib.suppress(OSError):
                    os.killpg(process.pid, signal.SIGKILL)
                return
            time.sleep(0.02)

    def _exited(self, code: int) -> None:
        self.end_by()
        self._loop.remove_reader(self._events_fd)
        # What it said before it died is still in the pipe; a helper may hold the other end open, so no waiting for EOF.
        with contextlib.suppress(OSError):
            while data := os.read(self._events_fd, _READ):
                self._feed(data)
        self._loop.remove_writer(self._control_fd)
        os.close(self._events_fd)
        os.close(self._control_fd)
        self._events_fd = self._control_fd = -1
        self._on_exit(code)


def _group_exists(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
