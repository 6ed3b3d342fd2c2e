"""A line of the person's own: `{loss:.3f} {eta}` filled from a run, for status bars and scripts.

The template is parsed, never evaluated: a field is one of the names below and a format is a fill, a width and a precision.
Attributes, indices and conversions, which would reach into the program, are refused.
"""

from __future__ import annotations

import difflib
import math
import re
import string
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from backprop_tui.cli import words
from backprop_tui.config.prices import read_prices
from backprop_tui.protocol import figures
from backprop_tui.protocol.codec import number
from backprop_tui.protocol.errors import UsageError
from backprop_tui.protocol.states import RunState
from backprop_tui.protocol.text import safe_text
from backprop_tui.protocol.view import RunView
from backprop_tui.store.summary import RunSummary

Value = float | int | str | None
Kind = Literal["number", "count", "text"]
_EXAMPLES: dict[Kind, float | str] = {"number": 1.5, "count": 1, "text": "x"}
_SPEC = re.compile(r"(?:.?[<>=^])?[-+ ]?z?#?0?(?P<width>\d*)[,_]?(?:\.(?P<digits>\d+))?[a-zA-Z%]?", re.DOTALL)
_PLACE = re.compile(r"(?P<fill>.(?=[<>=^]))?(?P<align>[<>=^])?[-+ ]?z?#?0?(?P<width>\d*)", re.DOTALL)
#: Widest field and longest template: a typing mistake must not fill the memory.
_WIDEST = 200
_LONGEST = 2000


@dataclass(frozen=True, slots=True)
class Facts:
    """What a field is read from: the run, its folded journal, and its honest state."""

    summary: RunSummary
    view: RunView
    state: RunState


@dataclass(frozen=True, slots=True)
class Field:
    """One name a template may use. `plain` writes a value that has no format of its own."""

    kind: Kind
    help: str
    read: Callable[[Facts], Value]
    plain: Callable[[float | None], str] = words.loss


def _hottest(facts: Facts, key: str) -> float | None:
    known = [value for gpu in facts.view.charged_gpus() if (value := number(gpu.get(key))) is not None]
    return max(known) if known else None


def _power(facts: Facts) -> float | None:
    known = [value for gpu in facts.view.charged_gpus() if (value := number(gpu.get("power"))) is not None]
    return sum(known) if known else None


def _cost(facts: Facts) -> float | None:
    return figures.cost(facts.view, read_prices()).value


def _left(facts: Facts) -> float | None:
    return facts.view.seconds_left if facts.state.live else None


def _done_at(facts: Facts) -> str | None:
    left = _left(facts)
    return None if left is None else time.strftime("%H:%M", time.localtime(time.time() + left))


def _percent(facts: Facts) -> float | None:
    total = facts.view.total_steps
    return min(100.0, 100 * facts.view.step / total) if total else None


def _text(value: object) -> str | None:
    return safe_text(value, limit=200) if value else None


FIELDS: dict[str, Field] = {
    "id": Field("text", "short id of the run", lambda f: f.summary.run.short_id),
    "name": Field("text", "its name", lambda f: _text(f.summary.title)),
    "state": Field("text", "starting, running, paused, completed, …", lambda f: f.state.value),
    "sign": Field("text", "one sign for the state", lambda f: f.state.glyph),
    "step": Field("count", "optimiser steps done", lambda f: f.view.step, words.count),
    "total": Field("count", "steps of the whole run", lambda f: f.view.total_steps, words.count),
    "percent": Field(
        "number", "share done, 0 to 100", _percent, lambda v: words.UNKNOWN if v is None else f"{v:.0f} %"
    ),
    "epoch": Field("number", "epochs done", lambda f: f.view.epoch),
    "loss": Field("number", "newest training loss", lambda f: f.view.loss),
    "eval_loss": Field("number", "newest loss on held-out rows", lambda f: f.view.eval_loss),
    "best": Field("number", "best loss on held-out rows", lambda f: f.view.best_eval_loss),
    "best_step": Field("count", "the step it was measured at", lambda f: f.view.best_eval_step, words.count),
    "token_accuracy": Field(
        "number", "share of held-out tokens predicted right, 0 to 1", lambda f: f.view.token_accuracy
    ),
    "margin": Field("number", "newest reward margin", lambda f: f.view.figures.get("rewards/margin")),
    "pairs": Field("number", "share of pairs right, 0 to 1", lambda f: f.view.figures.get("rewards/accuracy")),
    "exact_match": Field("number", "share of answers that match, 0 to 1", lambda f: f.view.exact_match),
    "grad_norm": Field("number", "norm of the gradient", lambda f: f.view.grad_norm),
    "lr": Field("number", "learning rate", lambda f: f.view.lr, words.rate),
    "tokens": Field("count", "tokens seen", lambda f: f.view.tokens, words.count),
    "rate": Field("number", "tokens per second", lambda f: figures.tokens_per_s(f.view).value, words.count),
    "eta": Field("text", "time left, in words", lambda f: None if _left(f) is None else words.duration(_left(f))),
    "eta_s": Field("number", "time left in seconds", _left, words.count),
    "done_at": Field("text", "when it will be done, local time", _done_at),
    "saved": Field("count", "step of the newest checkpoint", lambda f: f.view.checkpoint_step, words.count),
    "phase": Field("text", "what goes on besides training", lambda f: _text(f.view.phase)),
    "alert": Field("text", "what the newest alert says", lambda f: _text((f.view.alert or {}).get("cause"))),
    "alerts": Field("count", "alerts so far", lambda f: f.view.alerts, words.count),
    "fault": Field("text", "code of what ended it", lambda f: _text((f.view.fault or {}).get("code"))),
    "gpu_util": Field("number", "busiest GPU of the run, %", lambda f: _hottest(f, "utilisation")),
    "gpu_temp": Field("number", "hottest GPU of the run, °C", lambda f: _hottest(f, "temperature")),
    "power": Field("number", "power of its GPUs, W", _power),
    "energy": Field("number", "energy so far, Wh", lambda f: figures.energy_wh(f.view).value),
    "cost": Field("number", "cost so far, by the prices in the settings", _cost),
    "mfu": Field("number", "share of the GPU's peak, 0 to 1", lambda f: figures.mfu(f.view).value),
}


