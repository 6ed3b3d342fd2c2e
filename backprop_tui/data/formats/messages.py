"""OpenAI messages: `{"messages": [{"role": "user", "content": "…"}, …]}`, also under `conversations` and the like."""

from __future__ import annotations

from typing import Any

from backprop_tui.data.formats.conversation import Conversation, conversation
from backprop_tui.data.rows import RowRejected

NAME = "messages"
_KEYS = ("messages", "conversations", "conversation", "chat", "dialog", "dialogue")


def detect(value: Any) -> bool:
    """A list of turns with `role`; a list that is empty counts under its usual name."""
    return _turns(value) is not None


def normalise(value: Any) -> Conversation:
    """Bring one row to the internal form.

    Raises:
        RowRejected: a turn is not an object, calls a tool, or fails the shared checks.
    """
    turns = _turns(value)
    if turns is None:
        raise RowRejected("DATA_FORMAT_MISMATCH", "other format", "The row has no list of turns called messages.")
    return conversation(_pair(turn) for turn in turns)


def _turns(value: Any) -> list[Any] | None:
    if isinstance(value, list):
        return value if value and isinstance(value[0], dict) and "role" in value[0] else None
    if not isinstance(value, dict):
        return None
    for key in _KEYS:
        turns = value.get(key)
        if isinstance(turns, list) and (any(isinstance(turn, dict) and "role" in turn for turn in turns)):
            return turns
    return value["messages"] if isinstance(value.get("messages"), list) else None


def _pair(turn: Any) -> tuple[object, object]:
    if not isinstance(turn, dict):
        raise RowRejected("DATA_TURN_INVALID", "broken turn", "A turn is not an object with role and content.")
    content = turn.get("content")
    if content is None and (turn.get("tool_calls") or turn.get("function_call")):
        raise RowRejected(
            "DATA_TOOL_CALL",
            "tool call",
            "A turn calls a tool instead of answering in words.",
            "Rows with tool calls are left out.",
        )
    return turn.get("role"), content
