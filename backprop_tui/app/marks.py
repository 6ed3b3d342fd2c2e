"""Moments of a run worth a sign under its chart: evaluations, saves, pauses, restarts, alerts, faults, the end."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from typing import TYPE_CHECKING, Literal, get_args

from backprop_tui.protocol import events as ev
from backprop_tui.protocol.codec import number
from backprop_tui.protocol.events import Event
from backprop_tui.protocol.text import safe_text

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

#: In the order in which a later one is drawn over an earlier one that falls into the same cell.
MarkKind = Literal["end", "eval", "save", "pause", "restart", "alert", "fault"]
KINDS: tuple[MarkKind, ...] = get_args(MarkKind)


class Marks:
    """The fold of a run's events into marks; one per kind and step, the newest words win.

    Attributes:
        began: wall time of the run's first event in seconds since the epoch; None before it.
        changes: grows with every change, so that what was made of the marks can be kept until it does.
    """

    def __init__(self) -> None:
        self.began: float | None = None
        self.changes = 0
        self._kinds: dict[MarkKind, dict[int, str]] = {kind: {} for kind in KINDS}
        self._arrays: dict[MarkKind, tuple[int, NDArray[np.float64]]] = {}
        self._ordered: tuple[int, list[tuple[int, MarkKind, str]]] = (-1, [])

    def add(self, event: Event, step: int) -> None:
        """Take in one event; `step` is where the run stood when it happened, for events that don't say."""
        if self.began is None:
            self.began = event.wall
        if event.kind == ev.STEP:
            return
        found = _mark(event)
        if found is None:
            return
        kind, words = found
        own = number(event.data.get("resume_step" if event.kind == ev.ATTEMPT else "step"))
        at = step if own is None or not 0 <= own < 1 << 53 else int(own)
        if kind == "restart" and at == 0 and step == 0:
            return
        self._kinds[kind][at] = words
        self.changes += 1

    def steps(self, kind: MarkKind) -> NDArray[np.float64]:
        """Steps at which something of this kind happened, shape (n,), in no promised order."""
        held = self._arrays.get(kind)
        if held is None or held[0] != self.changes:
            import numpy as np

            held = self._arrays[kind] = (self.changes, np.array(list(self._kinds[kind]), dtype=np.float64))
        return held[1]

    def ordered(self) -> list[tuple[int, MarkKind, str]]:
        """All of them as (step, kind, words), ascending."""
        if self._ordered[0] != self.changes:
            every = [(step, kind, words) for kind in KINDS for step, words in self._kinds[kind].items()]
            self._ordered = (self.changes, sorted(every, key=lambda mark: mark[0]))
        return self._ordered[1]

    def at(self, step: int) -> list[tuple[MarkKind, str]]:
        """What happened at one step."""
        return [(kind, held[step]) for kind, held in self._kinds.items() if step in held]

    def next(self, step: float, direction: int) -> int | None:
        """The nearest step with a mark after `step` (direction 1) or before it (-1); None when there is none."""
        ordered = self.ordered()
        if direction > 0:
            index = bisect_right(ordered, step, key=lambda mark: mark[0])
            return ordered[index][0] if index < len(ordered) else None
        index = bisect_left(ordered, step, key=lambda mark: mark[0])
        return ordered[index - 1][0] if index else None


def _mark(event: Event) -> tuple[MarkKind, str] | None:
    data = event.data
    if event.kind == ev.EVAL:
        return "eval", "evaluation, the best so far" if data.get("best") else "evaluation"
    if event.kind == ev.CHECKPOINT:
        return "save", "checkpoint saved"
    if event.kind == ev.STATE and data.get("state") == "paused":
        return "pause", "paused"
    if event.kind == ev.ATTEMPT:
        attempt = number(data.get("attempt"))
        return "restart", f"attempt {attempt:.0f} begins" if attempt is not None else "another attempt begins"
    if event.kind == ev.FAULT:
        return "fault", safe_text(data.get("code") or "fault", limit=60)
    if event.kind == "alert" or (event.kind == ev.LOG and data.get("level") == "error"):
        return "alert", safe_text(data.get("message") or data.get("cause") or "alert", limit=120)
    if event.kind == ev.END:
        return "end", safe_text(data.get("outcome") or "end", limit=40)
    return None
