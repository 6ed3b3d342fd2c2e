"""Alpaca: `{"instruction": "…", "input": "…", "output": "…", "system": "…"}`; input and system may be absent or empty."""

from __future__ import annotations

from typing import Any

from backprop_tui.data.formats.conversation import Conversation, conversation, optional_text, present, text_of
from backprop_tui.data.rows import RowRejected

NAME = "alpaca"
_ANSWERS = ("output", "response", "answer")


def detect(value: Any) -> bool:
    """`instruction` and an answer column."""
    return isinstance(value, dict) and "instruction" in value and present(value, *_ANSWERS) is not None


def normalise(value: Any) -> Conversation:
    """Instruction and input, a blank line between them, are the user's turn.

    Raises:
        RowRejected: a column is missing or fails the shared checks.
    """
    if not detect(value):
        raise RowRejected("DATA_FORMAT_MISMATCH", "other format", "The row has no instruction and output.")
    prompt = text_of(value["instruction"], "instruction")
    extra = optional_text(value.get("input"), "input")
    if extra.strip():
        prompt = f"{prompt}\n\n{extra}" if prompt.strip() else extra
    system = optional_text(value.get("system"), "system text")
    answer = value[present(value, *_ANSWERS)]
    return conversation([("system", system), ("user", prompt), ("assistant", text_of(answer, "output"))])
