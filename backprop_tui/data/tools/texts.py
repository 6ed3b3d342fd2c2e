"""The text of a row by who says it: what filters measure, duplicates compare and held-out rows are matched by."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from backprop_tui.data.formats.conversation import (
    Conversation,
    Message,
    Normalised,
    PlainText,
    Preference,
    Unpaired,
)


def messages_of(row: Normalised) -> tuple[Message, ...]:
    """The turns a model would see in order: of a pair the prompt and the better side, of plain text none."""
    if isinstance(row, Conversation):
        return row.messages
    if isinstance(row, PlainText):
        return ()
    if isinstance(row, Preference):
        return row.prompt + row.chosen
    if isinstance(row, Unpaired):
        return row.prompt + row.completion
    return row.prompt


def texts_of(row: Normalised) -> list[str]:
    """Every text of a row in order: content, reasoning, what tools are called with; of a pair the worse side last."""
    if isinstance(row, PlainText):
        return [row.text]
    texts = _texts(messages_of(row))
    if isinstance(row, Preference):
        texts += _texts(row.rejected)
    return texts


def row_text(row: Normalised) -> str:
    """All texts of a row, joined by line breaks."""
    return "\n".join(texts_of(row))


def content_of(row: Normalised, role: str) -> list[str]:
    """What one role says, turn by turn."""
    return [message.content for message in messages_of(row) if message.role == role]


def canonical(value: Any) -> str:
    """JSON text that is equal exactly where values are: sorted keys, no spaces, and for what JSON lacks type and text."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"), default=_foreign)


def arguments_of(value: dict[str, Any] | str) -> str:
    """What a tool is called with, as text."""
    return value if isinstance(value, str) else canonical(value)


def _texts(messages: Iterable[Message]) -> list[str]:
    texts: list[str] = []
    for message in messages:
        if message.reasoning:
            texts.append(message.reasoning)
        texts.append(message.content)
        for call in message.tool_calls:
            texts += (call.name, arguments_of(call.arguments))
    return texts


def _foreign(value: Any) -> dict[str, str]:
    return {"": type(value).__name__, "text": str(value)}
