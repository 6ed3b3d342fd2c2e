"""Tables of text: comma, semicolon, bar or tab between cells, the first line naming the columns. Every cell stays text."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator
from typing import BinaryIO

from backprop_tui.data.readers.entry import Entry
from backprop_tui.data.readers.files import MAX_LINE, Line, excerpt, read_lines
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
        self.first: str = ""
        self.problem: Problem | None = None

    def __iter__(self) -> _Feed:
        return self

    def __next__(self) -> str:
        self.last = next(self._lines)
        if self.last.problem is not None:
            self.problem = self.problem or self.last.problem
            return "\n"
        text = self.last.text or ""
        self.first = self.first or text
        return f"{text}\n"

    @property
    def number(self) -> int:
        """The line handed on last, 0 before the first."""
        return self.last.number if self.last else 0

    @property
    def end(self) -> int:
        """The byte after that line."""
        return self.last.end if self.last else 0

    def take_problem(self) -> Problem | None:
        """What was wrong with the lines handed on since the last call."""
        problem, self.problem = self.problem, None
        return problem


def read(file: BinaryIO, entry: Entry) -> Iterator[Row]:
    """Rows as objects by column name. A table can only be entered at its beginning.

    Raises:
        DataError: DATA_CSV_HEADER, the first line does not name columns, or names one twice.
    """
    csv.field_size_limit(MAX_LINE)
    feed = _Feed(read_lines(file, note=entry.note))
    separator, columns = _header(feed)
    table = csv.reader(feed, delimiter=separator, strict=True)
    index = entry.index
    while True:
        begin, offset, feed.first = feed.number + 1, feed.end, ""
        problem: Problem | None = None
        cells: list[str] = []
        try:
            cells = next(table)
        except StopIteration:
            return
        except csv.Error as error:
            problem = _broken(str(error), feed, begin)
        problem = feed.take_problem() or problem
        if problem is None and (not cells or (len(cells) == 1 and not cells[0].strip() and len(columns) > 1)):
            continue
        if problem is None and len(cells) != len(columns):
            problem = _uneven(cells, len(columns), begin)
        value = dict(zip(columns, cells, strict=True)) if problem is None else None
        raw = (separator.join(cells) or feed.first) if problem else ""
        yield Row(index, begin, value, problem, offset, feed.end, raw, entry.file)
        index += 1


def _header(feed: _Feed) -> tuple[str, list[str]]:
    """The separator and the names of the columns."""
    head = _first(feed)
    separator = max(_SEPARATORS, key=lambda mark: (head.count(mark), -_SEPARATORS.index(mark)))
    if head.lower().startswith("sep=") and head[4:].rstrip("\n") in tuple(_SEPARATORS):
        # Spreadsheets write the separator into a line of its own.
        separator, head = head[4], _first(feed)
    try:
        columns = next(csv.reader([head], delimiter=separator, strict=True), [])
    except csv.Error as error:
        raise _bad_header(f"The first line can't be read: {error}.") from None
    twice = [name for name, count in Counter(columns).items() if count > 1]
    if not any(name.strip() for name in columns):
        raise _bad_header("The first line names no columns.")
    if twice:
        raise _bad_header(f"The column {safe_text(twice[0], limit=60)!r} is named twice.")
    return separator, columns


def _first(feed: _Feed) -> str:
    head = next(feed, "")
    if (bad := feed.take_problem()) is not None:
        raise DataError(bad.code, bad.cause, bad.next_step, {"line": bad.line})
    return head


def _broken(words: str, feed: _Feed, begin: int) -> Problem:
    more = feed.number - begin
    cause = f"The row can't be read: {words}."
    if more > 0:
        cause += f" The {more:,} lines after it were taken for part of it and are not read."
    value = excerpt(feed.first, max(0, feed.first.find('"')))
    return Problem("DATA_CSV_BROKEN", cause, "Check the quotation marks.", line=begin, value=value)


def _uneven(cells: list[str], columns: int, begin: int) -> Problem:
    extra = len(cells) > columns
    return Problem(
        "DATA_CSV_COLUMNS",
        f"The row has {len(cells)} cells; the header names {columns}.",
        "Check separators and quotation marks.",
        line=begin,
        column=columns + 1 if extra else len(cells) + 1,
        value=excerpt(cells[columns] if extra else cells[-1], 0),
    )


def _bad_header(cause: str) -> DataError:
    return DataError("DATA_CSV_HEADER", cause, "Write the column names in the first line, each once.", {"line": 1})
