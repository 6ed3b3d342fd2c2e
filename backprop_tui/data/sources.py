"""From a path to rows, whatever the file is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

from backprop_tui.data.readers import json_file, jsonl, parquet, plain, table
from backprop_tui.data.readers.files import open_file
from backprop_tui.data.rows import Problem, Row
from backprop_tui.protocol.errors import DataError
from backprop_tui.protocol.text import safe_text

__all__ = ["EXTENSIONS", "READERS", "Problem", "Reader", "Row", "can_seek", "check_source", "read_rows"]


class _Read(Protocol):
    def __call__(self, file: BinaryIO, *, start: int, line: int, index: int) -> Iterator[Row]: ...


@dataclass(frozen=True, slots=True)
class Reader:
    """How one kind of file is read. `seekable` ones can begin at the start of any row."""

    extensions: tuple[str, ...]
    read: _Read
    seekable: bool = False


READERS: tuple[Reader, ...] = (
    Reader(jsonl.EXTENSIONS, jsonl.read, seekable=True),
    Reader(json_file.EXTENSIONS, json_file.read),
    Reader(table.EXTENSIONS, table.read),
    Reader(parquet.EXTENSIONS, parquet.read),
    Reader(plain.EXTENSIONS, plain.read, seekable=True),
)
_BY_EXTENSION = {extension: reader for reader in READERS for extension in reader.extensions}

#: File name endings that can be opened, in the order people should read them.
EXTENSIONS: tuple[str, ...] = tuple(_BY_EXTENSION)


def check_source(path: Path) -> int:
    """Make sure a data file can be opened, without reading it.

    Returns:
        Its size in bytes.

    Raises:
        DataError: unknown extension, missing, empty, unreadable, or not a regular file.
    """
    with open_file(path) as file:
        size = file.seek(0, 2)
    _reader(path)
    return size


def can_seek(path: Path) -> bool:
    """Whether rows of this file can be read from their own `start`."""
    return _reader(path).seekable


def read_rows(path: Path, *, start: int = 0, line: int = 1, index: int = 0) -> Iterator[Row]:
    """Rows of a file, one after the other, in constant memory; broken ones carry their problem.

    `start`, `line` and `index` continue a seekable file at a row read before.

    Raises:
        DataError: the file can't be read as a whole; the message names it.
    """
    with open_file(path) as file:
        reader = _reader(path)
        try:
            yield from reader.read(file, start=start, line=line, index=index)
        except DataError as error:
            detail = {**error.detail, "file": safe_text(path)}
            raise DataError(error.code, f"{safe_text(path.name)}: {error.cause}", error.next_step, detail) from None
        except OSError as error:
            raise DataError(
                "DATA_UNREADABLE", f"{safe_text(path)} can't be read: {error.strerror}.", "Check the disk."
            ) from None


def _reader(path: Path) -> Reader:
    reader = _BY_EXTENSION.get(path.suffix.lower())
    if reader is None:
        kind = f"files ending in {safe_text(path.suffix)}" if path.suffix else "files without an extension"
        raise DataError(
            "DATA_EXTENSION_UNKNOWN",
            f"{safe_text(path.name)}: {kind} can't be read.",
            f"Use one of {', '.join(EXTENSIONS)}.",
        )
    return reader
