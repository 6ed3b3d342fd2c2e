"""Single rows of a file, at once for any size: what they say, what they mean, and what the model would read."""

from __future__ import annotations

import json
import os
from array import array
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from backprop_tui.data.encoded import Piece
from backprop_tui.data.formats import Normalised, detect, read_row
from backprop_tui.data.rows import Problem, Row
from backprop_tui.data.sources import can_seek, check_source, read_rows
from backprop_tui.protocol.errors import DataError

if TYPE_CHECKING:
    from backprop_tui.data.chat import ChatTokenizer, TrainOn

_KEPT = 512
#: Rows between two remembered places of a file that can be entered in the middle.
_STRIDE = 64


@dataclass(frozen=True, slots=True)
class PreviewRow:
    """One row, three ways. Text is exactly what the file says; screens make it harmless.

    Args:
        index: from 0. line: from 1, None in files without lines.
        raw: the row as text: a string itself, anything else as indented JSON.
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
    format: str | None = None
    normalised: Normalised | None = None
    pieces: tuple[Piece, ...] | None = None
    tokens: int | None = None
    trained: int | None = None
    cut: int | None = None
    problem: Problem | None = None


class FilePreview:
    """Rows of one file by number. Not safe to share between threads.

    Nothing is read ahead: asking for row n reads up to row n once. Places on the way are remembered, so going back is
    quick in JSON Lines and text; other files are read again from the beginning when a row is no longer remembered.

    Args:
        path: the data file.
        format: a format's name, or `auto`.

    Raises:
        DataError: the file can't be opened.
    """

    def __init__(self, path: Path, *, format: str = "auto") -> None:
        check_source(path)
        self.path = path
        self._format = format
        self._state = _state(path)
        self._seekable = can_seek(path)
        self._starts = array("Q")
        self._lines = array("Q")
        self._rows: OrderedDict[int, Row] = OrderedDict()
        self._reader: Iterator[Row] | None = None
        self._next = 0
        self.known = 0
        self.complete = False

    def close(self) -> None:
        """Let go of the file."""
        self._reader = None

    def row(self, index: int, *, cancelled: Callable[[], bool] | None = None) -> Row | None:
        """Row `index` as it stands in the file; None beyond the end, or when `cancelled` said so on the way.

        Raises:
            DataError: DATA_CHANGED when the file is no longer the one that was opened, or it can't be read.
        """
        if index < 0 or (self.complete and index >= self.known):
            return None
        if index in self._rows:
            self._rows.move_to_end(index)
            return self._rows[index]
        if _state(self.path) != self._state:
            raise DataError("DATA_CHANGED", "The file has changed since it was opened.", "Open it again.")
        if self._reader is None or index < self._next or self._nearer(index):
            self._enter(index)
        assert self._reader is not None
        for row in self._reader:
            self._remember(row)
            if row.index == index:
                return row
            if row.index % 256 == 0 and cancelled and cancelled():
                return None
        self.complete = True
        return None

    def view(
        self,
        index: int,
        *,
        tokenizer: ChatTokenizer | None = None,
        max_length: int | None = None,
        train_on: TrainOn = "answers",
        cancelled: Callable[[], bool] | None = None,
    ) -> PreviewRow | None:
        """Row `index` with its meaning and, given a tokenizer, its rendering.

        Raises:
            DataError: as `row`.
        """
        row = self.row(index, cancelled=cancelled)
        return None if row is None else view_row(row, self._format, tokenizer, max_length, train_on)

    def _nearer(self, index: int) -> bool:
        """Whether a remembered place is closer before `index` than where the reader stands."""
        return self._seekable and min(index // _STRIDE, len(self._starts) - 1) * _STRIDE > self._next

    def _enter(self, index: int) -> None:
        place = min(index // _STRIDE, len(self._starts) - 1) if self._seekable else -1
        if place < 0:
            self._reader, self._next = read_rows(self.path), 0
            return
        self._next = place * _STRIDE
        self._reader = read_rows(self.path, start=self._starts[place], line=self._lines[place], index=place * _STRIDE)

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


def view_row(
    row: Row,
    format: str = "auto",
    tokenizer: ChatTokenizer | None = None,
    max_length: int | None = None,
    train_on: TrainOn = "answers",
) -> PreviewRow:
    """A row with its meaning and, given a tokenizer, its rendering; whatever is wrong becomes `problem`."""
    if row.problem is not None:
        return PreviewRow(row.index, row.line, row.raw, problem=row.problem)
    raw = row.value if isinstance(row.value, str) else json.dumps(row.value, ensure_ascii=False, indent=1, default=str)
    name: str | None = None
    normalised: Normalised | None = None
    try:
        name, normalised = read_row(row.value, format)
        if tokenizer is None:
            return PreviewRow(row.index, row.line, raw, name, normalised)
        from backprop_tui.data.chat import answer_cut

        rendered = tokenizer.explain(normalised, max_length=max_length, train_on=train_on)
    except DataError as error:
        name = name or (detect(row.value) if format == "auto" else format)
        problem = Problem(error.code, error.cause, error.next_step, row.line, row.index + 1, "warn")
        return PreviewRow(row.index, row.line, raw, name, normalised, problem=problem)
    encoded = rendered.encoded
    lost: Problem | None = None
    if not encoded.trained_tokens:
        code, _, cause, next_step = answer_cut(encoded)
        lost = Problem(code, cause, next_step, row.line, row.index + 1, "warn")
    return PreviewRow(
        row.index,
        row.line,
        raw,
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
        info = os.stat(path)
    except OSError:
        return 0, 0, 0
    return info.st_ino, info.st_size, info.st_mtime_ns
