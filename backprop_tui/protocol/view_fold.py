"""What each kind of event changes in a `RunView`: one function a kind, and the table that picks it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from backprop_tui.protocol import events as ev
from backprop_tui.protocol import multi_view, task_figures, telemetry
from backprop_tui.protocol.changes import BatchSizes, RateChange, with_rate
from backprop_tui.protocol.codec import number
from backprop_tui.protocol.events import Event
from backprop_tui.protocol.states import RunState

if TYPE_CHECKING:
    from backprop_tui.protocol.view import RunView

_STATE_OF_OUTCOME = {
    "completed": RunState.COMPLETED,
    "stopped": RunState.STOPPED,
    "aborted": RunState.ABORTED,
    "failed": RunState.FAILED,
}
#: Step durations remembered for the rate and the time left.
_RECENT_STEPS = 50
#: Two readings of the power further apart say nothing of what was drawn between them.
_POWER_GAP = 60.0


def fold(view: RunView, event: Event) -> None:
    """Change a view by one event.

    A foreign or damaged run directory may hold anything: an unknown kind, or a payload that doesn't fit, changes nothing.
    """
    handler = _HANDLERS.get(event.kind)
    if handler is None:
        return
    try:
        handler(view, event)
    except (TypeError, ValueError, OverflowError, AttributeError):
        return


def _on_run(view: RunView, event: Event) -> None:
    view.started = view.started or event.wall


def _on_attempt(view: RunView, event: Event) -> None:
    view.attempt = int(event.data.get("attempt", event.attempt))
    view.state, view.reason, view.fault, view.ended = RunState.STARTING, "", None, None
    view.phase = None
    if (batch := BatchSizes.from_dict(event.data.get("batch"))) is not None:
        view.batch = batch.to_dict()
    resume_step = event.data.get("resume_step")
    view.step = int(resume_step) if resume_step is not None else 0
    if view.multi:
        multi_view.forget_from(view.multi, view.step)
    view.recent_step_s = []
    view.pace.new_attempt()
    view.telemetry, view.sensed_mono = {}, None
    view.resumed = None


def _on_resume(view: RunView, event: Event) -> None:
    view.resumed = event.data


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
        view.pace.phase_ended(str(data.get("phase")), view.step, number(data.get("seconds")))
        view.phase = view.phase_done = view.phase_total = None
        view.phase_detail = ""
        return
    view.phase = str(data.get("phase"))
    if data.get("status") == "start":
        view.pace.phase_since = event.wall
    view.phase_done, view.phase_total = data.get("done"), data.get("total")
    view.phase_detail = str(data.get("detail", ""))


def _on_plan(view: RunView, event: Event) -> None:
    view.plan = event.data
    total = event.data.get("total_steps")
    view.total_steps = int(total) if total is not None else None


def _on_probe(view: RunView, event: Event) -> None:
    # The batch's size is said once; the later measurement covers more.
    view.probe = {**view.probe, **event.data}


def _on_step(view: RunView, event: Event) -> None:
    data = event.data
    view.previous_loss = view.loss
    view.step = int(data.get("step", view.step))
    view.loss, view.grad_norm = number(data.get("loss")), number(data.get("grad_norm"))
    view.lr, view.epoch = number(data.get("lr")), number(data.get("epoch"))
    view.tokens, view.tokens_per_s = data.get("tokens"), number(data.get("tokens_per_s"))
    view.figures = task_figures.step_figures(data)
    seconds = number(data.get("step_s"))
    if seconds is not None:
        view.recent_step_s.append(seconds)
        del view.recent_step_s[:-_RECENT_STEPS]
    view.pace.took_step(seconds, view.tokens_per_s, number(data.get("trained")))


def _on_eval(view: RunView, event: Event) -> None:
    view.eval_loss = number(event.data.get("loss"))
    view.eval_figures = task_figures.eval_figures(event.data)
    if "exact_match" in event.data:
        view.exact_match = number(event.data["exact_match"])
    if "token_accuracy" in event.data:
        view.token_accuracy = number(event.data["token_accuracy"])
    if event.data.get("best"):
        view.best_eval_loss, view.best_eval_step = view.eval_loss, event.data.get("step")


def _on_multi(view: RunView, event: Event) -> None:
    multi_view.fold(view.multi, event)


def _on_checkpoint(view: RunView, event: Event) -> None:
    step = int(event.data.get("step", 0))
    view.checkpoint_step, view.checkpoint_wall = step, event.wall
    if step not in view.checkpoints:
        view.checkpoints.append(step)


def _on_checkpoint_removed(view: RunView, event: Event) -> None:
    view.checkpoints = [step for step in view.checkpoints if step != event.data.get("step")]


def _on_telemetry(view: RunView, event: Event) -> None:
    before = view.telemetry
    view.telemetry = telemetry.merged(before, event.data, event.wall)
    since, view.sensed_mono = view.sensed_mono, event.mono
    gpus = view.telemetry["gpus"]
    ours = telemetry.run_gpus(gpus)
    if ours or view.run_gpus is None:
        # A card that is let go of for a moment is still the run's: an empty answer doesn't take back a full one.
        view.run_gpus = ours
    if since is not None and 0 < event.mono - since <= _POWER_GAP:
        _draw_power(view, before, event.mono - since)


def _draw_power(view: RunView, before: dict[str, Any], seconds: float) -> None:
    powers = {gpu["index"]: number(gpu.get("power")) for gpu in before.get("gpus", ())}
    for gpu in view.charged_gpus():
        view.gpu_s += seconds
        watts, earlier = number(gpu.get("power")), powers.get(gpu["index"])
        if watts is not None and earlier is not None:
            view.energy_wh = (view.energy_wh or 0.0) + (watts + earlier) / 2 * seconds / 3600
            view.energy_s += seconds


def _on_fault(view: RunView, event: Event) -> None:
    view.fault = event.data


def _on_alert(view: RunView, event: Event) -> None:
    view.alert = event.data
    view.alerts += 1


def _on_command(view: RunView, event: Event) -> None:
    args = event.data.get("args") or {}
    if event.data.get("name") == "set" and "from_step" in args:
        change = {"id": event.data.get("id"), "step": args["from_step"]}
        _change_rate(view, {**change, "rate": args.get("learning_rate"), "factor": args.get("lr_factor")})


def _on_command_done(view: RunView, event: Event) -> None:
    if event.data.get("ok"):
        _change_rate(view, event.data.get("rate"))


def _change_rate(view: RunView, words: object) -> None:
    change = RateChange.from_dict(words)
    if change is not None:
        view.rates = [known.to_dict() for known in with_rate(view.changes.rates, change)]


def _on_end(view: RunView, event: Event) -> None:
    view.state = _STATE_OF_OUTCOME.get(str(event.data.get("outcome")), RunState.FAILED)
    view.reason = str(event.data.get("reason", ""))
    view.result = event.data.get("checkpoint")
    view.ended, view.phase = event.wall, None


_HANDLERS = {
    ev.RUN: _on_run,
    ev.ATTEMPT: _on_attempt,
    ev.RESUME: _on_resume,
    ev.STATE: _on_state,
    ev.PHASE: _on_phase,
    ev.PLAN: _on_plan,
    ev.PROBE: _on_probe,
    ev.STEP: _on_step,
    ev.EVAL: _on_eval,
    ev.STAGE: _on_multi,
    ev.MERGE: _on_multi,
    ev.MATRIX: _on_multi,
    ev.CHECKPOINT: _on_checkpoint,
    ev.CHECKPOINT_REMOVED: _on_checkpoint_removed,
    ev.TELEMETRY: _on_telemetry,
    ev.FAULT: _on_fault,
    ev.ALERT: _on_alert,
    ev.COMMAND: _on_command,
    ev.COMMAND_DONE: _on_command_done,
    ev.END: _on_end,
}