class Template:
    """A checked template; `fill` never fails.

    Raises:
        UsageError: FORMAT_FIELD_UNKNOWN, or FORMAT_INVALID for a template that is broken or asks for more than a value.
    """

    def __init__(self, text: str) -> None:
        if len(text) > _LONGEST:
            raise _invalid(f"The format is longer than {_LONGEST} characters.")
        try:
            self._parts = [
                (literal, name, spec or "", conversion)
                for literal, name, spec, conversion in string.Formatter().parse(text)
            ]
        except ValueError as problem:
            raise _invalid(f"The format is broken: {problem}.") from None
        for _, name, spec, conversion in self._parts:
            if name is not None:
                _check(name, spec, conversion)

    def fill(self, facts: Facts) -> str:
        """The line. What is unknown is `–`, padded like a value."""
        return "".join(
            literal + ("" if name is None else _written(FIELDS[name], FIELDS[name].read(facts), spec))
            for literal, name, spec, _ in self._parts
        )


def fields_help() -> str:
    """The names, one a line."""
    longest = max(map(len, FIELDS))
    return "\n".join(f"  {name:<{longest}}  {field.help}" for name, field in FIELDS.items())


def _check(name: str, spec: str, conversion: str | None) -> None:
    if not name or not name.isidentifier() or name not in FIELDS:
        if re.search(r"[.\[\]]", name):
            raise _invalid(
                f"{safe_text('{' + name + '}', limit=80)}: a field is a name only, without dots or brackets."
            )
        near = difflib.get_close_matches(name, FIELDS, n=1, cutoff=0.5)
        hint = f"Did you mean {{{near[0]}}}?" if near else "`backprop watch --help` lists the fields."
        raise UsageError("FORMAT_FIELD_UNKNOWN", f"There is no field {safe_text('{' + name + '}', limit=80)}.", hint)
    shown = safe_text(f"{{{name}:{spec}}}", limit=80)
    if conversion:
        raise _invalid(f"{{{name}!{safe_text(conversion, limit=4)}}}: conversions have no use here.")
    rules = _SPEC.fullmatch(spec)
    if rules is None or max(int(rules[group] or 0) for group in ("width", "digits")) > _WIDEST:
        raise _invalid(f"{shown} is no format for a value.")
    try:
        _formatted(FIELDS[name], _EXAMPLES[FIELDS[name].kind], spec)
    except ValueError:
        more = f" {{{name}_s}} is the number." if f"{name}_s" in FIELDS else ""
        raise _invalid(f"{shown}: that format does not suit a {FIELDS[name].kind}.{more}") from None


def _written(field: Field, value: Value, spec: str) -> str:
    if value is None:
        return _placed(words.UNKNOWN, spec)
    if isinstance(value, float) and not math.isfinite(value):
        return _placed(str(value), spec)
    try:
        return _formatted(field, value, spec)
    except (ValueError, OverflowError):
        # A run directory from elsewhere may hold a value of another kind than its field has.
        return _placed(safe_text(value, limit=80), spec)


def _formatted(field: Field, value: float | str, spec: str) -> str:
    if isinstance(value, str):
        return format(value, spec)
    return format(value, spec) if spec else field.plain(value)


def _placed(text: str, spec: str) -> str:
    """A word where a number was asked for, in the same place: numbers stand at the right."""
    rules: Mapping[str, str | None] = (_PLACE.match(spec) or re.compile("").match("")).groupdict()  # type: ignore[union-attr]
    align = (rules.get("align") or ">").replace("=", ">")
    fill = rules.get("fill") or " "
    return format(text, f"{fill}{align}{rules.get('width') or 0}")


def _invalid(cause: str) -> UsageError:
    return UsageError("FORMAT_INVALID", cause, "Write fields as {loss:.3f} {eta}; a brace itself is {{ or }}.")
