"""Look through a whole dataset and say what is in it, what is wrong and where, and what a model would learn from it.

Large JSON Lines files are cut into pieces that child processes look at side by side; everything else is read here.
"""

from __future__ import annotations

import os
import time
from array import array
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Literal, Protocol

import msgspec

from backprop_tui.data.children import wire
from backprop_tui.data.children.crew import MOST, Crew, cores
from backprop_tui.data.children.remote import RemoteTokenizer
from backprop_tui.data.finding.places import DataSet, check_set
from backprop_tui.data.formats import Normalised, Purpose
from backprop_tui.data.looking.findings import FileFinding, Inspection
from backprop_tui.data.looking.look import Look, Measurer, look_at_lines
from backprop_tui.data.looking.packing import forecast
from backprop_tui.data.looking.part import How, Part
from backprop_tui.data.looking.statistics import length_stats, repeated
from backprop_tui.data.purposes import OTHER
from backprop_tui.data.readers import jsonl
from backprop_tui.data.readers.files import open_file
from backprop_tui.data.rendering.encoded import Measure
from backprop_tui.data.rows import Problem
from backprop_tui.data.sources import read_rows
from backprop_tui.protocol.errors import DataError
from backprop_tui.protocol.text import safe_text

#: Bytes of a piece: small enough to show progress several times a second, large enough to keep a child busy.
_PIECE, _PIECE_WITH_TOKENS = 4 << 20, 1 << 20
#: Bytes of a set from which children pay for their start when there is nothing to tokenise.
_LARGE = 24 << 20
#: Rows taken at once from files that are read here.
_BATCH = 512

OnProgress = Callable[[int, int], None]
Cancelled = Callable[[], bool]


class Tokenises(Protocol):
    """What counts tokens: a `RemoteTokenizer`, or a `ChatTokenizer` in a process of one's own."""

    @property
    def closes_answers(self) -> bool:
        """Whether the template ends an answer with a control token."""

    def measure_many(
        self, rows: Sequence[Normalised], *, max_length: int | None, train_on: Literal["answers", "everything"]
    ) -> list[Measure | DataError]:
        """Count the tokens of rows."""


@dataclass(frozen=True, slots=True)
class _Piece:
    """A stretch of one file. `end` None means that the file can't be cut and is read here as a whole."""

    file: int
    start: int
    end: int | None


def inspect_data(
    data: DataSet,
    *,
    tokenizer: Tokenises | None = None,
    how: How | None = None,
    purpose: Purpose | None = None,
    refuses_damage: bool = True,
    batch_size: int = 4,
    on_progress: OnProgress | None = None,
    cancelled: Cancelled | None = None,
) -> Inspection:
    """Read every row once, in memory that grows by about 30 bytes a row and not with the text.

    Args:
        data: the resolved dataset.
        tokenizer: the model's, to count tokens and check masks; None leaves tokens unknown.
        how: the way rows are read; None looks at each row and cuts nothing.
        purpose: what the rows are wanted for; None takes what most of them are for.
        refuses_damage: whether damaged rows make the set unusable.
        batch_size: rows of a micro-batch, for the forecast of packing.
        on_progress: told (bytes read, bytes in all).
        cancelled: asked several times a second; True ends the look, and the result says it is not complete.

    Raises:
        DataError: a file can't be read at all or stops being readable, or the chat template hangs.
    """
    began = time.monotonic()
    how = how or How()
    found = Inspection(data.words, check_set(data), how.max_length, refuses_damage, how.train_on == "answers")
    found.files = [FileFinding(safe_text(path.name), path.stat().st_size) for path in data.files]
    merge = _Merge(found, data)
    with ExitStack() as stack:
        crew = _crew(found.size, tokenizer, stack)
        for piece, part, done in _parts(data, how, tokenizer, crew, cancelled):
            merge.add(piece.file, part)
            if on_progress:
                on_progress(min(found.size, done), found.size)
    if cancelled and cancelled():
        found.complete = False
    merge.finish(purpose, tokenizer is not None, batch_size)
    if not found.rows and found.complete:
        raise DataError("DATA_FILE_EMPTY", f"{safe_text(data.words)} has no rows.", "Choose a file with rows in it.")
    if tokenizer is not None and merge.chats and not tokenizer.closes_answers:
        found.add(
            Problem(
                "CHAT_TEMPLATE_NO_STOP",
                "The chat template ends an answer without a control token, so the model may not learn to stop.",
                "Choose a chat template that ends answers with one.",
                severity="warn",
            )
        )
    if on_progress and found.complete:
        on_progress(found.size, found.size)
    found.seconds = time.monotonic() - began
    return found


