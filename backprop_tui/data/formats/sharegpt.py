"""ShareGPT: `{"conversations": [{"from": "human", "value": "…"}, {"from": "gpt", "value": "…"}]}`."""

from __future__ import annotations

from typing import Any

from backprop_tui.data.formats.conversation import Conversation, conversation, optional_text
from backprop_tui.data.rows import RowRejected

NAME = "sharegpt"
_KEYS = ("conversations", "conversation", "messages")


def detect(value: Any) -> bool:
    """A list of turns with `from`."""
    return _turns(value) is not None


def normalise(value: Any) -> Conversation:
    """Bring one row to the internal form; a `system` column beside the turns comes first.

    Raises:
        RowRejected: a turn is not an object, or fails the shared checks.
    """
    turns = _turns(value)
    if turns is None:
        raise RowRejected("DATA_FORMAT_MISMATCH", "other format", "The row has no list of turns called conversations.")
    pairs: list[tuple[object, object]] = []
    system = optional_text(value.get("system"), "system text") if isinstance(value, dict) else ""
    if system:
        pairs.append(("system", system))
    for turn in turns:
        if not isinstance(turn, dict):
            raise RowRejected("DATA_TURN_INVALID", "broken turn", "A turn is not an object with from and value.")
        pairs.append((turn.get("from"), turn.get("value", turn.get("content"))))
    return conversation(pairs)


def _turns(value: Any) -> list[Any] | None:
    if not isinstance(value, dict):
        return None
    for key in _KEYS:
        turns = value.get(key)
        if isinstance(turns, list) and any(isinstance(turn, dict) and "from" in turn for turn in turns):
            return turns
    return (
        value["conversations"] if isinstance(value.get("conversations"), list) and not value["conversations"] else None
    )
