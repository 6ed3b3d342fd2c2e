"""Row filters as one line of text, such as `turns >= 2 and answer_chars > 20`: read with Python's grammar, never run as Python.

Every part is translated on its own into a small function over facts; what is not known to be harmless is refused. There
are no attributes, no calls but the named ones, no powers, and nothing whose time grows faster than the text it looks at.
"""

from __future__ import annotations

import ast
import difflib
import warnings
from collections.abc import Callable, Collection, Mapping
from typing import Any

from backprop_tui.data.tools.facts import COLUMN, FACTS
from backprop_tui.data.tools.functions import FUNCTIONS, LONGEST_PATTERN, arithmetic, comparison, is_number, pattern
from backprop_tui.protocol.errors import UsageError
from backprop_tui.protocol.text import safe_text

#: Longest filter, in characters; deepest nesting and most parts of one.
LONGEST = 2_000
DEEPEST = 40
MOST_PARTS = 400

_Value = Callable[[Mapping[str, Any]], Any]
_WORDS = {"true": True, "false": False, "none": None, "null": None}
_SIGNS = {
    "Pow": "**", "FloorDiv": "//", "MatMult": "@", "BitAnd": "&", "BitOr": "|", "BitXor": "^", "LShift": "<<",
    "RShift": ">>", "Invert": "~",
}  # fmt: skip
_HINTS = {"BitAnd": "Write `and`.", "BitOr": "Write `or`.", "Invert": "Write `not`."}


class Filter:
    """A compiled filter.

    Args:
        text: as it was written.
        facts: names of the facts it uses. columns: names of the row's own columns it uses; where no row has such a
            column, the filter most likely has a slip of the pen.
    """

    __slots__ = ("_value", "columns", "facts", "text")

    def __init__(self, text: str, value: _Value, facts: frozenset[str], columns: frozenset[str]) -> None:
        self.text = text
        self.facts = facts
        self.columns = columns
        self._value = value

    def keep(self, facts: Mapping[str, Any]) -> bool:
        """Whether a row stays: the expression is true, a number other than 0, or text that is not empty.

        Args:
            facts: values by the names of `FACTS`, own columns as `column:name`; what is missing counts as None.
        """
        return bool(self._value(facts))


def compile_filter(text: str, columns: Collection[str] | None = None) -> Filter:
    """Translate a filter. Empty text keeps every row.

    Missing values are None: None is not smaller and not larger than anything, and a sum with it is None, so a row that
    lacks a value fails `score > 0.5` as well as `score <= 0.5`. `score == None` asks for it.

    Args:
        text: the expression.
        columns: names of the rows' columns where they are known; then every other name is refused. Without them a name
            that is not a fact is taken for a column, unless it is a fact's name but for a slip.

    Raises:
        UsageError: DATA_FILTER_INVALID, with the character (from 1), the word, and the nearest known name.
    """
    if len(text) > LONGEST:
        raise UsageError(
            "DATA_FILTER_INVALID", f"The filter has {len(text):,} characters.", f"Use at most {LONGEST:,}."
        )
    if not text.strip():
        return Filter("", lambda facts: True, frozenset(), frozenset())
    reader = _Reader(text, None if columns is None else frozenset(columns))
    value = reader.read()
    return Filter(text, value, frozenset(reader.facts), frozenset(reader.own))


def quality_filter(
    *,
    min_chars: int | None = None,
    max_chars: int | None = None,
    min_turns: int | None = None,
    max_turns: int | None = None,
    must_answer: bool = False,
    min_answer_chars: int | None = None,
) -> str:
    """The usual questions of quality as a filter's text; empty when nothing is asked for.

    Args:
        min_chars: least characters of a row.
        max_chars: most characters of a row.
        min_turns: least turns, system texts not counted.
        max_turns: most turns.
        must_answer: rows with turns need an answer; plain text passes.
        min_answer_chars: least characters of every answer; plain text passes.
    """
    parts: list[str] = []
    bounds = (("chars", min_chars, max_chars), ("turns", min_turns, max_turns))
    for name, least, most in bounds:
        if least is not None:
            parts.append(f"{name} >= {least:d}")
        if most is not None:
            parts.append(f"{name} <= {most:d}")
    if must_answer:
        parts.append("(has_answer or turns == 0)")
    if min_answer_chars is not None:
        parts.append(f"(shortest_answer >= {min_answer_chars:d} or turns == 0)")
    return " and ".join(parts)


