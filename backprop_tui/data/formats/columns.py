"""A mapping from columns to what they hold, as people write it: `user=question assistant=answer system="my context"`.

A source is a column, a path into an object (`data.question`), or several joined by `+`, a blank line between them. Names
with blanks or signs stand in quotation marks.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from typing import Any

from backprop_tui.data.formats.calls import tools_in
from backprop_tui.data.formats.cells import is_missing, missing, optional_text, shown
from backprop_tui.data.formats.conversation import (
    Conversation,
    Message,
    Normalised,
    PlainText,
    Preference,
    PromptOnly,
    Unpaired,
)
from backprop_tui.data.formats.messages import turn_list
from backprop_tui.data.formats.preference import preference_of
from backprop_tui.data.formats.prompt import prompt_of
from backprop_tui.data.formats.sides import answer_side, prompt_side, split_answer
from backprop_tui.data.formats.text import plain_text
from backprop_tui.data.formats.turns import conversation, messages_of, with_system
from backprop_tui.data.formats.unpaired import label_of
from backprop_tui.data.rows import RowRejected
from backprop_tui.protocol.errors import UsageError
from backprop_tui.protocol.text import safe_text

NAME = "columns"
#: What a column can hold.
KEYS = (
    "user", "assistant", "system", "text", "prompt", "completion", "chosen", "rejected", "label", "messages", "tools",
)  # fmt: skip
_BESIDE = frozenset({"system", "tools"})
_SAME = {"user": "prompt", "assistant": "completion"}
_TOKEN = re.compile(r'\s*(?:(?P<quoted>"(?:[^"\\]|\\.)*")|(?P<bare>[^\s"=+]+)|(?P<sign>[=+]))')
_ABSENT = object()
_EXAMPLE = "Write pairs such as `user=question assistant=answer`, with quotation marks around names that hold blanks."


@dataclass(frozen=True, slots=True)
class Source:
    """Where one thing comes from: `columns` are names, each also as a path by its dots unless it was quoted."""

    columns: tuple[tuple[str, tuple[str, ...]], ...]

    def read(self, row: dict[str, Any], key: str) -> Any:
        """The cell, or several joined; `_ABSENT` when the row has none of the columns.

        Raises:
            RowRejected: a joined cell is not text.
        """
        cells = [_cell(row, name, path) for name, path in self.columns]
        if len(cells) == 1:
            return cells[0]
        there = [cell for cell in cells if cell is not _ABSENT]
        if not there:
            return _ABSENT
        if all(map(is_missing, there)):
            return None
        texts = [optional_text(cell, key) for cell in there]
        return "\n\n".join(text for text in texts if text.strip())

    @property
    def names(self) -> set[str]:
        """The row's own columns this uses up; of an object only a part is used, so it stays."""
        return {name for name, _ in self.columns}


@dataclass(frozen=True, slots=True)
class Mapping:
    """What each column holds, checked for sense.

    Attributes:
        text: as it was written. sources: by what they hold, `prompt` standing for `user` and `completion` for `assistant`.
        kind: the keys that decide what rows become.
    """

    text: str
    sources: dict[str, Source]
    kind: frozenset[str]

    def read(self, row: Any) -> Normalised:
        """One row in the internal form. Columns that are not named stay with a bare prompt and are left aside otherwise.

        Raises:
            RowRejected: DATA_COLUMN_MISSING, or the cells fail the shared checks.
        """
        if not isinstance(row, dict):
            raise RowRejected(
                "DATA_FORMAT_MISMATCH",
                "other format",
                "The row has no columns.",
                "Clear the mapping.",
                value=shown(row),
            )
        return _READERS[self.kind](self, row)

    def check(self, names: Collection[str]) -> None:
        """Compare with the columns of a file's rows.

        Args:
            names: all columns that occur.

        Raises:
            UsageError: DATA_COLUMNS_INVALID, a column occurs in no row; the nearest name is offered.
        """
        for source in self.sources.values():
            for name, path in source.columns:
                if name not in names and (not path or path[0] not in names):
                    raise _invalid(f"There is no column {safe_text(name, limit=60)!r}.", _nearest(name, names))

    def cell(self, row: dict[str, Any], key: str) -> Any:
        """The cell for `key`; None for `system` and `tools` that are not mapped or not in this row.

        Raises:
            RowRejected: DATA_COLUMN_MISSING.
        """
        source = self.sources.get(key)
        found = _ABSENT if source is None else source.read(row, key)
        if found is not _ABSENT:
            return found
        if key in _BESIDE or source is None:
            return None
        name = source.columns[0][0]
        raise RowRejected(
            "DATA_COLUMN_MISSING",
            "missing column",
            f"The row has no column {shown(name)!r}, which the mapping names for {key}.",
            _nearest(name, row),
            value=shown(name),
        )


