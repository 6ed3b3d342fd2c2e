"""Rows as other tools expect them: what each target writes, and what it can't hold.

A shape that is read back by its format gives the same row. What a target has no place for is never left out of a row: the
row is refused as a whole, by a named reason.

| target | written | more than the usual columns |
|---|---|---|
| `messages` | `messages`, `tools` | `reasoning_content`, `tool_calls` (arguments as JSON text), `name`, `tool_call_id` in turns |
| `sharegpt` | `conversations`, `tools` (JSON text) | the same fields in turns; a turn of nothing but calls is `function_call` |
| `alpaca` | `instruction`, `input` (empty), `output`, `system`, `history` | `tools` (JSON text) |
| `prompt-completion` | `prompt` and `completion` as turns, in CSV as text with `system` | `tools` |
| `chatml`, `text` | `text` | |
| `native` | what the kind of row is usually written as | |
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

from backprop_tui.data.formats.chatml import END, START
from backprop_tui.data.formats.conversation import (
    Conversation,
    Message,
    Normalised,
    PlainText,
    Preference,
    PromptOnly,
    ToolCall,
    Unpaired,
)
from backprop_tui.data.formats.sides import split_answer

Target = Literal["messages", "alpaca", "sharegpt", "text", "prompt-completion", "chatml", "native"]
TARGETS: tuple[Target, ...] = ("messages", "alpaca", "sharegpt", "text", "prompt-completion", "chatml", "native")
#: What the columns of a file may hold: anything, values of one type per column, or text alone.
Holds = Literal["anything", "types", "text"]
Shape = dict[str, Any]
Tools = tuple[dict[str, Any], ...]

_SHAREGPT_ROLES = {"system": "system", "user": "human", "assistant": "gpt", "tool": "observation"}
#: Columns that would be read as something else beside a prompt.
_TAKEN = frozenset({"prompt", "system", "tools", "functions"})


class CannotHold(Exception):
    """The target has no place for something in the row. `reason` is the short name it is counted under."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def shape_of(row: Normalised, target: Target, holds: Holds = "anything") -> Shape:
    """The row as `target` writes it.

    Args:
        row: a conversation, or for `native` any kind; text also goes to `text`.
        target: where it goes.
        holds: what the columns of the file may hold.

    Raises:
        CannotHold: something in the row has no place there.
    """
    if isinstance(row, PlainText):
        if target not in ("text", "native"):
            raise CannotHold("plain text")
        return {"text": row.text}
    if target == "native" and not isinstance(row, Conversation):
        return _native(row, holds)
    if not isinstance(row, Conversation):
        raise CannotHold(_KINDS[type(row)])
    if target == "text":
        raise CannotHold("turns in plain text")
    return (_FLAT if holds == "text" else _SHAPES)[target](row)


def json_text(value: Any) -> str:
    """`value` as compact JSON text."""
    import msgspec

    return msgspec.json.encode(value).decode()


def _messages(row: Conversation) -> Shape:
    return _with_tools({"messages": _turns(row.messages)}, row.tools)


def _turns(messages: Sequence[Message]) -> list[Shape]:
    return [{"role": entry.role, "content": entry.content, **_extras(entry)} for entry in messages]


def _extras(entry: Message) -> Shape:
    found: Shape = {}
    if entry.reasoning:
        found["reasoning_content"] = entry.reasoning
    if entry.tool_calls:
        found["tool_calls"] = [
            {**({"id": call.id} if call.id else {}), "type": "function", "function": _function(call)}
            for call in entry.tool_calls
        ]
    if entry.name:
        found["name"] = entry.name
    if entry.tool_call_id:
        found["tool_call_id"] = entry.tool_call_id
    return found


def _function(call: ToolCall) -> Shape:
    arguments = call.arguments if isinstance(call.arguments, str) else json_text(call.arguments)
    return {"name": call.name, "arguments": arguments}


def _with_tools(shape: Shape, tools: Tools, *, as_text: bool = False) -> Shape:
    if tools:
        shape["tools"] = json_text(tools) if as_text else list(tools)
    return shape


def _sharegpt(row: Conversation) -> Shape:
    turns: list[Shape] = []
    for entry in row.messages:
        extras = _extras(entry)
        if entry.role == "assistant" and not entry.content and extras.keys() == {"tool_calls"}:
            turns.append({"from": "function_call", "value": json_text(_called(entry.tool_calls))})
        else:
            turns.append({"from": _SHAREGPT_ROLES[entry.role], "value": entry.content, **extras})
    return _with_tools({"conversations": turns}, row.tools, as_text=True)


