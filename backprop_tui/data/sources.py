"""From a path to rows, whatever the file is."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol, cast

from backprop_tui.data.readers import arrow, json_file, jsonl, parquet, plain, table
from backprop_tui.data.readers.entry import Entry, Note, unheard
from backprop_tui.data.readers.files import open_file, with_line_feeds
from backprop_tui.data.readers.kinds import HEAD, check_kind, wrong_kind
from backprop_tui.data.readers.packed import MAGIC, Unpacked
from backprop_tui.data.rows import Problem, Row
from backprop_tui.protocol.errors import DataError
from backprop_tui.protocol.text import safe_text

__all__ = [
    "EXTENSIONS",
    "PACKINGS",
    "READERS",
    "Problem",
    "Reader",
    "Row",
    "can_seek",
    "check_source",
    "extension_of",
    "read_rows",
]


class _Read(Protocol):
    def __call__(self, file: BinaryIO, entry: Entry) -> Iterator[Row]: ...


@dataclass(frozen=True, slots=True)
class Reader:
    """How one kind of file is read.

    Args:
        extensions: endings of its files.
        read: the rows of an open file.
        seekable: whether reading can begin at the start of any row.
        lines: whether the file is text in lines; then a lone carriage return may end one.
    """

    extensions: tuple[str, ...]
    read: _Read
    seekable: bool = False
    lines: bool = False


READERS: tuple[Reader, ...] = (
    Reader(jsonl.EXTENSIONS, jsonl.read, seekable=True, lines=True),
    Reader(json_file.EXTENSIONS, json_file.read),
    Reader(table.EXTENSIONS, table.read, lines=True),
    Reader(parquet.EXTENSIONS, parquet.read),
    Reader(arrow.EXTENSIONS, arrow.read),
    Reader(plain.EXTENSIONS, plain.read, seekable=True, lines=True),
)
_BY_EXTENSION = {extension: reader for reader in READERS for extension in reader.extensions}

#: File name endings that can be opened, in the order people should read them.
EXTENSIONS: tuple[str, ...] = tuple(_BY_EXTENSION)
#: Endings of packed files; they follow one of the others, as in `.jsonl.gz`.
PACKINGS: tuple[str, ...] = tuple(MAGIC)

_LINE_HEAD = 1 << 16


def extension_of(name: str) -> str:
    """The ending of a data file's name in lower case, such as `.jsonl` or `.csv.gz`; empty if it is no data file's."""
    stem, extension = os.path.splitext(name.lower())
    if extension in PACKINGS:
        inner = os.path.splitext(stem)[1]
        return f"{inner}{extension}" if inner in _BY_EXTENSION else ""
    return extension if extension in _BY_EXTENSION else ""


def check_source(path: Path) -> int:
    """Make sure a data file can be opened and is of the kind its name says, by its first bytes.

    Returns:
        Its size in bytes.

    Raises:
        DataError: unknown extension, missing, empty, unreadable, of another kind, or not a regular file.
    """
    with open_file(path) as file:
        _open(file, path)
        return os.fstat(file.fileno()).st_size


def can_seek(path: Path) -> bool:
    """Whether rows of this file can be read from their own `start`."""
    reader, packing = _reader(path)
    return reader.seekable and not packing


def read_rows(
    path: Path,
    *,
    start: int = 0,
    line: int = 1,
    index: int = 0,
    file: int = 0,
    field: str = "",
    on_note: Note = unheard,
) -> Iterator[Row]:
    """Rows of a file, one after the other, in constant memory; broken ones carry their problem.

    Args:
        path: the file.
        start: byte to begin at, the `start` of a row read before; 0 in files that can't be entered at any row.
        line: line at `start`.
        index: number of the first row.
        file: place of the file in its set; rows carry it.
        field: dotted path to the rows inside a JSON object; empty takes the only list there is.
        on_note: told what is odd about the file as a whole, such as a byte order mark.

    Raises:
        DataError: the file can't be read as a whole; the message names it.
    """
    with open_file(path) as raw:
        entry = Entry(start, line, index, file, field, safe_text(path, limit=200), on_note)
        try:
            reader, stream, packed = _open(raw, path)
            if packed is None:
                yield from reader.read(stream, entry)
            else:
                yield from _unpacked(reader, stream, packed, entry)
        except DataError as error:
            raise _named(error, path) from None
        except OSError as error:
            words = safe_text(error.strerror or error, limit=120)
            raise DataError(
                "DATA_UNREADABLE", f"{safe_text(path)} can't be read: {words}.", "Check the disk."
            ) from None


def _unpacked(reader: Reader, stream: BinaryIO, packed: Unpacked, entry: Entry) -> Iterator[Row]:
    """Rows of a packed file; they can't be entered, and progress is told in packed bytes. Damage is the last row."""
    index = entry.index
    for row in reader.read(stream, entry):
        index = row.index + 1
        yield Row(row.index, row.line, row.value, row.problem, None, packed.consumed, row.raw, row.file)
    if packed.damage is not None:
        yield Row(index, None, None, packed.damage, None, packed.consumed, "", entry.file)


def _open(file: BinaryIO, path: Path) -> tuple[Reader, BinaryIO, Unpacked | None]:
    """The reader, the bytes it reads, and the packed file they come from; looks at the first bytes only."""
    try:
        reader, packing = _reader(path)
        packed: Unpacked | None = None
        stream = file
        if packing:
            if not file.read(8).startswith(MAGIC[packing]):
                raise wrong_kind(f"not packed, whatever {packing} says", f"Rename it to end without {packing}.")
            packed = Unpacked(file, packing)
            stream = cast(BinaryIO, io.BufferedReader(packed, _LINE_HEAD))
        head = _head(stream, _LINE_HEAD if reader.lines else HEAD)
        name, extension = os.path.splitext(path.name[: len(path.name) - len(packing)])
        check_kind(head[:HEAD], safe_text(name, limit=60), extension.lower())
    except DataError as error:
        raise _named(error, path) from None
    stream.seek(0)
    return reader, with_line_feeds(stream, head) if reader.lines else stream, packed


def _head(stream: BinaryIO, size: int) -> bytes:
    data = b""
    while len(data) < size and (more := stream.read(size - len(data))):
        data += more
    return data


def _named(error: DataError, path: Path) -> DataError:
    """The error with the file's name in front, once."""
    if "file" in error.detail:
        return error
    detail = {**error.detail, "file": safe_text(path)}
    return DataError(error.code, f"{safe_text(path.name)}: {error.cause}", error.next_step, detail)


def _reader(path: Path) -> tuple[Reader, str]:
    """How a file is read and how it is packed, by its name."""
    extension = extension_of(path.name)
    stem, packing = os.path.splitext(extension)
    if extension:
        return (_BY_EXTENSION[stem], packing) if packing in PACKINGS and stem else (_BY_EXTENSION[extension], "")
    if path.suffix.lower() in PACKINGS:
        cause = (
            f"the name does not say what is packed in it, as {safe_text(path.stem)}.jsonl{path.suffix.lower()} does."
        )
    elif path.suffix:
        cause = f"files ending in {safe_text(path.suffix)} can't be read."
    else:
        cause = "files without an extension can't be read."
    raise DataError(
        "DATA_EXTENSION_UNKNOWN",
        f"{safe_text(path.name)}: {cause}",
        f"Use one of {', '.join(EXTENSIONS)}, or one of these followed by {' or '.join(PACKINGS)}.",
        {"file": safe_text(path)},
    )
