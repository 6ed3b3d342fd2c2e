"""Looking at rows one after the other: what can be used, what is wrong and where, how long it is.

The same code looks at a small file in this process and at a piece of a large one in a child. A loop over a hundred
thousand rows a second pays for every function call, so what happens to each row stands in one place here.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

import msgspec

from backprop_tui.data.formats import (
    Conversation,
    Normalised,
    PlainText,
    row_reader,
)
from backprop_tui.data.formats.conversation import PURPOSES
from backprop_tui.data.formats.notes import NOTES, notes_of
from backprop_tui.data.looking.chat_lines import NAME as CHAT
from backprop_tui.data.looking.chat_lines import plain_chat
from backprop_tui.data.looking.part import MOST_EACH, MOST_PROBLEMS, How, Part
from backprop_tui.data.readers.files import BOM, MAX_LINE, bom_note, open_file, refuse_wide_encoding, too_long
from backprop_tui.data.readers.jsonl import parse_line
from backprop_tui.data.rendering.encoded import Measure
from backprop_tui.data.rows import Problem, Row, RowRejected
from backprop_tui.data.tools.content import content_key
from backprop_tui.data.tools.sensitive import count_sensitive
from backprop_tui.data.tools.texts import row_text, texts_of
from backprop_tui.protocol.errors import DataError

#: Counts the tokens of some rows: an entry each, the error of one that can't be used.
Measurer = Callable[[Sequence[Normalised]], "list[Measure | DataError]"]

DAMAGED = "damaged"
REFUSED = "refused by the chat template"
BATCH = 256
_CHUNK = 1 << 20


class Look:
    """Gathers a `Part` from rows.

    Args:
        how: the way rows are read. measure: counts tokens; None leaves them unknown.
        scan_text: look for secrets in the rows' text, where nobody looks at the bytes of the file.
    """

    def __init__(self, how: How, measure: Measurer | None = None, *, scan_text: bool = False) -> None:
        self._read = row_reader(how.format, how.columns)
        self._plain = how.format in ("auto", CHAT) and not how.columns.strip()
        self._max_length = how.max_length
        self._measure = measure
        self._part = Part(problems=[])
        self._dropped: Counter[str] = Counter()
        self._formats: Counter[str] = Counter()
        self._kinds: Counter[type[Normalised]] = Counter()
        self._codes: Counter[str] = Counter()
        self._digests: list[bytes] = []
        self._characters = array("I")
        self._tokens = array("I")
        self._waiting: list[tuple[int, int | None, str, Normalised]] = []
        self._scan = scan_text
        self._sensitive: Counter[str] = Counter()
        self._texts: list[str] = []

    def take(self, rows: Iterable[Row]) -> None:
        """Look at rows; their `index` counts from 0 at the part's first row."""
        for row in rows:
            self._take(row)

    def take_lines(self, lines: Sequence[bytes], long_lines: Mapping[int, int]) -> None:
        """Look at lines of a JSON Lines file, numbered from 1.

        Args:
            lines: without their line breaks.
            long_lines: true sizes of those that were not read to their end.
        """
        part, tried = self._part, self._plain
        hits, misses = 0, 0
        for number, raw in enumerate(lines, 1):
            if tried and len(raw) <= MAX_LINE:
                chat = plain_chat(raw)
                if chat is not None:
                    hits += 1
                    part.rows += 1
                    self._use(part.rows - 1, number, CHAT, chat)
                    continue
                misses += 1
                # Another kind of file: trying each line twice would cost more than it spares.
                tried = misses < 64 or hits > misses
            row = _row_of(raw, number, part.rows, long_lines)
            if row is not None:
                self._take(row)

    def _take(self, row: Row) -> None:
        self._part.rows += 1
        if row.problem is not None:
            self.note(msgspec.structs.replace(row.problem, row=row.index + 1))
            if row.problem.severity == "error":
                self._dropped[DAMAGED] += 1
                return
        try:
            name, normalised = self._read(row.value)
        except RowRejected as error:
            self._reject(error, row.line, row.index)
            return
        self._use(row.index, row.line, name, normalised)

    def _use(self, index: int, line: int | None, name: str, row: Normalised) -> None:
        if self._measure is None:
            self._keep(index, line, name, row)
            return
        self._waiting.append((index, line, name, row))
        if len(self._waiting) == BATCH:
            self._count()

    def part(self) -> Part:
        """What was found so far."""
        if self._waiting:
            self._count()
        if self._texts:
            self._search()
        part = self._part
        part.sensitive = dict(self._sensitive)
        part.dropped, part.formats = dict(self._dropped), dict(self._formats)
        part.kept = sum(self._kinds.values())
        part.chats = any(kind is not PlainText for kind in self._kinds)
        part.purposes = {}
        for kind, count in self._kinds.items():
            purpose = PURPOSES[kind]
            part.purposes[purpose] = part.purposes.get(purpose, 0) + count
        part.problem_counts = dict(self._codes)
        part.digests = b"".join(self._digests)
        part.characters, part.tokens = self._characters.tobytes(), self._tokens.tobytes()
        return part

    def note(self, problem: Problem) -> None:
        """Count a problem, and list it while there is room."""
        self._codes[problem.code] += 1
        self._part.errors += problem.severity == "error"
        if self._codes[problem.code] <= MOST_EACH and len(self._part.problems) < MOST_PROBLEMS:
            self._part.problems.append(problem)

    def _reject(self, error: DataError, line: int | None, index: int) -> None:
        reason, value = (error.reason, error.value) if isinstance(error, RowRejected) else (REFUSED, "")
        self._dropped[reason] += 1
        self.note(Problem(error.code, error.cause, error.next_step, line, index + 1, "warn", value=value))

    def _keep(self, index: int, line: int | None, name: str, row: Normalised) -> None:
        self._formats[name] += 1
        kind = type(row)
        self._kinds[kind] += 1
        length = 0
        if kind is Conversation:
            for message in row.messages:  # type: ignore[union-attr]
                length += len(message.content)
        else:
            length = sum(map(len, texts_of(row)))
        self._characters.append(min(length, 0xFFFFFFFF))
        self._digests.append(content_key(row))
        if self._scan:
            self._texts.append(row_text(row).replace("\n", " "))
            if len(self._texts) == BATCH:
                self._search()
        for code in notes_of(row):
            note = NOTES[code]
            self.note(Problem(code, note.cause, note.next_step, line, index + 1, "warn"))

    def _count(self) -> None:
        assert self._measure is not None
        waiting, self._waiting = self._waiting, []
        part = self._part
        results = self._measure([normalised for _, _, _, normalised in waiting])
        for (index, line, name, normalised), measure in zip(waiting, results, strict=True):
            if isinstance(measure, DataError):
                self._reject(measure, line, index)
                continue
            self._keep(index, line, name, normalised)
            self._tokens.append(measure.tokens + measure.cut)
            part.trained += measure.trained
            part.cut_rows += measure.cut > 0
            part.cut_tokens += measure.cut
            if measure.cut:
                total = measure.tokens + measure.cut
                cause = f"The row has {total:,} tokens; {measure.cut:,} are cut off at its end."
                self.note(
                    Problem("DATA_ROW_CUT", cause, "Raise max_length, or split the row.", line, index + 1, "warn")
                )
            if measure.quoted:
                part.quoted += 1
                self.note(
                    Problem(
                        "DATA_CONTROL_TOKENS",
                        "The row quotes control tokens; they are read as ordinary text.",
                        "Nothing to do, unless they got there by mistake.",
                        line,
                        index + 1,
                        "warn",
                    )
                )

    def _search(self) -> None:
        texts, self._texts = self._texts, []
        self._sensitive.update(count_sensitive("\n".join(texts).encode(errors="replace")))


