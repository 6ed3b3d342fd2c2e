"""One entry of the queue: a run that was checked and waits, as its file holds it."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum
from pathlib import Path
from typing import Any

#: What an entry's id begins with; the tail is what people type.
PREFIX = "queue-"
#: A file larger than this, in bytes, is not one of ours.
_MOST_BYTES = 4 << 20


class QueueState(StrEnum):
    """Where an entry stands. Once its run is over the entry is gone; the run tells the rest."""

    WAITING = "waiting"
    STARTING = "starting"
    RUNNING = "running"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Queued:
    """One entry.

    Attributes:
        id: `queue-` and four letters. order: entries go by it, smallest first.
        added: seconds since the Unix epoch. name: as the run will be called.
        spec: the resolved spec. launched: what the data was when it was added.
        trusted: hashes of reward files confirmed for it. gpus: indices it must run on, empty is any free one.
        now: it is to begin beside whatever runs. sweep: name and trial (`trial`, from 1) of the sweep it belongs to.
        state: where it stands. tries: starts that ended without a word.
        run: id of its run once there is one. given: indices of the GPUs it got, -1 for the CPU.
        problem: why it could not start, as `BackpropError.to_dict`.
    """

    id: str
    order: float
    added: float
    name: str
    spec: dict[str, Any]
    launched: dict[str, Any] = field(default_factory=dict)
    trusted: list[str] = field(default_factory=list)
    gpus: list[int] = field(default_factory=list)
    now: bool = False
    sweep: dict[str, Any] | None = None
    state: QueueState = QueueState.WAITING
    tries: int = 0
    run: str | None = None
    given: list[int] = field(default_factory=list)
    problem: dict[str, Any] | None = None

    @property
    def begun(self) -> bool:
        """Whether it has left the row of those that wait."""
        return self.state in (QueueState.STARTING, QueueState.RUNNING)

    @property
    def short_id(self) -> str:
        """The tail of the id."""
        return self.id.removeprefix(PREFIX)


def place_of(entries: Iterable[Queued], wanted: Queued) -> int | None:
    """Place of an entry among those that wait, from 1; None for any other."""
    waiting = [entry.id for entry in entries if entry.state is QueueState.WAITING]
    return waiting.index(wanted.id) + 1 if wanted.id in waiting else None


def fresh(name: str, spec: Mapping[str, Any], **more: Any) -> Queued:
    """An entry that `Queue.add` has yet to give an id and a place."""
    return Queued("", 0.0, 0.0, name, dict(spec), **more)


def read_entry(file: Path) -> Queued | None:
    """The entry in a file; None when it is gone or can't be read."""
    try:
        content = file.read_bytes()
        words = json.loads(content) if len(content) <= _MOST_BYTES else None
        if not isinstance(words, dict):
            return None
        known = {f.name: words[f.name] for f in fields(Queued) if f.name in words}
        entry = Queued(**{**known, "state": QueueState(words.get("state", "waiting"))})
    except (OSError, ValueError, TypeError, RecursionError):
        return None
    sound = (
        isinstance(entry.id, str) and isinstance(entry.name, str) and isinstance(entry.spec, dict)
        and isinstance(entry.order, (int, float)) and math.isfinite(entry.order)
        and isinstance(entry.gpus, list) and isinstance(entry.given, list) and isinstance(entry.added, (int, float))
    )  # fmt: skip
    return entry if sound else None
