"""The internal form every format is brought to, and the checks they share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from backprop_tui.data.rows import RowRejected
from backprop_tui.protocol.text import safe_text

#: Roles a chat template is given; everything else is mapped to one of them or rejected.
ROLES = ("system", "user", "assistant", "tool")

_ROLE_OF: dict[str, str] = {
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
    "model": "assistant",
    "ai": "assistant",
    "output": "assistant",
    "tool": "tool",
    "function": "tool",
    "function_response": "tool",
    "observation": "tool",
    "ipython": "tool",
}


@dataclass(frozen=True, slots=True)
class Message:
    """One turn. `content` is exactly what the file says; screens make it harmless, data does not."""

    role: str
    content: str


@dataclass(frozen=True, slots=True)
class Conversation:
    """Turns in order, with at least one answer that is not empty."""

    messages: tuple[Message, ...]


@dataclass(frozen=True, slots=True)
class PlainText:
    """Text learnt from its first to its last token, without roles."""

    text: str


Normalised = Conversation | PlainText


def role_named(name: object) -> str:
    """The template's role for a name used in data.

    Raises:
        RowRejected: nobody uses that name.
    """
    role = _ROLE_OF.get(name.strip().lower()) if isinstance(name, str) else None
    if role is None:
        raise RowRejected(
            "DATA_ROLE_UNKNOWN",
            "unknown role",
            f"The role {safe_text(name, limit=40)!r} is not known.",
            "Use system, user, assistant or tool.",
        )
    return role


def text_of(value: object, what: str) -> str:
    """`value` as text that can be encoded.

    Raises:
        RowRejected: missing, not text, or holding a lone surrogate.
    """
    if isinstance(value, list):
        value = _joined_parts(value, what)
    if value is None:
        raise RowRejected("DATA_CELL_NULL", "missing value", f"The {what} is missing.", "Fill it in or remove the row.")
    if not isinstance(value, str):
        kind = type(value).__name__
        raise RowRejected(
            "DATA_NOT_TEXT", "not text", f"The {what} is {_KINDS.get(kind, kind)}, not text.", "Write it as text."
        )
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise RowRejected(
                "DATA_LONE_SURROGATE",
                "broken character",
                f"The {what} holds half of a character pair (\\u{ord(value[error.start]):04x}) "
                f"at character {error.start + 1:,}.",
                "Write the file again as valid Unicode.",
            ) from None
    return value


def optional_text(value: object, what: str) -> str:
    """Like `text_of`, with nothing for None."""
    return "" if value is None else text_of(value, what)


def conversation(turns: Iterable[tuple[object, object]]) -> Conversation:
    """Check (role, content) pairs and build the internal form.

    Raises:
        RowRejected: unknown role, content that is not text, an empty turn, or no answer.
    """
    messages: list[Message] = []
    answered = False
    for name, content in turns:
        role = role_named(name)
        text = text_of(content, f"{role} turn")
        if not text.strip():
            if role == "system":
                continue
            if role == "assistant":
                raise RowRejected(
                    "DATA_ANSWER_EMPTY", "empty answer", "An answer is empty.", "Write an answer or remove the row."
                )
            raise RowRejected(
                "DATA_TURN_EMPTY", "empty prompt", f"A {role} turn is empty.", "Fill it in or remove the row."
            )
        answered = answered or role == "assistant"
        messages.append(Message(role, text))
    if not answered:
        raise RowRejected(
            "DATA_NO_ASSISTANT",
            "no answer turn",
            "The row has no assistant turn, so there is nothing to learn.",
            "Add the answer the model should give, in a turn of the role assistant.",
        )
    return Conversation(tuple(messages))


def present(value: Mapping[str, Any], *names: str) -> str | None:
    """The first of `names` that is a key of `value`."""
    return next((name for name in names if name in value), None)


def _joined_parts(parts: list[Any], what: str) -> str:
    texts: list[str] = []
    for part in parts:
        if isinstance(part, str):
            texts.append(part)
        elif isinstance(part, dict) and part.get("type", "text") == "text" and isinstance(part.get("text"), str):
            texts.append(part["text"])
        else:
            kind = part.get("type") if isinstance(part, dict) else type(part).__name__
            raise RowRejected(
                "DATA_PART_UNSUPPORTED",
                "not text",
                f"The {what} holds a part of the kind {safe_text(kind, limit=40)!r}.",
                "Only text can be trained on.",
            )
    return "".join(texts)


_KINDS = {"int": "a number", "float": "a number", "bool": "true or false", "dict": "an object", "bytes": "binary data"}