def look_at_lines(path: Path, start: int, end: int, how: How, measure: Measurer | None) -> Part:
    """Look through the lines of a JSON Lines file that begin at bytes `start` to before `end`.

    Raises:
        DataError: the file can't be opened.
    """
    with open_file(path) as file:
        buffer, long_lines = _lines_between(file, start, end)
    look = Look(how, measure)
    first = 0
    if start == 0:
        refuse_wide_encoding(buffer[:4])
        if buffer.startswith(BOM):
            first = len(BOM)
            look.note(bom_note())
            if 1 in long_lines:
                long_lines[1] -= first
    lines = buffer[first:].split(b"\n")
    if not lines[-1]:
        lines.pop()
    look.take_lines(lines, long_lines)
    part = look.part()
    part.lines = len(lines)
    part.sensitive = dict(count_sensitive(buffer))
    return part


def _lines_between(file: BinaryIO, start: int, end: int) -> tuple[bytes, dict[int, int]]:
    """The lines that begin in a stretch of the file, whole, and the true sizes of those too long to be kept.

    A line that began before the stretch belongs to the stretch before. Of a line that is too long the beginning stays.
    """
    if start:
        file.seek(start - 1)
        start += _pass_line(file) - 1
    if start >= end:
        return b"", {}
    file.seek(start)
    buffer = file.read(end - start)
    if not buffer.endswith(b"\n"):
        begun = len(buffer) - (buffer.rfind(b"\n") + 1)
        rest = file.readline(max(1, MAX_LINE - begun + 1))
        if not rest.endswith(b"\n") and begun + len(rest) > MAX_LINE:
            size = begun + len(rest) + _pass_line(file)
            file.seek(-1, 1)
            return buffer + rest, {buffer.count(b"\n") + 1: size - (file.read(1) == b"\n")}
        buffer += rest
    return buffer, {}


def _pass_line(file: BinaryIO) -> int:
    """Read to the end of a line, however long, and tell how many bytes that were."""
    passed = 0
    while piece := file.readline(_CHUNK):
        passed += len(piece)
        if piece.endswith(b"\n"):
            break
    return passed


def _row_of(raw: bytes, number: int, index: int, long_lines: Mapping[int, int]) -> Row | None:
    """A line as a row, None when it is blank."""
    raw = raw.rstrip(b"\r")
    if not raw or raw.isspace():
        return None
    if len(raw) > MAX_LINE:
        return Row(index, number, None, too_long(raw, number, long_lines.get(number, len(raw))))
    value, problem = parse_line(raw, number)
    return Row(index, number, value, problem)
