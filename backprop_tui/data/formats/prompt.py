"""Prompts without answers (GRPO and other methods that generate): `{"prompt": …}`; other columns stay for the rewards."""

from __future__ import annotations

from typing import Any

from backprop_tui.data.formats import question_answer
from backprop_tui.data.formats.calls import TOOL_COLUMNS, tools_of
from backprop_tui.data.formats.cells import names_of, plain_json, shown
from backprop_tui.data.formats.conversation import Message, PromptOnly
from backprop_tui.data.formats.sides import prompt_side
from backprop_tui.data.formats.turns import with_system
from backprop_tui.data.rows import RowRejected

NAME = "prompt"
COLUMNS = ("prompt",)
#: Columns beside a prompt that make the row something to learn from.
_ANSWERS = frozenset(
    {
        "completion",
        "chosen",
        "rejected",
        "text",
        *(answer for question, answer in question_answer.PAIRS if question == "prompt"),
    }
)
_TAKEN = ("system", *TOOL_COLUMNS)


def detect(value: Any) -> bool:
    """A prompt and no column that answers it, in any case."""
    if not isinstance(value, dict):
        return False
    names = names_of(value)
    return "prompt" in names and _ANSWERS.isdisjoint(names)


def normalise(value: Any) -> PromptOnly:
    """Bring one row to the internal form; a `system` column comes first. Asked for by name, answers stay as columns.

    Raises:
        RowRejected: the prompt is missing or empty, or a column holds what JSON can't.
    """
    name = names_of(value).get("prompt") if isinstance(value, dict) else None
    if name is None:
        raise RowRejected("DATA_FORMAT_MISMATCH", "other format", "The row has no prompt.")
    messages = with_system(value.get("system"), prompt_side(value[name], "prompt"))
    return prompt_of(messages, value, {name, *_TAKEN}, tools_of(value))


def prompt_of(
    messages: list[Message], value: dict[str, Any], used: set[str], tools: tuple[dict[str, Any], ...]
) -> PromptOnly:
    """The prompt of these turns with the row's columns but for the `used` ones.

    Raises:
        RowRejected: there is nothing to answer, or a column holds what JSON can't.
    """
    if not any(entry.role != "system" for entry in messages):
        raise RowRejected(
            "DATA_TURN_EMPTY", "empty prompt", "The prompt holds no turn to answer.", "Fill it in or remove the row."
        )
    columns: dict[str, Any] = {}
    for key, cell in value.items():
        if key in used:
            continue
        try:
            columns[plain_json(str(key))] = plain_json(cell)
        except ValueError as error:
            raise RowRejected(
                "DATA_COLUMN_NOT_JSON",
                "column not JSON",
                f"The column {shown(key)!r} {error}.",
                "Remove the column, or write it as text.",
                value=shown(cell),
            ) from None
    return PromptOnly(tuple(messages), columns, tools)
