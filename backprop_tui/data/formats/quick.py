"""The straight way for rows that hold nothing but plain turns: nearly all rows of nearly all chat files.

What is not plain goes the long way round (`None` here), so this file decides nothing: it only spares time. The tests
compare both ways over arbitrary rows.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

from backprop_tui.data.formats import messages, preference, sharegpt, unpaired
from backprop_tui.data.formats.calls import TOOL_COLUMNS
from backprop_tui.data.formats.conversation import Conversation, Message
from backprop_tui.data.formats.turns import ROLE_OF

#: Columns, in lower case, that would make the row another format's, or that add something to its turns.
_WITH_A_SAY = frozenset(
    {*preference.COLUMNS, *unpaired.COLUMNS, *sharegpt.COLUMNS, *messages.COLUMNS, *messages.SYSTEMS, *TOOL_COLUMNS}
)


def plain_turns(column: str, role_key: str, text_key: str) -> Callable[[Any], Conversation | None]:
    """A reader of rows whose `column` is a list of turns of exactly `role_key` and `text_key`, both text.

    Returns:
        A function that gives the conversation, or None for every row that is anything more, less or else.
    """
    others = _WITH_A_SAY - {column}
    role_of = ROLE_OF

    @lru_cache(maxsize=64)
    def nobody_else(keys: tuple[object, ...]) -> bool:
        return others.isdisjoint(key.strip().lower() for key in keys if isinstance(key, str))

    def read(value: Any) -> Conversation | None:
        try:
            turns = value[column]
            if type(turns) is not list or (len(value) > 1 and not nobody_else(tuple(value))):
                return None
            answered = False
            found: list[Message] = []
            for turn in turns:
                text = turn[text_key]
                role = role_of[turn[role_key]]
                if len(turn) != 2 or type(text) is not str or not text or text.isspace():
                    return None
                if not text.isascii():
                    text.encode()
                if role == "assistant":
                    answered = True
                found.append(Message(role, text))
        except (KeyError, TypeError, IndexError, UnicodeEncodeError):
            return None
        return Conversation(tuple(found)) if answered else None

    return read
