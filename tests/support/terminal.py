"""A real pseudo-terminal with a real terminal emulator behind it: what the program writes, and what a person would see."""

from __future__ import annotations

import errno
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import pyte

BACKPROP = str(Path(sys.executable).parent / "backprop")


def backprop(*argv: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run a command without a terminal and give what it printed."""
    return subprocess.run(
        [BACKPROP, *argv],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=60,
        env={**os.environ, **env},
        check=False,
    )


class Terminal:
    """Run a command in a pty of its own session; read it all the time; look at its screen.

    Attributes:
        raw: every byte the program wrote.
        process: the child; its session's leader.
    """

    def __init__(
        self, argv: list[str], *, columns: int = 120, rows: int = 40, env: Mapping[str, str] | None = None
    ) -> None:
        self.raw = bytearray()
        self._screen = pyte.Screen(columns, rows)
        self._stream = pyte.ByteStream(self._screen)
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.process = subprocess.Popen(
            argv,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
            env={**os.environ, "TERM": "xterm-256color", "LANG": "C.UTF-8", **(env or {})},
        )
        os.close(slave)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _read(self) -> None:
        while True:
            try:
                ready, _, _ = select.select([self.master], [], [], 0.2)
                if not ready:
                    continue
                data = os.read(self.master, 65536)
            except (OSError, ValueError):
                break
            if not data:
                break
            with self._changed:
                self.raw += data
                self._stream.feed(data)
                self._changed.notify_all()
        with self._changed:
            self._changed.notify_all()

    def send(self, keys: str | bytes) -> None:
        """Type."""
        os.write(self.master, keys.encode() if isinstance(keys, str) else keys)

    def resize(self, columns: int, rows: int) -> None:
        """Another size, as a window manager or a multiplexer gives it: the kernel tells the program."""
        with self._lock:
            self._screen.resize(rows, columns)
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    @property
    def text(self) -> str:
        """The screen as lines of text."""
        with self._lock:
            return "\n".join(line.rstrip() for line in self._screen.display)

    @property
    def size(self) -> int:
        """Bytes written so far."""
        with self._lock:
            return len(self.raw)

    def wait_for(self, wanted: str | Callable[[str], bool], timeout: float = 20.0) -> str:
        """The screen once it matches a regular expression or a predicate; fails with the screen when it never does."""
        matches = (lambda text: re.search(wanted, text) is not None) if isinstance(wanted, str) else wanted
        deadline = time.monotonic() + timeout
        while True:
            text = self.text
            if matches(text):
                return text
            left = deadline - time.monotonic()
            if left <= 0 or (self.process.poll() is not None and not self._reader.is_alive()):
                raise AssertionError(f"never saw {wanted!r}; exit {self.process.poll()}; the screen was:\n{text}")
            with self._changed:
                self._changed.wait(min(left, 0.25))

    def wait(self, timeout: float = 10.0) -> int:
        """The exit status (negative: the signal that ended it)."""
        return self.process.wait(timeout)

    def hang_up(self) -> None:
        """Take the terminal away, as a lost connection does."""
        try:
            os.close(self.master)
        except OSError as error:
            if error.errno != errno.EBADF:
                raise

    def everything(self) -> bytes:
        """Every byte of a program that has ended."""
        self.process.wait(10)
        self._reader.join(10)
        return bytes(self.raw)

    def close(self) -> None:
        """End the program and give the pty back."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
            self.process.wait(10)
        self.hang_up()
        self._reader.join(2)
