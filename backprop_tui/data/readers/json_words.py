"""One JSON value: whether every part of it counts, and words for what keeps it from being read.

JSON allows a key to stand twice in an object, and every parser silently keeps the last one; so the strings of the parsed
value are counted against the quotation marks of its text. The count is exact: each string takes two marks, a mark inside
a string is written with a backslash or as a \\u0022, and a key that was lost leaves marks over.
"""

from __future__ import annotations

import json
import re
from typing import Any

from backprop_tui.data.readers.files import excerpt
from backprop_tui.data.rows import Problem
from backprop_tui.protocol.text import safe_text

#: Deepest nesting of a row. Chat rows with tools and JSON schemas stay below twenty.
MAX_DEPTH = 64
#: A string, or a character that opens, closes or separates. Possessive, so that long strings need no backtracking.
_TOKENS = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"|[{}\[\],:]', re.DOTALL)


def whole(value: Any, quotes: int, escaped: bool) -> bool:
    """Whether a parsed value is at most `MAX_DEPTH` deep and holds every string of its text; False may mean "look closer".

    Args:
        value: the parsed value.
        quotes: quotation marks in its text.
        escaped: whether the text writes any of them as \\u0022.
    """
    texts, keys, depth = texts_of(value)
    over = quotes - 2 * (keys + len(texts))
    return depth <= MAX_DEPTH and (not over or (not escaped and over == "".join(texts).count('"')))


def texts_of(value: Any) -> tuple[list[str], int, int]:
    """The strings of a value, the number of keys, and its depth; deeper than `MAX_DEPTH` is not looked into."""
    texts: list[str] = []
    keys, depth = 0, -1
    level: list[Any] = [[value]]
    while level and depth <= MAX_DEPTH:
        depth += 1
        below: list[Any] = []
        for item in level:
            if type(item) is dict:
                keys += len(item)
                item = item.values()
            for part in item:
                kind = type(part)
                if kind is str:
                    texts.append(part)
                elif kind is dict or kind is list:
                    below.append(part)
        level = below
    return texts, keys, depth


def parse_words(text: str, line: int | None, *, column: int = 0) -> tuple[Any, Problem | None]:
    """Parse with the patient parser of the standard library, which names places and sees every key.

    Args:
        text: one JSON value, nothing after it.
        line: its first line in the file.
        column: characters before it in that line.

    Returns:
        The value (NaN, infinities and lone surrogates as they are), or None and what keeps it from being one.
    """
    twice: list[str] = []

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        value = dict(items)
        if len(value) != len(items) and not twice:
            seen: set[str] = set()
            twice.append(next(key for key, _ in items if key in seen or seen.add(key)))  # type: ignore[func-returns-value]
        return value

    try:
        value = json.loads(text, object_pairs_hook=pairs)
    except json.JSONDecodeError as error:
        return None, not_json(error, line, column)
    except RecursionError:
        return None, too_deep(line)
    except ValueError:
        return None, number_too_long(line)
    if texts_of(value)[2] > MAX_DEPTH:
        return None, too_deep(line)
    if twice:
        return None, _named_twice(text, twice[0], line, column)
    return value, None


def not_json(error: json.JSONDecodeError, line: int | None, column: int = 0, *, rest: str = "") -> Problem:
    """The problem of broken JSON; `rest` says what that costs besides the row."""
    place = error.colno + (column if error.lineno == 1 else 0)
    cause = "A byte order mark stands in front of the value" if error.doc.startswith("\ufeff") else error.msg
    return Problem(
        "DATA_LINE_NOT_JSON",
        f"Not JSON at column {place:,}: {cause}.{rest}",
        "Mend or remove the line.",
        line=None if line is None else line + error.lineno - 1,
        column=place,
        value=excerpt(error.doc, error.pos),
    )


def too_deep(line: int | None, *, rest: str = "") -> Problem:
    """The problem of a value nested more deeply than is read."""
    cause = f"The value is nested more than {MAX_DEPTH} levels deep.{rest}"
    return Problem("DATA_TOO_DEEP", cause, "Flatten or remove the row.", line=line)


def number_too_long(line: int | None, *, rest: str = "") -> Problem:
    """The problem of a number too long to be counted with."""
    return Problem("DATA_NUMBER_TOO_LONG", f"A number has thousands of digits.{rest}", "Write it as text.", line=line)


def _named_twice(text: str, key: str, line: int | None, column: int) -> Problem:
    place = _second_place(text)
    before = text.count("\n", 0, place)
    start = text.rfind("\n", 0, place) + 1
    return Problem(
        "DATA_DUPLICATE_KEY",
        f"The key {safe_text(key, limit=40)!r} stands twice in one object, so its value is anybody's guess.",
        "Keep one of them.",
        line=None if line is None else line + before,
        column=place - start + 1 + (0 if before else column),
        value=excerpt(text, place),
    )


def _second_place(text: str) -> int:
    """Where the first repeated key of valid JSON stands, in characters from 0."""
    open_objects: list[set[str] | None] = []
    string: re.Match[str] | None = None
    for token in _TOKENS.finditer(text):
        mark = token[0]
        if mark == ":" and string is not None and open_objects and (keys := open_objects[-1]) is not None:
            key = json.loads(string[0])
            if key in keys:
                return string.start()
            keys.add(key)
        elif mark == "{":
            open_objects.append(set())
        elif mark == "[":
            open_objects.append(None)
        elif mark in "}]":
            open_objects.pop()
        string = token if mark[0] == '"' else None
    return 0
