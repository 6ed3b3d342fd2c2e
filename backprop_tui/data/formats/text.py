"""Plain text: a bare string, or one column of it. Everything in it is learnt."""

from __future__ import annotations

from typing import Any

from backprop_tui.data.formats.cells import shown, text_of
from backprop_tui.data.formats.conversation import PlainText
from backprop_tui.data.rows import RowRejected

NAME = "text"
#: Where the text may be.
COLUMNS = ("text", "content", "raw_content", "document", "body")


def text_in(value: Any) -> str | None:
    """The text of a bare string or of a row with a text column; None when there is none."""
    if isinstance(value, str):
        return value
    if isinstance(value, dict):
        for key in COLUMNS:
            if isinstance(value.get(key), str):
                return str(value[key])
    return None


def detect(value: Any) -> bool:
    """There is text; an object must have it under a known name."""
    return isinstance(value, str) or (isinstance(value, dict) and any(key in value for key in COLUMNS))


def normalise(value: Any) -> PlainText:
    """Bring one row to the internal form.

    Raises:
        RowRejected: no text, or only white space.
    """
    found = text_in(value)
    if found is None and isinstance(value, dict):
        found = next((value[key] for key in COLUMNS if key in value), None)
    return plain_text(found)


def plain_text(cell: object) -> PlainText:
    """The text of one cell.

    Raises:
        RowRejected: no text, or only white space.
    """
    text = text_of(cell, "text")
    if not text or text.isspace():
        raise RowRejected("DATA_TEXT_EMPTY", "empty text", "The text is empty.", "Remove the row.", value=shown(text))
    return PlainText(text)
