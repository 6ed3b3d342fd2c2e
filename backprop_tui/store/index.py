"""The list of all runs, ten thousand as quickly as ten: one line per run in a database that can be rebuilt at any time.

A line is believed only while run.json, notes.json and the journal have the size, the time of change and the file number
they had before they were read; whether somebody holds the lock of an unfinished run is asked each time. So the list is
right whatever became of the database, and a database that can't be used costs speed, nothing else.
"""

from __future__ import annotations

import json
import math
import os
import sqlite3
import threading
import time
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from backprop_tui.config import paths
from backprop_tui.protocol.codec import to_json
from backprop_tui.protocol.states import RunState
from backprop_tui.store import locks
from backprop_tui.store.entry import Entry, entry_of
from backprop_tui.store.index_base import FIELDS, connect, remove, transaction
from backprop_tui.store.layout import RunDir, is_run_id
from backprop_tui.store.summary import load_summary

_STAMPED = ("run.json", "notes.json", "events.jsonl")
_REALS = frozenset(("epoch", "loss", "grad_norm", "lr", "eval_loss", "best", "exact_match", "tokens_per_s"))
_NOT_FINITE = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}
#: Runs read between two interim lists, in seconds.
_PART_S = 0.4

#: Size, time of change and number of each file a line is made of.
Stamp = str


@dataclass(frozen=True, slots=True)
class Listing:
    """Every run, newest first. `left` counts runs not read yet (interim lists); `read` those that had to be read."""

    entries: tuple[Entry, ...]
    left: int = 0
    read: int = 0


@dataclass(slots=True)
class _Known:
    stamp: Stamp
    entry: Entry
    #: The state in the journal.
    word: RunState


