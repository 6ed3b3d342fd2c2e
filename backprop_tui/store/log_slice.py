"""`LogLines`: the lines of a `LogBook` narrowed by level and source, by number, from 0 for the oldest."""

from __future__ import annotations

import threading
from array import array
from bisect import bisect_right
from collections.abc import Collection

from backprop_tui.protocol import events as ev
from backprop_tui.store.log_lines import LEVELS, SOURCES, LogRow
from backprop_tui.store.logs import LogBook


class LogLines:
    """Lines of at least `level` from `sources`. Numbers never change; the book's growth adds lines at the end.

    Args:
        book: where they come from. level: the quietest one of `LEVELS` to show. sources: some of `SOURCES`.
    """

    def __init__(self, book: LogBook, level: str = "debug", sources: Collection[str] = SOURCES) -> None:
        self.book = book
        self.level, self.sources = level, frozenset(sources)
        self._levels = LEVELS[LEVELS.index(level) :]
        self._columns = book.counts[LEVELS.index(level) :]
        self._exact = LEVELS.index(level) > LEVELS.index("info")
        self._wanted = [source in self.sources for source in SOURCES]
        #: Lines up to and with each piece.
        self._sums = array("Q")
        self._lock = threading.Lock()

    def __len__(self) -> int:
        """Lines there are in the pieces so far."""
        self._count()
        return self._sums[-1] if self._sums else 0

    def rows(self, first: int, count: int) -> list[LogRow]:
        """At most `count` lines from number `first` on. Reads files."""
        found: list[LogRow] = []
        total = len(self)
        first, stop = max(0, first), min(total, first + count)
        piece = self.piece_of(first)
        while first < stop and piece < len(self._sums):
            before, after = self._before(piece), self._sums[piece]
            if after > first:
                rows = self.piece_rows(piece)
                # A file that was cut meanwhile has fewer lines than were counted.
                rows += [_gone(self.book, piece)] * (after - before - len(rows))
                part = rows[first - before : min(stop, after) - before]
                found += part
                first += len(part)
            piece += 1
        return found

    def piece_of(self, line: int) -> int:
        """The piece that holds a line."""
        self._count()
        return bisect_right(self._sums, line)

    def first_of(self, piece: int) -> int:
        """The number of a piece's first line."""
        self._count()
        return self._before(piece)

    def piece_rows(self, piece: int) -> list[LogRow]:
        """The lines of one piece that are wanted."""
        if not self.wants(piece):
            return []
        return [row for row in self.book.rows(piece) if row.level in self._levels]

    def wants(self, piece: int) -> bool:
        """Whether any line of a piece can be wanted."""
        if not self._wanted[self.book.source[piece]]:
            return False
        if self._exact:
            self.book.sort(piece)
        return any(column[piece] for column in self._columns)

    def of_seq(self, seq: int) -> int:
        """The number of the first line that belongs to event `seq` or a later one; the count of lines when there is none."""
        # A piece names the event before it; a raw piece carries the number of the event its lines follow.
        piece = max(0, bisect_right(self.book.seq, seq - 1, hi=self.book.pieces) - 1)
        for here in range(piece, self.book.pieces):
            for index, row in enumerate(self.piece_rows(here)):
                if row.seq >= seq:
                    return self.first_of(here) + index
        return len(self)

    def of_step(self, step: int) -> int | None:
        """The number of the line nearest to a step, in the last attempt that came to it; None when no attempt did."""
        book, pieces = self.book, self.book.pieces
        for piece in range(pieces - 1, -1, -1):
            last = piece + 1 == pieces
            if book.step[piece] >= step or (not last and book.step[piece + 1] < step):
                continue
            index = _reaching(self.piece_rows(piece), step)
            if index is not None:
                return self.first_of(piece) + index
            if not last:
                # Its own line is not shown: the next one that is.
                return min(self.first_of(piece + 1), len(self) - 1) if len(self) else None
        return None

    def of_wall(self, wall: float) -> int:
        """The number of the first line at or after an instant; the count of lines when there is none."""
        low, high = 0, self.book.pieces
        while low < high:
            middle = (low + high) // 2
            if self.book.wall[middle] >= wall:
                high = middle
            else:
                low = middle + 1
        for piece in range(max(0, low - 1), self.book.pieces):
            for index, row in enumerate(self.piece_rows(piece)):
                if row.wall is not None and row.wall >= wall:
                    return self.first_of(piece) + index
        return len(self)

    def _before(self, piece: int) -> int:
        return self._sums[piece - 1] if 0 < piece <= len(self._sums) else 0

    def _count(self) -> None:
        with self._lock:
            sums, pieces = self._sums, self.book.pieces
            # The last piece may have grown since it was counted.
            if sums:
                sums.pop()
            total = sums[-1] if sums else 0
            source, wanted, columns = self.book.source, self._wanted, self._columns
            for piece in range(len(sums), pieces):
                if wanted[source[piece]]:
                    if self._exact:
                        self.book.sort(piece)
                    for column in columns:
                        total += column[piece]
                sums.append(total)


def _reaching(rows: list[LogRow], step: int) -> int | None:
    """The first line at `step` or after it, in the last attempt of these lines that has one."""
    found = None
    beginning = True
    for index, row in enumerate(rows):
        if row.event is not None and row.event.kind == ev.ATTEMPT:
            beginning = True
        elif beginning and row.step is not None and row.step >= step:
            found, beginning = index, False
    return found


def _gone(book: LogBook, piece: int) -> LogRow:
    place = book.place(piece)
    words = "this part of the file is gone"
    return LogRow(None, False, "warn", SOURCES[book.source[piece]], words, place.seq)
