"""Events as lines of the log: what happened, in one sentence each. Pure; foreign text is made harmless here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from backprop_tui.app import wording
from backprop_tui.protocol import events as ev
from backprop_tui.protocol.codec import number
from backprop_tui.protocol.events import Event
from backprop_tui.protocol.multi_words import merge_sentence, stage_sentence
from backprop_tui.protocol.probing import probe_sentence
from backprop_tui.protocol.resume_words import resume_sentence
from backprop_tui.protocol.sharing_words import sharing_words
from backprop_tui.protocol.task_figures import eval_figures, said
from backprop_tui.protocol.text import safe_text

_RETRIES = {
    "memory": "memory ran out",
    "eval_memory": "memory ran out while measuring",
    "rewind": "the worker makes way for one that goes back",
}
_LEVELS = frozenset({"debug", "info", "warn", "error"})


_Told = tuple[str, str]


def tell(event: Event) -> _Told | None:
    """Level and harmless text of one event's line, every step included; None for kinds that are not told.

    Raises:
        ValueError, TypeError, AttributeError, OverflowError: the payload has another shape, from another version.
    """
    teller = _TELLERS.get(event.kind)
    return teller(event.data) if teller is not None else None


def _odd(data: dict[str, Any]) -> bool:
    loss = number(data.get("loss"))
    return loss is not None and loss - loss != 0


def _step(data: dict[str, Any]) -> _Told:
    speed = number(data.get("tokens_per_s"))
    return "warn" if _odd(data) else "info", (
        f"step={_count(data.get('step'))} loss={wording.loss(number(data.get('loss')))} "
        f"grad={_figure(data.get('grad_norm'))} lr={_figure(data.get('lr'))} "
        f"tok/s={wording.UNKNOWN if speed is None else f'{speed:,.0f}'}"
    )


def _alert(data: dict[str, Any]) -> _Told:
    words = f"{data.get('code', '')}: {data.get('cause', '')} {data.get('next', '')}"
    return "error" if data.get("severity") == "error" else "warn", safe_text(words.strip(), limit=2000)


def _count(value: Any) -> str:
    known = number(value)
    return wording.UNKNOWN if known is None or known - known != 0 else f"{int(known):,}"


def _figure(value: Any) -> str:
    return wording.significant(number(value))


def _seconds(value: Any) -> str:
    known = number(value)
    return wording.UNKNOWN if known is None else (f"{known:.1f} s" if known < 60 else wording.duration(known))


def _run(data: dict[str, Any]) -> _Told:
    return "info", f"run {safe_text(data.get('run', ''), limit=80)} on {safe_text(data.get('host', ''), limit=80)}"


def _attempt(data: dict[str, Any]) -> _Told:
    step = data.get("resume_step")
    start = "from the start" if step is None else f"from step {_count(step)}"
    batch = data.get("batch")
    sizes = ""
    if isinstance(batch, dict):
        sizes = (
            f" with {_count(batch.get('batch_size'))} x {_count(batch.get('accumulation'))} rows a step"
            f" and {_count(batch.get('eval_batch_size'))} at a time in evaluations"
        )
    return "info", f"attempt {_count(data.get('attempt'))} begins {start}{sizes}"


def _retry(data: dict[str, Any]) -> _Told:
    why = _RETRIES.get(str(data.get("why")), "the worker gave up")
    if data.get("why") == "lost":
        # Who started the processes tells of it, and does not know the step.
        return "info", str(safe_text((data.get("fault") or {}).get("cause") or "a process was lost", limit=200))
    return "info", f"{why} at step {_count(data.get('step'))}"


def _resume(data: dict[str, Any]) -> _Told:
    odd = data.get("kind") == "statistical" or data.get("skipped")
    return "warn" if odd else "info", resume_sentence(data)


def _state(data: dict[str, Any]) -> _Told:
    reason = safe_text(data.get("reason", ""), limit=300)
    return "info", f"{safe_text(data.get('state', ''), limit=40)}{': ' if reason else ''}{reason}"


def _phase(data: dict[str, Any]) -> _Told | None:
    name = safe_text(data.get("phase", ""), limit=40)
    if name not in ("load", "tokenise"):
        return None
    detail = safe_text(data.get("detail", ""), limit=300)
    if data.get("status") == "start":
        return "info", f"{name} {detail}".rstrip()
    if data.get("status") == "end":
        return "info", f"{name} done in {_seconds(data.get('seconds'))}  {detail}".rstrip()
    return None


def _plan(data: dict[str, Any]) -> _Told:
    return "info", (
        f"plan: {_count(data.get('total_steps'))} steps of {_count(data.get('effective_batch'))} rows, "
        f"{_count(data.get('train_rows'))} rows to train, {_count(data.get('eval_rows'))} held out, "
        f"{_count(data.get('dropped_rows'))} dropped, {_count(data.get('truncated_rows'))} cut, "
        f"{_count(data.get('trainable_parameters'))} of {_count(data.get('parameters'))} parameters, "
        f"{safe_text(data.get('device', ''), limit=40)} {safe_text(data.get('dtype', ''), limit=40)}"
        f"{f', {shared}' if (shared := sharing_words(data)) else ''}"
    )


def _probe(data: dict[str, Any]) -> _Told:
    return "info", probe_sentence(data)


def _eval(data: dict[str, Any]) -> _Told:
    best = " (best)" if data.get("best") else ""
    match = number(data.get("exact_match"))
    exact = "" if match is None else f"exact={match:.2f}"
    right = number(data.get("token_accuracy"))
    own = said(eval_figures(data), 3)
    figures = [*own, *([f"acc={right:.3f}"] if right is not None else []), *([exact] if exact else [])]
    if not own or data.get("perplexity") is not None:
        # An objective with figures of its own has a loss that is no likelihood, and no perplexity.
        figures.insert(0, f"ppl={_figure(data.get('perplexity'))}")
    return "info", (
        f"eval step={_count(data.get('step'))} loss={wording.loss(number(data.get('loss')))}{best}  "
        f"{'  '.join(figures)}  n={_count(data.get('rows'))}  took {_seconds(data.get('seconds'))}"
    )


def _checkpoint(data: dict[str, Any]) -> _Told:
    place = safe_text(data.get("path", ""), limit=200)
    size = wording.size(number(data.get("bytes")))
    return "info", f"checkpoint saved  {place}  {size} in {_seconds(data.get('seconds'))}"


def _stage(data: dict[str, Any]) -> _Told | None:
    sentence = stage_sentence(data)
    return None if sentence is None else ("info", sentence)


def _merge(data: dict[str, Any]) -> _Told:
    return "info" if data.get("accepted") else "warn", merge_sentence(data)


def _removed(data: dict[str, Any]) -> _Told:
    return "debug", f"checkpoint of step {_count(data.get('step'))} removed"


def _log(data: dict[str, Any]) -> _Told:
    level = str(data.get("level", "info"))
    source = safe_text(data.get("source", ""), limit=60)
    message = safe_text(data.get("message", ""), limit=2000)
    return level if level in _LEVELS else "info", f"{source}: {message}" if source not in ("", "host") else message


def _fault(data: dict[str, Any]) -> _Told:
    words = f"{data.get('code', '')}: {data.get('cause', '')} {data.get('next', '')}"
    return "error", safe_text(words.strip(), limit=2000)


def _command(data: dict[str, Any]) -> _Told:
    return "info", f"asked: {safe_text(data.get('name', ''), limit=40)}{_rate_in(data)}"


def _command_done(data: dict[str, Any]) -> _Told:
    name, detail = safe_text(data.get("name", ""), limit=40), safe_text(data.get("detail", ""), limit=300)
    if data.get("ok"):
        return "info", f"{name} done{': ' if detail else ''}{detail}"
    return "warn", f"{name} could not be done{': ' if detail else ''}{detail}"


def _repair(data: dict[str, Any]) -> _Told:
    return "warn", f"journal repaired: {safe_text(data.get('reason', ''), limit=200)}"


def _end(data: dict[str, Any]) -> _Told:
    outcome = safe_text(data.get("outcome", ""), limit=40)
    reason = safe_text(data.get("reason", ""), limit=500)
    kept = data.get("checkpoint")
    text = f"{outcome} at step {_count(data.get('step'))}{': ' if reason else ''}{reason}"
    level = "error" if outcome == "failed" else "info"
    return level, f"{text}  result in {safe_text(kept, limit=200)}" if kept else text


def _rate_in(data: dict[str, Any]) -> str:
    args = data.get("args")
    if not isinstance(args, dict):
        return ""
    rate, factor = number(args.get("learning_rate")), number(args.get("lr_factor"))
    if factor is not None:
        return f" {factor:g} times the learning rate"
    return "" if rate is None else f" learning rate {wording.significant(rate)}"


_TELLERS: dict[str, Callable[[dict[str, Any]], _Told | None]] = {
    ev.RUN: _run,
    ev.ATTEMPT: _attempt,
    ev.RESUME: _resume,
    ev.STATE: _state,
    ev.PHASE: _phase,
    ev.PLAN: _plan,
    ev.PROBE: _probe,
    ev.STEP: _step,
    ev.EVAL: _eval,
    ev.STAGE: _stage,
    ev.MERGE: _merge,
    ev.CHECKPOINT: _checkpoint,
    ev.CHECKPOINT_REMOVED: _removed,
    ev.LOG: _log,
    ev.FAULT: _fault,
    ev.ALERT: _alert,
    ev.COMMAND: _command,
    ev.COMMAND_DONE: _command_done,
    ev.RETRY: _retry,
    ev.REPAIR: _repair,
    ev.END: _end,
}
