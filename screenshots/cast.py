"""Record `screenshots/demo.cast`, an asciicast (version 2) of a real demo run in a real terminal, from data to result.

    python screenshots/cast.py

Keys are pressed when the screen is ready for them, and long waits are played shorter.
"""

from __future__ import annotations

import codecs
import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import sys
import termios
import time
from pathlib import Path

import pyte
from world import HERE, leave, settle_in

COLUMNS, ROWS = 100, 30
#: Longest pause in the recording, and the shortest in which keys and screens are seen, in seconds.
LONGEST, SEEN = 1.2, 1.6
#: What is waited for on the screen, and the keys pressed then.
STEPS: tuple[tuple[str, str], ...] = (
    (r"row 1 of 458", "n"),
    (r"row 2 of 458", "t"),
    (r"raw", "\r"),
    (r"\[2 Tune\](?s:.*)ready", "g"),
    (r"Launch this run", "\r"),
    (r"● running(?s:.*)\b[1-9]\d?/\d+ ", "c"),
    (r"\b[3-9]\d/\d+ ", "\x1b"),
    (r"✓ completed", ""),
    (r"Fair winds!", ""),
)


class Recorder:
    """A program in a pty: every piece it writes with its time, and the screen it makes."""

    def __init__(self, argv: list[str]) -> None:
        self.events: list[tuple[float, str]] = []
        self._screen = pyte.Screen(COLUMNS, ROWS)
        self._stream = pyte.Stream(self._screen)
        self._decode = codecs.getincrementaldecoder("utf-8")("replace").decode
        self._pid, self._master = pty.fork()
        if self._pid == 0:
            os.execvp(argv[0], argv)
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
        self._began = time.monotonic()

    @property
    def text(self) -> str:
        return "\n".join(self._screen.display)

    def read(self, seconds: float) -> bool:
        """Take what comes within some seconds; False once the program has gone."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            if select.select([self._master], [], [], left)[0]:
                try:
                    data = os.read(self._master, 65536)
                except OSError:
                    data = b""
                if not data:
                    return False
                text = self._decode(data)
                self.events.append((time.monotonic() - self._began, text))
                self._stream.feed(text)
        return True

    def wait_for(self, pattern: str, timeout: float = 120.0) -> None:
        deadline = time.monotonic() + timeout
        while not re.search(pattern, self.text):
            if not self.read(0.1) or time.monotonic() > deadline:
                raise SystemExit(f"never saw {pattern!r}:\n{self.text}")

    def press(self, keys: str) -> None:
        os.write(self._master, keys.encode())

    def close(self) -> None:
        """Leave the app; what it writes while leaving is not recorded, so that the last frame stays."""
        os.kill(self._pid, signal.SIGTERM)
        while True:
            try:
                if not os.read(self._master, 65536):
                    break
            except OSError:
                break
        os.waitpid(self._pid, 0)


def paced(events: list[tuple[float, str]]) -> list[tuple[float, str]]:
    """The same events with every pause cut to `LONGEST`."""
    out: list[tuple[float, str]] = []
    clock = last = 0.0
    for at, text in events:
        clock += min(at - last, LONGEST)
        last = at
        if out and clock - out[-1][0] < 0.02:
            out[-1] = (out[-1][0], out[-1][1] + text)
        else:
            out.append((clock, text))
    return out


def main() -> int:
    settle_in()
    os.environ |= {"TERM": "xterm-256color", "BACKPROP_PROFILE": "ssh", "BACKPROP_TITLE": "off"}
    os.environ.pop("COLORTERM", None)
    (HERE.parent / "screenshots").mkdir(exist_ok=True)
    home = Path("/tmp/backprop-screenshots/chats")
    home.mkdir()
    os.chdir(home)
    program = (
        "import platform, sys; platform.node = lambda: 'gpu-box'; "
        "from backprop_tui.app import run_app; sys.exit(run_app('data'))"
    )
    try:
        recorder = Recorder([sys.executable, "-c", program])
        for pattern, keys in STEPS:
            recorder.wait_for(pattern)
            recorder.read(SEEN)
            recorder.press(keys)
        recorder.read(SEEN)
        events = paced(recorder.events)
        recorder.close()
    finally:
        leave()
    head = {"version": 2, "width": COLUMNS, "height": ROWS, "title": "backprop", "env": {"TERM": "xterm-256color"}}
    lines = [head, *([round(at, 3), "o", text] for at, text in events)]
    target = HERE / "demo.cast"
    target.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), encoding="utf-8")
    print(f"{target.name}: {target.stat().st_size:,} bytes, {events[-1][0]:.0f} s", flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
