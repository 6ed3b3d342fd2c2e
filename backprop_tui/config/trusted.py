"""Reward files a person has read and confirmed, by their SHA-256; losing the list means being asked again."""

from __future__ import annotations

import json
import re
from pathlib import Path

from backprop_tui.config import paths
from backprop_tui.config.files import replace_file

_SHA256 = re.compile(r"[0-9a-f]{64}")
_KEEP = 500


def is_trusted(sha256: str) -> bool:
    """Whether a file of this content was confirmed."""
    return sha256 in _read()


def trust(sha256: str) -> None:
    """Remember a confirmation, in a file only the person can read.

    Raises:
        OSError: the data directory can't be written.
    """
    known = [other for other in _read() if other != sha256]
    replace_file(_file(), json.dumps([*known, sha256][-_KEEP:], indent=1))


def _file() -> Path:
    return paths.data_dir() / "trusted-rewards.json"


def _read() -> list[str]:
    try:
        words = json.loads(_file().read_bytes())
    except (OSError, ValueError, RecursionError):
        return []
    if not isinstance(words, list):
        return []
    return [value for value in words if isinstance(value, str) and _SHA256.fullmatch(value)]
