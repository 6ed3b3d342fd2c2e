"""What identifies a dataset: content, not place or date."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backprop_tui.data.places import DataSet
from backprop_tui.data.readers.files import open_file

if TYPE_CHECKING:
    from backprop_tui.data.selection import Scan

_CHUNK = 1 << 20

#: (inode, size, modification time in ns) of a file.
State = tuple[int, int, int]


def set_state(data: DataSet) -> tuple[State, ...]:
    """Equal before and after means that nobody wrote in between.

    Raises:
        DataError: a file can't be opened.
    """
    states = []
    for path in data.files:
        with open_file(path) as stream:
            info = os.fstat(stream.fileno())
        states.append((info.st_ino, info.st_size, info.st_mtime_ns))
    return tuple(states)


def describe_file(path: Path) -> dict[str, Any]:
    """Name, size and sha256 of one file; JSON-ready.

    Raises:
        DataError: the file can't be opened.
    """
    with open_file(path) as stream:
        digest = hashlib.sha256()
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
        size = stream.tell()
    return {"name": path.name, "bytes": size, "sha256": digest.hexdigest()}


def describe_data(data: DataSet, found: Scan) -> dict[str, Any]:
    """The sources of a set with their files, and what became of its rows; JSON-ready.

    Raises:
        DataError: a file can't be opened.
    """
    return {
        "sources": describe_sources(data),
        "rows": found.rows,
        "usable": len(found.kept),
        "dropped": dict(found.dropped),
        "formats": dict(found.formats),
        "rows_sha256": content_digest(found.keys),
    }


def describe_sources(data: DataSet) -> list[dict[str, Any]]:
    """Each source with weight, revision, field and files; JSON-ready.

    Raises:
        DataError: a file can't be opened.
    """
    return [
        {
            "kind": source.kind,
            "weight": source.weight,
            "revision": source.revision,
            "field": source.field,
            "files": [describe_file(path) for path in source.files],
        }
        for source in data.sources
    ]


def content_digest(keys: list[bytes]) -> str:
    """One digest over the contents of rows, whatever their order; a content that occurs twice counts twice."""
    counts = Counter(keys)
    digest = hashlib.sha256()
    for key in sorted(counts):
        digest.update(key + counts[key].to_bytes(8, "little"))
    return digest.hexdigest()
