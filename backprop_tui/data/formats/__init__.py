"""The formats rows come in. A new one is a module with NAME, COLUMNS, detect and normalise, and one line in `FORMATS`.

Detection looks at each row on its own, so files that mix formats work. Order matters: the first that fits wins. Rows that
say more stand before rows that say less: a pair before a prompt, a labelled answer before an answer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from backprop_tui.data.formats import (
    alpaca,
    chatml,
    columns,
    messages,
    preference,
    prompt,
    prompt_completion,
    question_answer,
    sharegpt,
    text,
    unpaired,
)
from backprop_tui.data.formats.cells import is_missing, kind_of, missing, shown
from backprop_tui.data.formats.columns import Mapping, parse_columns
from backprop_tui.data.formats.conversation import (
    ROLES,
    Conversation,
    Message,
    Normalised,
    PlainText,
    Preference,
    PromptOnly,
    Purpose,
    ToolCall,
    Unpaired,
    purpose_of,
)
from backprop_tui.data.formats.notes import NOTES, Note, notes_of
from backprop_tui.data.formats.quick import plain_turns
from backprop_tui.data.formats.suggest import suggest_columns
from backprop_tui.data.rows import RowRejected
from backprop_tui.protocol.errors import UsageError
from backprop_tui.protocol.text import safe_text

__all__ = [
    "FORMATS",
    "NOTES",
    "ROLES",
    "Conversation",
    "Format",
    "Mapping",
    "Message",
    "Normalised",
    "Note",
    "PlainText",
    "Preference",
    "PromptOnly",
    "Purpose",
    "Reader",
    "ToolCall",
    "Unpaired",
    "detect",
    "normalise",
    "notes_of",
    "parse_columns",
    "purpose_of",
    "read_row",
    "row_reader",
    "suggest_columns",
]

#: Gives the format's name and the internal form of one row; raises RowRejected for a row that can't be used.
Reader = Callable[[Any], tuple[str, Normalised]]


@dataclass(frozen=True, slots=True)
class Format:
    """One way rows are written: its name, a test, and the way to the internal form.

    `columns`, in lower case, are those of which an object in this format has at least one.
    """

    name: str
    columns: frozenset[str]
    detect: Callable[[Any], bool]
    normalise: Callable[[Any], Normalised]


FORMATS: tuple[Format, ...] = tuple(
    Format(module.NAME, frozenset(module.COLUMNS), module.detect, module.normalise)
    for module in (
        preference,
        unpaired,
        sharegpt,
        messages,
        alpaca,
        prompt_completion,
        question_answer,
        prompt,
        chatml,
        text,
    )
)
_BY_NAME = {entry.name: entry for entry in FORMATS}
#: Formats nearly all of whose rows can go the straight way.
_QUICK = {
    messages.NAME: plain_turns("messages", "role", "content"),
    sharegpt.NAME: plain_turns("conversations", "from", "value"),
}


def detect(value: Any) -> str | None:
    """The name of the format one row is in, None when no format fits."""
    for entry in FORMATS:
        if entry.detect(value):
            return entry.name
    return None


def normalise(value: Any, format: str) -> Normalised:
    """Bring one row of a known format to the internal form.

    Raises:
        RowRejected: the row can't be trained on; its `reason` is the name to count it under.
        UsageError: there is no such format.
    """
    return _named(format).normalise(value)


def read_row(value: Any, format: str = "auto", columns: str = "") -> tuple[str, Normalised]:
    """The format's name and the internal form of one row. For many rows, use `row_reader`.

    Raises:
        RowRejected: no format fits, or the row can't be trained on.
        UsageError: there is no such format, or the mapping is not valid.
    """
    return row_reader(format, columns)(value)


def row_reader(format: str = "auto", columns: str = "") -> Reader:
    """A reader for many rows.

    Args:
        format: a format's name; `auto` looks at each row; `columns` goes by the mapping.
        columns: which column is what (see `formats.columns`); where it is given, it alone decides.

    Raises:
        UsageError: DATA_FORMAT_UNKNOWN, DATA_COLUMNS_INVALID, or DATA_COLUMNS_MISPLACED for a mapping beside a format
            that has its own columns.
    """
    if columns.strip() or format == _COLUMNS:
        return _mapped(format, columns)
    if format == "auto":
        return _read_any
    entry = _named(format)
    quick = _QUICK.get(format)
    if quick is None:
        return lambda value: (entry.name, entry.normalise(value))
    straight = quick

    def read(value: Any) -> tuple[str, Normalised]:
        return entry.name, straight(value) or entry.normalise(value)

    return read


_COLUMNS = columns.NAME


def _mapped(format: str, text: str) -> Reader:
    if format not in ("auto", _COLUMNS):
        _named(format)
        raise UsageError(
            "DATA_COLUMNS_MISPLACED",
            f"The format {format} has columns of its own, so a mapping has no place beside it.",
            "Choose the format columns or auto, or clear the mapping.",
        )
    mapping = parse_columns(text)
    return lambda value: (_COLUMNS, mapping.read(value))


_quick_messages, _quick_sharegpt = _QUICK[messages.NAME], _QUICK[sharegpt.NAME]


def _read_any(value: Any) -> tuple[str, Normalised]:
    if type(value) is dict:
        if "messages" in value:
            if (plain := _quick_messages(value)) is not None:
                return messages.NAME, plain
        elif "conversations" in value and (plain := _quick_sharegpt(value)) is not None:
            return sharegpt.NAME, plain
        candidates = _candidates(tuple(value))
    else:
        candidates = FORMATS
    for entry in candidates:
        if entry.detect(value):
            return entry.name, entry.normalise(value)
    raise _unknown(value)


@lru_cache(maxsize=64)
def _candidates(keys: tuple[object, ...]) -> tuple[Format, ...]:
    """The formats that come into question for objects with these keys, which nearly all rows of a file share."""
    names = [key.strip().lower() for key in keys if isinstance(key, str)]
    return tuple(entry for entry in FORMATS if not entry.columns.isdisjoint(names))


def _named(format: str) -> Format:
    entry = _BY_NAME.get(format)
    if entry is None:
        known = ", ".join(["auto", *_BY_NAME, _COLUMNS])
        raise UsageError(
            "DATA_FORMAT_UNKNOWN", f"There is no data format {safe_text(format, limit=60)!r}.", f"Use {known}."
        )
    return entry


def _unknown(value: Any) -> RowRejected:
    if not isinstance(value, dict):
        cause = f"The row is {kind_of(value)}, not an object or text."
        return RowRejected(
            "DATA_FORMAT_NONE", "unknown format", cause, "Write each row as an object.", value=shown(value)
        )
    for name in ("messages", "conversations"):
        if name in value and is_missing(value[name]):
            return missing(value[name], f"column {name}")
    listed = ", ".join(safe_text(key, limit=40) for key in list(value)[:8]) or "none"
    proposed = safe_text(suggest_columns(value), limit=160)
    next_step = f"Say which column is what, for example columns='{proposed}'." if proposed else "Choose other columns."
    return RowRejected(
        "DATA_FORMAT_NONE",
        "unknown format",
        f"No known format has these columns: {listed}.",
        next_step,
        value=listed[:60],
    )
