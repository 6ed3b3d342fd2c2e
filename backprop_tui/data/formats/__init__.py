"""The formats rows come in. A new one is a module with NAME, detect and normalise, and one line in `FORMATS`.

Detection looks at each row on its own, so files that mix formats work. Order matters: the first that fits wins.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from backprop_tui.data.formats import alpaca, chatml, messages, prompt_completion, question_answer, sharegpt, text
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
from backprop_tui.data.rows import RowRejected
from backprop_tui.protocol.errors import UsageError
from backprop_tui.protocol.text import safe_text

__all__ = [
    "FORMATS",
    "ROLES",
    "Conversation",
    "Format",
    "Message",
    "Normalised",
    "PlainText",
    "Preference",
    "PromptOnly",
    "Purpose",
    "ToolCall",
    "Unpaired",
    "detect",
    "normalise",
    "purpose_of",
    "read_row",
]


@dataclass(frozen=True, slots=True)
class Format:
    """One way rows are written: its name, a test, and the way to the internal form."""

    name: str
    detect: Callable[[Any], bool]
    normalise: Callable[[Any], Normalised]


FORMATS: tuple[Format, ...] = tuple(
    Format(module.NAME, module.detect, module.normalise)
    for module in (sharegpt, messages, alpaca, prompt_completion, question_answer, chatml, text)
)
_BY_NAME = {entry.name: entry for entry in FORMATS}


def detect(value: Any) -> str | None:
    """The name of the format one row is in, None when no format fits."""
    return next((entry.name for entry in FORMATS if entry.detect(value)), None)


def normalise(value: Any, format: str) -> Normalised:
    """Bring one row of a known format to the internal form.

    Raises:
        RowRejected: the row can't be trained on; its `reason` is the name to count it under.
        UsageError: there is no such format.
    """
    entry = _BY_NAME.get(format)
    if entry is None:
        raise UsageError("DATA_FORMAT_UNKNOWN", f"There is no data format {format!r}.", f"Use {', '.join(_BY_NAME)}.")
    return entry.normalise(value)


def read_row(value: Any, format: str = "auto") -> tuple[str, Normalised]:
    """The format's name and the internal form of one row; `auto` looks at the row.

    Raises:
        RowRejected: no format fits, or the row can't be trained on.
        UsageError: there is no such format.
    """
    name = detect(value) if format == "auto" else format
    if name is None:
        raise RowRejected(
            "DATA_FORMAT_NONE", "unknown format", _describe(value), "`backprop data inspect` lists what fits."
        )
    return name, normalise(value, name)


def _describe(value: Any) -> str:
    if isinstance(value, dict):
        columns = ", ".join(safe_text(key, limit=40) for key in list(value)[:8]) or "none"
        return f"No known format has these columns: {columns}."
    kind = {"list": "a list", "NoneType": "null", "bool": "true or false"}.get(type(value).__name__, "a number")
    return f"The row is {kind}, not an object or text."