def parse_columns(text: str) -> Mapping:
    """Compile a mapping.

    Raises:
        UsageError: DATA_COLUMNS_INVALID: what is wrong, and the nearest name where one is close.
    """
    sources: dict[str, Source] = {}
    for key, source in _pairs(text):
        if key not in KEYS:
            raise _invalid(f"A column can't hold {safe_text(key, limit=40)!r}.", _nearest(key, KEYS))
        place = _SAME.get(key, key)
        if place in sources:
            raise _invalid(
                f"{safe_text(key)} is given twice.", "user and prompt are one thing, assistant and completion too."
            )
        sources[place] = source
    return Mapping(text, sources, _kind(sources))


def quoted(name: str) -> str:
    """A column's name as the mapping writes it."""
    if re.fullmatch(r'[^\s"=+.\\]+', name):
        return name
    return '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _pairs(text: str) -> list[tuple[str, Source]]:
    tokens: list[tuple[str, str]] = []
    position = 0
    while text[position:].strip():
        match = _TOKEN.match(text, position)
        if match is None or match.lastgroup is None:
            raise _invalid(f"A quotation mark is not closed: {safe_text(text[position:].strip(), limit=40)}", _EXAMPLE)
        tokens.append((match.lastgroup, match[match.lastgroup]))
        position = match.end()
    found: list[tuple[str, Source]] = []
    place = 0
    while place < len(tokens):
        kind, key = tokens[place]
        if kind != "bare" or place + 2 >= len(tokens) or tokens[place + 1] != ("sign", "="):
            raise _invalid(f"There is no `key=column` at {safe_text(key, limit=40)!r}.", _EXAMPLE)
        names = [_name(tokens[place + 2])]
        place += 3
        while place < len(tokens) and tokens[place] == ("sign", "+"):
            if place + 1 == len(tokens):
                raise _invalid("Nothing follows the last +.", _EXAMPLE)
            names.append(_name(tokens[place + 1]))
            place += 2
        found.append((key, Source(tuple(names))))
    if not found:
        raise _invalid("The mapping is empty.", _EXAMPLE)
    return found


def _name(token: tuple[str, str]) -> tuple[str, tuple[str, ...]]:
    kind, written = token
    if kind == "sign":
        raise _invalid(f"A column's name is missing before {written!r}.", _EXAMPLE)
    if kind == "quoted":
        return re.sub(r"\\(.)", r"\1", written[1:-1], flags=re.DOTALL), ()
    path = tuple(written.split("."))
    return written, path if len(path) > 1 and all(path) else ()


def _cell(row: dict[str, Any], name: str, path: tuple[str, ...]) -> Any:
    if name in row or not path:
        return row.get(name, _ABSENT)
    found: Any = row
    for step in path:
        if not isinstance(found, dict) or step not in found:
            return _ABSENT
        found = found[step]
    return found


def _kind(sources: Collection[str]) -> frozenset[str]:
    """What the mapping makes, by the keys that decide it.

    Raises:
        UsageError: the keys make no row.
    """
    kind = frozenset(sources) - _BESIDE
    if kind in _READERS:
        return kind
    lacking = min((wanted - kind for wanted in _READERS if wanted > kind), key=len, default=None)
    if lacking and kind:
        raise _invalid(f"The mapping lacks {_and(lacking)}.", _EXAMPLE)
    named = _and(sources)
    lack = "do not make a row together" if len(sources) > 1 else "makes no row by itself"
    raise _invalid(f"{named[0].upper()}{named[1:]} {lack}.", _EXAMPLE)