class _Reader:
    """Reads one text; `facts` and `own` gather the names that occur."""

    def __init__(self, text: str, columns: frozenset[str] | None) -> None:
        # Line breaks become spaces of the same width, so that places stay true; Python would end the expression at them.
        self._text = text.translate({9: " ", 10: " ", 13: " "})
        self._columns = columns
        self._parts = 0
        self.facts: set[str] = set()
        self.own: set[str] = set()

    def read(self) -> _Value:
        stripped = self._text.lstrip()
        self._start = len(self._text) - len(stripped)
        self._bytes = stripped.encode("utf-8", "replace")
        try:
            with warnings.catch_warnings():
                # Patterns such as "\d+" make Python warn about the escape; they mean what they say.
                warnings.simplefilter("ignore")
                tree = ast.parse(stripped, mode="eval")
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            raise self._unreadable(error) from None
        return self._value(tree.body, 0)

    def _value(self, node: ast.expr, depth: int) -> _Value:
        self._parts += 1
        if depth > DEEPEST or self._parts > MOST_PARTS:
            raise self._wrong(node, "The filter is nested too deeply or has too many parts", "Split it up.")
        deeper = depth + 1
        if isinstance(node, ast.Constant):
            return self._constant(node)
        if isinstance(node, ast.Name):
            return self._name(node)
        if isinstance(node, ast.BoolOp):
            return _boolean(type(node.op).__name__, [self._value(part, deeper) for part in node.values])
        if isinstance(node, ast.UnaryOp):
            return self._unary(node, deeper)
        if isinstance(node, ast.BinOp):
            return self._arithmetic(node, deeper)
        if isinstance(node, ast.Compare):
            return self._comparison(node, deeper)
        if isinstance(node, ast.Call):
            return self._call(node, deeper)
        if isinstance(node, ast.List | ast.Tuple):
            items = [self._value(item, deeper) for item in node.elts]
            return lambda facts: [item(facts) for item in items]
        raise self._wrong(
            node,
            f"{self._word(node)!r} can't be used in a filter",
            'Use comparisons, and, or, not, + - * / %, and functions; for a column write column("name").',
        )

    def _constant(self, node: ast.Constant) -> _Value:
        value = node.value
        if value is not None and not isinstance(value, str | int | float):
            raise self._wrong(node, f"{self._word(node)!r} is neither a number nor text", "Write a number or text.")
        return lambda facts: value

    def _name(self, node: ast.Name) -> _Value:
        name = node.id
        if name in FACTS:
            self.facts.add(name)
            return lambda facts: facts.get(name)
        if name in _WORDS and not (self._columns and name in self._columns):
            value = _WORDS[name]
            return lambda facts: value
        known = [*FACTS, *(self._columns or ())]
        near = difflib.get_close_matches(name, known, 1, 0.6 if self._columns is not None else 0.8)
        if name in FUNCTIONS:
            raise self._wrong(node, f"{name!r} is a function", f"Write {FUNCTIONS[name].usage}.")
        if name not in known and (near or self._columns is not None):
            step = f"Did you mean {safe_text(near[0], limit=60)}?" if near else f"Known are {', '.join(FACTS)}."
            more = "" if self._columns is not None else f' For a column of that name write column("{name}").'
            raise self._wrong(node, f"{safe_text(name, limit=60)!r} is not known", step + more, near)
        return self._column(name)

    def _column(self, name: str) -> _Value:
        self.own.add(name)
        key = COLUMN + name
        return lambda facts: facts.get(key)

    def _unary(self, node: ast.UnaryOp, depth: int) -> _Value:
        value = self._value(node.operand, depth)
        if isinstance(node.op, ast.Not):
            return lambda facts: not value(facts)
        if isinstance(node.op, ast.Invert):
            raise self._unknown_sign(node, node.op)
        self._no_text(node.operand)
        sign = -1 if isinstance(node.op, ast.USub) else 1

        def signed(facts: Mapping[str, Any]) -> Any:
            number = value(facts)
            return sign * number if is_number(number) else None

        return signed

    def _arithmetic(self, node: ast.BinOp, depth: int) -> _Value:
        if not isinstance(node.op, ast.Add | ast.Sub | ast.Mult | ast.Div | ast.Mod):
            raise self._unknown_sign(node, node.op)
        self._no_text(node.left)
        self._no_text(node.right)
        left, right = self._value(node.left, depth), self._value(node.right, depth)
        work = arithmetic(type(node.op).__name__)
        return lambda facts: work(left(facts), right(facts))

    def _comparison(self, node: ast.Compare, depth: int) -> _Value:
        first = self._value(node.left, depth)
        rest = [
            (comparison(type(sign).__name__), self._value(part, depth))
            for sign, part in zip(node.ops, node.comparators, strict=True)
        ]

        def compared(facts: Mapping[str, Any]) -> bool:
            left = first(facts)
            for holds, value in rest:
                right = value(facts)
                if not holds(left, right):
                    return False
                left = right
            return True

        return compared

    def _call(self, node: ast.Call, depth: int) -> _Value:
        name = node.func.id if isinstance(node.func, ast.Name) else ""
        function = FUNCTIONS.get(name)
        if function is None:
            word = safe_text(name, limit=60) or self._word(node.func)
            near = difflib.get_close_matches(name, FUNCTIONS, 1)
            step = f"Did you mean {FUNCTIONS[near[0]].usage}?" if near else f"Known are {', '.join(FUNCTIONS)}."
            raise self._wrong(node.func, f"The function {word!r} is not known", step, near)
        if node.keywords or not function.least <= len(node.args) <= function.most:
            raise self._wrong(node, f"{name} is used otherwise", f"Write {function.usage}.")
        if name in ("matches", "column"):
            return self._constant_call(name, node, depth)
        values = [self._value(part, depth) for part in node.args]
        work = function.call
        return lambda facts: work(*[value(facts) for value in values])

    def _constant_call(self, name: str, node: ast.Call, depth: int) -> _Value:
        last = node.args[-1]
        if not (isinstance(last, ast.Constant) and isinstance(last.value, str)):
            raise self._wrong(last, f"{name} needs text in quotes", f"Write {FUNCTIONS[name].usage}.")
        if name == "column":
            return self._column(last.value)
        if len(last.value) > LONGEST_PATTERN:
            raise self._wrong(last, "The pattern is too long", f"Use at most {LONGEST_PATTERN} characters.")
        text = self._value(node.args[0], depth)
        try:
            search = pattern(last.value)
        except ValueError as error:
            raise self._wrong(
                last, f"The pattern can't be read ({safe_text(error, limit=120)})", "Write it in RE2's syntax."
            ) from None
        return lambda facts: search(text(facts))

    def _no_text(self, node: ast.expr) -> None:
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            raise self._wrong(node, f"{self._word(node)!r} is text, and there is no sum of texts", "Write a number.")

    def _unknown_sign(self, node: ast.expr, sign: ast.operator | ast.unaryop) -> UsageError:
        name = type(sign).__name__
        return self._wrong(
            node, f"The sign {_SIGNS.get(name, name)} can't be used in a filter", _HINTS.get(name, "Use + - * / %.")
        )

    def _word(self, node: ast.expr) -> str:
        written = self._bytes[node.col_offset : node.end_col_offset].decode("utf-8", "replace")
        return safe_text(written, limit=60)

    def _wrong(self, node: ast.expr, cause: str, next_step: str, near: list[str] | None = None) -> UsageError:
        before = self._bytes[: node.col_offset].decode("utf-8", "replace")
        column = self._start + len(before) + 1
        detail = {"column": column, "word": self._word(node), "nearest": safe_text(near[0]) if near else None}
        return UsageError("DATA_FILTER_INVALID", f"{cause}: character {column:,} of the filter.", next_step, detail)

    def _unreadable(self, error: Exception) -> UsageError:
        column = self._start + max(1, getattr(error, "offset", None) or 1)
        word = safe_text(self._text[column - 1 : column + 19].strip() or "the end", limit=20)
        return UsageError(
            "DATA_FILTER_INVALID",
            f"The filter can't be read at character {column:,}, {word!r}.",
            "Write it like `turns >= 2 and answer_chars > 20`; text stands in quotes.",
            {"column": column, "word": word, "nearest": None},
        )


def _boolean(name: str, parts: list[_Value]) -> _Value:
    if name == "And":
        return lambda facts: all(part(facts) for part in parts)
    return lambda facts: any(part(facts) for part in parts)
