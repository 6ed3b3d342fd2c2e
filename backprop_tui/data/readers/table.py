"""Tables of text: comma, semicolon, bar or tab between cells, the first line naming the columns. Every cell stays text."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator
from typing import BinaryIO

from backprop_tui.data.readers.files import MAX_LINE, Line, read_lines
from backprop_tui.data.rows import Problem, Row
from backprop_tui.protocol.errors import DataError
from backprop_tui.protocol.text import safe_text

EXTENSIONS = (".csv", ".tsv")
_SEPARATORS = ",;\t|"


class _Feed:
    """Lines for the csv module, remembering where they were and what was wrong with them."""

    def __init__(self, lines: Iterator[Line]) -> None:
        self._lines = lines
        self.last: Line | None = None
        self.problem: Problem | None = None

    def __iter__(self) -> _Feed:
        return self

    def __next__(self) -> str:
        self.last = next(self._lines)
        if self.last.problem is not None:
            self.problem = self.problem or self.last.problem
            return "\n"
        return f"{self.last.text}\n"

    def take_problem(self) -> Problem | None:
        """What was wrong with the lines handed on since the last call."""
        problem, self.problem = self.problem, None
        return problem


def read(file: BinaryIO, *, start: int = 0, line: int = 1, index: int = 0) -> Iterator[Row]:
    """Rows as objects by column name. A table can only be entered at its beginning.

    Raises:
        DataError: DATA_CSV_HEADER, the first line does not name columns, or names one twice.
    """
    csv.field_size_limit(MAX_LINE)
    feed = _Feed(read_lines(file))
    head = next(feed, "")
    if (bad := feed.take_problem()) is not None:
        raise DataError(bad.code, bad.cause, bad.next_step)
    separator = max(_SEPARATORS, key=lambda mark: (head.count(mark), -_SEPARATORS.index(mark)))
    try:
        columns = next(csv.reader([head], delimiter=separator, strict=True), [])
    except csv.Error as error:
        raise _bad_header(f"The first line can't be read: {error}.") from None
    _check_columns(columns)
    table = csv.reader(feed, delimiter=separator, strict=True)
    while True:
        begin = feed.last.number + 1 if feed.last else 1
        offset = feed.last.end if feed.last else 0
        problem: Problem | None = None
        cells: list[str] = []
        try:
            cells = next(table)
        except StopIteration:
            return
        except csv.Error as error:
            problem = Problem(
                "DATA_CSV_BROKEN", f"The row can't be read: {error}.", "Check the quotation marks.", line=begin
            )
        end = feed.last.end if feed.last else 0
        problem = feed.take_problem() or problem
        if problem is None and (not cells or (len(cells) == 1 and not cells[0].strip() and len(columns) > 1)):
            continue
        if problem is None and len(cells) != len(columns):
            problem = Problem(
                "DATA_CSV_COLUMNS",
                f"The row has {len(cells)} cells; the header names {len(columns)}.",
                "Check separators and quotation marks.",
                line=begin,
            )
        if problem is not None:
            yield Row(index, begin, problem=problem, start=offset, end=end, raw=separator.join(cells))
        else:
            yield Row(index, begin, dict(zip(columns, cells, strict=True)), start=offset, end=end)
        index += 1


def _check_columns(columns: list[str]) -> None:
    twice = [name for name, count in Counter(columns).items() if count > 1]
    if not any(name.strip() for name in columns):
        raise _bad_header("The first line names no columns.")
    if twice:
        raise _bad_header(f"The column {safe_text(twice[0], limit=60)!r} is named twice.")


def _bad_header(cause: str) -> DataError:
    return DataError("DATA_CSV_HEADER", cause, "Write the column names in the first line, each once.", {"line": 1})
