"""Alpaca: `{"instruction": "…", "input": "…", "output": "…", "system": "…", "history": [["…", "…"], …]}`.

Input, system and history (earlier questions and answers) may be absent or empty; `tools` is JSON as in ShareGPT.
"""

from __future__ import annotations

from typing import Any

from backprop_tui.data.formats.calls import tools_of
from backprop_tui.data.formats.cells import is_missing, names_of, optional_text, parsed_json, shown, text_of
from backprop_tui.data.formats.conversation import Conversation, Message
from backprop_tui.data.formats.turns import conversation, message
from backprop_tui.data.rows import RowRejected

NAME = "alpaca"
COLUMNS = ("instruction",)
_ANSWERS = ("output", "response", "answer", "completion")


def detect(value: Any) -> bool:
    """`instruction` and an answer column, in any case."""
    if not isinstance(value, dict):
        return False
    names = names_of(value)
    return "instruction" in names and any(answer in names for answer in _ANSWERS)


def normalise(value: Any) -> Conversation:
    """Instruction and input, a blank line between them, are the user's turn.

    Raises:
        RowRejected: a column is missing or fails the shared checks.
    """
    if not detect(value):
        raise RowRejected("DATA_FORMAT_MISMATCH", "other format", "The row has no instruction and output.")
    names = names_of(value)
    prompt = text_of(value[names["instruction"]], "instruction")
    extra = optional_text(value[names["input"]], "input") if "input" in names else ""
    if extra.strip():
        prompt = f"{prompt}\n\n{extra}" if prompt.strip() else extra
    answer = next(names[name] for name in _ANSWERS if name in names)
    system = message("system", value[names["system"]], "system text") if "system" in names else None
    earlier = _history(value[names["history"]]) if "history" in names else []
    return conversation(
        [system, *earlier, message("user", prompt, "instruction"), message("assistant", value[answer], answer.lower())],
        tools_of(value),
    )


def _history(cell: Any) -> list[Message | None]:
    if is_missing(cell) or cell == "" or cell == []:
        return []
    pairs = cell
    if isinstance(cell, str):
        try:
            pairs = parsed_json(cell)
        except ValueError:
            pairs = None
    if not isinstance(pairs, list) or not all(isinstance(pair, (list, tuple)) and len(pair) == 2 for pair in pairs):
        raise RowRejected(
            "DATA_HISTORY_INVALID",
            "broken history",
            "The history is not a list of pairs of question and answer.",
            "Write it as [[question, answer], …].",
            value=shown(cell),
        )
    found: list[Message | None] = []
    for question, answer in pairs:
        found += [message("user", question, "question in the history"), message("assistant", answer)]
    return found
