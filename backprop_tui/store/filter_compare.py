"""One comparison of a filter as a test of a run: numbers, durations, texts, choices, on and off."""

from __future__ import annotations

import difflib
import math
import operator
import re
from collections.abc import Callable
from fnmatch import translate
from typing import Any, NoReturn

from backprop_tui.protocol.errors import UsageError
from backprop_tui.protocol.text import safe_text
from backprop_tui.store.entry import Entry
from backprop_tui.store.filter_fields import Field, Test

#: Comparisons that need an order.
ORDERED: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_COUNTED_FROM_NOW = frozenset(("age", "quiet"))
_SECONDS = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86_400, "w": 604_800, "y": 31_557_600}
_SCALES = {"k": 1e3, "m": 1e6, "g": 1e9, "b": 1e9, "t": 1e12}
_NUMBER = re.compile(r"([+-]?(?:\d[\d_]*\.?\d*|\.\d+)(?:e[+-]?\d+)?)(%|[a-z]*)", re.IGNORECASE)


def compared(field: Field, sign: str, value: str, at: int, now: float) -> Test:
    """The test of one comparison.

    Args:
        field: what is compared.
        sign: one of `<` `<=` `>` `>=` `=` `:` `~`.
        value: what it is compared with, as typed.
        at: where the value stands, from 1.
        now: seconds since the Unix epoch that ages count from.

    Raises:
        UsageError: FILTER_VALUE or FILTER_SYNTAX.
    """
    of = field.of
    if field.kind in ("number", "duration"):
        if sign == "~":
            refuse("FILTER_SYNTAX", at, f"{field.name} is a number", "Compare it with < <= > >= = or !=.")
        return _number_test(field, sign, value, at, now)
    if sign in ORDERED:
        refuse("FILTER_SYNTAX", at, f"{field.name} has no order", "Compare it with : = != or ~.")
    if field.kind == "bool":
        wanted = {
            "on": True,
            "true": True,
            "yes": True,
            "1": True,
            "off": False,
            "false": False,
            "no": False,
            "0": False,
        }
        if value.lower() not in wanted:
            refuse("FILTER_VALUE", at, f"{field.name} is on or off", "Write on or off.")
        expected = wanted[value.lower()]
        return lambda run: (found := of(run)) is not None and bool(found) is expected
    needle = value.casefold()
    if field.kind == "choice" and sign in (":", "="):
        fits = [choice for choice in field.choices if choice == needle or (sign == ":" and choice.startswith(needle))]
        if not fits:
            near = difflib.get_close_matches(needle, field.choices, n=1, cutoff=0.5)
            hint = f"Did you mean {near[0]}? " if near else ""
            refuse("FILTER_VALUE", at, f"{field.name} is never {value!r}", f"{hint}It is {', '.join(field.choices)}.")
        chosen = frozenset(fits)
        return lambda run: of(run) in chosen
    if "*" in needle:
        pattern = re.compile(translate(needle if sign == "=" else f"*{needle}*"))
        test: Callable[[str], bool] = lambda text: pattern.match(text) is not None  # noqa: E731
    elif sign == "=" or (field.kind == "words" and sign == ":"):
        test = lambda text: text == needle  # noqa: E731
    else:
        test = lambda text: needle in text  # noqa: E731
    if field.kind == "words":
        return lambda run: any(test(item.casefold()) for item in of(run))
    return lambda run: (found := of(run)) is not None and test(str(found).casefold())


def _number_test(field: Field, sign: str, value: str, at: int, now: float) -> Test:
    of = field.of
    if value.lower() == "nan":
        if sign in ORDERED:
            refuse("FILTER_VALUE", at, "nan has no order", f"Write `{field.name}:nan`.")
        return lambda run: (found := of(run)) is not None and isinstance(found, float) and math.isnan(found)
    wanted = _seconds(value, field, at) if field.kind == "duration" else _number(value, field, at)
    if field.name in _COUNTED_FROM_NOW:
        value_of: Callable[[Entry], Any] = lambda run: None if (since := of(run)) is None else now - since  # noqa: E731
    else:
        value_of = of
    compare = ORDERED.get(sign)
    if compare is not None:
        return lambda run: _is_number(found := value_of(run)) and compare(found, wanted)
    return lambda run: _is_number(found := value_of(run)) and _close(found, wanted)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float))


def _close(found: float, wanted: float) -> bool:
    """Equal as people mean it: what is shown as 0.1 may be a hair away. Large whole numbers don't fit a float."""
    return found == wanted or (isinstance(found, float) and math.isclose(found, wanted, rel_tol=1e-9))


def _number(text: str, field: Field, at: int) -> float:
    if text.lower() in ("inf", "+inf", "-inf"):
        return float(text)
    found = _NUMBER.fullmatch(text)
    scale = _SCALES.get(found.group(2).lower(), 0.01 if found.group(2) == "%" else None) if found else None
    if found is None or (found.group(2) and scale is None):
        refuse("FILTER_VALUE", at, f"{text!r} is not a number", f"Write one, such as `{example(field.name)}`.")
    return float(found.group(1).replace("_", "")) * (scale or 1.0)


def _seconds(text: str, field: Field, at: int) -> float:
    found = _NUMBER.fullmatch(text)
    unit = found.group(2).lower() if found else ""
    if found is None or unit not in _SECONDS:
        refuse("FILTER_VALUE", at, f"{text!r} is not a duration", f"Write `{field.name}<7d`; units are s m h d w.")
    return float(found.group(1).replace("_", "")) * _SECONDS[unit]


def example(name: str) -> str:
    """A comparison with a value, for a hint."""
    known = {"age": "age<7d", "time": "time>1h", "quiet": "quiet>10m", "state": "state:failed", "tag": "tag:good"}
    return known.get(name.lower(), f"{safe_text(name, limit=40)}<1.2")


def refuse(code: str, column: int, cause: str, hint: str) -> NoReturn:
    """Say what is wrong at a column (from 1) of the filter."""
    cause = safe_text(cause, limit=160)
    raise UsageError(code, f"Column {column}: {cause}.", safe_text(hint, limit=300), {"column": column})
