"""The log of a run as it lies on the disk: journal, worker.log and host.log as one append-only sequence of lines.

Gigabytes are never loaded. `LogBook.extend` walks over what was written since it last looked and remembers pieces: some
64 KiB of one file, where they begin, how many lines of each level they hold and what the run had reached there. `LogLines`
is that sequence narrowed by level and source; it reads only the pieces that are looked at.

Raw lines carry no time. Readings of the sensors in the journal say how long the raw files were
(`readings.TelemetryPayload`), so their lines get a place between events; what is found beyond the last reading comes after
everything seen so far, so no line ever changes its number.
"""

from __future__ import annotations

import os
import threading
from array import array
from collections import OrderedDict
from collections.abc import Callable

from backprop_tui.store.layout import RunDir
from backprop_tui.store.log_lines import (
    LEVELS,
    SOURCES,
    LogRow,
    Place,
    Sorter,
    Teller,
    journal_rows,
    raw_count,
    raw_levels,
    raw_rows,
    raw_text,
)

#: Bytes of a piece, bytes read at once from the journal, and the longest raw line, longer ones count as several.
PIECE = 64 * 1024
_READ = 1 << 20
_LONGEST = 4 * PIECE
#: From this many pieces on, few raw bytes between two readings no longer make a piece of their own.
_MANY = 200_000
#: Pieces kept as rows.
_KEPT = 12
_JOURNAL, _WORKER, _HOST = range(3)

Stop = Callable[[], bool]


def _never() -> bool:
    return False


