"""Opening a file that may be anything, and cutting bytes into lines with a limit."""

from __future__ import annotations

import difflib
import io
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

from backprop_tui.data.readers.entry import Note, unheard
from backprop_tui.data.rows import Problem
from backprop_tui.protocol.errors import DataError
from backprop_tui.protocol.text import safe_text

if TYPE_CHECKING:
    from typing_extensions import Buffer

#: Longest line taken as one row, in bytes. No honest chat row comes near, and one row must fit in memory many times over.
MAX_LINE = 16 << 20
#: Longest excerpt of a file in a problem, in characters.
EXCERPT = 60
BOM = b"\xef\xbb\xbf"
_CHUNK = 1 << 20

#: Number, first byte, byte after the line break, the bytes between, and why they can't be used.
RawLine = tuple[int, int, int, bytes, Problem | None]


def open_file(path: Path) -> BinaryIO:
    """Open a regular file for reading, never waiting for a FIFO's writer and never reading a device.

    Raises:
        DataError: DATA_FILE_MISSING, DATA_NOT_A_FILE, DATA_UNREADABLE or DATA_FILE_EMPTY.
    """
    name = safe_text(path)
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0))
    except (FileNotFoundError, NotADirectoryError):
        raise DataError("DATA_FILE_MISSING", f"There is no file {name}.", nearest_name(path)) from None
    except (OSError, ValueError) as error:
        if not isinstance(error, ValueError) and path.exists() and not path.is_file():
            raise _not_a_file(name) from None
        words = error.strerror if isinstance(error, OSError) else str(error)
        raise DataError("DATA_UNREADABLE", f"{name} can't be read: {words}.", "Check its permissions.") from None
    info = os.fstat(fd)
    if not stat.S_ISREG(info.st_mode):
        os.close(fd)
        raise _not_a_file(name)
    if info.st_size == 0:
        os.close(fd)
        raise DataError("DATA_FILE_EMPTY", f"{name} is empty.", "Choose a file with rows in it.")
    return os.fdopen(fd, "rb")


class CarriageReturns(io.RawIOBase):
    """A file whose lines end in a lone carriage return, as one whose lines end in a line feed; offsets stay."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def readable(self) -> bool:
        """Always."""
        return True

    def seekable(self) -> bool:
        """Whether the file below is."""
        return self._file.seekable()

    def seek(self, offset: int, whence: int = 0) -> int:
        """Move in the file below."""
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """Place in the file below."""
        return self._file.tell()

    def readinto(self, buffer: Buffer) -> int:
        """Fill `buffer`; returns the bytes written, 0 at the end."""
        view = memoryview(buffer).cast("B")
        data = self._file.read(len(view)).replace(b"\r", b"\n")
        view[: len(data)] = data
        return len(data)


def with_line_feeds(file: BinaryIO, head: bytes) -> BinaryIO:
    """`file`, or a view of it where carriage returns count as line feeds if its `head` knows no other line break."""
    if b"\r" not in head or b"\n" in head:
        return file
    return cast(BinaryIO, io.BufferedReader(CarriageReturns(file), _CHUNK))


@dataclass(frozen=True, slots=True)
class Line:
    """One line without its line break. `text` is None when `problem` says why there is none."""

    number: int
    start: int
    end: int
    text: str | None
    problem: Problem | None = None


def read_raw(file: BinaryIO, *, start: int = 0, number: int = 1, note: Note = unheard) -> Iterator[RawLine]:
    """Lines as bytes without their line breaks, from byte `start`, which is the beginning of line `number`.

    A byte order mark is taken off the first line and noted. A line that is too long has no bytes but a problem.

    Raises:
        DataError: DATA_NOT_UTF8, the file is UTF-16 or UTF-32 throughout.
    """
    file.seek(start)
    position = start
    while data := file.readline(MAX_LINE + 1):
        line_start = position
        position += len(data)
        problem = None
        if len(data) > MAX_LINE and not data.endswith(b"\n"):
            while (rest := file.readline(_CHUNK)) and not rest.endswith(b"\n"):
                position += len(rest)
            position += len(rest)
            problem = too_long(data, number, position - line_start)
            data = b""
        elif line_start == 0:
            refuse_wide_encoding(data[:4])
            if data.startswith(BOM):
                data = data[3:]
                note(bom_note())
        yield number, line_start, position, data.rstrip(b"\r\n"), problem
        number += 1


def read_lines(file: BinaryIO, *, start: int = 0, number: int = 1, note: Note = unheard) -> Iterator[Line]:
    """Like `read_raw`, as text; a line that is not UTF-8 or holds NUL bytes has a problem.

    Raises:
        DataError: DATA_NOT_UTF8, the file is UTF-16 or UTF-32 throughout.
    """
    for place, begin, end, data, problem in read_raw(file, start=start, number=number, note=note):
        text: str | None = None
        if problem is None:
            text, problem = decode(data, place)
        if text and "\0" in text:
            problem = nul_bytes(text, place)
            text = None
        yield Line(place, begin, end, text, problem)


def decode(data: bytes, number: int) -> tuple[str | None, Problem | None]:
    """A line's text, or the problem that names its first bad byte."""
    try:
        return data.decode(), None
    except UnicodeDecodeError as error:
        place = len(data[: error.start].decode())
        return None, Problem(
            "DATA_NOT_UTF8",
            f"Byte {error.start + 1:,} of the line (0x{data[error.start]:02x}) is not UTF-8.",
            "Convert the file to UTF-8, for example with iconv.",
            line=number,
            column=place + 1,
            value=excerpt(data[max(0, error.start - 80) : error.start + 160].decode(errors="replace"), min(place, 80)),
        )