def _crew(size: int, tokenizer: Tokenises | None, stack: ExitStack) -> Crew | None:
    """Children to share the work: the tokenizer's own, or some for the occasion where there is enough to do."""
    if isinstance(tokenizer, RemoteTokenizer):
        return tokenizer.crew
    if tokenizer is not None or size < _LARGE or cores() == 1:
        return None
    return stack.enter_context(Crew(min(MOST, cores(), -(-size // _PIECE))))


def _parts(
    data: DataSet, how: How, tokenizer: Tokenises | None, crew: Crew | None, cancelled: Cancelled | None
) -> Iterator[tuple[_Piece, Part, int]]:
    """The findings piece by piece, in order, with the bytes read so far."""
    measure = _measurer(tokenizer, how)
    done = 0
    files = [(path, source.field) for source in data.sources for path in source.files]
    for number, (path, field) in enumerate(files):
        size = path.stat().st_size
        if not _cuts_anywhere(path):
            for part, end in _parts_read_here(path, field, how, measure, cancelled):
                yield _Piece(number, 0, None), part, done + min(end, size)
        else:
            length = _PIECE if tokenizer is None else _PIECE_WITH_TOKENS
            pieces = [_Piece(number, at, min(size, at + length)) for at in range(0, size, length)]
            for piece, part in _parts_cut(path, pieces, how, tokenizer, crew, cancelled):
                yield piece, part, done + (piece.end or 0)
        if cancelled and cancelled():
            return
        done += size


def _cuts_anywhere(path: Path) -> bool:
    """Whether lines of the file can be looked at from any byte on: plain JSON Lines with ordinary line breaks."""
    if path.suffix.lower() not in jsonl.EXTENSIONS:
        return False
    with open_file(path) as file:
        head = file.read(1 << 16)
    return b"\n" in head or b"\r" not in head


def _parts_cut(
    path: Path,
    pieces: list[_Piece],
    how: How,
    tokenizer: Tokenises | None,
    crew: Crew | None,
    cancelled: Cancelled | None,
) -> Iterator[tuple[_Piece, Part]]:
    if crew is None:
        for piece in pieces:
            if cancelled and cancelled():
                return
            yield piece, look_at_lines(path, piece.start, piece.end or 0, how, _measurer(tokenizer, how))
        return
    questions = (
        wire.Look(os.fsencode(path), piece.start, piece.end or 0, how, tokenizer is not None) for piece in pieces
    )
    for piece, reply in zip(pieces, crew.map(questions, cancelled), strict=False):
        if reply is None:
            return
        assert isinstance(reply, wire.Looked)
        yield piece, reply.part


def _parts_read_here(
    path: Path, field: str, how: How, measure: Measurer | None, cancelled: Cancelled | None
) -> Iterator[tuple[Part, int]]:
    notes: list[Problem] = []
    rows = read_rows(path, field=field, on_note=notes.append)
    while batch := list(islice(rows, _BATCH)):
        if cancelled and cancelled():
            return
        look = Look(how, measure, scan_text=True)
        for note in notes:
            look.note(note)
        notes.clear()
        first = batch[0].index
        look.take(msgspec.structs.replace(row, index=row.index - first) for row in batch)
        # Lines are those of the file already, so the part counts none to go on from.
        yield look.part(), batch[-1].end


def _measurer(tokenizer: Tokenises | None, how: How) -> Measurer | None:
    if tokenizer is None:
        return None
    return lambda rows: tokenizer.measure_many(rows, max_length=how.max_length, train_on=how.train_on)


class _Merge:
    """Puts parts together."""

    def __init__(self, found: Inspection, data: DataSet) -> None:
        self._found = found
        self._several = len(data.files) > 1
        self._file = -1
        self._lines = 0
        self._digests: list[bytes] = []
        self._characters = array("I")
        self._trained = 0
        self._purposes: Counter[str] = Counter()
        self.chats = False

    def add(self, file: int, part: Part) -> None:
        """The findings that follow those added before."""
        found = self._found
        if file != self._file:
            self._file, self._lines = file, 0
        name = found.files[file].name if self._several else ""
        for problem in part.problems:
            line = None if problem.line is None else problem.line + self._lines
            row = None if problem.row is None else problem.row + found.rows
            found.show(msgspec.structs.replace(problem, line=line, row=row, file=name))
        found.problem_counts.update(part.problem_counts)
        found.errors += part.errors
        found.rows += part.rows
        found.kept += part.kept
        found.files[file].rows += part.rows
        found.files[file].kept += part.kept
        found.dropped.update(part.dropped)
        found.formats.update(part.formats)
        found.sensitive.update(part.sensitive)
        found.quoted += part.quoted
        found.cut_rows += part.cut_rows
        found.cut_tokens += part.cut_tokens
        found.lengths.frombytes(part.tokens)
        self._purposes.update(part.purposes)
        self._digests.append(part.digests)
        self._characters.frombytes(part.characters)
        self._trained += part.trained
        self._lines += part.lines
        self.chats = self.chats or part.chats

    def finish(self, purpose: Purpose | None, tokens: bool, batch_size: int) -> None:
        """Figures over everything."""
        found = self._found
        found.duplicates = repeated(b"".join(self._digests))
        found.characters = length_stats(self._characters)
        if tokens:
            kept_tokens = sum(found.lengths) - found.cut_tokens
            found.tokens = length_stats(found.lengths)
            found.trained_tokens = self._trained
            found.trained_share = self._trained / kept_tokens if kept_tokens else None
            if found.max_length:
                found.packing = forecast(found.lengths, found.max_length, batch_size)
        found.purpose = purpose or (self._purposes.most_common(1)[0][0] if self._purposes else "")
        if found.purpose == "prompt":
            # Prompts are answered while training: there is nothing to learn in them yet.
            found.trained_tokens = found.trained_share = None
        for other, count in self._purposes.items():
            if other != found.purpose:
                found.kept -= count
                found.dropped[OTHER[other]] += count
