"""Turns as files write them, brought to messages: role names, calls of tools, reasoning, and what an empty turn means."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from backprop_tui.data.formats.calls import calls_in_content, calls_of
from backprop_tui.data.formats.cells import is_missing, kind_of, missing, optional_text, shown, text_of
from backprop_tui.data.formats.conversation import Conversation, Message
from backprop_tui.data.rows import RowRejected

#: The template's role by the names used in data, in lower case.
ROLE_OF: dict[str, str] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "prompter": "user",
    "instruction": "user",
    "customer": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "chatbot": "assistant",
    "bot": "assistant",
    "bing": "assistant",
    "bard": "assistant",
    "claude": "assistant",
    "gemini": "assistant",
    "model": "assistant",
    "ai": "assistant",
    "output": "assistant",
    "tool": "tool",
    "function": "tool",
    "function_response": "tool",
    "function response": "tool",
    "tool_response": "tool",
    "tool response": "tool",
    "observation": "tool",
    "ipython": "tool",
}
#: Roles whose content is itself a call, as ShareGPT files with tools have them.
_CALLING = ("function_call", "function call", "tool_call", "tool call")
_REASONING = ("reasoning_content", "reasoning", "thinking")


def role_named(name: object) -> str:
    """The template's role for a name used in data.

    Raises:
        RowRejected: nobody uses that name.
    """
    role = ROLE_OF.get(name.strip().lower()) if isinstance(name, str) else None
    if role is None:
        words = f"The role {shown(name)!r} is not known." if isinstance(name, str) else "A turn names no role."
        raise RowRejected(
            "DATA_ROLE_UNKNOWN", "unknown role", words, "Use system, user, assistant or tool.", value=shown(name)
        )
    return role


def is_turns(value: object) -> bool:
    """Whether this is a list with at least one turn (an object with `role` or `from`) in it."""
    return isinstance(value, list) and any(map(is_turn, value))


def is_turn(value: object) -> bool:
    """Whether this is an object that names a role."""
    return isinstance(value, dict) and ("role" in value or "from" in value)


def message(role: str, content: object, what: str = "") -> Message | None:
    """A turn of plain text; None for an empty system turn, which says nothing.

    Args:
        role: one of `ROLES`.
        content: the cell.
        what: the cell's name in messages; the role's without one.

    Raises:
        RowRejected: the content is not text or is empty.
    """
    if role == "system" and is_missing(content):
        return None
    text = text_of(content, what or f"{role} turn")
    if not text or text.isspace():
        if role == "system":
            return None
        _refuse_empty(role, text)
    return Message(role, text)


def messages_of(turns: Sequence[Any]) -> list[Message]:
    """Turns with `role` and `content`, or `from` and `value`, as messages; empty system turns are left out.

    Raises:
        RowRejected: a turn is not an object, has an unknown role, says nothing, or holds something else than text.
    """
    found: list[Message] = []
    for turn in turns:
        if not isinstance(turn, dict):
            raise RowRejected(
                "DATA_TURN_INVALID",
                "broken turn",
                f"A turn is {kind_of(turn)}, not an object with role and content.",
                "Write each turn as an object.",
                value=shown(turn),
            )
        if (entry := _message(turn)) is not None:
            found.append(entry)
    return found


def conversation(messages: Iterable[Message | None], tools: tuple[dict[str, Any], ...] = ()) -> Conversation:
    """The conversation of these turns.

    Raises:
        RowRejected: DATA_NO_ASSISTANT, there is no answer to learn.
    """
    kept = tuple(entry for entry in messages if entry is not None)
    check_answered(kept)
    return Conversation(kept, tools)


def check_answered(messages: Sequence[Message]) -> None:
    """Turns to learn from hold an answer.

    Raises:
        RowRejected: DATA_NO_ASSISTANT.
    """
    if not any(entry.role == "assistant" for entry in messages):
        raise RowRejected(
            "DATA_NO_ASSISTANT",
            "no answer turn",
            "The row has no assistant turn, so there is nothing to learn.",
            "Add the answer the model should give, in a turn of the role assistant.",
        )


def with_system(cell: object, messages: list[Message]) -> list[Message]:
    """The turns behind the system text of a column of its own, unless they begin with that very text.

    Raises:
        RowRejected: the cell holds something else than text.
    """
    entry = message("system", cell, "system text")
    return messages if entry is None or (messages and messages[0] == entry) else [entry, *messages]


def _message(turn: dict[str, Any]) -> Message | None:
    name = turn["role"] if "role" in turn else turn.get("from")
    content = turn.get("content")
    if content is None:
        content = turn.get("value")
    calls = calls_of(turn)
    if not calls and isinstance(name, str) and name.strip().lower() in _CALLING:
        calls = calls_in_content(content) or ()
        role, content = "assistant", "" if calls else content
    else:
        role = role_named(name)
    if is_missing(content) and (calls or role == "system"):
        content = ""
    if is_missing(content):
        raise missing(content, f"{role} turn")
    text = text_of(content, f"{role} turn")
    if not calls and role != "tool" and (not text or text.isspace()):
        if role == "system":
            return None
        _refuse_empty(role, text)
    if len(turn) == 2 and not calls:
        return Message(role, text)
    reasoning = next((turn[key] for key in _REASONING if not is_missing(turn.get(key))), None)
    return Message(
        role,
        text,
        optional_text(reasoning, "reasoning"),
        calls,
        optional_text(turn.get("name"), "name of a turn"),
        optional_text(turn.get("tool_call_id"), "tool_call_id"),
    )


def _refuse_empty(role: str, text: str) -> None:
    if role == "assistant":
        raise RowRejected(
            "DATA_ANSWER_EMPTY",
            "empty answer",
            "An answer is empty.",
            "Write an answer or remove the row.",
            value=shown(text),
        )
    raise RowRejected(
        "DATA_TURN_EMPTY",
        "empty prompt",
        f"A {role} turn is empty.",
        "Fill it in or remove the row.",
        value=shown(text),
    )
