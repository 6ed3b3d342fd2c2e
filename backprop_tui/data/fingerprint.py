"""What identifies a data file: content, not place or date."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

from backprop_tui.data.readers.files import open_file

_CHUNK = 1 << 20


def source_state(file: Path) -> tuple[int, int, int]:
    """(inode, size, modification time in ns): equal before and after means that nobody wrote in between.

    Raises:
        DataError: the file can't be opened.
    """
    with open_file(file) as stream:
        info = os.fstat(stream.fileno())
    return info.st_ino, info.st_size, info.st_mtime_ns


def describe_source(file: Path, *, rows: int, kept: int) -> dict[str, Any]:
    """Name, size, sha256 and row counts of one file; JSON-ready.

    Raises:
        DataError: the file can't be opened.
    """
    with open_file(file) as stream:
        digest = hashlib.sha256()
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
        size = stream.tell()
    return {"name": file.name, "bytes": size, "sha256": digest.hexdigest(), "rows": rows, "kept": kept}
