"""Our side: starting children, asking them, and telling what it means when one dies."""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from threading import Lock
from typing import TypeVar

import msgspec

from backprop_tui.data.children import wire
from backprop_tui.data.rendering import limits
from backprop_tui.protocol.errors import UnavailableError

_Answer = TypeVar("_Answer")

#: Children of one crew at most: each holds a vocabulary, and beyond this the disk is the limit.
MOST = 16
#: Seconds between two looks at whether the answer is still wanted.
_PATIENCE = 0.1


def cores() -> int:
    """Processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Child:
    """One process. It starts with the first question and is not shared between threads."""

    def __init__(self, model: Path | None) -> None:
        self._model = model
        self._process: subprocess.Popen[bytes] | None = None
        self.loaded: wire.Loaded | None = None

    def ask(self, request: wire.Request) -> wire.Reply:
        """Send a request and wait for the answer.

        Raises:
            DataError: the request failed as a whole, or the template hangs.
            UnavailableError: READER_DIED.
        """
        if self._process is None:
            self._start()
        return self._exchange(request)

    @property
    def pid(self) -> int | None:
        """Its process id while it runs."""
        return self._process.pid if self._process is not None else None

    def close(self) -> None:
        """End it, whatever it does."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
            for stream in (process.stdin, process.stdout):
                if stream is not None:
                    # A question that was not read to its end is still in the buffer.
                    with contextlib.suppress(OSError):
                        stream.close()

    def load(self) -> wire.Loaded:
        """Start and read the model's tokenizer, if that has not been done yet.

        Raises:
            DataError: the tokenizer or the template can't be used.
        """
        if self._process is None:
            self._start()
        assert self.loaded is not None
        return self.loaded

    def _start(self) -> None:
        environment = {name: value for name, value in os.environ.items() if not name.upper().endswith(("TOKEN", "KEY"))}
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "backprop_tui.data.children"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**environment, "TOKENIZERS_PARALLELISM": "false", "OMP_NUM_THREADS": "1"},
            start_new_session=True,
        )
        if self._model is not None:
            try:
                reply = self._exchange(wire.Load(os.fsencode(self._model)))
            except BaseException:
                self.close()
                raise
            assert isinstance(reply, wire.Loaded)
            self.loaded = reply

    def _exchange(self, request: wire.Request) -> wire.Reply:
        process = self._process
        assert process is not None
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            wire.send_request(process.stdin, request)
            reply = wire.receive_reply(process.stdout)
        except UnicodeEncodeError:
            # Nothing was sent; the child waits for the next question.
            raise
        except (OSError, ValueError, msgspec.MsgspecError):
            reply = None
        if reply is None:
            self.close()
            if process.returncode == -signal.SIGXCPU:
                raise limits.hangs()
            raise UnavailableError(
                "READER_DIED",
                f"A process that reads the data ended unexpectedly ({process.returncode}).",
                "Try again; if it happens again, memory may be short.",
            )
        if isinstance(reply, wire.Failed):
            raise reply.error()
        return reply


class Crew:
    """Several children that share work. Use as a context manager.

    Args:
        size: how many; they start when there is something to do.
        model: directory of the tokenizer they load, None for none.
    """

    def __init__(self, size: int, model: Path | None = None) -> None:
        self._children = [Child(model) for _ in range(size)]
        # Last in, first out: a second child starts only while the first is busy.
        self._idle: queue.LifoQueue[Child] = queue.LifoQueue()
        for child in self._children:
            self._idle.put(child)
        self._threads: ThreadPoolExecutor | None = None
        self._lock = Lock()

    def __enter__(self) -> Crew:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def size(self) -> int:
        """How many children there may be."""
        return len(self._children)

    def close(self) -> None:
        """End all children; questions under way fail."""
        for child in self._children:
            child.close()
        with self._lock:
            threads, self._threads = self._threads, None
        if threads is not None:
            threads.shutdown(wait=True, cancel_futures=True)

    def processes(self) -> list[int]:
        """Process ids of the children that run."""
        return [pid for child in self._children if (pid := child.pid) is not None]

    def load(self) -> wire.Loaded:
        """What a child says of the tokenizer.

        Raises:
            DataError: the tokenizer or the template can't be used.
        """
        return self._with_child(Child.load)

    def ask(self, request: wire.Request) -> wire.Reply:
        """One question to one child, waiting for a free one; for any thread.

        Raises:
            DataError, UnavailableError: as `Child.ask`.
        """
        return self._with_child(lambda child: child.ask(request))

    def map(
        self, requests: Iterable[wire.Request], cancelled: Callable[[], bool] | None = None
    ) -> Iterator[wire.Reply | None]:
        """The answers in the order of the questions, as many at work as there are children.

        While an answer is awaited, `cancelled` is asked several times a second; once it says so, None is the last answer.

        Raises:
            DataError, UnavailableError: the first question that failed.
        """
        waiting: deque[Future[wire.Reply]] = deque()
        questions = iter(requests)
        while True:
            while len(waiting) <= 2 * self.size and (request := next(questions, None)) is not None:
                waiting.append(self._pool().submit(self.ask, request))
            if not waiting:
                return
            if cancelled and cancelled():
                yield None
                return
            try:
                answer = waiting[0].result(_PATIENCE)
            except TimeoutError:
                continue
            yield answer
            waiting.popleft()

    def _pool(self) -> ThreadPoolExecutor:
        with self._lock:
            if self._threads is None:
                self._threads = ThreadPoolExecutor(self.size, thread_name_prefix="data-child")
            return self._threads

    def _with_child(self, use: Callable[[Child], _Answer]) -> _Answer:
        child = self._idle.get()
        try:
            return use(child)
        finally:
            self._idle.put(child)