class RunIndex:
    """The runs under one directory. `look` may be called from any thread, one at a time.

    Args:
        root: directory of all runs; None is the person's own. file: the database; None is in the cache directory.
    """

    def __init__(self, root: Path | None = None, file: Path | None = None) -> None:
        self.root = root or paths.runs_dir()
        place = str(self.root.absolute())
        self._file = file or paths.cache_dir() / "index" / f"runs-{zlib.crc32(os.fsencode(place)):08x}.sqlite"
        self._lock = threading.Lock()
        self._filled: set[str] = set()
        self._known: dict[str, _Known] | None = None
        self._base: sqlite3.Connection | None = None

    def look(
        self,
        *,
        on_part: Callable[[Listing], object] | None = None,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> Listing:
        """Every run as it is now; only what changed is read.

        Args:
            on_part: told what is known so far while many runs have to be read.
            cancelled: asked now and then; a cancelled look returns what it has.
        """
        with self._lock:
            return self._look(on_part, cancelled)

    def fill(self, keys: Iterable[str]) -> None:
        """Give entries these settings (keys in the spec), those of later looks too; what a spec lacks stays absent."""
        with self._lock:
            for key in keys:
                if key in self._filled or not key.isidentifier():
                    continue
                known = self._known if self._known is not None else {}
                for run_id, value in self._setting(key):
                    if run_id in known:
                        known[run_id].entry.settings[key] = value
                self._filled.add(key)

    def _setting(self, key: str) -> list[tuple[str, Any]]:
        try:
            base = self._open()
            # A spec may hold halves of characters, which come back as bytes that are no text.
            base.text_factory = _text
            try:
                return base.execute(
                    "SELECT id, json_extract(settings, ?) FROM more WHERE json_type(settings, ?) IS NOT NULL",
                    (f"$.{key}", f"$.{key}"),
                ).fetchall()
            finally:
                base.text_factory = str
        except sqlite3.Error:
            return []

    def views(self, ids: Iterable[str]) -> Iterator[tuple[str, dict[str, Any]]]:
        """The folded journals of these runs, as `RunView.to_dict` gives them."""
        with self._lock:
            base = self._open()
            for run_id in ids:
                try:
                    row = base.execute("SELECT view FROM more WHERE id = ?", (run_id,)).fetchone()
                    words = json.loads(row[0]) if row else None
                except (sqlite3.Error, ValueError):
                    words = None
                yield run_id, words if isinstance(words, dict) else load_summary(self.run(run_id)).view.to_dict()

    def run(self, run_id: str) -> RunDir:
        """The directory of a run."""
        return RunDir(self.root / run_id)

    def close(self) -> None:
        """Let the database go; a later look opens it again."""
        with self._lock:
            if self._base is not None:
                self._base.close()
            self._base = self._known = None
            self._filled.clear()

    # -- looking ------------------------------------------------------------------------------------------------------

    def _look(self, on_part: Callable[[Listing], object] | None, cancelled: Callable[[], bool]) -> Listing:
        known = self._known if self._known is not None else self._load()
        self._known = known
        names = _names(self.root)
        unread: list[str] = []
        now: dict[str, Entry] = {}
        for name in names:
            entry = self._still(name, known.get(name))
            if entry is None:
                unread.append(name)
            else:
                now[name] = entry
        fresh: dict[str, tuple[str, str]] = {}
        told = time.monotonic()
        for done, name in enumerate(unread):
            if cancelled():
                break
            read = self._read(name)
            if read is None:
                continue
            known[name], *more = read
            now[name], fresh[name] = known[name].entry, (more[0], more[1])
            if on_part is not None and time.monotonic() - told >= _PART_S:
                on_part(Listing(tuple(now[name] for name in names if name in now), len(unread) - done - 1, done + 1))
                told = time.monotonic()
        listed = set(names)
        gone = [name for name in known if name not in listed]
        for name in gone:
            del known[name]
        if fresh or gone:
            self._write(fresh, gone)
        return Listing(tuple(now[name] for name in names if name in now), 0, len(fresh))

    def _still(self, name: str, known: _Known | None) -> Entry | None:
        """The line of a run if nothing of it changed."""
        if known is None:
            return None
        # The lock first: a run that ends between the two looks is then seen as ended, never as crashed.
        held = known.word.live and locks.is_held(self.root / name / "engine.lock")
        if _stamp(self.root, name) != known.stamp:
            return None
        state = RunState.CRASHED if known.word.live and not held else known.word
        if state is not known.entry.state:
            known.entry = replace(known.entry, state=state)
        return known.entry

    def _read(self, name: str) -> tuple[_Known, str, str] | None:
        """A run's line, its settings and its view; None when it has just been deleted."""
        stamp = _stamp(self.root, name)
        if not os.path.isdir(self.root / name):
            return None
        summary = load_summary(self.run(name))
        known = _Known(stamp, entry_of(summary), summary.view.state)
        known.entry.settings.update({key: summary.settings[key] for key in self._filled if key in summary.settings})
        return known, to_json(summary.settings), to_json(summary.view.to_dict())

    # -- the database -------------------------------------------------------------------------------------------------

    def _open(self) -> sqlite3.Connection:
        if self._base is None:
            self._base = connect(self._file, str(self.root.absolute()))
        return self._base

    def _load(self) -> dict[str, _Known]:
        known: dict[str, _Known] = {}
        try:
            rows = self._open().execute(f"SELECT stamp, {', '.join(FIELDS)} FROM runs")
            for stamp, *values in rows:
                try:
                    entry = _entry(values)
                    known[entry.id] = _Known(str(stamp), entry, entry.state)
                except (TypeError, ValueError):
                    continue
        except sqlite3.Error:
            self._start_over()
        return known

    def _start_over(self) -> None:
        """A damaged database is rebuilt from the runs."""
        if self._base is not None:
            self._base.close()
            self._base = None
        remove(self._file)

    def _write(self, fresh: dict[str, tuple[str, str]], gone: list[str]) -> None:
        known = self._known or {}
        try:
            with transaction(self._open()) as base:
                marks = ", ".join("?" * (len(FIELDS) + 1))
                base.executemany(
                    f"REPLACE INTO runs (stamp, {', '.join(FIELDS)}) VALUES ({marks})",
                    [(known[name].stamp, *_values(known[name])) for name in fresh],
                )
                base.executemany(
                    "REPLACE INTO more (id, settings, view) VALUES (?, ?, ?)",
                    [(name, settings, view) for name, (settings, view) in fresh.items()],
                )
                base.executemany("DELETE FROM runs WHERE id = ?", [(name,) for name in gone])
                base.executemany("DELETE FROM more WHERE id = ?", [(name,) for name in gone])
        except sqlite3.OperationalError:
            # Somebody else writes, or the disk is full: what was read is shown all the same, and read again next time.
            pass
        except sqlite3.Error:
            self._start_over()


def _names(root: Path) -> list[str]:
    """Ids of the runs, newest first; links and foreign names are passed over."""
    try:
        with os.scandir(root) as found:
            names = [item.name for item in found if is_run_id(item.name) and item.is_dir(follow_symlinks=False)]
    except OSError:
        return []
    return sorted(names, reverse=True)


def _stamp(root: Path, name: str) -> Stamp:
    found: list[str] = []
    for file in _STAMPED:
        try:
            info = os.stat(f"{root}/{name}/{file}")
            found.append(f"{info.st_size},{info.st_mtime_ns},{info.st_ino}")
        except OSError:
            found.append("")
    return ";".join(found)


def _values(known: _Known) -> Iterator[Any]:
    """Column values of a line; numbers that are not finite as words, because SQLite stores NaN as unknown."""
    for name in FIELDS:
        value: Any = getattr(known.entry, name)
        if name in _REALS and value is not None and not math.isfinite(value):
            yield "nan" if value != value else "inf" if value > 0 else "-inf"
        elif name == "state":
            yield known.word.value
        elif name == "tags":
            yield " ".join(value)
        else:
            yield _storable(value) if isinstance(value, str) else value


def _entry(values: list[Any]) -> Entry:
    for place in _REAL_PLACES:
        if isinstance(values[place], str):
            values[place] = _NOT_FINITE[values[place]]
    values[_STATE] = RunState(values[_STATE])
    values[_TAGS] = tuple(values[_TAGS].split())
    values[_ARCHIVED] = bool(values[_ARCHIVED])
    return Entry(*values)


_REAL_PLACES = tuple(place for place, name in enumerate(FIELDS) if name in _REALS)
_STATE, _TAGS, _ARCHIVED = FIELDS.index("state"), FIELDS.index("tags"), FIELDS.index("archived")


def _text(content: bytes) -> str:
    return content.decode("utf-8", "replace")


def _storable(text: str) -> str:
    """Without halves of characters, which a database can't hold."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()
