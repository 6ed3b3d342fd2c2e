"""Single rows of a dataset, at once for any size: what they say, what they mean, and what the model would read."""

from __future__ import annotations

import json
from array import array
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Protocol

from backprop_tui.data.finding.places import DataSet, check_set
from backprop_tui.data.formats import Normalised, detect, row_reader
from backprop_tui.data.looking.part import How
from backprop_tui.data.rendering.encoded import Measure, Piece, Rendered
from backprop_tui.data.rows import Problem, Row
from backprop_tui.data.sources import can_seek, read_rows
from backprop_tui.protocol.errors import DataError

if TYPE_CHECKING:
    from pathlib import Path

    from backprop_tui.data.rendering.plans import TrainOn

_KEPT = 512
#: Rows between two remembered places of a file that can be entered in the middle.
_STRIDE = 64
#: Rows whose tokens are counted at once while looking for one that can't be used.
_BATCH = 256
#: Rows a search passes between two questions whether it is still wanted.
_EVERY = 64

Cancelled = Callable[[], bool]


class Explains(Protocol):
    """What shows a row as the model reads it: a `RemoteTokenizer`, or a `ChatTokenizer` in a process of one's own."""

    def explain(self, row: Normalised, *, max_length: int | None, train_on: TrainOn = "answers") -> Rendered:
        """One row cut into learnt, masked and left-out pieces."""

    def measure_many(
        self, rows: list[Normalised], *, max_length: int | None, train_on: TrainOn
    ) -> list[Measure | DataError]:
        """Count the tokens of rows."""


@dataclass(frozen=True, slots=True)
class PreviewRow:
    """One row, three ways. Text is exactly what the file says; screens make it harmless.

    Args:
        index: from 0, over all files of the set. line: in its file from 1, None in files without lines.
        raw: the row as text: a string itself, anything else as indented JSON.
        file: place of its file among the files of the set.
        columns: names of the row's cells, None when it has none.
        format: the format it is in, None when none fits.
        normalised: the row's turns or text, None when it can't be used.
        pieces: the rendering cut into trained, masked and left-out text; None without a tokenizer or when it can't be used.
        tokens: tokens the model reads; trained: of these learnt; cut: left out beyond `max_length`. None without a
            tokenizer.
        problem: why the row can't be used.
    """

    index: int
    line: int | None
    raw: str
    file: int = 0
    columns: tuple[str, ...] | None = None
    format: str | None = None
    normalised: Normalised | None = None
    pieces: tuple[Piece, ...] | None = None
    tokens: int | None = None
    trained: int | None = None
    cut: int | None = None
    problem: Problem | None = None


class Preview:
    """Rows of a dataset by number. Not safe to share between threads.

    Nothing is read ahead: asking for row n reads up to row n once. Places on the way are remembered, so going back is
    quick in JSON Lines and text; other files are read again from the beginning when a row is no longer remembered.

    Args:
        data: the resolved dataset.

    Attributes:
        at: the row asked for last, so that others can tell how far a search is.

    Raises:
        DataError: a file can't be opened.
    """

    def __init__(self, data: DataSet) -> None:
        check_set(data)
        self.at = 0
        self._files = [
            _File(number, path, source.field)
            for number, (source, path) in enumerate((source, path) for source in data.sources for path in source.files)
        ]

    @property
    def known(self) -> int:
        """Rows passed so far: all of them once `complete`."""
        return sum(file.known for file in self._files)

    @property
    def complete(self) -> bool:
        """Whether the end has been seen."""
        return all(file.complete for file in self._files)

    def close(self) -> None:
        """Let go of the files."""
        for file in self._files:
            file.close()

    def row(self, index: int, *, cancelled: Cancelled | None = None) -> Row | None:
        """Row `index` as it stands in its file; None beyond the end, or when `cancelled` said so on the way.

        Raises:
            DataError: DATA_CHANGED when a file is no longer the one that was opened, or it can't be read.
        """
        self.at = index
        if index < 0:
            return None
        before = 0
        for file in self._files:
            if not file.complete or index < before + file.known:
                found = file.row(index - before, cancelled)
                if found is not None:
                    return _moved(found, before)
                if not file.complete:
                    return None
            before += file.known
        return None

    def view(
        self,
        index: int,
        *,
        how: How | None = None,
        tokenizer: Explains | None = None,
        cancelled: Cancelled | None = None,
    ) -> PreviewRow | None:
        """Row `index` with its meaning and, given a tokenizer, its rendering.

        Raises:
            DataError: as `row`.
        """
        row = self.row(index, cancelled=cancelled)
        return None if row is None else view_row(row, how or How(), tokenizer)

    def find(self, text: str, start: int, *, cancelled: Cancelled | None = None) -> int | None:
        """The first row from `start` on that holds a text, in any case of letters; None when there is none.

        Raises:
            DataError: as `row`.
        """
        wanted = text.casefold()
        for index in count(start):
            if index % _EVERY == 0 and cancelled and cancelled():
                return None
            row = self.row(index, cancelled=cancelled)
            if row is None:
                return None
            if wanted in (row.raw or raw_text(row)).casefold():
                return index
        return None

    def find_bad(
        self,
        start: int,
        *,
        how: How | None = None,
        tokenizer: Explains | None = None,
        cancelled: Cancelled | None = None,
    ) -> int | None:
        """The first row from `start` on that can't be used, or loses its end; None when there is none.

        Raises:
            DataError: as `row`.
        """
        how = how or How()
        read = row_reader(how.format, how.columns)
        waiting: list[tuple[int, Normalised]] = []

        def refused() -> int | None:
            if tokenizer is None or not waiting:
                return None
            rows = [normalised for _, normalised in waiting]
            sizes = tokenizer.measure_many(rows, max_length=how.max_length, train_on=how.train_on)
            bad = (isinstance(size, DataError) or size.cut > 0 for size in sizes)
            return next((index for (index, _), is_bad in zip(waiting, bad, strict=True) if is_bad), None)

        for index in count(start):
            if index % _EVERY == 0 and cancelled and cancelled():
                return None
            row = self.row(index, cancelled=cancelled)
            if row is None:
                return None if cancelled and cancelled() else refused()
            try:
                if row.problem is not None:
                    raise row.problem.to_error("")
                waiting.append((index, read(row.value)[1]))
            except DataError:
                earlier = refused()
                return index if earlier is None else earlier
            if len(waiting) == _BATCH:
                if (earlier := refused()) is not None:
                    return earlier
                waiting.clear()
        return None


