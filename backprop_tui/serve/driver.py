"""Textual's driver for pipes with three mends: no mouse motion, whole writes, and an end when the server has gone."""

from __future__ import annotations

import os
import signal
import sys
from functools import partial
from typing import Any

from textual.drivers.web_driver import WebDriver

_LEAVES_WITHIN = 2.0
_MOTION = "\x1b[?1003h"


class PipeDriver(WebDriver):
    """Packets on what was standard output; a stray print can't come between them."""

    def __init__(self, app: Any, **words: Any) -> None:
        super().__init__(app, **words)
        assert sys.__stdout__ is not None
        self.fileno = os.dup(sys.__stdout__.fileno())
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.__stdout__.fileno())
        os.close(nowhere)
        self._write = partial(self._write_all)

    def write(self, data: str) -> None:
        """Send, but never ask the browser for every movement of the mouse."""
        if data != _MOTION:
            super().write(data)

    def run_input_thread(self) -> None:
        """Read until told to stop; at the end of the pipe the server is gone, and so is the reason to be here."""
        super().run_input_thread()
        if not self.exit_event.is_set():
            self._app.call_later(self._app.exit)
            if not self.exit_event.wait(_LEAVES_WITHIN):
                os.kill(os.getpid(), signal.SIGKILL)

    def _write_all(self, data: bytes) -> int:
        sent = 0
        while sent < len(data):
            sent += os.write(self.fileno, data[sent:])
        return sent
