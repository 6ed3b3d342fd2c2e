"""Opening a file that may be anything, and cutting bytes into lines with a limit."""

from __future__ import annotations

import difflib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from backprop_tui.data.rows import Problem
from backprop_tui.protocol.errors import DataError
from backprop_tui.protocol.text import safe_text

#: Longest line taken as one row, in bytes. No honest chat row comes near, and one row must fit in memory many times over.
MAX_LINE = 16 << 20
_BOM = b"\xef\xbb\xbf"
_CHUNK = 1 << 20


def open_file(path: Path) -> BinaryIO:
    """Open a regular file for reading, never waiting for a FIFO's writer and never reading a device.

    Raises:
        DataError: DATA_FILE_MISSING, DATA_NOT_A_FILE, DATA_UNREADABLE or DATA_FILE_EMPTY.
    """
    name = safe_text(path)
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0))
    except (FileNotFoundError, NotADirectoryError):
        raise DataError("DATA_FILE_MISSING", f"There is no file {name}.", _nearest(path)) from None
    except (OSError, ValueError) as error:
        if path.exists() and not path.is_file():
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


@dataclass(frozen=True, slots=True)
class Line:
    """One line without its line break. `text` is None when `problem` says why there is none."""

    number: int
    start: int
    end: int
    text: str | None
    problem: Problem | None = None


def read_lines(file: BinaryIO, *, start: int = 0, number: int = 1) -> Iterator[Line]:
    """Lines of a UTF-8 file from byte `start`, which is the beginning of line `number`.

    A byte order mark is taken off the first line. A line that is too long or not UTF-8 becomes a `Line` with a problem.

    Raises:
        DataError: DATA_NOT_UTF8, the file is UTF-16 or UTF-32 throughout.
    """
    file.seek(start)
    position = start
    while True:
        data = file.readline(MAX_LINE + 1)
        if not data:
            return
        line_start = position
        position += len(data)
        if len(data) > MAX_LINE and not data.endswith(b"\n"):
            while (rest := file.readline(_CHUNK)) and not rest.endswith(b"\n"):
                position += len(rest)
            position += len(rest)
            size = position - line_start
            problem = Problem(
                "DATA_LINE_TOO_LONG",
                f"The line has {size:,} bytes; the most is {MAX_LINE:,}.",
                "Split the row into shorter ones.",
                line=number,
            )
            yield Line(number, line_start, position, None, problem)
            number += 1
            continue
        if line_start == 0:
            refuse_wide_encoding(data[:4])
            data = data.removeprefix(_BOM)
        text, bad = decode(data.rstrip(b"\r\n"), number)
        yield Line(number, line_start, position, text, bad)
        number += 1


def decode(data: bytes, number: int) -> tuple[str | None, Problem | None]:
    """A line's text, or the problem that names its first bad byte."""
    try:
        return data.decode(), None
    except UnicodeDecodeError as error:
        return None, Problem(
            "DATA_NOT_UTF8",
            f"Byte {error.start + 1:,} of the line (0x{data[error.start]:02x}) is not UTF-8.",
            "Convert the file to UTF-8, for example with iconv.",
            line=number,
        )


def refuse_wide_encoding(first: bytes) -> None:
    """Stop at the byte order mark of UTF-16 or UTF-32.

    Raises:
        DataError: DATA_NOT_UTF8.
    """
    if first.startswith((b"\xff\xfe", b"\xfe\xff")) or first == b"\x00\x00\xfe\xff":
        raise DataError(
            "DATA_NOT_UTF8",
            "The file is written in UTF-16 or UTF-32.",
            "Convert it with `iconv -f UTF-16 -t UTF-8`.",
        )


def _not_a_file(name: str) -> DataError:
    return DataError("DATA_NOT_A_FILE", f"{name} is not a regular file.", "Choose a file, not a folder or device.")


def _nearest(path: Path) -> str:
    try:
        with os.scandir(path.parent) as entries:
            names = [entry.name for _, entry in zip(range(2000), entries, strict=False)]
    except OSError:
        return "Check the path."
    close = difflib.get_close_matches(path.name, names, n=1)
    return f"Did you mean {safe_text(close[0])}?" if close else "Check the path."
