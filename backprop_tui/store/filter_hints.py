"""What may be typed next in a filter of runs: names, then values that occur."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from backprop_tui.store.entry import Entry
from backprop_tui.store.filter_fields import field_names, find_field, flag_words

#: Candidates offered at most.
MOST = 12
_COMPARED = re.compile(r"(!?[A-Za-z_][\w.-]*)(<=|>=|!=|!~|<|>|=|:|~)(.*)", re.DOTALL)
#: How a name is mostly compared.
_SIGNS = {"number": "<", "duration": "<", "text": "~", "words": ":", "choice": ":", "bool": ":"}
_EXAMPLES = {"age": ("1h", "1d", "7d", "30d"), "quiet": ("10m", "1h"), "time": ("10m", "1h", "1d")}


@dataclass(frozen=True, slots=True)
class Hints:
    """Candidates that may take the place of the text from `start` to the cursor."""

    start: int
    candidates: tuple[str, ...]

    def completed(self, text: str, cursor: int) -> tuple[str, int]:
        """The text with the first candidate in it, and where the cursor is then; as it was when there is none."""
        if not self.candidates:
            return text, cursor
        first = self.candidates[0]
        blank = "" if first[-1:] in ("<", ":", "~", "=") or text[cursor : cursor + 1] == " " else " "
        return f"{text[: self.start]}{first}{blank}{text[cursor:]}", self.start + len(first) + len(blank)


def occurring(entries: Iterable[Entry]) -> dict[str, list[str]]:
    """Values people choose among, most frequent first, by name of the figure."""
    counts: dict[str, dict[str, int]] = {name: {} for name in ("tag", "experiment", "model", "data")}
    for entry in entries:
        data = entry.data.rstrip("/").rsplit("/", 1)[-1]
        found = (("experiment", entry.experiment), ("model", entry.model), ("data", data))
        for name, value in (*found, *(("tag", tag) for tag in entry.tags)):
            if value:
                counts[name][value] = counts[name].get(value, 0) + 1
    return {name: sorted(of, key=lambda value, of=of: -of[value])[:50] for name, of in counts.items()}  # type: ignore[misc]


def hints(text: str, cursor: int, values: Mapping[str, Sequence[str]]) -> Hints:
    """What fits at the cursor.

    Args:
        text: the filter so far.
        cursor: where the next character goes.
        values: from `occurring`.
    """
    start = max(text.rfind(" ", 0, cursor), -1) + 1
    word = text[start:cursor]
    if word.count('"') % 2 or not word:
        return Hints(cursor, ())
    compared = _COMPARED.fullmatch(word)
    if compared is None:
        bang = "!" if word.startswith("!") else ""
        prefix = word[len(bang) :].lower().replace("-", "_")
        flags = [flag for flag in ("archived", "live") if flag.startswith(prefix)]
        names = [name for name in field_names() if name.startswith(prefix)] if prefix else []
        found = [*(f"{bang}{name}{_sign(name)}" for name in names), *(f"{bang}{flag}" for flag in flags if prefix)]
        return Hints(start, tuple(found[:MOST]))
    name, sign, typed = compared.groups()
    begun = start + len(name) + len(sign) + typed.rfind(",") + 1
    typed = typed.rpartition(",")[2].lower()
    fits = [_quoted(value) for value in _values(name.lstrip("!").lower(), values) if value.lower().startswith(typed)]
    fits = [value for value in fits if value.lower() != typed]
    return Hints(begun, tuple(fits[:MOST]))


def _values(name: str, values: Mapping[str, Sequence[str]]) -> Sequence[str]:
    if name in ("has", "is"):
        return flag_words(name)
    if name in _EXAMPLES:
        return _EXAMPLES[name]
    if name in values:
        return values[name]
    field = find_field(name)
    if field is None:
        return ()
    return ("on", "off") if field.kind == "bool" else field.choices


def _sign(name: str) -> str:
    if name in ("has", "is"):
        return ":"
    field = find_field(name)
    return _SIGNS[field.kind] if field else ""


def _quoted(value: str) -> str:
    return f'"{value}"' if any(sign in value for sign in " ,") else value
