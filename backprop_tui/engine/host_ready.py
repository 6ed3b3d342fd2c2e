"""How a detached host tells the process that launched it whether it began: one JSON line on an inherited pipe."""

from __future__ import annotations

import json
import os
from typing import Any

from backprop_tui.protocol.errors import BackpropError, error_from_dict


class Ready:
    """The host's end. Speaks once; a parent that is gone, or none (fd -1), is no trouble."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        if fd >= 0:
            os.set_inheritable(fd, False)

    def say(self) -> None:
        """The run has begun: the lock is held, the pipe answers, the worker is started."""
        self._tell({"ready": True})

    def refuse(self, error: BackpropError) -> None:
        """It could not begin."""
        self._tell({"ready": False, "exit_code": error.exit_code, **error.to_dict()})

    def _tell(self, words: dict[str, Any]) -> None:
        if self._fd < 0:
            return
        try:
            os.write(self._fd, json.dumps(words).encode() + b"\n")
        except OSError:
            pass
        os.close(self._fd)
        self._fd = -1


def read_answer(line: bytes, last_words: list[str]) -> BackpropError | None:
    """What the host said: None for ready, else its own error; an empty line means it died before a word.

    Args:
        line: what came over the pipe.
        last_words: the end of its log, for a host that died; the run and its log may not be kept.
    """
    try:
        words = json.loads(line)
    except ValueError:
        words = None
    if not isinstance(words, dict):
        return error_from_dict(
            {
                "code": "ENGINE_NOT_STARTED",
                "cause": f"The engine ended before it was ready{': ' + last_words[-1] if last_words else '.'}",
                "next": "`backprop doctor` checks this machine.",
            }
        )
    return None if words.get("ready") is True else error_from_dict(words, int(words.get("exit_code", 1)))