class _File:
    """Rows of one file of the set, numbered from 0."""

    def __init__(self, number: int, path: Path, field: str) -> None:
        self._number = number
        self._path = path
        self._field = field
        self._seekable = can_seek(path)
        self._state = _state(path)
        self._starts = array("Q")
        self._lines = array("Q")
        self._rows: OrderedDict[int, Row] = OrderedDict()
        self._reader: Iterator[Row] | None = None
        self._next = 0
        self.known = 0
        self.complete = False

    def close(self) -> None:
        self._reader = None

    def row(self, index: int, cancelled: Cancelled | None) -> Row | None:
        if self.complete and index >= self.known:
            return None
        if index in self._rows:
            self._rows.move_to_end(index)
            return self._rows[index]
        if index % _EVERY == 0 or index != self._next:
            self._refuse_change()
        if self._reader is None or index < self._next or self._nearer(index):
            self._enter(index)
        assert self._reader is not None
        for row in self._reader:
            self._remember(row)
            if row.index == index:
                return row
            if row.index % _BATCH == 0 and cancelled and cancelled():
                return None
        self.complete = True
        return None

    def _refuse_change(self) -> None:
        if _state(self._path) != self._state:
            raise DataError("DATA_CHANGED", "The data has changed since it was opened.", "Open it again.")

    def _nearer(self, index: int) -> bool:
        """Whether a remembered place is closer before `index` than where the reader stands."""
        return self._seekable and min(index // _STRIDE, len(self._starts) - 1) * _STRIDE > self._next

    def _enter(self, index: int) -> None:
        place = min(index // _STRIDE, len(self._starts) - 1) if self._seekable else -1
        start, line, first = (self._starts[place], self._lines[place], place * _STRIDE) if place >= 0 else (0, 1, 0)
        self._next = first
        self._reader = read_rows(self._path, start=start, line=line, index=first, file=self._number, field=self._field)

    def _remember(self, row: Row) -> None:
        self._next = row.index + 1
        self.known = max(self.known, row.index + 1)
        if self._seekable and row.index == len(self._starts) * _STRIDE and row.start is not None:
            self._starts.append(row.start)
            self._lines.append(row.line or 1)
        self._rows[row.index] = row
        self._rows.move_to_end(row.index)
        if len(self._rows) > _KEPT:
            self._rows.popitem(last=False)


def raw_text(row: Row) -> str:
    """The row as text: a string itself, anything else as indented JSON."""
    if row.problem is not None and row.value is None:
        return row.raw
    return row.value if isinstance(row.value, str) else json.dumps(row.value, ensure_ascii=False, indent=1, default=str)


def view_row(row: Row, how: How, tokenizer: Explains | None = None) -> PreviewRow:
    """A row with its meaning and, given a tokenizer, its rendering; whatever is wrong becomes `problem`."""
    raw = raw_text(row)
    columns = tuple(map(str, row.value)) if isinstance(row.value, dict) else None
    if row.problem is not None and row.problem.severity == "error":
        return PreviewRow(row.index, row.line, raw, row.file, columns, problem=row.problem)
    name: str | None = None
    normalised: Normalised | None = None
    try:
        name, normalised = row_reader(how.format, how.columns)(row.value)
        if tokenizer is None:
            return PreviewRow(row.index, row.line, raw, row.file, columns, name, normalised)
        rendered = tokenizer.explain(normalised, max_length=how.max_length, train_on=how.train_on)
    except DataError as error:
        name = name or (detect(row.value) if how.format == "auto" else how.format)
        problem = Problem(
            error.code, error.cause, error.next_step, row.line, row.index + 1, "warn", value=getattr(error, "value", "")
        )
        return PreviewRow(row.index, row.line, raw, row.file, columns, name, normalised, problem=problem)
    encoded = rendered.encoded
    lost: Problem | None = None
    if not encoded.trained_tokens:
        from backprop_tui.data.rendering.cutting import answer_cut

        code, _, cause, next_step = answer_cut(len(encoded), encoded.cut)
        lost = Problem(code, cause, next_step, row.line, row.index + 1, "warn")
    return PreviewRow(
        row.index,
        row.line,
        raw,
        row.file,
        columns,
        name,
        normalised,
        rendered.pieces,
        len(encoded),
        encoded.trained_tokens,
        encoded.cut,
        lost,
    )


def _state(path: Path) -> tuple[int, int, int]:
    try:
        info = path.stat()
    except OSError:
        return 0, 0, 0
    return info.st_ino, info.st_size, info.st_mtime_ns


def _moved(row: Row, before: int) -> Row:
    """The row numbered over the whole set."""
    if not before:
        return row
    return Row(row.index + before, row.line, row.value, row.problem, row.start, row.end, row.raw, row.file)
