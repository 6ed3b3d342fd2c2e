"""Text already written in ChatML: `<|im_start|>user\\n…<|im_end|>`. Its turns are read back and rendered anew."""

from __future__ import annotations

from typing import Any

from backprop_tui.data.formats.cells import shown
from backprop_tui.data.formats.conversation import Conversation, Message
from backprop_tui.data.formats.text import COLUMNS, text_in
from backprop_tui.data.formats.turns import conversation, message, role_named
from backprop_tui.data.rows import RowRejected

NAME = "chatml"
#: Around each turn.
START, END = "<|im_start|>", "<|im_end|>"
__all__ = ["COLUMNS", "END", "NAME", "START", "detect", "normalise"]


def detect(value: Any) -> bool:
    """Both markers occur in the text."""
    text = text_in(value)
    return text is not None and START in text and END in text


def normalise(value: Any) -> Conversation:
    """Bring one row to the internal form; a last turn may lack its end marker.

    Raises:
        RowRejected: text outside the turns, nested turns, or the shared checks fail.
    """
    text = text_in(value)
    if text is None:
        raise RowRejected("DATA_FORMAT_MISMATCH", "other format", "The row has no text.")
    turns: list[Message | None] = []
    position = 0
    while (start := text.find(START, position)) >= 0:
        line_end = text.find("\n", start)
        end = text.find(END, line_end)
        end = len(text) if end < 0 else end
        name = text[start + len(START) : line_end].rstrip(" \t")
        content = text[line_end + 1 : end]
        if text[position:start].strip() or line_end < 0 or not _is_name(name) or START in content:
            raise _broken(text[position:])
        role = role_named(name)
        # What a tool hands back may be empty; `message` refuses that of everybody else.
        turns.append(message(role, content) if role != "tool" or content.strip() else Message(role, content))
        position = end + len(END)
    if text[position:].strip() or not turns:
        raise _broken(text[position:])
    return conversation(turns)


def _is_name(text: str) -> bool:
    return text.isascii() and text.replace("_", "a").isalpha()


def _broken(text: str) -> RowRejected:
    return RowRejected(
        "DATA_CHATML_BROKEN",
        "broken ChatML",
        "The ChatML markers do not pair up.",
        "Each turn is <|im_start|>role, a new line, the text, <|im_end|>.",
        value=shown(text.strip()),
    )
