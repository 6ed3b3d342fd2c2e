"""The two sides of a row: what is asked and what is answered, each as text or as turns."""

from __future__ import annotations

import re
from typing import Any

from backprop_tui.data.formats.cells import is_missing, missing
from backprop_tui.data.formats.conversation import Message
from backprop_tui.data.formats.turns import check_answered, is_turn, is_turns, message, messages_of
from backprop_tui.data.rows import RowRejected

_DIALOGUE = re.compile(r"(?:^|\n\n)(Human|Assistant):(?: |(?=\n)|\Z)")


def prompt_side(cell: Any, what: str) -> list[Message]:
    """The turns of a prompt: text is one user turn, an empty list is no turn, an object may hold `messages`.

    Raises:
        RowRejected: missing, empty text, or turns that fail the shared checks.
    """
    if isinstance(cell, dict) and isinstance(cell.get("messages"), list):
        cell = cell["messages"]
    return _side(cell, "user", what)


def answer_side(cell: Any, what: str) -> list[Message]:
    """The turns of an answer: text is one assistant turn; turns hold at least one.

    Raises:
        RowRejected: missing, an empty answer, none, or turns that fail the shared checks.
    """
    found = _side(cell, "assistant", what)
    check_answered(found)
    return found


def dialogue(text: str) -> list[Message] | None:
    """Turns of text in the manner of Anthropic's HH: blank line, `Human:` or `Assistant:`, what is said.

    Returns:
        None for any other text. A last turn without words, which asks for an answer, is left out.

    Raises:
        RowRejected: another turn is empty.
    """
    marks = list(_DIALOGUE.finditer(text)) if "Human:" in text else []
    if not marks or text[: marks[0].start()].strip() or not any(mark[1] == "Human" for mark in marks):
        return None
    found: list[Message] = []
    for mark, after in zip(marks, [*marks[1:], None], strict=True):
        words = text[mark.end() : after.start() if after else len(text)]
        if after is None and not words.strip():
            break
        role = "user" if mark[1] == "Human" else "assistant"
        if (turn := message(role, words)) is not None:
            found.append(turn)
    return found


def split_answer(messages: list[Message]) -> tuple[list[Message], list[Message]]:
    """Turns before the last answer, and that answer with what follows it.

    Raises:
        RowRejected: DATA_NO_ASSISTANT.
    """
    check_answered(messages)
    last = max(place for place, entry in enumerate(messages) if entry.role == "assistant")
    return messages[:last], messages[last:]


def _side(cell: Any, role: str, what: str) -> list[Message]:
    if is_missing(cell):
        raise missing(cell, what)
    if is_turns(cell):
        return messages_of(cell)
    if is_turn(cell):
        return messages_of([cell])
    if isinstance(cell, list) and not cell:
        return []
    entry = message(role, cell, what)
    return [] if entry is None else [entry]


def no_prompt(cause: str, next_step: str) -> RowRejected:
    """The rejection of a pair whose prompt can't be told."""
    return RowRejected("DATA_PREFERENCE_PROMPT", "no common prompt", cause, next_step)
