"""Copying text out: to tmux's buffer inside tmux, else through the terminal, and always to a small file."""

from __future__ import annotations

import base64
import os
import subprocess
from typing import TYPE_CHECKING

from backprop_tui.config import paths
from backprop_tui.config.files import replace_file
from backprop_tui.protocol.text import safe_text

if TYPE_CHECKING:
    from textual.app import App

#: Longest text in base64 that terminals take through OSC 52, in bytes; longer requests are dropped silently.
_LONGEST = 74_994
#: GNU screen passes foreign sequences on in pieces of at most so many bytes.
_SCREEN_PIECE = 700


def copy_out(app: App[object], text: str, name: str) -> str:
    """Copy `text` and say in words which way it took.

    A terminal never answers whether it took the clipboard, so a file named `name` in the cache holds the text as well.
    tmux ignores a program's own clipboard request by default but obeys its `load-buffer` command, which also hands the
    text to the terminal around it.
    """
    file = paths.cache_dir() / name
    try:
        replace_file(file, text)
        where = f"also in {safe_text(file)}"
    except OSError:
        where = "no file could be written"
    if os.environ.get("TMUX"):
        if _to_tmux(text):
            return f"Copied with tmux, to its buffer and the clipboard; {where}."
        return f"tmux did not take it; {where}."
    encoded = base64.b64encode(text.encode("utf-8", "replace"))
    if len(encoded) > _LONGEST:
        return f"Too long for the clipboard of a terminal ({len(text):,} characters); {where}."
    if os.environ.get("STY"):
        _write(app, screen_sequence(encoded.decode()))
        return f"Copied through GNU screen to the terminal (OSC 52), if it allows that; {where}."
    app.copy_to_clipboard(text)
    return f"Copied through the terminal (OSC 52), if it allows that; {where}."


def screen_sequence(encoded: str) -> str:
    """The clipboard request for text in base64, cut into pieces that GNU screen passes on unchanged."""
    whole = f"\x1b]52;c;{encoded}\x07"
    pieces = [whole[at : at + _SCREEN_PIECE] for at in range(0, len(whole), _SCREEN_PIECE)]
    return "".join(f"\x1bP{piece}\x1b\\" for piece in pieces)


def _write(app: App[object], words: str) -> None:
    driver = app._driver
    if driver is not None and not app.is_headless:
        driver.write(words)


def _to_tmux(text: str) -> bool:
    try:
        done = subprocess.run(
            ["tmux", "load-buffer", "-w", "-"],
            input=text.encode("utf-8", "replace"),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=2,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0
