"""The database behind the list of runs: where it lies, what its tables are, and that it may be thrown away at any time."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from backprop_tui import __version__

#: A line of another version may lack what this one shows, so it is made anew.
_FORMAT = f"3/{__version__}"
#: Order of the columns; `state` is the journal's word, before the lock is asked.
FIELDS = (
    "id", "title", "model", "data", "method", "created", "state", "attempt", "step", "total_steps", "epoch", "loss",
    "grad_norm", "lr", "eval_loss", "best", "exact_match", "tokens", "tokens_per_s", "seconds", "energy_wh", "updated",
    "checkpoints", "fault", "tags", "note", "experiment", "archived",
)  # fmt: skip
#: Seconds to wait for another process that writes; a write then waits for the next look.
_BUSY_S = 0.2
_LOCAL = frozenset(
    ("ext2", "ext3", "ext4", "xfs", "btrfs", "zfs", "f2fs", "tmpfs", "overlay", "bcachefs", "apfs", "hfs")
)


def connect(file: Path, root: str) -> sqlite3.Connection:
    """The database of one runs directory, in memory when the file can't be used. What is of another kind is thrown away."""
    for attempt in range(3):
        base = None
        try:
            if attempt < 2:
                file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            place = str(file) if attempt < 2 else ":memory:"
            base = sqlite3.connect(place, timeout=_BUSY_S, isolation_level=None, check_same_thread=False)
            if attempt < 2:
                os.chmod(file, 0o600)
                if _is_local(file):
                    base.execute("PRAGMA journal_mode=WAL")
                base.execute("PRAGMA synchronous=NORMAL")
            _prepare(base, root)
            return base
        except (sqlite3.OperationalError, OSError):
            # Held by somebody, or the place can't be written: this time from memory.
            file = Path(":memory:") if attempt else file
        except sqlite3.DatabaseError:
            remove(file)
        if base is not None:
            base.close()
    raise AssertionError("a database in memory can't fail")


def _prepare(base: sqlite3.Connection, root: str) -> None:
    base.execute("CREATE TABLE IF NOT EXISTS about (format TEXT, root TEXT)")
    if base.execute("SELECT format, root FROM about").fetchone() == (_FORMAT, root):
        return
    with transaction(base):
        for table in ("runs", "more", "about"):
            base.execute(f"DROP TABLE IF EXISTS {table}")
        # Without types, so that values come back as they were given.
        others = ", ".join(name for name in FIELDS if name != "id")
        base.execute(f"CREATE TABLE runs (id TEXT PRIMARY KEY, stamp, {others}) WITHOUT ROWID")
        base.execute("CREATE TABLE more (id TEXT PRIMARY KEY, settings TEXT, view TEXT)")
        base.execute("CREATE TABLE about (format TEXT, root TEXT)")
        base.execute("INSERT INTO about VALUES (?, ?)", (_FORMAT, root))


@contextmanager
def transaction(base: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    """All of it or nothing."""
    base.execute("BEGIN IMMEDIATE")
    try:
        yield base
    except BaseException:
        base.execute("ROLLBACK")
        raise
    base.execute("COMMIT")


def remove(file: Path) -> None:
    """Delete the database and what SQLite keeps beside it."""
    for suffix in ("", "-wal", "-shm", "-journal"):
        try:
            os.unlink(f"{file}{suffix}")
        except OSError:
            continue


def _is_local(file: Path) -> bool:
    """Whether shared memory between processes works there, which a write-ahead log needs; not on network disks."""
    try:
        mounts = Path("/proc/self/mounts").read_text().splitlines()
    except OSError:
        return False
    place, kind, longest = str(file.parent.resolve()), "", -1
    for mount in mounts:
        words = mount.split(" ")
        if len(words) < 3:
            continue
        point = words[1].replace("\\040", " ")
        if (place == point or place.startswith(point.rstrip("/") + "/")) and len(point) >= longest:
            kind, longest = words[2], len(point)
    return kind in _LOCAL
