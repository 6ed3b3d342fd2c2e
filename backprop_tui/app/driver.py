"""Textual's terminal driver with mends: odd mouse bytes, a vanished terminal, mouse motion, plain signs, its size, a pause.

A coordinate byte above 0x7F of the old mouse protocol is not UTF-8 and would end the app; a closed terminal would leave a
thread reading nothing at full speed; over a slow link every mouse movement would be reported; and a terminal without
Unicode would get it from whatever Textual draws by itself. An exported COLUMNS or LINES is the size of another terminal.
With PYTHONUNBUFFERED set, as in many containers, a frame that a signal interrupts would be sent in part only.
Whoever was stopped and goes on, without having been told before, would start reading keys a second time and never end.
"""

from __future__ import annotations

import codecs
import io
import os
import selectors
import signal
import sys
from typing import TYPE_CHECKING, Any

from textual._parser import ParseError
from textual._xterm_parser import XTermParser
from textual.drivers.linux_driver import LinuxDriver
from textual.geometry import Size

from backprop_tui.app.glyphs import to_ascii

if TYPE_CHECKING:
    from textual.app import App

_MOUSE_MODES = (1000, 1003, 1015, 1006)


class TerminalDriver(LinuxDriver):
    """The driver of the real terminal."""

    #: Whether to ask for every mouse movement; set once at start from the profile.
    motion = True
    #: Whether nothing but ASCII may be sent; set once at start.
    ascii = False

    def __init__(self, app: App[Any], **words: Any) -> None:
        super().__init__(app, **words)
        assert sys.__stderr__ is not None
        whole = io.BufferedWriter(io.FileIO(sys.__stderr__.fileno(), "w", closefd=False))
        self._file = io.TextIOWrapper(whole, encoding="utf-8", errors="backslashreplace", newline="")

    def write(self, data: str) -> None:
        """Send; on a terminal without Unicode in stand-ins of the same width.

        The thread that writes dies with the terminal; its queue would fill up, and whoever wrote next would wait for ever.
        """
        if self._writes:
            super().write(to_ascii(data) if self.ascii else data)

    def close(self) -> None:
        """Let the thread that writes finish, if it lives."""
        if self._writes:
            super().close()

    @property
    def _writes(self) -> bool:
        thread = self._writer_thread
        return thread is not None and thread.is_alive()

    def _get_terminal_size(self) -> tuple[int, int]:
        """What the terminal itself says; the environment only where it says nothing."""
        try:
            width, height = os.get_terminal_size(self.fileno)
        except OSError:
            width = height = 0
        return (width, height) if width and height else super()._get_terminal_size()

    def size_now(self) -> Size:
        """What the terminal says at this moment, whatever was told of it before."""
        return Size(*self._get_terminal_size())

    def _sigcont_application(self, *arguments: Any) -> None:
        if self._must_signal_resume:
            super()._sigcont_application(*arguments)
        else:
            self._app.call_later(self._draw_anew)

    def _draw_anew(self) -> None:
        self._app.screen.refresh()

    def _enable_mouse_support(self) -> None:
        if not self._mouse:
            return
        for mode in _MOUSE_MODES:
            if mode != 1003 or self.motion:
                self.write(f"\x1b[?{mode}h")
        self.flush()

    def use_mouse(self, on: bool, *, motion: bool) -> None:
        """Take the mouse or give it back while running; `motion` asks for every movement."""
        self._disable_mouse_support()
        self._mouse, self.motion = on, motion
        self._enable_mouse_support()

    def run_input_thread(self) -> None:
        """Read keys and mouse until told to stop, or until the terminal is gone."""
        decode = codecs.getincrementaldecoder("utf-8")(errors="replace").decode
        parser = XTermParser(self._debug)
        with selectors.DefaultSelector() as selector:
            selector.register(self.fileno, selectors.EVENT_READ)
            while not self.exit_event.is_set():
                if selector.select(0.1):
                    data = self._read()
                    if data is None:
                        self._gone()
                        return
                    text = decode(data)
                    if text:
                        for message in parser.feed(text):
                            self.process_message(message)
                for message in parser.tick():
                    self.process_message(message)
        try:
            for message in parser.feed(""):
                self.process_message(message)
        except (EOFError, ParseError):
            pass

    def _read(self) -> bytes | None:
        """Some input; None when the terminal was closed."""
        try:
            return os.read(self.fileno, 4096) or None
        except InterruptedError:
            return b""
        except OSError:
            return None

    def _gone(self) -> None:
        """End the app: nobody is there to read it. A writer stuck on a dead terminal must not keep the process."""
        self._app.call_later(self._app.exit)
        if not self.exit_event.wait(1.0):
            os.kill(os.getpid(), signal.SIGKILL)


def driver_for(motion: bool, ascii: bool = False) -> type[TerminalDriver]:
    """The driver class for a profile and a set of signs."""
    return type("TerminalDriver", (TerminalDriver,), {"motion": motion, "ascii": ascii})


def install_signals(app: App[Any]) -> None:
    """SIGTERM and SIGHUP leave through the loop, so the terminal is restored. Call from inside the running loop."""
    import asyncio

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, app.exit, None, 128 + number)
