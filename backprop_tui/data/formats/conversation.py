"""The internal form every format is brought to, and the checks they share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal

import msgspec

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


class ToolCall(msgspec.Struct, frozen=True):
    """One call of a tool by the assistant. `arguments` is the parsed object, or text where the file holds text that is none."""

    name: str
    arguments: dict[str, Any] | str
    id: str = ""


class Message(msgspec.Struct, frozen=True):
    """One turn. Text is exactly what the file says; screens make it harmless, data does not.

    Attributes:
        role: one of `ROLES`. content: what is said, `<think>` passages included; empty where a turn only calls tools.
        reasoning: reasoning the file keeps apart from the answer (`reasoning_content`). tool_calls: what the turn calls.
        name: of the tool that answers. tool_call_id: the call it answers.
    """

    role: str
    content: str
    reasoning: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    name: str = ""
    tool_call_id: str = ""


class Conversation(msgspec.Struct, frozen=True, tag="conversation"):
    """Turns in order, with at least one answer that is not empty. `tools` are JSON schemas of what may be called."""

    messages: tuple[Message, ...]
    tools: tuple[dict[str, Any], ...] = ()


class PlainText(msgspec.Struct, frozen=True, tag="text"):
    """Text learnt from its first to its last token, without roles."""

    text: str


class Preference(msgspec.Struct, frozen=True, tag="preference"):
    """A better and a worse continuation of the same prompt (DPO, ORPO, SimPO, reward modelling)."""

    prompt: tuple[Message, ...]
    chosen: tuple[Message, ...]
    rejected: tuple[Message, ...]
    tools: tuple[dict[str, Any], ...] = ()


class Unpaired(msgspec.Struct, frozen=True, tag="unpaired"):
    """One continuation and whether it is wanted (KTO)."""

    prompt: tuple[Message, ...]
    completion: tuple[Message, ...]
    label: bool
    tools: tuple[dict[str, Any], ...] = ()


class PromptOnly(msgspec.Struct, frozen=True, tag="prompt"):
    """A prompt to be answered while training (GRPO). `columns` are the row's other columns, for reward functions."""

    prompt: tuple[Message, ...]
    columns: dict[str, Any] = {}
    tools: tuple[dict[str, Any], ...] = ()


#: The internal form of a row. Plain structs, so that a row crosses to another process as JSON and back unchanged.
Normalised = Conversation | PlainText | Preference | Unpaired | PromptOnly

#: What a kind of row is for: supervised fine-tuning, preference methods, KTO, or methods that generate.
Purpose = Literal["sft", "preference", "unpaired", "prompt"]


def purpose_of(row: Normalised) -> Purpose:
    """The purpose a row serves."""
    return _PURPOSES[type(row)]


_PURPOSES: dict[type, Purpose] = {
    Conversation: "sft",
    PlainText: "sft",
    Preference: "preference",
    Unpaired: "unpaired",
    PromptOnly: "prompt",
}


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
