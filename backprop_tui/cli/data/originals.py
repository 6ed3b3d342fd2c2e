"""Rows written as they are: the same object with all its columns, whether or not anybody here knows what they mean.

A row of a JSON Lines file is copied byte for byte. A row of any other file is written as the JSON object its cells make
(NaN, which JSON lacks, as null), and a piece of text as `{"text": …}`.
"""

from __future__ import annotations

import gzip
import json
import math
import os
import tempfile
from array import array
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO, Any, BinaryIO

from backprop_tui.data.finding.places import DataSet
from backprop_tui.data.readers import jsonl
from backprop_tui.data.readers.files import BOM, open_file
from backprop_tui.data.rows import Row
from backprop_tui.protocol.errors import DataError, UsageError
from backprop_tui.protocol.text import safe_text

#: Files kept open at once.
_OPEN = 64


class Originals:
    """The rows of a set as they are written. A context manager that lets go of the files.

    Args:
        data: the set the rows are from.
    """

    def __init__(self, data: DataSet) -> None:
        self._paths = data.files
        self._copied = [path.suffix.lower() in jsonl.EXTENSIONS for path in data.files]
        self._open: dict[int, BinaryIO] = {}

    def __enter__(self) -> Originals:
        return self

    def __exit__(self, *_: object) -> None:
        while self._open:
            self._open.popitem()[1].close()

    def copied(self, row: Row) -> bool:
        """Whether the row is copied from its place in its file."""
        return row.start is not None and self._copied[row.file]

    def line(self, row: Row) -> bytes:
        """The row as JSON, without a line break.

        Raises:
            DataError: its file can't be opened.
        """
        if row.start is not None and self._copied[row.file]:
            return self.at(row.file, row.start, row.end - row.start)
        return as_json(row.value)

    def at(self, file: int, start: int, size: int) -> bytes:
        """The line in `size` bytes of a file from `start` on.

        Raises:
            DataError: the file can't be opened.
        """
        handle = self._open.get(file)
        if handle is None:
            if len(self._open) == _OPEN:
                self._open.pop(next(iter(self._open))).close()
            handle = self._open[file] = open_file(self._paths[file])
        line = os.pread(handle.fileno(), size, start).rstrip(b"\r\n")
        return line if start else line.removeprefix(BOM)


class Places:
    """Where rows stand, so that they can be written in any order: 16 bytes a row, and a file of their own for those that
    can't be found again in theirs.

    Args:
        originals: the rows as they are written.
        folder: where that file is made; it has no name and goes away with this process.
        stack: closes it.
    """

    def __init__(self, originals: Originals, folder: Path, stack: ExitStack) -> None:
        self._originals = originals
        self._files = array("i")
        self._starts = array("Q")
        self._sizes = array("I")
        self._folder, self._stack = folder, stack
        self._aside: IO[bytes] | None = None
        self._end = 0

    def remember(self, row: Row) -> None:
        """The next row.

        Raises:
            OSError: the disk is full.
        """
        if self._originals.copied(row):
            file, start, size = row.file, row.start or 0, row.end - (row.start or 0)
        else:
            if self._aside is None:
                self._aside = self._stack.enter_context(tempfile.TemporaryFile(dir=self._folder))  # noqa: SIM115
            written = self._originals.line(row)
            self._aside.write(written)
            file, start, size = -1, self._end, len(written)
            self._end += size
        self._files.append(file)
        self._starts.append(start)
        self._sizes.append(size)

    def lines(self, order: list[int]) -> Iterator[bytes]:
        """The rows in an order, by their number from 0 as they were remembered."""
        if self._aside is not None:
            self._aside.flush()
        for number in order:
            file, start, size = self._files[number], self._starts[number], self._sizes[number]
            if file >= 0:
                yield self._originals.at(file, start, size)
            else:
                assert self._aside is not None
                yield os.pread(self._aside.fileno(), size, start)


class Lines:
    """Takes the rows of a result. `rows` counts them; without a file they are only counted."""

    def __init__(self, file: Any, path: Path | None) -> None:
        self._file = file
        self.path = path
        self.rows = 0

    @property
    def counting(self) -> bool:
        """Whether rows are only counted here."""
        return self._file is None

    def add(self, line: bytes) -> None:
        """One row, as JSON."""
        self.rows += 1
        if self._file is not None:
            self._file.write(line)
            self._file.write(b"\n")

    def take(self, row: Row, originals: Originals) -> None:
        """One row as it stands in its file."""
        self.add(b"" if self._file is None else originals.line(row))

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready words of a finished result; file and bytes are None when nothing was written."""
        if self.path is None:
            return {"file": None, "rows": self.rows, "bytes": None}
        return {"file": safe_text(self.path), "rows": self.rows, "bytes": self.path.stat().st_size}


@contextmanager
def lines_to(path: Path | None, data: DataSet, *, force: bool = False) -> Iterator[Lines]:
    """A result that appears when the block ends well and has rows, and leaves no trace otherwise.

    Args:
        path: a JSON Lines file, gzipped if the name says so; None counts.
        data: what is read; none of its files is written onto.
        force: replace a file that is there.

    Raises:
        UsageError: DATA_OUT_KIND, or `path` may not be written (see `writers.aside`).
        DataError: DATA_NOTHING_WRITTEN, there is no row.
        UnavailableError: DATA_OUT_FAILED.
    """
    if path is None:
        yield Lines(None, None)
        return
    from backprop_tui.data.writers.aside import written_aside

    name = path.name.lower()
    if not name.removesuffix(".gz").endswith(jsonl.EXTENSIONS):
        raise UsageError(
            "DATA_OUT_KIND",
            f"{safe_text(path.name, limit=200)} is no JSON Lines file, as which rows are written unchanged.",
            "End it in .jsonl or .jsonl.gz; `backprop data convert` writes other kinds.",
        )
    with written_aside(path, overwrite=force, inputs=data.files) as file:
        # Neither name nor time in the header: the same rows give the same bytes.
        packed = gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=0) if name.endswith(".gz") else None
        lines = Lines(packed or file, path)
        try:
            yield lines
        except BaseException:
            # Nobody will read the file, but its wrapper must let go of it before it is closed.
            with suppress(Exception):
                if packed is not None:
                    packed.close()
            raise
        if not lines.rows:
            raise DataError(
                "DATA_NOTHING_WRITTEN", "No row is left, so nothing was written.", "Leave fewer of them out."
            )
        if packed is not None:
            packed.close()


def as_json(value: Any) -> bytes:
    """A row's value as JSON: UTF-8, or ASCII where it holds characters that UTF-8 can't carry."""
    import msgspec

    if isinstance(value, str):
        value = {"text": value}
    try:
        return msgspec.json.encode(value)
    except (UnicodeEncodeError, TypeError, OverflowError):
        return json.dumps(_with_nulls(value), separators=(",", ":"), default=str).encode("ascii")


def _with_nulls(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): _with_nulls(cell) for key, cell in value.items()}
    if isinstance(value, list | tuple):
        return [_with_nulls(cell) for cell in value]
    return value
