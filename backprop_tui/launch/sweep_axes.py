"""What a sweep varies: `lr=1e-4,2e-4` are values, `lr=1e-5..1e-3:log` a range. Pure."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from backprop_tui.protocol.errors import UsageError
from backprop_tui.protocol.fields import find_setting, parse_value
from backprop_tui.protocol.text import safe_text

#: Most runs of one sweep.
MOST_TRIALS = 1000
#: What a sweep is about can't be varied by it.
_OWN = frozenset(("name", "nodes", "rendezvous"))


@dataclass(frozen=True, slots=True)
class Axis:
    """One setting and what it may be: `values`, or numbers from `low` to `high`, by their logarithm where `log`."""

    key: str
    words: str
    values: tuple[Any, ...] = ()
    low: float = math.nan
    high: float = math.nan
    log: bool = False
    whole: bool = False

    @property
    def is_range(self) -> bool:
        """Whether it has no list of values."""
        return not self.values

    @property
    def ends(self) -> tuple[Any, ...]:
        """What must be possible for all of it to be: both ends of a range, or every value."""
        if self.values:
            return self.values
        return (int(self.low), int(self.high)) if self.whole else (self.low, self.high)


def parse_axes(pairs: Sequence[str]) -> list[Axis]:
    """`KEY=VALUES` words as axes, in their order.

    Values are parted by commas; by `|` where there is one, so that a value may hold commas.

    Raises:
        UsageError: SWEEP_AXIS, an unknown setting, one given twice, a value of another kind, a range that is none.
    """
    axes: dict[str, Axis] = {}
    for pair in pairs:
        name, equals, words = pair.partition("=")
        if not equals or not words.strip():
            raise _bad(f"--over takes KEY=VALUES, not {safe_text(pair, limit=60)!r}", "Write --over lr=1e-4,2e-4.")
        setting = find_setting(name)
        if setting.key in _OWN:
            raise _bad(f"{setting.key} can't be varied", "Vary a setting of the training.")
        if setting.key in axes:
            raise _bad(f"{setting.key} is varied twice", "Give all its values in one --over.")
        axes[setting.key] = _axis(setting.key, words.strip())
    if not axes:
        raise _bad("a sweep varies something", "Write --over lr=1e-4,2e-4.")
    return list(axes.values())


def combinations(axes: Sequence[Axis]) -> list[dict[str, Any]]:
    """Every combination of the values, the last axis fastest.

    Raises:
        UsageError: SWEEP_AXIS, an axis is a range; SWEEP_TOO_MANY.
    """
    for axis in axes:
        if axis.is_range:
            raise _bad(
                f"a grid has no end between {axis.words.replace('..', ' and ')}",
                f"Name values, such as {axis.key}={axis.ends[0]:g},{axis.ends[1]:g}, or add --search optuna.",
            )
    count = math.prod(len(axis.values) for axis in axes)
    if count > MOST_TRIALS:
        raise too_many(count)
    return [dict(zip((axis.key for axis in axes), values, strict=True)) for values in _product(axes)]


def corners(axes: Sequence[Axis]) -> list[dict[str, Any]]:
    """Combinations that show whether a search can work: each end and each value, the others at their first."""
    first = {axis.key: axis.ends[0] for axis in axes}
    found = [first]
    for axis in axes:
        found += [{**first, axis.key: value} for value in axis.ends[1:]]
    return found


def too_many(count: int) -> UsageError:
    """The refusal of a sweep nobody could look through."""
    return UsageError(
        "SWEEP_TOO_MANY", f"That would be {count:,} runs; a sweep has at most {MOST_TRIALS:,}.", "Vary less at a time."
    )


def words_of(params: dict[str, Any]) -> str:
    """`lr=0.0001 rank=8`: by the shorter of each setting's names, since lists have little room for what tells runs apart."""
    return " ".join(f"{_short(key)}={_typed(value)}" for key, value in params.items())


def _short(key: str) -> str:
    alias = find_setting(key).alias
    return alias if alias and len(alias) < len(key) else key


def _axis(key: str, words: str) -> Axis:
    setting = find_setting(key)
    if ".." in words and setting.kind in ("int", "float"):
        return _range(key, words, whole=setting.kind == "int")
    parts = [part.strip() for part in words.split("|" if "|" in words else ",")]
    values = [parse_value(setting, part) for part in parts if part]
    if len(set(map(repr, values))) != len(values):
        raise _bad(f"{key} has the same value twice in {safe_text(words, limit=60)!r}", "Give each value once.")
    return Axis(key, words, tuple(values))


def _range(key: str, words: str, *, whole: bool) -> Axis:
    span, _, scale = words.partition(":")
    low_words, _, high_words = span.partition("..")
    setting = find_setting(key)
    low, high = parse_value(setting, low_words), parse_value(setting, high_words)
    if scale not in ("", "log") or low is None or high is None or not low < high:
        raise _bad(f"{key}={safe_text(words, limit=60)} is no range", f"Write {key}=LOW..HIGH or {key}=LOW..HIGH:log.")
    if scale == "log" and low <= 0:
        raise _bad(f"{key} can't go down to {low} by its logarithm", "Begin above 0, or leave :log out.")
    return Axis(key, words, (), float(low), float(high), scale == "log", whole)


def _product(axes: Sequence[Axis]) -> itertools.product[tuple[Any, ...]]:
    return itertools.product(*(axis.values for axis in axes))


def _typed(value: Any) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return f"{value:.4g}" if isinstance(value, float) else safe_text(value, limit=40)


def _bad(cause: str, next_step: str) -> UsageError:
    return UsageError("SWEEP_AXIS", f"{cause[:1].upper()}{cause[1:]}.", next_step)
