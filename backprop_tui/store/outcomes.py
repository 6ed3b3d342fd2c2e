"""The figures by which finished runs are compared, in the order of the table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from operator import attrgetter
from typing import Literal

from backprop_tui.store.entry import Entry

Unit = Literal["loss", "share", "count", "rate", "seconds", "wh"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """A figure of a run. `why` says why it may be unknown; `good` is the better end, None when neither is."""

    name: str
    title: str
    unit: Unit
    of: Callable[[Entry], float | None]
    good: Literal["low", "high"] | None
    why: str


OUTCOMES: tuple[Outcome, ...] = (
    Outcome("best", "best eval loss", "loss", attrgetter("best"), "low", "it was not measured on held-out rows"),
    Outcome("eval", "eval loss", "loss", attrgetter("eval_loss"), "low", "it was not measured on held-out rows"),
    Outcome("loss", "train loss", "loss", attrgetter("loss"), "low", "no step was finished"),
    Outcome("match", "exact match", "share", attrgetter("exact_match"), "high", "no answers were compared"),
    Outcome("tokens", "tokens", "count", attrgetter("tokens"), None, "no step was finished"),
    Outcome("time", "time", "seconds", attrgetter("seconds"), "low", "the run left no times"),
    Outcome("speed", "tokens/s", "rate", attrgetter("tokens_per_s"), "high", "no step was finished"),
    Outcome("energy", "energy", "wh", attrgetter("energy_wh"), "low", "no GPU told its power"),
)


def first_outcome(entries: list[Entry]) -> Outcome:
    """What is worth explaining: the best evaluation if at least two runs have one, else the training loss."""
    measured = sum(entry.best is not None for entry in entries)
    wanted = "best" if measured >= 2 else "loss"
    return next(outcome for outcome in OUTCOMES if outcome.name == wanted)
