"""Text already written in ChatML: `<|im_start|>user\\n…<|im_end|>`. Its turns are read back and rendered anew."""

from __future__ import annotations

import re
from typing import Any

from backprop_tui.data.formats.conversation import Conversation, conversation
from backprop_tui.data.formats.text import text_in
from backprop_tui.data.rows import RowRejected

NAME = "chatml"
_TURN = re.compile(r"<\|im_start\|>([A-Za-z_]+)[ \t]*\n(.*?)(?:<\|im_end\|>|\Z)", re.DOTALL)


def detect(value: Any) -> bool:
    """Both markers occur in the text."""
    text = text_in(value)
    return text is not None and "<|im_start|>" in text and "<|im_end|>" in text


def normalise(value: Any) -> Conversation:
    """Bring one row to the internal form; a last turn may lack its end marker.

    Raises:
        RowRejected: text outside the turns, nested turns, or the shared checks fail.
    """
    text = text_in(value)
    if text is None:
        raise RowRejected("DATA_FORMAT_MISMATCH", "other format", "The row has no text.")
    turns: list[tuple[object, object]] = []
    position = 0
    for match in _TURN.finditer(text):
        if text[position : match.start()].strip() or "<|im_start|>" in match[2]:
            raise _broken()
        turns.append((match[1], match[2]))
        position = match.end()
    if text[position:].strip() or not turns:
        raise _broken()
    return conversation(turns)


def _broken() -> RowRejected:
    return RowRejected(
        "DATA_CHATML_BROKEN",
        "broken ChatML",
        "The ChatML markers do not pair up.",
        "Each turn is <|im_start|>role, a new line, the text, <|im_end|>.",
    )
