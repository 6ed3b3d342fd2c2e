"""ShareGPT: `{"conversations": [{"from": "human", "value": "…"}, {"from": "gpt", "value": "…"}]}`.

A `function_call` turn whose value is JSON with name and arguments becomes a call; an `observation` is a tool's answer.
`system` and `tools` (often JSON text) stand beside the turns.
"""

from __future__ import annotations

from typing import Any

from backprop_tui.data.formats.calls import tools_of
from backprop_tui.data.formats.conversation import Conversation
from backprop_tui.data.formats.messages import before, turn_list
from backprop_tui.data.formats.turns import conversation, messages_of
from backprop_tui.data.rows import RowRejected

NAME = "sharegpt"
#: Where the turns may be.
COLUMNS = ("conversations", "conversation", "messages")


def detect(value: Any) -> bool:
    """A list of turns with `from` (or the JSON text of one)."""
    return turns_in(value) is not None


def normalise(value: Any) -> Conversation:
    """Bring one row to the internal form; a `system` column beside the turns comes first.

    Raises:
        RowRejected: a turn is not an object, or the turns fail the shared checks.
    """
    turns = turns_in(value)
    if turns is None:
        raise RowRejected("DATA_FORMAT_MISMATCH", "other format", "The row has no list of turns called conversations.")
    return conversation(before(value, messages_of(turns)), tools_of(value))


def turns_in(value: Any) -> list[Any] | None:
    """The list of turns of a row; None when there is none."""
    if isinstance(value, list):
        return value if value and isinstance(value[0], dict) and "from" in value[0] and "role" not in value[0] else None
    if not isinstance(value, dict):
        return None
    for key in COLUMNS:
        if key in value and (turns := turn_list(value[key], "from")) is not None:
            return turns
    empty = value.get("conversations")
    return empty if isinstance(empty, list) and not empty else None
