"""The scoring process as we see it: started, fed, listened to, and ended whatever happens."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

from backprop_tui.engine import scoring_wire as wire
from backprop_tui.engine.host_faults import log_tail
from backprop_tui.launch.start import engine_environment
from backprop_tui.protocol.errors import (
    EXIT_FAILED,
    EXIT_INTERRUPTED,
    BackpropError,
    UnavailableError,
    error_from_dict,
)

COMMAND = (sys.executable, "-P", "-m", "backprop_tui.engine.worker.scoring")
#: Seconds between two looks at whether the scores are still wanted.
_PATIENCE = 0.1
_READ = 1 << 16

Cancelled = Callable[[], bool]


class ScoringCancelled(BackpropError):
    """Whoever asked for scores did not want them any more (exit 130)."""

    exit_code = EXIT_INTERRUPTED

    def __init__(self) -> None:
        super().__init__("SCORING_CANCELLED", "Scoring was cancelled.", "Start it again for scores of all rows.")


class Scorer:
    """One scoring process; use as a context manager, after which it is gone.

    Args:
        task: what it scores with.
        cancelled: asked several times a second while something is waited for.
    """

    def __init__(self, task: wire.Task, cancelled: Cancelled = lambda: False) -> None:
        self._task = task
        self._cancelled = cancelled
        self._place = tempfile.TemporaryDirectory(prefix="backprop-score-")
        self._log = Path(self._place.name) / "log"
        self._process: subprocess.Popen[bytes] | None = None
        self._buffer = b""

    def __enter__(self) -> Self:
        try:
            self._start()
            self.send(self._task)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def pid(self) -> int | None:
        """Its process id while it runs."""
        return None if self._process is None else self._process.pid

    def close(self) -> None:
        """End it, whatever it does."""
        process, self._process = self._process, None
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            for stream in (process.stdin, process.stdout):
                if stream is not None:
                    stream.close()
        self._place.cleanup()

    def send(self, message: wire.Request) -> None:
        """Hand a request over, waiting until it is taken.

        Raises:
            ScoringCancelled: meanwhile.
            BackpropError: the process has ended; in its own words where it had some.
        """
        _, into = self._pipes()
        data = memoryview(wire.frame(message))
        while data:
            if self._cancelled():
                raise ScoringCancelled
            if not select.select([], [into], [], _PATIENCE)[1]:
                continue
            try:
                data = data[os.write(into, data) :]
            except BlockingIOError:
                continue
            except BrokenPipeError:
                raise self._last_words() from None

    def answers(self) -> Iterator[dict[str, Any]]:
        """What it says, up to and without `end`.

        Raises:
            ScoringCancelled: meanwhile.
            BackpropError: what it failed of, or SCORER_DIED.
        """
        while (data := self._next_line()) is not None:
            words = wire.read_line(data)
            if words is None:
                continue
            if words["k"] == wire.END:
                return
            if words["k"] == wire.FAILED:
                raise error_from_dict(words, int(words.get("exit", EXIT_FAILED)))
            yield words
        raise self._died()

    def _start(self) -> None:
        # It reads a directory of this machine and nothing else: no token is needed, and nothing is looked up.
        environment = {
            name: value
            for name, value in engine_environment(os.environ).items()
            if not name.upper().endswith(("TOKEN", "KEY"))
        }
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                COMMAND,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env={**environment, "HF_HUB_OFFLINE": "1"},
                start_new_session=True,
                umask=0o077,
            )
        for pipe in self._pipes():
            os.set_blocking(pipe, False)

    def _pipes(self) -> tuple[int, int]:
        """Descriptors to read answers from and to write requests to."""
        process = self._process
        assert process is not None
        assert process.stdin is not None
        assert process.stdout is not None
        return process.stdout.fileno(), process.stdin.fileno()

    def _next_line(self) -> bytes | None:
        answers, _ = self._pipes()
        while b"\n" not in self._buffer:
            if self._cancelled():
                raise ScoringCancelled
            if not select.select([answers], [], [], _PATIENCE)[0]:
                continue
            piece = os.read(answers, _READ)
            if not piece:
                return None
            self._buffer += piece
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line

    def _last_words(self) -> BackpropError:
        """Why it does not listen any more."""
        try:
            for _ in self.answers():
                pass
        except BackpropError as error:
            return error
        return self._died()

    def _died(self) -> BackpropError:
        process = self._process
        assert process is not None
        code = process.wait()
        killed = code == -signal.SIGKILL
        how = "was killed; the system does so when memory runs out" if killed else f"ended unexpectedly ({code})"
        last = log_tail(self._log, 1)
        return UnavailableError(
            "SCORER_DIED",
            f"The scoring process {how}{f': {last[0]}' if last else ''}.",
            "Try a smaller batch size or a smaller model.",
        )
