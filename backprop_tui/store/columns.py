"""Columns of a long run's steps in files: written once while its journal is read, so that another visit need not read it.

`<cache>/columns/<run>/` holds `head.json`, one raw array per column and `digest.jsonl`, the journal's lines a fold of the
present needs. The head says which journal, up to which byte, with sizes and CRCs of everything; whatever does not agree
is thrown away and built anew. A published directory is never changed: more steps make another one that replaces it.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import sys
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backprop_tui.config import paths
from backprop_tui.store.layout import write_atomic
from backprop_tui.store.stretch import ABSENT, MOST_METRICS, Stretch, first_present, is_metric

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Goes up when the same journal would give other columns.
FORMAT = 1
STEP, WALL = "step", "wall"
#: All runs together; the oldest go first. Bytes.
MOST_BYTES = 1 << 30
_WIDTH = 8
_PROBE = 64 * 1024
_CHUNK = 4 << 20
_DIGEST = "digest.jsonl"
#: Lines decoded at once, in bytes: events take ten times the room of their lines.
_LINES = 256 * 1024
_STALE_S = 24 * 3600.0


def place_of(run_id: str) -> Path:
    """Where the columns of a run are remembered."""
    return paths.cache_dir() / "columns" / run_id


def forget_columns(run_id: str) -> None:
    """Drop what is remembered of a run."""
    shutil.rmtree(place_of(run_id), ignore_errors=True)


class Columns:
    """Columns being read; the files stay open, whatever becomes of their directory. `in` asks for a column's name.

    Attributes:
        rows: steps written so far. firsts: row of each metric's first value.
        passed: how the metrics of steps that are not in the digest are spread, as in `Stretch`.
        offset: how much of the journal they hold, in bytes. seq: the newest event in them.
    """

    def __init__(self, place: Path) -> None:
        self.place = place
        self.rows = self.offset = self.seq = self.damaged = 0
        self.firsts: dict[str, int] = {}
        self.passed: dict[str, dict[str, int]] = {}
        self._files: dict[str, int] = {}

    @property
    def metrics(self) -> list[str]:
        """Names of the curves."""
        return [name for name in self._files if name not in (STEP, WALL, _DIGEST)]

    def __contains__(self, name: object) -> bool:
        return name in self._files and name != _DIGEST

    def read(self, name: str, first: int, into: NDArray[Any]) -> int:
        """Fill `into`, an 8-byte array of shape (n,), with rows from `first` on; how many there were."""
        fd = self._files.get(name)
        if fd is None:
            return 0
        view = into.view("u1").data
        done = 0
        while done < len(view):
            try:
                got = os.preadv(fd, [view[done : done + _CHUNK]], first * _WIDTH + done)
            except OSError:
                break
            if not got:
                break
            done += got
        return done // _WIDTH

    def _pass(self, passed: dict[str, dict[str, int]]) -> None:
        for name, counts in passed.items():
            mine = self.passed.setdefault(name, {})
            for place, count in counts.items():
                mine[place] = mine.get(place, 0) + int(count)

    def digest(self) -> Iterator[bytes]:
        """The lines a fold of the present needs, in order, in blocks of whole lines."""
        place, want = 0, _LINES
        while (fd := self._files.get(_DIGEST)) is not None:
            try:
                block = os.pread(fd, want, place)
            except OSError:
                return
            end = block.rfind(b"\n") + 1
            if end:
                yield block[:end]
                place, want = place + end, _LINES
            elif len(block) == want:
                want *= 4
            else:
                return

    def close(self) -> None:
        """Give the files back."""
        files, self._files = self._files, {}
        for fd in files.values():
            os.close(fd)

    def __del__(self) -> None:
        self.close()

    @classmethod
    def find(cls, place: Path, journal: Path) -> Columns | None:
        """What is remembered of exactly this journal; None when there is nothing, or anything is in doubt."""
        found = cls(place)
        try:
            head = json.loads((place / "head.json").read_bytes())
            if head["format"] != FORMAT or head["order"] != sys.byteorder:
                return None
            found.rows, found.offset, found.seq = int(head["rows"]), int(head["offset"]), int(head["seq"])
            found.damaged = int(head["damaged"])
            found.firsts = {str(name): int(row) for name, row in head["firsts"].items()}
            found._pass(head["passed"])
            if found.rows <= 0 or _identity(journal, found.offset) != head["journal"]:
                return None
            for name, (file, size, crc) in head["files"].items():
                if name != _DIGEST and (size != found.rows * _WIDTH or not (name in (STEP, WALL) or is_metric(name))):
                    return None
                fd = found._files[name] = os.open(place / Path(file).name, os.O_RDONLY | os.O_CLOEXEC)
                if os.fstat(fd).st_size != size or _crc_of(fd) != crc:
                    return None
            return found if {STEP, WALL, _DIGEST} <= found._files.keys() else None
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return None


class ColumnsWriter:
    """Writes columns aside, in order; `publish` puts them in place.

    Args:
        target: where they are to be. start: columns to go on from.

    Raises:
        OSError: the place can't be written; also `add` and `publish`. What was added before can still be read.
    """

    def __init__(self, target: Path, start: Columns | None = None) -> None:
        self._target = target
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        aside = target.with_name(f".tmp-{target.name}-{os.getpid()}-{secrets.token_hex(4)}")
        aside.mkdir(mode=0o700)
        self.columns = Columns(aside)
        self._numbers: dict[str, str] = {}
        self._newest = -1
        for name in (STEP, WALL, _DIGEST):
            self._open(name)
        if start is not None:
            self._copy(start)

    def add(self, stretch: Stretch) -> None:
        """Take the rows of a stretch over; it then names the columns instead, and keeps its rows no longer."""
        columns, rows = self.columns, stretch.rows
        stretch.changed_from = columns.rows
        if rows is not None:
            if rows.steps[0] <= self._newest:
                self._cut(int(rows.steps[0]))
                stretch.changed_from = columns.rows
            count = len(rows.steps)
            for name, values in rows.values.items():
                if name not in self._numbers and len(self._numbers) < MOST_METRICS:
                    self._open(name)
                    self._absent(name, columns.rows)
                first = first_present(values)
                if first is not None and name in self._numbers:
                    columns.firsts.setdefault(name, columns.rows + first)
            self._put(STEP, rows.steps)
            self._put(WALL, rows.walls)
            for name in columns.metrics:
                if name in rows.values:
                    self._put(name, rows.values[name])
                else:
                    self._absent(name, count)
            self._newest = int(rows.steps[-1])
            columns.rows += count
        _write(columns._files[_DIGEST], stretch.lines)
        columns._pass(stretch.passed)
        stretch.rows, stretch.base, stretch.base_rows = None, columns, columns.rows
        # A copy: whoever draws from this stretch does so in another thread than the one that writes the next.
        stretch.firsts = dict(columns.firsts)

    def publish(self, journal: Path, *, offset: int, seq: int, damaged: int) -> None:
        """Put the columns in place of what was there."""
        columns = self.columns
        columns.offset, columns.seq, columns.damaged = offset, seq, damaged
        names = {name: (self._file(name), os.fstat(fd).st_size, _crc_of(fd)) for name, fd in columns._files.items()}
        head = {
            "format": FORMAT, "order": sys.byteorder, "rows": columns.rows, "offset": offset, "seq": seq,
            "damaged": damaged, "journal": _identity(journal, offset), "firsts": columns.firsts,
            "passed": columns.passed, "files": names,
        }  # fmt: skip
        write_atomic(columns.place / "head.json", json.dumps(head).encode())
        if self._target.exists():
            old = columns.place.with_name(f"{columns.place.name}-old")
            os.rename(self._target, old)
            shutil.rmtree(old, ignore_errors=True)
        os.rename(columns.place, self._target)
        columns.place = self._target
        _prune(self._target.parent, keep=self._target.name)

    def discard(self) -> None:
        """Leave nothing behind, unless it was published; the open files can still be read."""
        if self.columns.place != self._target:
            shutil.rmtree(self.columns.place, ignore_errors=True)

    # -- files --------------------------------------------------------------------------------------------------------

    def _file(self, name: str) -> str:
        return name if name == _DIGEST else f"{self._numbers.get(name, name)}.bin"

    def _open(self, name: str) -> None:
        if name not in (STEP, WALL, _DIGEST):
            # A foreign journal's names are no file names.
            self._numbers[name] = f"c{len(self._numbers):02}"
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
        self.columns._files[name] = os.open(self.columns.place / self._file(name), flags, 0o600)

    def _put(self, name: str, values: NDArray[Any]) -> None:
        _write(self.columns._files[name], values.view("u1").data)

    def _absent(self, name: str, count: int) -> None:
        import numpy as np

        if count:
            self._put(name, np.full(count, ABSENT))

    def _copy(self, start: Columns) -> None:
        import numpy as np

        for name, fd in start._files.items():
            if name not in self.columns._files:
                self._open(name)
            place = 0
            while block := os.pread(fd, _CHUNK, place):
                _write(self.columns._files[name], block)
                place += len(block)
        self.columns.rows, self.columns.firsts = start.rows, dict(start.firsts)
        self.columns._pass(start.passed)
        newest = np.empty(1, dtype=np.int64)
        if start.rows and start.read(STEP, start.rows - 1, newest):
            self._newest = int(newest[0])

    def _cut(self, step: int) -> None:
        """Drop the rows from `step` on: a later attempt writes them again."""
        import numpy as np

        steps = np.empty(self.columns.rows, dtype=np.int64)
        self.columns.read(STEP, 0, steps)
        keep = int(steps.searchsorted(step))
        for name, fd in self.columns._files.items():
            if name != _DIGEST:
                os.ftruncate(fd, keep * _WIDTH)
        self.columns.rows = keep
        self.columns.firsts = {name: row for name, row in self.columns.firsts.items() if row < keep}


def _write(fd: int, data: bytes | memoryview) -> None:
    while data:
        data = data[os.write(fd, data) :]


def _crc_of(fd: int) -> int:
    crc = place = 0
    while block := os.pread(fd, _CHUNK, place):
        crc = zlib.crc32(block, crc)
        place += len(block)
    return crc


def _identity(journal: Path, offset: int) -> list[int]:
    """What tells this journal from others: the checksums of its first lines and of those before `offset`.

    Raises:
        OSError: it can't be read. ValueError: it is shorter.
    """
    with journal.open("rb") as file:
        first = file.read(min(_PROBE, offset))
        file.seek(max(0, offset - _PROBE))
        last = file.read(min(_PROBE, offset))
        if len(first) < min(_PROBE, offset) or len(last) < min(_PROBE, offset):
            raise ValueError("the journal is shorter than what was read of it")
    return [offset, zlib.crc32(first), zlib.crc32(last)]


def _prune(folder: Path, keep: str) -> None:
    """Hold the limit, and remove what a killed reader left."""
    sizes: list[tuple[float, int, Path]] = []
    for place in folder.iterdir():
        try:
            age = place.stat().st_mtime
            size = sum(file.stat().st_size for file in place.iterdir())
        except OSError:
            continue
        if place.name.startswith(".tmp-"):
            if time.time() - age > _STALE_S:
                shutil.rmtree(place, ignore_errors=True)
        else:
            sizes.append((age, size, place))
    total = sum(size for _, size, _ in sizes)
    for _, size, place in sorted(sizes):
        if total > MOST_BYTES and place.name != keep:
            total -= size
            shutil.rmtree(place, ignore_errors=True)
