"""A run as people see it: the fold of its events. Pure, incremental, JSON-ready, shared by the app and the CLI."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from backprop_tui.protocol import events as ev
from backprop_tui.protocol.changes import BatchSizes, Changes, RateChange
from backprop_tui.protocol.events import Event
from backprop_tui.protocol.pace import Pace, seconds_left
from backprop_tui.protocol.states import RunState
from backprop_tui.protocol.view_fold import fold


@dataclass(slots=True)
class RunView:
    """What is known of a run after the events applied so far. None means unknown, never zero.

    Feed it with `apply`; ask `state_when(lock_held)` rather than `state` when the engine may have died.

    Attributes:
        resumed: how the present attempt went on from earlier weights (`payloads.ResumePayload`), None when it began afresh.
        figures: what the objective tells of the newest step beside the loss, eval_figures of the newest evaluation
            (`protocol.task_figures`).
        multi: runs, merges and matrix of a multi-run (`protocol.multi_view`); {} for a single run.
        probe: what the longest rows were expected to take and took, as in `payloads.ProbePayload`; {} before.
        telemetry: the newest readings put together, as `protocol.telemetry` describes; {} before the first.
        pace: step times, rates and what evaluations and saves cost.
        held_s: seconds with a process at work, over all attempts, pauses included. paused_s: seconds of those paused.
        energy_wh: watt-hours drawn by the run's GPUs while their power was known. energy_s: GPU-seconds that covers.
        gpu_s: GPU-seconds there were. run_gpus: indices of the run's GPUs, None while nobody said.
        batch: sizes in force (`changes.BatchSizes`), None while they are the spec's.
        rates: changes of the learning rate (`changes.RateChange`), oldest first.
    """

    seq: int = 0
    state: RunState = RunState.STARTING
    reason: str = ""
    attempt: int = 0
    started: float | None = None
    updated: float | None = None
    ended: float | None = None
    step: int = 0
    total_steps: int | None = None
    epoch: float | None = None
    loss: float | None = None
    previous_loss: float | None = None
    grad_norm: float | None = None
    lr: float | None = None
    tokens: int | None = None
    tokens_per_s: float | None = None
    eval_loss: float | None = None
    best_eval_loss: float | None = None
    best_eval_step: int | None = None
    exact_match: float | None = None
    token_accuracy: float | None = None
    figures: dict[str, float] = field(default_factory=dict)
    eval_figures: dict[str, float] = field(default_factory=dict)
    checkpoint_step: int | None = None
    checkpoint_wall: float | None = None
    checkpoints: list[int] = field(default_factory=list)
    result: str | None = None
    resumed: dict[str, Any] | None = None
    multi: dict[str, Any] = field(default_factory=dict)
    phase: str | None = None
    phase_done: int | None = None
    phase_total: int | None = None
    phase_detail: str = ""
    fault: dict[str, Any] | None = None
    alert: dict[str, Any] | None = None
    alerts: int = 0
    plan: dict[str, Any] = field(default_factory=dict)
    probe: dict[str, Any] = field(default_factory=dict)
    telemetry: dict[str, Any] = field(default_factory=dict)
    recent_step_s: list[float] = field(default_factory=list)
    overhead_s: float = 0.0
    pace: Pace = field(default_factory=Pace)
    held_s: float = 0.0
    paused_s: float = 0.0
    mono: float | None = None
    energy_wh: float | None = None
    energy_s: float = 0.0
    gpu_s: float = 0.0
    run_gpus: list[int] | None = None
    sensed_mono: float | None = None
    batch: dict[str, int] | None = None
    rates: list[dict[str, Any]] = field(default_factory=list)

    def apply(self, events: Iterable[Event]) -> RunView:
        """Fold more events in (those already seen are ignored) and return self."""
        for event in events:
            if event.seq <= self.seq:
                continue
            self.seq = event.seq
            self.updated = event.wall
            self._pass_time(event)
            fold(self, event)
        return self

    def state_when(self, lock_held: bool) -> RunState:
        """The honest state: "running" means the lock is held; a live state without a holder is a crash."""
        if self.state.live and not lock_held:
            return RunState.CRASHED
        return self.state

    @property
    def seconds_left(self) -> float | None:
        """Time to the end from the recent rate, evaluations and saves included, pauses not; None when unknown."""
        if self.total_steps is None or not self.recent_step_s or not self.state.live:
            return None
        rate = sum(self.recent_step_s) / len(self.recent_step_s)
        left = seconds_left(self.pace, self.plan, self.step, self.total_steps, rate, self.phase, self.updated)
        if left is not None:
            return left
        per_step = rate + (self.overhead_s / self.step if self.step else 0.0)
        return max(0, self.total_steps - self.step) * per_step

    @property
    def changes(self) -> Changes:
        """What changed since the launch, for the next attempt's worker."""
        rates = (RateChange.from_dict(words) for words in self.rates)
        return Changes(BatchSizes.from_dict(self.batch), tuple(change for change in rates if change is not None))

    def charged_gpus(self) -> list[dict[str, Any]]:
        """The GPUs this run works on, from the newest reading: those that hold its memory; all where nobody can say."""
        gpus: list[dict[str, Any]] = self.telemetry.get("gpus") or []
        if self.plan.get("device") == "cpu":
            return []
        if self.run_gpus:
            return [gpu for gpu in gpus if gpu["index"] in self.run_gpus]
        # In a container the driver may list no process, or number them as the host does; the plan still names a GPU.
        return gpus if self.plan else []

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready; `from_dict` reads it back."""
        return asdict(self)

    @classmethod
    def from_dict(cls, words: dict[str, Any]) -> RunView:
        """Rebuild a view written by `to_dict`; keys of another version are ignored."""
        known = {f.name for f in fields(cls)}
        view = cls(**{key: value for key, value in words.items() if key in known and key != "pace"})
        view.state = RunState(view.state)
        view.pace = Pace.from_dict(words.get("pace") or {})
        return view

    def _pass_time(self, event: Event) -> None:
        """Count the time since the event before, unless another process wrote it: clocks of two boots don't compare."""
        before, self.mono = self.mono, event.mono
        if event.kind == ev.ATTEMPT or before is None or not self.state.live:
            return
        passed = event.mono - before
        if 0 < passed < 1e9 and event.attempt == self.attempt:
            self.held_s += passed
            if self.state is RunState.PAUSED:
                self.paused_s += passed
