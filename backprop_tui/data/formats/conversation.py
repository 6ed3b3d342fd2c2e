"""The internal form every format is brought to: plain structs that cross to another process as JSON and back."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

#: Roles a chat template is given; everything else is mapped to one of them or rejected.
ROLES = ("system", "user", "assistant", "tool")


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
    return PURPOSES[type(row)]


#: The purpose of each kind of row.
PURPOSES: dict[type, Purpose] = {
    Conversation: "sft",
    PlainText: "sft",
    Preference: "preference",
    Unpaired: "unpaired",
    PromptOnly: "prompt",
}