def nul_bytes(text: str, number: int) -> Problem:
    """The problem of a line that holds NUL, as after a power cut or in a binary file."""
    place = text.index("\0")
    return Problem(
        "DATA_NUL_BYTES",
        f"The line holds {text.count(chr(0)):,} NUL bytes.",
        "Write the file again, or remove the line.",
        line=number,
        column=place + 1,
        value=excerpt(text, place),
    )


def excerpt(text: str, place: int) -> str:
    """What stands around the character at `place` (from 0), harmless, at most `EXCERPT` characters."""
    return safe_text(text[max(0, place - 15) : place + EXCERPT - 15])[:EXCERPT]


def bom_note() -> Problem:
    """What to say of a file that begins with a byte order mark."""
    return Problem(
        "DATA_BOM",
        "The file begins with a byte order mark; it is not part of the first row.",
        "Nothing to do; other tools may stumble over it.",
        line=1,
        severity="warn",
    )


def refuse_wide_encoding(first: bytes) -> None:
    """Stop at the byte order mark of UTF-16 or UTF-32, or at the NUL beside each letter of text that lacks the mark.

    Args:
        first: the first four bytes of the file, or fewer.

    Raises:
        DataError: DATA_NOT_UTF8.
    """
    marked = first.startswith((b"\xff\xfe", b"\xfe\xff")) or first == b"\x00\x00\xfe\xff"
    zeros = tuple(not byte for byte in first)
    if marked or zeros in (_LITTLE, _BIG):
        raise DataError(
            "DATA_NOT_UTF8",
            "The file is written in UTF-16 or UTF-32.",
            "Convert it with `iconv -f UTF-16 -t UTF-8`.",
        )


_LITTLE, _BIG = (False, True, False, True), (True, False, True, False)


def nearest_name(path: Path) -> str:
    """A next step that names the file most like the one that is missing."""
    try:
        with os.scandir(path.parent) as entries:
            names = [entry.name for _, entry in zip(range(2000), entries, strict=False)]
    except (OSError, ValueError):
        return "Check the path."
    close = difflib.get_close_matches(path.name, names, n=1)
    return f"Did you mean {safe_text(close[0])}?" if close else "Check the path."


def _not_a_file(name: str) -> DataError:
    return DataError("DATA_NOT_A_FILE", f"{name} is not a regular file.", "Choose a file, not a folder or device.")


def too_long(data: bytes, number: int, size: int) -> Problem:
    """The problem of a line of `size` bytes that begins with `data`."""
    return Problem(
        "DATA_LINE_TOO_LONG",
        f"The line has {size:,} bytes; the most is {MAX_LINE:,}.",
        "Split the row into shorter ones.",
        line=number,
        value=excerpt(data[:200].decode(errors="replace"), 0),
    )
