"""One line of a list of runs: the figures people list, sort and filter by, small enough to hold ten thousand of."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from backprop_tui.protocol.states import RunState

if TYPE_CHECKING:
    from backprop_tui.store.summary import RunSummary


@dataclass(frozen=True)
class Entry:
    """A run at a glance. None is unknown, NaN is what the run reported. Texts are as stored: clean them before showing.

    Attributes:
        id: the run's id. title, model, data, method, created: as in `RunSummary`.
        state: the honest state when looked at.
        epoch, loss, grad_norm, lr, eval_loss, best, exact_match: newest figures; `best` is the best evaluation's loss.
        tokens_per_s: tokens per second. tokens: since step 0. seconds: with a process at work, without pauses.
        energy_wh: watt-hours its GPUs drew, as far as known. updated: time of the newest event, seconds since the epoch.
        fault: code of the fault it failed with. tags, note, experiment, archived: what people noted.
    """

    id: str
    title: str
    model: str
    data: str
    method: str
    created: float
    state: RunState
    attempt: int
    step: int
    total_steps: int | None
    epoch: float | None
    loss: float | None
    grad_norm: float | None
    lr: float | None
    eval_loss: float | None
    best: float | None
    exact_match: float | None
    tokens: int | None
    tokens_per_s: float | None
    seconds: float | None
    energy_wh: float | None
    updated: float | None
    checkpoints: int
    fault: str
    tags: tuple[str, ...] = ()
    note: str = ""
    experiment: str = ""
    archived: bool = False
    #: Place in the queue, from 1; None for a run, and for an entry that could not start.
    place: int | None = None
    #: Leaves of the spec, where they were asked for.
    settings: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)

    @property
    def short_id(self) -> str:
        """The random tail of the id."""
        return self.id.rsplit("-", 1)[-1]

    @cached_property
    def haystack(self) -> str:
        """What words without an operator are looked for in: name, model, data and id, case folded."""
        return "\n".join((self.title, self.model, self.data, self.id, *self.tags)).casefold()


def entry_of(summary: RunSummary) -> Entry:
    """The line of a summary."""
    view, notes = summary.view, summary.notes
    held, paused = _finite(view.held_s) or 0.0, _finite(view.paused_s) or 0.0
    return Entry(
        summary.run.id,
        summary.title,
        summary.model,
        summary.data,
        summary.method,
        summary.created,
        summary.state,
        _whole(view.attempt) or 0,
        _whole(view.step) or 0,
        _whole(view.total_steps),
        _real(view.epoch),
        _real(view.loss),
        _real(view.grad_norm),
        _real(view.lr),
        _real(view.eval_loss),
        _real(view.best_eval_loss),
        _real(view.exact_match),
        _whole(view.tokens),
        _real(view.tokens_per_s),
        max(0.0, held - paused) if held else None,
        _finite(view.energy_wh),
        _finite(view.updated),
        len(view.checkpoints),
        str((view.fault or {}).get("code", "")),
        notes.tags,
        notes.note,
        notes.experiment,
        notes.archived,
    )


def _real(value: Any) -> float | None:
    # A foreign journal may hold anything where a number belongs.
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def _finite(value: Any) -> float | None:
    number = _real(value)
    return number if number is not None and math.isfinite(number) else None


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 1 << 62 else None
