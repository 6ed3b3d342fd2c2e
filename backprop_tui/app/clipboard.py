"""Copying text out: to tmux's buffer inside tmux, else through the terminal, and always to a small file."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

from backprop_tui.config import paths
from backprop_tui.config.files import replace_file

if TYPE_CHECKING:
    from textual.app import App


def copy_out(app: App[object], text: str, name: str) -> str:
    """Copy `text` and say in words where it went.

    A terminal never answers whether it took the clipboard, so a file named `name` in the cache holds the text as well.
    tmux ignores a program's own clipboard request by default but obeys its `load-buffer` command.
    """
    file = paths.cache_dir() / name
    try:
        replace_file(file, text)
        where = f"also in {file}"
    except OSError:
        where = "no file could be written"
    if os.environ.get("TMUX") and _to_tmux(text):
        return f"Copied to the tmux buffer and clipboard; {where}."
    app.copy_to_clipboard(text)
    return f"Copied through the terminal, if it allows that; {where}."


def _to_tmux(text: str) -> bool:
    try:
        done = subprocess.run(
            ["tmux", "load-buffer", "-w", "-"],
            input=text.encode(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=2,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0