def _called(calls: Sequence[ToolCall]) -> Any:
    written = [
        {"name": call.name, "arguments": call.arguments, **({"id": call.id} if call.id else {})} for call in calls
    ]
    return written[0] if len(written) == 1 else written


def _alpaca(row: Conversation) -> Shape:
    system, pairs = _pairs(row)
    instruction, output = pairs[-1]
    shape: Shape = {"instruction": instruction, "input": "", "output": output}
    if system:
        shape["system"] = system
    if len(pairs) > 1:
        shape["history"] = [list(pair) for pair in pairs[:-1]]
    return _with_tools(shape, row.tools, as_text=True)


def _flat_alpaca(row: Conversation) -> Shape:
    system, question, answer = _single(row)
    return {"instruction": question, "input": "", "output": answer, "system": system}


def _prompt_completion(row: Conversation) -> Shape:
    prompt, completion = split_answer(list(row.messages))
    return _with_tools({"prompt": _turns(prompt), "completion": _turns(completion)}, row.tools)


def _flat_prompt_completion(row: Conversation) -> Shape:
    system, question, answer = _single(row)
    return {"system": system, "prompt": question, "completion": answer}


def _chatml(row: Conversation) -> Shape:
    if row.tools:
        raise CannotHold("tools")
    parts: list[str] = []
    for entry in row.messages:
        _only_words(entry)
        if START in entry.content or END in entry.content:
            raise CannotHold("control tokens in text")
        parts.append(f"{START}{entry.role}\n{entry.content}{END}\n")
    return {"text": "".join(parts)}


def _single(row: Conversation) -> tuple[str, str, str]:
    if row.tools:
        raise CannotHold("tools")
    system, pairs = _pairs(row)
    if len(pairs) > 1:
        raise CannotHold("several turns")
    return system, *pairs[0]


def _pairs(row: Conversation) -> tuple[str, list[tuple[str, str]]]:
    """System text and questions with their answers, where the row is nothing else."""
    messages = row.messages
    system = messages[0].content if messages[0].role == "system" else ""
    turns = messages[1:] if system else messages
    for entry in messages:
        _only_words(entry)
    if len(turns) % 2 or any(entry.role != ("assistant" if place % 2 else "user") for place, entry in enumerate(turns)):
        raise CannotHold("turn order")
    return system, [(turns[at].content, turns[at + 1].content) for at in range(0, len(turns), 2)]


def _only_words(entry: Message) -> None:
    if entry.tool_calls or entry.tool_call_id:
        raise CannotHold("tool calls")
    if entry.reasoning:
        raise CannotHold("separate reasoning")
    if entry.name:
        raise CannotHold("names of turns")


def _native(row: Preference | Unpaired | PromptOnly, holds: Holds) -> Shape:
    shape: Shape = {"prompt": _turns(row.prompt)}
    if isinstance(row, Preference):
        shape |= {"chosen": _turns(row.chosen), "rejected": _turns(row.rejected)}
    elif isinstance(row, Unpaired):
        shape |= {"completion": _turns(row.completion), "label": row.label}
    else:
        if not _TAKEN.isdisjoint(row.columns):
            raise CannotHold("column name taken")
        if holds == "types" and not all(cell is None or isinstance(cell, str) for cell in row.columns.values()):
            raise CannotHold("columns that are not text")
        shape |= row.columns
    return _with_tools(shape, row.tools)


_KINDS: dict[type, str] = {
    Preference: "preference pair",
    Unpaired: "labelled answer",
    PromptOnly: "prompt without answer",
}
_SHAPES: dict[str, Callable[[Conversation], Shape]] = {
    "messages": _messages,
    "native": _messages,
    "sharegpt": _sharegpt,
    "alpaca": _alpaca,
    "prompt-completion": _prompt_completion,
    "chatml": _chatml,
}
_FLAT: dict[str, Callable[[Conversation], Shape]] = {
    "alpaca": _flat_alpaca,
    "prompt-completion": _flat_prompt_completion,
    "chatml": _chatml,
}
#: Columns of each target in a table of text.
FLAT_COLUMNS: dict[str, tuple[str, ...]] = {
    "alpaca": ("instruction", "input", "output", "system"),
    "prompt-completion": ("system", "prompt", "completion"),
    "chatml": ("text",),
    "text": ("text",),
}
