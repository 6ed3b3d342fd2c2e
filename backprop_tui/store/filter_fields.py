"""What a filter of runs can ask about: figures of the list, settings, and the words behind `has:` and `is:`."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from backprop_tui.protocol.errors import UsageError
from backprop_tui.protocol.states import RunState
from backprop_tui.store.entry import Entry

Kind = Literal["number", "duration", "text", "words", "choice", "bool"]
#: Whether something holds for a run.
Test = Callable[[Entry], bool]


@dataclass(frozen=True, slots=True)
class Field:
    """Something to compare: `of` gives its value for a run, None when unknown. `setting` is the key in the spec."""

    name: str
    kind: Kind
    of: Callable[[Entry], Any]
    setting: str = ""
    choices: tuple[str, ...] = ()


def _field(name: str, kind: Kind, *, of: Callable[[Entry], Any] | None = None, choices: tuple[str, ...] = ()) -> Field:
    return Field(name, kind, of or operator.attrgetter(name), "", choices)


_STATES = tuple(state.value for state in RunState)
_FIELDS: dict[str, Field] = {
    field.name: field
    for field in (
        _field("loss", "number"),
        _field("eval", "number", of=operator.attrgetter("eval_loss")),
        _field("best", "number"),
        _field("match", "number", of=operator.attrgetter("exact_match")),
        _field("grad_norm", "number"),
        _field("step", "number"),
        _field("epoch", "number"),
        _field("tokens", "number"),
        _field("speed", "number", of=operator.attrgetter("tokens_per_s")),
        _field("energy", "number", of=operator.attrgetter("energy_wh")),
        _field("checkpoints", "number"),
        _field("attempt", "number"),
        _field("progress", "number", of=lambda run: run.step / run.total_steps if run.total_steps else None),
        _field("age", "duration", of=lambda run: run.created or None),
        _field("quiet", "duration", of=lambda run: run.updated),
        _field("time", "duration", of=operator.attrgetter("seconds")),
        _field("state", "choice", of=lambda run: run.state.value, choices=_STATES),
        _field("tag", "words", of=operator.attrgetter("tags")),
        _field("name", "text", of=operator.attrgetter("title")),
        _field("id", "text"),
        _field("model", "text"),
        _field("data", "text"),
        _field("note", "text"),
        _field("experiment", "text"),
        _field("fault", "text"),
    )
}
#: What a run of a sweep notes of it, kept with its settings.
_SWEPT = {
    "sweep": Field("sweep", "text", lambda run: run.settings.get("sweep"), "sweep"),
    "trial": Field("trial", "number", lambda run: run.settings.get("trial"), "trial"),
}
#: What `has:` asks for.
HAS: dict[str, Test] = {
    "eval": lambda run: run.eval_loss is not None,
    "best": lambda run: run.best is not None,
    "match": lambda run: run.exact_match is not None,
    "loss": lambda run: run.loss is not None,
    "checkpoint": lambda run: run.checkpoints > 0,
    "fault": lambda run: bool(run.fault),
    "tag": lambda run: bool(run.tags),
    "note": lambda run: bool(run.note),
    "experiment": lambda run: bool(run.experiment),
    "nan": lambda run: any(value is not None and math.isnan(value) for value in (run.loss, run.eval_loss)),
}
#: What `is:` asks for, and what some words alone do.
IS: dict[str, Test] = {
    "archived": lambda run: run.archived,
    "live": lambda run: run.state.live,
    "ended": lambda run: not run.state.live and run.state is not RunState.QUEUED,
    "resumed": lambda run: run.attempt > 1,
}
FLAGS = frozenset(("archived", "live"))


def find_field(name: str) -> Field | None:
    """A figure of the list, or a setting by key or alias."""
    wanted = name.lower().replace("-", "_")
    if wanted in _FIELDS:
        return _FIELDS[wanted]
    if wanted in _SWEPT:
        return _SWEPT[wanted]
    # pydantic comes along, so only when a name is none of the list's own.
    from backprop_tui.protocol.fields import find_setting

    try:
        setting = find_setting(wanted)
    except UsageError:
        return None
    key = setting.key
    kinds: dict[str, Kind] = {"int": "number", "float": "number", "bool": "bool", "choice": "choice", "str": "text"}
    return Field(wanted, kinds[setting.kind], lambda run: run.settings.get(key), key, setting.choices)


def field_names() -> list[str]:
    """Every name a filter may compare: figures first, then settings by key."""
    from backprop_tui.protocol.fields import settings

    return list(dict.fromkeys((*_FIELDS, *_SWEPT, "has", "is", *(setting.key for setting in settings()))))


def flag_words(name: str) -> tuple[str, ...]:
    """What may stand behind `has:` or `is:`."""
    return tuple(HAS if name == "has" else IS)
