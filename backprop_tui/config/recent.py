"""Data files and models used lately, newest first. Losing the list loses nothing else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

from backprop_tui.config import paths
from backprop_tui.config.files import replace_file

Kind = Literal["data", "model"]

_KEEP = 12


def recent(kind: Kind) -> list[str]:
    """What was used lately, newest first: absolute paths of data files, or bases of models (directory or hub id)."""
    return _read().get(kind, [])


def remember(kind: Kind, value: str) -> None:
    """Put `value` on top of its list. A list that can't be written is not worth an error."""
    known = _read()
    known[kind] = [value, *(other for other in known.get(kind, []) if other != value)][:_KEEP]
    try:
        replace_file(_file(), json.dumps(known, indent=1))
    except OSError:
        pass


def _file() -> Path:
    return paths.cache_dir() / "recent.json"


def _read() -> dict[str, list[str]]:
    try:
        words = json.loads(_file().read_bytes())
    except (OSError, ValueError):
        return {}
    if not isinstance(words, dict):
        return {}
    return {
        kind: [value for value in words[kind] if isinstance(value, str)]
        for kind in ("data", "model")
        if isinstance(words.get(kind), list)
    }
