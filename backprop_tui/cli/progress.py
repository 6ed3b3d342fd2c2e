"""A run as lines of text: for pipes, CI, logs and screen readers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from backprop_tui.cli import words
from backprop_tui.cli.output import Output, Style
from backprop_tui.protocol import events as ev
from backprop_tui.protocol.codec import number
from backprop_tui.protocol.events import Event
from backprop_tui.protocol.multi_words import merge_sentence, stage_sentence
from backprop_tui.protocol.probing import probe_sentence
from backprop_tui.protocol.resume_words import resume_sentence
from backprop_tui.protocol.sharing_words import sharing_words
from backprop_tui.protocol.task_figures import eval_figures, said
from backprop_tui.protocol.text import safe_text
from backprop_tui.protocol.view import RunView

#: Generated answers shown per measurement; the journal has them all.
_SAMPLES = 1
#: Cells of a line's first word.
LABEL = 11


class ProgressLines:
    """Turns events into lines; steps at most one per `every` seconds of the run's own clock, the last one always.

    Args:
        view: folded along; start with what was already shown.
    """

    def __init__(self, out: Output, view: RunView | None = None, *, every: float = 1.0) -> None:
        self.view = view or RunView()
        self._out = out
        self._every = every
        self._shown_at: float | None = None

    def lines(self, events: Iterable[Event]) -> Iterator[str]:
        """The lines worth printing for these events."""
        for event in events:
            if event.seq <= self.view.seq:
                continue
            self.view.apply([event])
            writer = _WRITERS.get(event.kind)
            if event.kind == ev.STEP:
                if self._due(event):
                    yield self._step()
            elif writer is not None and (said := writer(event.data)) is not None:
                label, text, style = said
                yield self._line(label, text, style)

    def now(self) -> str:
        """Where the run stands, as one step line."""
        return self._step()

    def _due(self, event: Event) -> bool:
        last = self.view.total_steps is not None and self.view.step >= self.view.total_steps
        if not last and self._shown_at is not None and 0 <= event.mono - self._shown_at < self._every:
            return False
        self._shown_at = event.mono
        return True

    def _step(self) -> str:
        return self._line("step", status_text(self.view), "plain")

    def _line(self, label: str, text: str, style: Style) -> str:
        return self._out.style(f"{label:<{LABEL}}", "dim" if style == "plain" else style) + text


def status_text(view: RunView) -> str:
    """Step, share, loss, rate, speed and time left on one line."""
    parts = [f"{words.count(view.step)}/{words.count(view.total_steps)}"]
    if view.total_steps:
        parts.append(f"{100 * view.step / view.total_steps:.0f} %")
    parts.append(f"loss {words.loss(view.loss)}")
    parts += said(view.figures, 1)
    if view.lr is not None:
        parts.append(f"lr {words.rate(view.lr)}")
    if view.tokens_per_s is not None:
        parts.append(f"{words.count(view.tokens_per_s)} tokens/s")
    if view.seconds_left:
        parts.append(f"{words.duration(view.seconds_left)} left")
    return "  ".join(parts)


_Said = tuple[str, str, Style]


def _run(data: dict[str, Any]) -> _Said:
    return "run", f"{data.get('run', words.UNKNOWN)}  {safe_text(data.get('name', ''))}", "bold"


def _attempt(data: dict[str, Any]) -> _Said | None:
    step = data.get("resume_step")
    if data.get("attempt", 1) == 1 and step is None:
        return None
    start = "step 0" if step is None else f"step {words.count(step)}"
    batch = data.get("batch")
    sizes = ""
    if isinstance(batch, dict):
        sizes = f", {words.count(batch.get('batch_size'))} x {words.count(batch.get('accumulation'))} rows a step"
    return "attempt", f"{data.get('attempt')}, from {start}{sizes}", "bold"


def _resume(data: dict[str, Any]) -> _Said:
    odd = data.get("kind") == "statistical" or data.get("skipped")
    return "resume", resume_sentence(data), "warn" if odd else "plain"


def _state(data: dict[str, Any]) -> _Said | None:
    if data.get("state") == "starting":
        return None
    reason = safe_text(data.get("reason", ""))
    return "state", f"{safe_text(data.get('state'))}{f': {reason}' if reason else ''}", "accent"


def _phase(data: dict[str, Any]) -> _Said | None:
    name, status = safe_text(data.get("phase")), data.get("status")
    detail = safe_text(data.get("detail", ""))
    if name not in ("load", "tokenise"):
        return None
    if status == "start":
        return name, detail or "…", "plain"
    if status == "end":
        return name, f"done in {words.duration(number(data.get('seconds')))}", "plain"
    return None


def _plan(data: dict[str, Any]) -> _Said:
    trained, all_of_them = number(data.get("trainable_parameters")), number(data.get("parameters"))
    text = (
        f"{words.count(number(data.get('total_steps')))} steps of {data.get('effective_batch', words.UNKNOWN)} rows, "
        f"{number(data.get('epochs')) or 0:.3g} epochs over {words.count(number(data.get('train_rows')))} rows; "
        f"{words.count(trained)} of {words.count(all_of_them)} parameters trained "
        f"on {safe_text(data.get('device', words.UNKNOWN))} in {safe_text(data.get('dtype', words.UNKNOWN))}"
    )
    if shared := sharing_words(data):
        text += f", {shared}"
    dropped, cut = number(data.get("dropped_rows")), number(data.get("truncated_rows"))
    if dropped:
        text += f"; {words.count(dropped)} rows dropped"
    if cut:
        text += f"; {words.count(cut)} rows cut"
    return "plan", text, "plain"


def _probe(data: dict[str, Any]) -> _Said:
    return "probe", probe_sentence(data), "plain"


def _eval(data: dict[str, Any]) -> _Said:
    parts = [f"step {words.count(number(data.get('step')))}", f"loss {words.loss(number(data.get('loss')))}"]
    if data.get("perplexity") is not None:
        parts.append(f"perplexity {words.loss(number(data.get('perplexity')))}")
    parts += said(eval_figures(data))
    accuracy, match = number(data.get("token_accuracy")), number(data.get("exact_match"))
    if accuracy is not None:
        parts.append(f"token accuracy {100 * accuracy:.1f} %")
    if match is not None:
        parts.append(f"exact match {100 * match:.0f} %")
    parts.append(f"{words.count(number(data.get('rows')))} rows in {words.duration(number(data.get('seconds')))}")
    if data.get("best"):
        parts.append("best")
    return "eval", "  ".join(parts), "accent"


def _sample(data: dict[str, Any]) -> _Said | None:
    index = data.get("index")
    if not isinstance(index, int) or index >= _SAMPLES:
        return None
    prompt, output = safe_text(data.get("prompt", ""), limit=60), safe_text(data.get("output", ""), limit=100)
    return "sample", f"{safe_text(data.get('source', ''))}: “{prompt}” → “{output}”", "plain"


def _stage(data: dict[str, Any]) -> _Said | None:
    sentence = stage_sentence(data)
    return None if sentence is None else ("stage", sentence, "bold")


def _merge(data: dict[str, Any]) -> _Said:
    return "merge", merge_sentence(data), "good" if data.get("accepted") else "warn"


def _checkpoint(data: dict[str, Any]) -> _Said:
    took = words.duration(number(data.get("seconds")))
    best = ", best so far" if data.get("best") else ""
    size = words.size(number(data.get("bytes")))
    return "checkpoint", f"step {words.count(number(data.get('step')))} saved, {size} in {took}{best}", "good"


def _log(data: dict[str, Any]) -> _Said | None:
    level = data.get("level")
    if level not in ("warn", "error"):
        return None
    return str(level), safe_text(data.get("message", ""), limit=500), "warn" if level == "warn" else "bad"


def _fault(data: dict[str, Any]) -> _Said:
    text = f"{data.get('code', '')}: {data.get('cause', '')} {data.get('next', '')}"
    return "fault", safe_text(text.rstrip(), limit=1000), "bad"


def _alert(data: dict[str, Any]) -> _Said:
    text = f"{data.get('code', '')}: {data.get('cause', '')} {data.get('next', '')}"
    return "alert", safe_text(text.rstrip(), limit=1000), "bad" if data.get("severity") == "error" else "warn"


def _command(data: dict[str, Any]) -> _Said:
    args = " ".join(f"{key}={value}" for key, value in data.get("args", {}).items())
    return "command", safe_text(f"{data.get('name', '')} {args}".rstrip()), "accent"


def _command_done(data: dict[str, Any]) -> _Said | None:
    if data.get("ok"):
        return None
    return "command", safe_text(f"{data.get('name', '')} could not be done: {data.get('detail', '')}"), "warn"


def _end(data: dict[str, Any]) -> _Said:
    outcome, reason = safe_text(data.get("outcome", "")), safe_text(data.get("reason", ""))
    style: Style = "good" if outcome == "completed" else "bad" if outcome == "failed" else "warn"
    said = f"{outcome} at step {words.count(number(data.get('step')))}"
    return "end", f"{said}: {reason}" if reason and reason != outcome else said, style


_WRITERS = {
    ev.RUN: _run,
    ev.ATTEMPT: _attempt,
    ev.RESUME: _resume,
    ev.STATE: _state,
    ev.PHASE: _phase,
    ev.PLAN: _plan,
    ev.PROBE: _probe,
    ev.EVAL: _eval,
    ev.SAMPLE: _sample,
    ev.STAGE: _stage,
    ev.MERGE: _merge,
    ev.CHECKPOINT: _checkpoint,
    ev.LOG: _log,
    ev.FAULT: _fault,
    ev.ALERT: _alert,
    ev.COMMAND: _command,
    ev.COMMAND_DONE: _command_done,
    ev.END: _end,
}
