"""Prompt and completion, either both text or both lists of turns. Text becomes one user turn and one answer."""

from __future__ import annotations

from typing import Any

from backprop_tui.data.formats.calls import tools_of
from backprop_tui.data.formats.cells import names_of
from backprop_tui.data.formats.conversation import Conversation
from backprop_tui.data.formats.sides import answer_side, prompt_side
from backprop_tui.data.formats.turns import conversation, with_system
from backprop_tui.data.rows import RowRejected

NAME = "prompt-completion"
COLUMNS = ("completion",)


def detect(value: Any) -> bool:
    """Both columns are there, in any case."""
    if not isinstance(value, dict):
        return False
    names = names_of(value)
    return "prompt" in names and "completion" in names


def normalise(value: Any) -> Conversation:
    """Bring one row to the internal form; a `system` column comes first.

    Raises:
        RowRejected: a column is missing or fails the shared checks.
    """
    if not detect(value):
        raise RowRejected("DATA_FORMAT_MISMATCH", "other format", "The row has no prompt and completion.")
    names = names_of(value)
    prompt = prompt_side(value[names["prompt"]], "prompt")
    answer = answer_side(value[names["completion"]], "completion")
    return conversation(with_system(value.get("system"), [*prompt, *answer]), tools_of(value))