class LogBook:
    """Pieces of a run's logs. One thread extends it at a time; any thread may read.

    Args:
        run: the run. tell: puts events into words.
        near_end: begin that many bytes before the end of the journal instead of at its start; None reads everything.

    Attributes:
        size: bytes there were to walk over when last looked. pieces: how many there are.
    """

    def __init__(self, run: RunDir, tell: Teller, *, near_end: int | None = None) -> None:
        self._fds = [-1, -1, -1]
        self._files = (run.journal_file, run.worker_log, run.host_log)
        self._tell = tell
        self._at = [0, 0, 0]
        self._sorter = Sorter(tell)
        self._extending = threading.Lock()
        self._cache: OrderedDict[tuple[int, int], list[LogRow]] = OrderedDict()
        self._cache_lock = threading.Lock()
        self.size = 0
        self._near_end = near_end
        # One entry per piece; `pieces` grows only when all of them have.
        self.pieces = 0
        self.source = array("B")
        self.start, self.end = array("Q"), array("Q")
        self.said, self.wall = array("d"), array("d")
        self.seq, self.step = array("Q"), array("q")
        self.counts = tuple(array("L") for _ in LEVELS)
        #: Whether warnings and errors are told apart from information; until then they are counted as that.
        self.sorted = array("B")
        self._sorting = threading.Lock()

    @property
    def damaged(self) -> int:
        """Journal lines that are not ours."""
        return self._sorter.damaged

    @property
    def done(self) -> int:
        """Bytes walked over so far."""
        return sum(self._at)

    def extend(self, stop: Stop = _never) -> None:
        """Take in what was written since the last time; returns early when `stop()` says so, to be called again."""
        with self._extending:
            sizes = [self._size(source) for source in range(3)]
            if self._near_end is not None and any(sizes):
                self._begin_near_end(self._near_end, sizes)
            self.size = sum(sizes)
            while not stop():
                block = self._whole_lines(self._at[_JOURNAL])
                if not block:
                    for source in (_WORKER, _HOST):
                        self._take_raw(source, sizes[source], stop, gap=0)
                    break
                self._take_journal(block, stop)

    def rows(self, piece: int) -> list[LogRow]:
        """All shown lines of a piece, exactly as many as were counted."""
        end = self.end[piece]
        key = (piece, end)
        with self._cache_lock:
            found = self._cache.get(key)
            if found is not None:
                self._cache.move_to_end(key)
                return found
        place = self.place(piece)
        block = self.read(piece)
        if self.source[piece] == _JOURNAL:
            rows = list(journal_rows(block, place, self._tell))
        else:
            rows = list(raw_rows(block, place, SOURCES[self.source[piece]])) if block else []
        with self._cache_lock:
            self._cache[key] = rows
            while len(self._cache) > _KEPT:
                self._cache.popitem(last=False)
        return rows

    def sort(self, piece: int) -> None:
        """Make `counts` of a piece tell warnings and errors apart. Reads the file unless that was done."""
        with self._sorting:
            if self.sorted[piece]:
                return
            block = self.read(piece)
            if len(block) == self.end[piece] - self.start[piece]:
                for column, count in zip(self.counts, raw_levels(block), strict=True):
                    column[piece] = count
            self.sorted[piece] = 1

    def read(self, piece: int) -> bytes:
        """The bytes of a piece; fewer when the file was cut meanwhile."""
        source, start = self.source[piece], self.start[piece]
        return self._pread(source, self.end[piece] - start, start)

    def place(self, piece: int) -> Place:
        """What the run had reached where a piece begins."""
        return Place(self.said[piece], self.wall[piece], self.seq[piece], self.step[piece])

    def unfinished(self) -> str:
        """The last state of a line the worker has begun and not ended, such as a progress bar; empty when there is none."""
        at, size = self._at[_WORKER], self._size(_WORKER)
        begin = max(at, size - PIECE)
        rest = self._pread(_WORKER, size - begin, begin)
        return "" if b"\n" in rest else raw_text(rest)

    def close(self) -> None:
        """Close the files; reading opens them again."""
        for source, fd in enumerate(self._fds):
            if fd >= 0:
                self._fds[source] = -1
                os.close(fd)

    def __del__(self) -> None:
        self.close()

    # -- walking ------------------------------------------------------------------------------------------------------

    def _begin_near_end(self, before: int, sizes: list[int]) -> None:
        self._near_end = None
        start = max(0, sizes[_JOURNAL] - before)
        block = self._pread(_JOURNAL, before, start)
        cut = block.find(b"\n") + 1 if start else 0
        self._at[_JOURNAL] = start + cut
        # The first reading in view says where the raw files were; without one, their own ends are all there is.
        scout = Sorter(self._tell)
        known: tuple[int, int] | None = None
        for line in block[cut:].split(b"\n"):
            if b'"logs":' in line and scout.level(line) is None and scout.sizes is not None:
                known = scout.sizes
                break
        for source in (_WORKER, _HOST):
            begin = sizes[source] - before if known is None else max(known[source - 1], sizes[source] - before)
            if begin > 0:
                tail = self._pread(source, PIECE, begin - 1)
                self._at[source] = begin + tail.find(b"\n")

    def _take_journal(self, block: bytes, stop: Stop) -> None:
        sorter, begin = self._sorter, self._at[_JOURNAL]
        place, counts = sorter.place.copy(), [0, 0, 0, 0]
        start = at = begin
        for line in block.split(b"\n")[:-1]:
            level = sorter.level(line)
            at += len(line) + 1
            if level is not None:
                counts[level] += 1
            sizes = sorter.sizes
            gap = 0 if self.pieces < _MANY else PIECE
            behind = sizes is not None and (sizes[0] > self._at[_WORKER] + gap or sizes[1] > self._at[_HOST] + gap)
            if at - start >= PIECE or behind:
                self._add(_JOURNAL, start, at, place, counts)
                place, counts, start = sorter.place.copy(), [0, 0, 0, 0], at
                self._at[_JOURNAL] = at
                if sizes is not None and behind:
                    for source in (_WORKER, _HOST):
                        self._take_raw(source, sizes[source - 1], stop, gap=gap)
        self._add(_JOURNAL, start, at, place, counts)
        self._at[_JOURNAL] = at

    def _take_raw(self, source: int, limit: int, stop: Stop, gap: int) -> None:
        """Lines that begin before `limit`, whole ones only."""
        while self._at[source] + gap < limit and not stop():
            start = self._at[source]
            block = self._pread(source, PIECE, start)
            if not block:
                return
            if start + len(block) > limit:
                cut = block.find(b"\n", limit - start - 1) + 1
                block = block[:cut] if cut else block
            if not block.endswith(b"\n"):
                cut = block.rfind(b"\n") + 1
                if not cut:
                    block = self._pread(source, _LONGEST, start)
                    cut = block.find(b"\n") + 1 or (len(block) if len(block) == _LONGEST else 0)
                    if not cut:
                        return
                block = block[:cut]
            counts = raw_count(block)
            if counts is not None:
                self._add(source, start, start + len(block), self._sorter.place, counts, plain=True)
            else:
                self._add(source, start, start + len(block), self._sorter.place, raw_levels(block))
            self._at[source] = start + len(block)

    def _add(self, source: int, start: int, end: int, place: Place, counts: list[int], *, plain: bool = False) -> None:
        if not any(counts):
            return
        last = self.pieces - 1
        joins = last >= 0 and self.source[last] == source and self.end[last] == start
        # Raw lines of different moments must not share a time.
        if joins and end - self.start[last] <= PIECE and (source == _JOURNAL or self.seq[last] == place.seq):
            with self._sorting:
                for column, count in zip(self.counts, counts, strict=True):
                    column[last] += count
                self.end[last] = end
                self.sorted[last] &= not plain
            return
        self.source.append(source)
        self.start.append(start)
        self.end.append(end)
        self.said.append(place.said)
        self.wall.append(place.wall)
        self.seq.append(place.seq)
        self.step.append(place.step)
        for column, count in zip(self.counts, counts, strict=True):
            column.append(count)
        self.sorted.append(not plain)
        self.pieces += 1

    # -- files --------------------------------------------------------------------------------------------------------

    def _whole_lines(self, start: int) -> bytes:
        want = _READ
        while True:
            block = self._pread(_JOURNAL, want, start)
            end = block.rfind(b"\n") + 1
            if end or len(block) < want:
                return block[:end]
            want *= 4

    def _pread(self, source: int, count: int, start: int) -> bytes:
        fd = self._open(source)
        try:
            return os.pread(fd, count, start) if fd >= 0 and count > 0 else b""
        except OSError:
            return b""

    def _size(self, source: int) -> int:
        fd = self._open(source)
        try:
            return os.fstat(fd).st_size if fd >= 0 else 0
        except OSError:
            return 0

    def _open(self, source: int) -> int:
        if self._fds[source] < 0:
            try:
                self._fds[source] = os.open(self._files[source], os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
            except OSError:
                return -1
        return self._fds[source]
