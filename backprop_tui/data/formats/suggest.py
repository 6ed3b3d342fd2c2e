"""A mapping proposed for rows that no format fits: by what columns are called, and by how much they say."""

from __future__ import annotations

from typing import Any

from backprop_tui.data.formats.columns import quoted
from backprop_tui.data.formats.turns import is_turns

#: Parts of names that tell what a column is, the surest first.
_ASKING = (
    "prompt",
    "question",
    "instruction",
    "query",
    "user",
    "human",
    "input",
    "problem",
    "request",
    "title",
    "source",
)
_ANSWERING = (
    "answer", "response", "completion", "output", "assistant", "reply", "solution", "target", "summary", "body", "label",
)  # fmt: skip
_BETTER, _WORSE = ("chosen", "prefer", "better", "accept", "win"), ("reject", "dispref", "worse", "non_prefer", "los")
_SYSTEM = ("system",)
#: Columns that tell rows apart rather than say something.
_NAMES = (
    "id",
    "uuid",
    "url",
    "uri",
    "date",
    "time",
    "lang",
    "language",
    "source",
    "split",
    "hash",
    "name",
    "type",
    "category",
)
_MOST = 200


def suggest_columns(value: object) -> str:
    """A mapping for rows like this one, to be edited; empty when nothing in it could be learnt.

    Turns are found under any name. Text goes by the columns' names, then by length: the two longest, in the order they
    stand in. Columns one level down inside objects count as `object.column`.
    """
    if not isinstance(value, dict):
        return ""
    cells = _cells(value)
    turns = [name for name, cell in cells if is_turns(cell)]
    texts = [(name, len(cell)) for name, cell in cells if isinstance(cell, str) and cell.strip()]
    better, worse = _named([*turns, *(name for name, _ in texts)], _BETTER, _WORSE)
    if better and worse:
        asking, _ = _named([name for name, _ in texts if name not in (better, worse)], _ASKING, ())
        return _written(prompt=asking, chosen=better, rejected=worse)
    if turns:
        return _written(messages=turns[0])
    system = next((name for name, _ in texts if any(mark in name.lower() for mark in _SYSTEM)), "")
    saying = [(name, length) for name, length in texts if name != system]
    asking, answering = _named([name for name, _ in saying], _ASKING, _ANSWERING)
    rest = [entry for entry in saying if entry[0] not in (asking, answering)]
    telling = [entry for entry in rest if _last(entry[0]) not in _NAMES] or rest
    longest = sorted(telling, key=lambda entry: -entry[1])
    if not asking and not answering and len(longest) >= 2:
        places = [name for name, _ in saying]
        asking, answering = sorted((longest[0][0], longest[1][0]), key=places.index)
    elif not asking and longest:
        asking = longest[0][0]
    elif not answering and longest:
        answering = longest[0][0]
    if asking and answering:
        return _written(user=asking, assistant=answering, system=system)
    return _written(text=asking or answering)


def _cells(value: dict[str, Any]) -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for name, cell in list(value.items())[:_MOST]:
        if isinstance(cell, dict):
            found += [
                (f"{name}.{inner}", entry)
                for inner, entry in list(cell.items())[:_MOST]
                if quoted(str(name)) == name and quoted(str(inner)) == inner
            ]
        elif isinstance(name, str) and name:
            found.append((quoted(name), cell))
    return found


def _named(names: list[str], first: tuple[str, ...], second: tuple[str, ...]) -> tuple[str, str]:
    """The names that speak for either side, each once; empty where none does."""
    found = ["", ""]
    for place, marks in ((1, second), (0, first)):
        for mark in marks:
            found[place] = found[place] or next((n for n in names if mark in _last(n) and n not in found), "")
    return found[0], found[1]


def _last(name: str) -> str:
    return name.rsplit(".", 1)[-1].strip('"').lower()


def _written(**sources: str) -> str:
    return " ".join(f"{key}={source}" for key, source in sources.items() if source)
