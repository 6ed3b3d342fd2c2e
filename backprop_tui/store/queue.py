"""The queue of runs: one file per entry, in an order that people may change while a runner takes from it.

Every change is made under one lock and replaces one file as a whole, so the runner, the CLI and the app never see half of a
change, and none overwrites another's. Entries that have begun can't be moved or removed any more: they are runs by then.
"""

from __future__ import annotations

import json
import os
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from pathlib import Path

from backprop_tui.config import paths
from backprop_tui.config.view_only import refuse_if_view_only
from backprop_tui.protocol.errors import TryAgainError, UnavailableError, UsageError
from backprop_tui.protocol.text import safe_text
from backprop_tui.store.layout import sync_dir, write_atomic
from backprop_tui.store.notes import alone
from backprop_tui.store.queue_entry import PREFIX, Queued, QueueState, fresh, place_of, read_entry

__all__ = ["PREFIX", "Queue", "QueueState", "Queued", "fresh", "place_of"]

_FORMAT = 1
_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"


class Queue:
    """The queue in one directory.

    Args:
        root: None is the person's own.
    """

    def __init__(self, root: Path | None = None) -> None:
        self.root = root or paths.data_dir() / "queue"

    @property
    def runner_lock(self) -> Path:
        """Held for the life of the runner."""
        return self.root / "runner.lock"

    @property
    def runner_log(self) -> Path:
        """What the runner and its starters print."""
        return self.root / "runner.log"

    def start_lock(self, entry_id: str) -> Path:
        """Held while an entry is being started."""
        return self.root / f"{entry_id}.lock"

    # -- looking ------------------------------------------------------------------------------------------------------

    def entries(self) -> list[Queued]:
        """What has begun, then the rest in order. A file that can't be read is passed over; `damaged` names it."""
        return self._read()[0]

    def damaged(self) -> list[str]:
        """Names of files that should be entries and can't be read."""
        return self._read()[1]

    def get(self, entry_id: str) -> Queued | None:
        """One entry, None when it is gone."""
        return read_entry(self._file(entry_id))

    def held(self) -> str | None:
        """Why nothing is started for the time being; None while entries are taken."""
        try:
            words = json.loads((self.root / "held.json").read_bytes())
            return str(words["why"])
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError):
            return "It was stopped."

    def find(self, wanted: str) -> Queued:
        """The entry meant by an id or a unique prefix of it, a place (`2` is the second that waits), or a unique name.

        Raises:
            UsageError: QUEUE_UNKNOWN or QUEUE_AMBIGUOUS.
        """
        entries = self.entries()
        ids = [e for e in entries if e.id == wanted or e.short_id.startswith(wanted)]
        exact = [e for e in ids if wanted in (e.id, e.short_id)]
        places = [e for e in entries if str(place_of(entries, e)) == wanted]
        for fits in (exact, places, ids, [e for e in entries if e.name == wanted]):
            if len(fits) == 1:
                return fits[0]
            if fits:
                some = ", ".join(entry.short_id for entry in fits[:5])
                raise UsageError(
                    "QUEUE_AMBIGUOUS",
                    f"{len(fits)} entries fit {safe_text(wanted, limit=40)!r}: {some}.",
                    "Type an id.",
                )
        raise UsageError(
            "QUEUE_UNKNOWN",
            f"Nothing in the queue is called {safe_text(wanted, limit=40)!r}.",
            "`backprop queue` lists what waits; what has begun is in `backprop runs`.",
        )

    # -- changing -----------------------------------------------------------------------------------------------------

    @contextmanager
    def edit(self) -> Iterator[None]:
        """Nobody else changes the queue meanwhile. Hold it for small writes only.

        Raises:
            TryAgainError: QUEUE_BUSY, somebody else keeps it.
            UnavailableError: QUEUE_NOT_WRITABLE.
        """
        try:
            self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
            with _locked(self.root / "queue.lock"):
                yield
        except OSError as error:
            raise UnavailableError(
                "QUEUE_NOT_WRITABLE",
                f"{safe_text(self.root)} can't be written: {error.strerror}.",
                "Free some space there, or make it writable.",
            ) from None

    def add(
        self,
        entries: Sequence[Queued],
        *,
        first: bool = False,
        placed: Callable[[list[Queued]], object] = lambda entries: None,
    ) -> list[Queued]:
        """Put entries, whose ids and orders are given here, at the end or at the front; all of them or none.

        `placed` is told them while nobody else sees them begin; what it raises takes them out again.
        """
        refuse_if_view_only()
        with self.edit():
            there = self.entries()
            used, low, high = {entry.id for entry in there}, 0.0, 0.0
            if there:
                orders = [entry.order for entry in there]
                low, high = min(orders), max(orders)
            put: list[Queued] = []
            for at, entry in enumerate(entries):
                order = low - len(entries) + at if first else high + 1 + at
                put.append(replace(entry, id=_fresh_id(used), order=order, added=round(time.time(), 3)))
            try:
                for entry in put:
                    self.put(entry)
                placed(put)
            except BaseException:
                for entry in put:
                    self._file(entry.id).unlink(missing_ok=True)
                raise
        return put

    def put(self, entry: Queued) -> None:
        """Write one entry; call it within `edit`."""
        write_atomic(self._file(entry.id), json.dumps({"format": _FORMAT, **asdict(entry)}, indent=1).encode())

    def drop(self, entry_id: str) -> None:
        """Take an entry out for good; call it within `edit`."""
        self._file(entry_id).unlink(missing_ok=True)
        with suppress(OSError):
            self.start_lock(entry_id).unlink(missing_ok=True)
        sync_dir(self.root)

    def move(self, entry_id: str, where: str) -> int:
        """Change the order; returns the entry's place among those that wait, from 1.

        Args:
            entry_id: whose.
            where: up, down, first or last.

        Raises:
            TryAgainError: QUEUE_STARTED, it has begun meanwhile.
            UsageError: QUEUE_UNKNOWN, it is gone.
        """
        refuse_if_view_only()
        with self.edit():
            entry = self._waiting(entry_id)
            rest = [other for other in self.entries() if other.state is QueueState.WAITING]
            at = next(place for place, other in enumerate(rest) if other.id == entry.id)
            to = {"up": at - 1, "down": at + 1, "first": 0, "last": len(rest) - 1}[where]
            to = max(0, min(len(rest) - 1, to))
            if to != at:
                rest.pop(at)
                rest.insert(to, entry)
                self._place(rest, to)
            return to + 1

    def remove(self, entry_id: str) -> Queued:
        """Take out an entry that waits or that could not start.

        Raises:
            TryAgainError: QUEUE_STARTED. UsageError: QUEUE_UNKNOWN.
        """
        refuse_if_view_only()
        with self.edit():
            entry = self._waiting(entry_id, failed=True)
            self.drop(entry.id)
            return entry

    def hasten(self, entry_id: str) -> Queued:
        """Have an entry begin at once, beside whatever runs; one that could not start is tried again.

        Raises:
            TryAgainError: QUEUE_STARTED. UsageError: QUEUE_UNKNOWN.
        """
        refuse_if_view_only()
        with self.edit():
            entry = self._waiting(entry_id, failed=True)
            entry = replace(entry, now=True, state=QueueState.WAITING, problem=None, tries=0)
            self.put(entry)
            return entry

    def hold(self, why: str) -> None:
        """Start nothing more; what runs goes on."""
        refuse_if_view_only()
        with self.edit():
            self.hold_within(why)

    def hold_within(self, why: str) -> None:
        """The same for whoever is within `edit`."""
        write_atomic(self.root / "held.json", json.dumps({"why": why, "at": round(time.time(), 3)}).encode())

    def let_go(self) -> bool:
        """Take entries again; whether it was held."""
        refuse_if_view_only()
        with self.edit():
            file = self.root / "held.json"
            was = file.exists()
            file.unlink(missing_ok=True)
            return was

    # -- inside -------------------------------------------------------------------------------------------------------

    def _waiting(self, entry_id: str, *, failed: bool = False) -> Queued:
        entry = self.get(entry_id)
        if entry is None:
            raise UsageError(
                "QUEUE_UNKNOWN",
                f"{safe_text(entry_id.removeprefix(PREFIX), limit=40)} is not in the queue any more.",
                "`backprop queue` lists what waits; what has begun is in `backprop runs`.",
            )
        if entry.state is QueueState.WAITING or (failed and entry.state is QueueState.FAILED):
            return entry
        if entry.state is QueueState.FAILED:
            raise TryAgainError(
                "QUEUE_FAILED",
                f"{safe_text(entry.name, limit=60)} could not start, so it has no place.",
                f"`backprop queue now {entry.short_id}` tries again.",
            )
        raise TryAgainError(
            "QUEUE_STARTED",
            f"{safe_text(entry.name, limit=60)} has begun.",
            f"`backprop stop {(entry.run or '').rsplit('-', 1)[-1] or '…'}` ends it.",
        )

    def _place(self, row: list[Queued], at: int) -> None:
        """Give the entry at `at` an order between its neighbours; all of them new ones where no number lies between."""
        before = row[at - 1].order if at else None
        after = row[at + 1].order if at + 1 < len(row) else None
        if before is None and after is None:
            return
        if before is None:
            order = (after or 0.0) - 1
        elif after is None:
            order = before + 1
        else:
            order = (before + after) / 2
        if (before is not None and order <= before) or (after is not None and order >= after):
            for number, entry in enumerate(row):
                self.put(replace(entry, order=float(number)))
            return
        self.put(replace(row[at], order=order))

    def _read(self) -> tuple[list[Queued], list[str]]:
        try:
            names = [name for name in os.listdir(self.root) if name.startswith(PREFIX) and name.endswith(".json")]
        except OSError:
            return [], []
        found, damaged = [], []
        for name in names:
            entry = read_entry(self.root / name)
            if entry is not None and f"{entry.id}.json" == name:
                found.append(entry)
            elif (self.root / name).exists():
                damaged.append(name)
        return sorted(found, key=lambda entry: (not entry.begun, entry.order, entry.id)), sorted(damaged)

    def _file(self, entry_id: str) -> Path:
        return self.root / f"{entry_id}.json"


@contextmanager
def _locked(file: Path) -> Iterator[None]:
    held = alone(file)
    try:
        held.__enter__()
    except TryAgainError:
        raise TryAgainError("QUEUE_BUSY", "Somebody else is changing the queue.", "Try again in a moment.") from None
    try:
        yield
    finally:
        held.__exit__(None, None, None)


def _fresh_id(used: set[str]) -> str:
    while True:
        made = PREFIX + "".join(secrets.choice(_ALPHABET) for _ in range(4))
        if made not in used:
            used.add(made)
            return made
