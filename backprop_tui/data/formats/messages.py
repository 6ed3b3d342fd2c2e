"""OpenAI messages: `{"messages": [{"role": "user", "content": "…"}, …]}`, also under `conversations` and the like.

`tools` beside the turns are kept, and so are `tool_calls`, `name`, `tool_call_id` and `reasoning_content` in them.
"""

from __future__ import annotations

from typing import Any

from backprop_tui.data.formats.calls import tools_of
from backprop_tui.data.formats.cells import parsed_json
from backprop_tui.data.formats.conversation import Conversation, Message
from backprop_tui.data.formats.turns import conversation, messages_of, with_system
from backprop_tui.data.rows import RowRejected

NAME = "messages"
#: Where the turns may be.
COLUMNS = ("messages", "conversations", "conversation", "chat", "dialog", "dialogue")
#: Columns of text that stand in front of the turns.
SYSTEMS = ("system", "system_prompt")


def detect(value: Any) -> bool:
    """A list of turns with `role` (or the JSON text of one); a list that is empty counts under its usual name."""
    return turns_in(value) is not None


def normalise(value: Any) -> Conversation:
    """Bring one row to the internal form.

    Raises:
        RowRejected: a turn is not an object, or the turns fail the shared checks.
    """
    turns = turns_in(value)
    if turns is None:
        raise RowRejected("DATA_FORMAT_MISMATCH", "other format", "The row has no list of turns called messages.")
    return conversation(before(value, messages_of(turns)), tools_of(value))


def before(value: Any, messages: list[Message]) -> list[Message]:
    """The turns with the text of the row's system column, if any, in front of them."""
    if isinstance(value, dict):
        for name in SYSTEMS:
            if name in value:
                return with_system(value[name], messages)
    return messages


def turns_in(value: Any) -> list[Any] | None:
    """The list of turns of a row, which may itself be that list; None when there is none."""
    if isinstance(value, list):
        return value if value and isinstance(value[0], dict) and "role" in value[0] else None
    if not isinstance(value, dict):
        return None
    for key in COLUMNS:
        if key in value and (turns := turn_list(value[key], "role")) is not None:
            return turns
    return value["messages"] if isinstance(value.get("messages"), list) else None


def turn_list(cell: Any, role_key: str) -> list[Any] | None:
    """The cell as a list that holds a turn with `role_key`; tables have it as JSON text. None when it is something else."""
    if isinstance(cell, str) and cell.startswith("[") and f'"{role_key}"' in cell:
        try:
            cell = parsed_json(cell)
        except ValueError:
            return None
    if isinstance(cell, list) and any(isinstance(turn, dict) and role_key in turn for turn in cell):
        return cell
    return None
