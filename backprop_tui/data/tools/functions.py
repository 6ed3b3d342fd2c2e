"""The functions and operators of row filters. None stands for "missing" and for "does not apply", and goes through.

Nothing here raises: a row is never the reason why a filter stops. What can't be worked out is None, and comparing None by
size is False.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

#: Characters of a text that `matches` looks at, and of a pattern.
MATCHED_TEXT = 1_000_000
LONGEST_PATTERN = 500

Maker = Callable[[list[Any]], Any]


@dataclass(frozen=True, slots=True)
class Function:
    """A function by name: what it takes, what it says, and how it is worked out."""

    usage: str
    least: int
    most: int
    call: Callable[..., Any]


def is_number(value: Any) -> bool:
    """Whether a value counts as a number; true and false do (as 1 and 0)."""
    return isinstance(value, int | float)


def arithmetic(name: str) -> Callable[[Any, Any], Any]:
    """The operation of an `ast` operator's name, on numbers only, so that no text is multiplied and no text formatted."""
    work = {
        "Add": operator.add,
        "Sub": operator.sub,
        "Mult": operator.mul,
        "Div": operator.truediv,
        "Mod": operator.mod,
    }[name]

    def apply(left: Any, right: Any) -> Any:
        if not (is_number(left) and is_number(right)):
            return None
        try:
            return work(left, right)
        except ArithmeticError:
            return None

    return apply


def comparison(name: str) -> Callable[[Any, Any], bool]:
    """The comparison of an `ast` operator's name; values that can't be compared are not smaller, larger or in each other."""
    if name in ("Eq", "Is"):
        return lambda left, right: bool(left == right)
    if name in ("NotEq", "IsNot"):
        return lambda left, right: bool(left != right)
    if name == "In":
        return _within
    if name == "NotIn":
        return lambda left, right: not _within(left, right)
    work = {"Lt": operator.lt, "LtE": operator.le, "Gt": operator.gt, "GtE": operator.ge}[name]

    def apply(left: Any, right: Any) -> bool:
        both = (is_number(left) and is_number(right)) or (isinstance(left, str) and isinstance(right, str))
        return bool(work(left, right)) if both else False

    return apply


def pattern(text: str) -> Callable[[Any], bool]:
    """A compiled `matches`: RE2, which takes time in proportion to the text whatever the pattern.

    Raises:
        ValueError: not a pattern RE2 knows, with its words.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    options = pc.MatchSubstringOptions(text)

    def search(value: Any) -> bool:
        if not isinstance(value, str):
            return False
        # Half pairs can't be UTF-8; no pattern is about them.
        written = value[:MATCHED_TEXT].encode("utf-8", "replace")
        found = pc.call_function("match_substring_regex", [pa.scalar(written, pa.string())], options)
        return bool(found.as_py())

    try:
        search("")
    except pa.ArrowException as error:
        raise ValueError(str(error).partition(": ")[2]) from None
    return search


def _within(left: Any, right: Any) -> bool:
    if isinstance(right, str):
        return isinstance(left, str) and left in right
    if isinstance(right, list | tuple | dict):
        try:
            return left in right
        except TypeError:
            return False
    return False


def _len(value: Any) -> int | None:
    return len(value) if isinstance(value, str | list | tuple | dict) else None


def _lower(value: Any) -> str | None:
    return value.lower() if isinstance(value, str) else None


def _contains(text: Any, words: Any) -> bool:
    if not isinstance(text, str):
        return False
    text = text.lower()
    several = words if isinstance(words, list | tuple) else (words,)
    return any(isinstance(word, str) and word.lower() in text for word in several)


def _startswith(text: Any, start: Any) -> bool:
    return isinstance(text, str) and isinstance(start, str) and text.startswith(start)


def _endswith(text: Any, end: Any) -> bool:
    return isinstance(text, str) and isinstance(end, str) and text.endswith(end)


def _least(*values: Any) -> Any:
    return min(values) if all(map(is_number, values)) else None


def _most(*values: Any) -> Any:
    return max(values) if all(map(is_number, values)) else None


def _abs(value: Any) -> Any:
    return abs(value) if is_number(value) else None


def _number(value: Any) -> float | None:
    """A cell of a CSV file is text; text that is no number is missing."""
    if is_number(value):
        return float(value)
    if not isinstance(value, str) or len(value) > 400:
        return None
    try:
        return float(value)
    except ValueError:
        return None


def _round(value: Any, digits: Any = None) -> Any:
    if not is_number(value) or not (digits is None or (isinstance(digits, int) and abs(digits) <= 300)):
        return None
    try:
        return round(value, digits)
    except (ArithmeticError, ValueError):
        return None


#: Functions by name. `matches` and `column` take a constant and are built when the filter is.
FUNCTIONS: dict[str, Function] = {
    "len": Function("len(text)", 1, 1, _len),
    "lower": Function("lower(text)", 1, 1, _lower),
    "contains": Function('contains(text, "words")', 2, 2, _contains),
    "startswith": Function('startswith(text, "start")', 2, 2, _startswith),
    "endswith": Function('endswith(text, "end")', 2, 2, _endswith),
    "min": Function("min(1, 2)", 2, 20, _least),
    "max": Function("max(1, 2)", 2, 20, _most),
    "abs": Function("abs(number)", 1, 1, _abs),
    "number": Function("number(text)", 1, 1, _number),
    "round": Function("round(number, digits)", 1, 2, _round),
    "matches": Function('matches(text, "pattern")', 2, 2, lambda _text, _pattern: None),
    "column": Function('column("name")', 1, 1, lambda _name: None),
}
