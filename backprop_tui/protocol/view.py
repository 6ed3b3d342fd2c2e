"""A run as people see it: the fold of its events. Pure, incremental, JSON-ready, shared by the app and the CLI."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from backprop_tui.protocol import events as ev
from backprop_tui.protocol.codec import number
from backprop_tui.protocol.events import Event
from backprop_tui.protocol.states import RunState

_STATE_OF_OUTCOME = {
    "completed": RunState.COMPLETED,
    "stopped": RunState.STOPPED,
    "aborted": RunState.ABORTED,
    "failed": RunState.FAILED,
}
#: Step durations remembered for the rate and the time left.
_RECENT_STEPS = 50


@dataclass(slots=True)
class RunView:
    """What is known of a run after the events applied so far. None means unknown, never zero.

    Feed it with `apply`; ask `state_when(lock_held)` rather than `state` when the engine may have died.
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
    checkpoint_step: int | None = None
    checkpoint_wall: float | None = None
    checkpoints: list[int] = field(default_factory=list)
    result: str | None = None
    phase: str | None = None
    phase_done: int | None = None
    phase_total: int | None = None
    phase_detail: str = ""
    fault: dict[str, Any] | None = None
    alert: dict[str, Any] | None = None
    alerts: int = 0
    plan: dict[str, Any] = field(default_factory=dict)
    telemetry: dict[str, Any] = field(default_factory=dict)
    recent_step_s: list[float] = field(default_factory=list)
    overhead_s: float = 0.0

    def apply(self, events: Iterable[Event]) -> RunView:
        """Fold more events in (those already seen are ignored) and return self."""
        for event in events:
            if event.seq <= self.seq:
                continue
            self.seq = event.seq
            self.updated = event.wall
            handler = _HANDLERS.get(event.kind)
            if handler is None:
                continue
            try:
                handler(self, event)
            except (TypeError, ValueError, OverflowError, AttributeError):
                # A foreign or damaged run directory may hold anything; what does not fit changes nothing.
                continue
        return self

    def state_when(self, lock_held: bool) -> RunState:
        """The honest state: "running" means the lock is held; a live state without a holder is a crash."""
        if self.state.live and not lock_held:
            return RunState.CRASHED
        return self.state

    @property
    def seconds_left(self) -> float | None:
        """Time to the last step from the recent rate (evaluations and saves included, pauses not); None when unknown."""
        if self.total_steps is None or not self.recent_step_s or not self.state.live:
            return None
        remaining = max(0, self.total_steps - self.step)
        rate = sum(self.recent_step_s) / len(self.recent_step_s)
        per_step = rate + (self.overhead_s / self.step if self.step else 0.0)
        return remaining * per_step

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready; `from_dict` reads it back."""
        return asdict(self)

    @classmethod
    def from_dict(cls, words: dict[str, Any]) -> RunView:
        """Rebuild a view written by `to_dict`; keys of another version are ignored."""
        known = {f.name for f in fields(cls)}
        view = cls(**{key: value for key, value in words.items() if key in known})
        view.state = RunState(view.state)
        return view


def _on_run(view: RunView, event: Event) -> None:
    view.started = view.started or event.wall


def _on_attempt(view: RunView, event: Event) -> None:
    view.attempt = int(event.data.get("attempt", event.attempt))
    view.state, view.reason, view.fault, view.ended = RunState.STARTING, "", None, None
    view.phase = None
    resume_step = event.data.get("resume_step")
    view.step = int(resume_step) if resume_step is not None else 0
    view.recent_step_s = []


def _on_state(view: RunView, event: Event) -> None:
    try:
        view.state = RunState(str(event.data.get("state")))
    except ValueError:
        return
    view.reason = str(event.data.get("reason", ""))


def _on_phase(view: RunView, event: Event) -> None:
    data = event.data
    if data.get("status") == "end":
        if data.get("phase") in ("eval", "sample", "save") and view.step:
            view.overhead_s += number(data.get("seconds")) or 0.0
        view.phase = view.phase_done = view.phase_total = None
        view.phase_detail = ""
        return
    view.phase = str(data.get("phase"))
    view.phase_done, view.phase_total = data.get("done"), data.get("total")
    view.phase_detail = str(data.get("detail", ""))


def _on_plan(view: RunView, event: Event) -> None:
    view.plan = event.data
    total = event.data.get("total_steps")
    view.total_steps = int(total) if total is not None else None


def _on_step(view: RunView, event: Event) -> None:
    data = event.data
    view.previous_loss = view.loss
    view.step = int(data.get("step", view.step))
    view.loss, view.grad_norm = number(data.get("loss")), number(data.get("grad_norm"))
    view.lr, view.epoch = number(data.get("lr")), number(data.get("epoch"))
    view.tokens, view.tokens_per_s = data.get("tokens"), number(data.get("tokens_per_s"))
    seconds = number(data.get("step_s"))
    if seconds is not None:
        view.recent_step_s.append(seconds)
        del view.recent_step_s[:-_RECENT_STEPS]


def _on_eval(view: RunView, event: Event) -> None:
    view.eval_loss = number(event.data.get("loss"))
    if "exact_match" in event.data:
        view.exact_match = number(event.data["exact_match"])
    if event.data.get("best"):
        view.best_eval_loss, view.best_eval_step = view.eval_loss, event.data.get("step")


def _on_checkpoint(view: RunView, event: Event) -> None:
    step = int(event.data.get("step", 0))
    view.checkpoint_step, view.checkpoint_wall = step, event.wall
    if step not in view.checkpoints:
        view.checkpoints.append(step)


def _on_checkpoint_removed(view: RunView, event: Event) -> None:
    view.checkpoints = [step for step in view.checkpoints if step != event.data.get("step")]


def _on_telemetry(view: RunView, event: Event) -> None:
    view.telemetry = event.data


def _on_fault(view: RunView, event: Event) -> None:
    view.fault = event.data


def _on_alert(view: RunView, event: Event) -> None:
    view.alert = event.data
    view.alerts += 1


def _on_end(view: RunView, event: Event) -> None:
    view.state = _STATE_OF_OUTCOME.get(str(event.data.get("outcome")), RunState.FAILED)
    view.reason = str(event.data.get("reason", ""))
    view.result = event.data.get("checkpoint")
    view.ended, view.phase = event.wall, None


_HANDLERS = {
    ev.RUN: _on_run,
    ev.ATTEMPT: _on_attempt,
    ev.STATE: _on_state,
    ev.PHASE: _on_phase,
    ev.PLAN: _on_plan,
    ev.STEP: _on_step,
    ev.EVAL: _on_eval,
    ev.CHECKPOINT: _on_checkpoint,
    ev.CHECKPOINT_REMOVED: _on_checkpoint_removed,
    ev.TELEMETRY: _on_telemetry,
    ev.FAULT: _on_fault,
    ev.ALERT: _on_alert,
    ev.END: _on_end,
}
