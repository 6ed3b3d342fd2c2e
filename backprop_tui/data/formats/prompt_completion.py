"""Prompt and completion, either both text or both lists of turns. Text becomes one user turn and one answer."""

from __future__ import annotations

from typing import Any

from backprop_tui.data.formats.conversation import Conversation, conversation, optional_text
from backprop_tui.data.rows import RowRejected

NAME = "prompt-completion"


def detect(value: Any) -> bool:
    """Both columns are there."""
    return isinstance(value, dict) and "prompt" in value and "completion" in value


def normalise(value: Any) -> Conversation:
    """Bring one row to the internal form.

    Raises:
        RowRejected: a column is missing or fails the shared checks.
    """
    if not detect(value):
        raise RowRejected("DATA_FORMAT_MISMATCH", "other format", "The row has no prompt and completion.")
    system = optional_text(value.get("system"), "system text")
    turns: list[tuple[object, object]] = [("system", system)] if system else []
    return conversation([*turns, *_turns(value["prompt"], "user"), *_turns(value["completion"], "assistant")])


def _turns(value: Any, role: str) -> list[tuple[object, object]]:
    if isinstance(value, list) and any(isinstance(turn, dict) and "role" in turn for turn in value):
        if not all(isinstance(turn, dict) for turn in value):
            raise RowRejected("DATA_TURN_INVALID", "broken turn", "A turn is not an object with role and content.")
        return [(turn.get("role"), turn.get("content")) for turn in value]
    return [(role, value)]