def _and(keys: Collection[str]) -> str:
    words = {"prompt": "user (or prompt)", "completion": "assistant (or completion)"}
    return " and ".join(words.get(key, key) for key in KEYS if key in keys)


def _plain(mapping: Mapping, row: dict[str, Any]) -> PlainText:
    return plain_text(mapping.cell(row, "text"))


def _pair(mapping: Mapping, row: dict[str, Any]) -> Conversation:
    turns = [*_asked(mapping, row), *answer_side(mapping.cell(row, "completion"), "answer")]
    return conversation(turns, _tools(mapping, row))


def _turns(mapping: Mapping, row: dict[str, Any]) -> Conversation:
    return conversation(_listed(mapping, row), _tools(mapping, row))


def _labelled(mapping: Mapping, row: dict[str, Any]) -> Unpaired:
    if "messages" in mapping.sources:
        asked, answer = split_answer(_listed(mapping, row))
    else:
        asked, answer = _asked(mapping, row), answer_side(mapping.cell(row, "completion"), "answer")
    return Unpaired(tuple(asked), tuple(answer), label_of(mapping.cell(row, "label")), _tools(mapping, row))


def _preferred(mapping: Mapping, row: dict[str, Any]) -> Preference:
    place = next((key for key in ("prompt", "messages") if key in mapping.sources), None)
    prompt = mapping.cell(row, place) if place else None
    if place and is_missing(prompt):
        raise missing(prompt, "prompt")
    chosen, rejected = mapping.cell(row, "chosen"), mapping.cell(row, "rejected")
    return preference_of(prompt, chosen, rejected, mapping.cell(row, "system"), _tools(mapping, row))


def _asking(mapping: Mapping, row: dict[str, Any]) -> PromptOnly:
    used = set().union(*(source.names for source in mapping.sources.values()))
    return prompt_of(_asked(mapping, row), row, used, _tools(mapping, row))


def _asked(mapping: Mapping, row: dict[str, Any]) -> list[Message]:
    return with_system(mapping.cell(row, "system"), prompt_side(mapping.cell(row, "prompt"), "prompt"))


def _listed(mapping: Mapping, row: dict[str, Any]) -> list[Message]:
    cell = mapping.cell(row, "messages")
    if is_missing(cell):
        raise missing(cell, "list of turns")
    turns = cell if isinstance(cell, list) else turn_list(cell, "role") or turn_list(cell, "from")
    if turns is None:
        raise RowRejected(
            "DATA_TURN_INVALID",
            "broken turn",
            "The cell for messages is not a list of turns.",
            "Map a column that holds a list of objects with role and content.",
            value=shown(cell),
        )
    return with_system(mapping.cell(row, "system"), messages_of(turns))


def _tools(mapping: Mapping, row: dict[str, Any]) -> tuple[dict[str, Any], ...]:
    return tools_in(mapping.cell(row, "tools"))


_READERS: dict[frozenset[str], Callable[[Mapping, dict[str, Any]], Normalised]] = {
    frozenset({"text"}): _plain,
    frozenset({"prompt", "completion"}): _pair,
    frozenset({"messages"}): _turns,
    frozenset({"prompt", "completion", "label"}): _labelled,
    frozenset({"messages", "label"}): _labelled,
    frozenset({"chosen", "rejected"}): _preferred,
    frozenset({"prompt", "chosen", "rejected"}): _preferred,
    frozenset({"messages", "chosen", "rejected"}): _preferred,
    frozenset({"prompt"}): _asking,
}


def _invalid(cause: str, next_step: str) -> UsageError:
    return UsageError("DATA_COLUMNS_INVALID", cause, next_step)


def _nearest(name: str, names: Iterable[object]) -> str:
    return _nearest_of(name[:100], tuple(entry[:100] for entry in islice(names, 1000) if isinstance(entry, str)))


@lru_cache(maxsize=64)
def _nearest_of(name: str, known: tuple[str, ...]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    if close:
        return f"Did you mean {safe_text(close[0], limit=60)}?"
    listed = ", ".join(safe_text(entry, limit=40) for entry in known[:12])
    return f"There are {listed}." if listed else "Check the mapping."
