"""Looking for a text in a log of any length: the nearest line first, then a count of all, without loading the log.

What is compared is what people see, letter case aside. Pieces that cannot hold the text are ruled out by their bytes, so a
gigabyte without a hit takes seconds; what is remembered is a number of hits per piece.
"""

from __future__ import annotations

import re
import threading
from array import array
from collections.abc import Callable

from backprop_tui.protocol import events as ev
from backprop_tui.store.log_lines import LEVELS, LINE_LIMIT, SOURCES, LogRow
from backprop_tui.store.log_slice import LogLines

_WORD = re.compile(r"[a-z0-9]+")
#: Such a word may be part of our own stand-in for a character (`\u202e`), which the file does not hold as text.
_STAND_IN = re.compile(rb"[u0-9a-f]+")
#: Kinds of events whose lines hold every word they are shown with, or are not shown.
_PLAIN = tuple(b'"kind":"%s"' % kind.encode() for kind in (ev.LOG, ev.STEP, ev.TELEMETRY, ev.SAMPLE))
#: What makes a raw line look different from its bytes.
_CHANGED = (b"\x1b", b"\t", b"\r")
_STEP_WORDS = b"step loss grad lr tok nan inf e"
_UNKNOWN = -1

Stop = Callable[[], bool]


def _never() -> bool:
    return False


class LogSearch:
    """One text in some lines. Several threads may ask at once.

    Args:
        lines: where to look. query: what for; it must not be empty.

    Attributes:
        hits: lines found so far. looked: pieces looked at so far.
    """

    def __init__(self, lines: LogLines, query: str) -> None:
        self.lines = lines
        self.query = query
        self._needle = query.lower()
        self._words = [word.encode() for word in _WORD.findall(self._needle)]
        self._sure = [word for word in self._words if not _STAND_IN.fullmatch(word)]
        plain = self._needle.isascii() and self._needle.isprintable() and "\\" not in self._needle
        self._literal = self._needle.encode() if plain else b""
        self.hits = self.looked = 0
        self._counts = array("q")
        self._ends = array("Q")
        self._lock = threading.Lock()

    def find(self, line: int, step: int, stop: Stop = _never) -> int | None:
        """The nearest line that holds the text, from `line` on (itself included) downwards (+1) or upwards (-1), or None."""
        lines, book = self.lines, self.lines.book
        piece = min(lines.piece_of(line), book.pieces - 1)
        while 0 <= piece < book.pieces and not stop():
            if self._known(piece) != 0:
                first = lines.first_of(piece)
                found = [first + index for index in self._look(piece)]
                found = [number for number in found if (number >= line if step > 0 else number <= line)]
                if found:
                    return found[0] if step > 0 else found[-1]
            piece += step
        return None

    def rows_of(self, piece: int) -> list[LogRow]:
        """The lines of a piece that hold the text."""
        if self._known(piece) == 0:
            return []
        wanted = self._look(piece)
        rows = self.lines.piece_rows(piece) if wanted else []
        return [rows[index] for index in wanted]

    def count(self, told: Callable[[], object] = _never, stop: Stop = _never) -> None:
        """Look at every piece not looked at yet, newest first; `told()` is called after each."""
        for piece in range(self.lines.book.pieces - 1, -1, -1):
            if stop():
                return
            if self._known(piece) == _UNKNOWN:
                self._look(piece)
                told()

    @property
    def done(self) -> bool:
        """Whether every piece has been looked at."""
        pieces = self.lines.book.pieces
        return self.looked >= pieces and (not pieces or self._known(pieces - 1) != _UNKNOWN)

    def matches(self, row: LogRow) -> bool:
        """Whether a line holds the text."""
        return self._needle in row.text.lower()

    def _known(self, piece: int) -> int:
        """Hits of a piece; `_UNKNOWN` when it has not been looked at since it grew."""
        with self._lock:
            counts, ends, book = self._counts, self._ends, self.lines.book
            for new in range(len(counts), book.pieces):
                counts.append(_UNKNOWN)
                ends.append(book.end[new])
            if counts[piece] != _UNKNOWN and ends[piece] != book.end[piece]:
                # It has grown since it was looked at.
                self.hits -= counts[piece]
                self.looked -= 1
                counts[piece] = _UNKNOWN
            return counts[piece]

    def _look(self, piece: int) -> list[int]:
        end = self.lines.book.end[piece]
        found = self._found(piece) if self.lines.wants(piece) else []
        with self._lock:
            if self._counts[piece] == _UNKNOWN:
                self.looked += 1
                self._counts[piece] = 0
            self.hits += len(found) - self._counts[piece]
            self._counts[piece] = len(found)
            self._ends[piece] = end
        return found

    def _found(self, piece: int) -> list[int]:
        block = self.lines.book.read(piece)
        lowered = block.lower()
        raw = SOURCES[self.lines.book.source[piece]] != "journal"
        words = self._words if block.isascii() and b"\\udb40" not in lowered else self._sure
        if raw and self._literal and len(words) == len(self._words) and self._as_it_is(block):
            if self._literal not in lowered:
                return []
            lines = lowered.removesuffix(b"\n").split(b"\n")
            if max(map(len, lines)) <= LINE_LIMIT:
                return [index for index, line in enumerate(lines) if self._literal in line]
        elif b"\x1b" not in block and (missing := [word for word in words if word not in lowered]):
            # Most words of the journal's lines are ours, not the file's; only those of log lines are all in it, and a
            # step's line has few words besides numbers.
            plain = raw or sum(block.count(kind) for kind in _PLAIN) == block.count(b"\n")
            if plain and any(raw or (word.isalpha() and word not in _STEP_WORDS) for word in missing):
                return []
        return [index for index, row in enumerate(self.lines.piece_rows(piece)) if self.matches(row)]

    def _as_it_is(self, block: bytes) -> bool:
        """Whether the lines of a raw piece are shown byte for byte, and all of them."""
        all_shown = self.lines.level == LEVELS[0] or (self.lines.level == LEVELS[1] and b"DEBUG" not in block)
        return all_shown and not any(sign in block for sign in _CHANGED)
