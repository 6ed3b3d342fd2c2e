"""What parquet and Arrow files share: batches of columns become rows, a piece at a time, with bounded memory."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from backprop_tui.data.readers import files
from backprop_tui.data.readers.cells import python_values
from backprop_tui.data.readers.entry import Entry
from backprop_tui.data.readers.files import EXCERPT
from backprop_tui.data.readers.json_words import texts_of
from backprop_tui.data.readers.packed import Unpacked
from backprop_tui.data.rows import Problem, Row
from backprop_tui.protocol.errors import DataError
from backprop_tui.protocol.text import safe_text

if TYPE_CHECKING:
    import pyarrow

#: Most rows told at a time.
PIECE = 1024


@contextlib.contextmanager
def spooled(file: BinaryIO) -> Iterator[BinaryIO]:
    """The file at its beginning, or a temporary copy on disk of one that can only be read from front to back.

    Raises:
        DataError: the packed file is a bomb or damaged.
    """
    source = getattr(file, "raw", None)
    file.seek(0)
    if not isinstance(source, Unpacked):
        yield file
        return
    with tempfile.TemporaryFile() as copy:
        shutil.copyfileobj(file, copy, 1 << 20)
        if source.damage is not None:
            raise DataError(source.damage.code, source.damage.cause, source.damage.next_step)
        copy.seek(0)
        yield cast(BinaryIO, copy)


def rows_of(batch: pyarrow.RecordBatch, entry: Entry, index: int, begin: int, end: int) -> Iterator[Row]:
    """Rows of a batch; one that can't be told carries its problem.

    Args:
        batch: the columns.
        entry: how the file was entered.
        index: number of the first row of the batch.
        begin: bytes of the file used before the batch, for progress.
        end: bytes used after it.
    """
    first = index
    step = (end - begin) / max(1, batch.num_rows)
    for place in range(0, batch.num_rows, PIECE):
        piece = batch.slice(place, PIECE)
        large = piece.nbytes > files.MAX_LINE
        for value, problem in _pairs(piece):
            if large and problem is None:
                problem = _giant(value)
            index += 1
            done = begin + int(step * (index - first))
            yield Row(index - 1, None, None if problem else value, problem, None, done, "", entry.file)


def broken(code: str, what: str, error: BaseException) -> DataError:
    """The error of a file of the kind `what` that the library can't read."""
    words = (str(error).splitlines() or [type(error).__name__])[0]
    return DataError(code, f"The {what} can't be read: {safe_text(words, limit=160)}.", "Write or download it again.")


def _pairs(piece: pyarrow.RecordBatch) -> Iterator[tuple[Any, Problem | None]]:
    import pyarrow

    names = piece.schema.names
    try:
        columns = [python_values(column) for column in piece.columns]
    except (pyarrow.ArrowException, ValueError, OverflowError) as error:
        if piece.num_rows == 1:
            yield None, _untold(piece, error)
            return
        # Halves, so that few broken rows among many cost little.
        middle = piece.num_rows // 2
        yield from _pairs(piece.slice(0, middle))
        yield from _pairs(piece.slice(middle))
        return
    if not columns:
        yield from (({}, None) for _ in range(piece.num_rows))
        return
    for cells in zip(*columns, strict=True):
        yield dict(zip(names, cells, strict=True)), None


def _untold(row: pyarrow.RecordBatch, error: BaseException) -> Problem:
    """The problem of a row of which a cell can't be told, with the number of the column."""
    import pyarrow

    place, name = None, ""
    for number, column in enumerate(row.columns, 1):
        try:
            python_values(column)
        except (pyarrow.ArrowException, ValueError, OverflowError):
            place, name = number, row.schema.names[number - 1]
            break
    utf8 = isinstance(error, UnicodeDecodeError)
    bad = error.object[error.start :] if isinstance(error, UnicodeDecodeError) else b""
    return Problem(
        "DATA_NOT_UTF8" if utf8 else "DATA_CELL_BROKEN",
        f"The column {safe_text(name, limit=60)!r} holds "
        + ("text that is not UTF-8." if utf8 else f"a value that can't be told: {safe_text(error, limit=80)}."),
        "Write the file again, or drop the row.",
        column=place,
        value=safe_text(bad[:200].decode(errors="replace"))[:EXCERPT],
    )


def _giant(value: dict[str, Any]) -> Problem | None:
    """The problem of a row with a text above the limit of lines."""
    for place, (name, cell) in enumerate(value.items(), 1):
        longest = len(cell) if isinstance(cell, bytes) else max(map(len, texts_of(cell)[0]), default=0)
        if longest > files.MAX_LINE:
            return Problem(
                "DATA_LINE_TOO_LONG",
                f"The column {safe_text(name, limit=60)!r} holds {longest:,} characters; the most is {files.MAX_LINE:,}.",
                "Split the row into shorter ones.",
                column=place,
            )
    return None
