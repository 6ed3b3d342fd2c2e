"""Labelled answers (KTO): `{"prompt": …, "completion": …, "label": true}`, prompt and completion as text or turns."""

from __future__ import annotations

from typing import Any

from backprop_tui.data.formats.calls import tools_of
from backprop_tui.data.formats.cells import is_missing, kind_of, missing, names_of, shown
from backprop_tui.data.formats.conversation import Unpaired
from backprop_tui.data.formats.sides import answer_side, prompt_side
from backprop_tui.data.formats.turns import with_system
from backprop_tui.data.rows import RowRejected

NAME = "unpaired"
COLUMNS = ("prompt", "completion", "label")
_WORDS = {"true": True, "false": False, "1": True, "0": False, "yes": True, "no": False}


def detect(value: Any) -> bool:
    """The three columns are there, in any case."""
    return isinstance(value, dict) and all(name in names_of(value) for name in COLUMNS)


def normalise(value: Any) -> Unpaired:
    """Bring one row to the internal form; a `system` column comes first.

    Raises:
        RowRejected: a column is missing, the label is neither true nor false, or the turns fail the shared checks.
    """
    if not detect(value):
        raise RowRejected("DATA_FORMAT_MISMATCH", "other format", "The row has no prompt, completion and label.")
    prompt, completion, label = (value[names_of(value)[name]] for name in COLUMNS)
    wanted = label_of(label)
    asked = with_system(value.get("system"), prompt_side(prompt, "prompt"))
    return Unpaired(tuple(asked), tuple(answer_side(completion, "completion")), wanted, tools_of(value))


def label_of(cell: Any) -> bool:
    """A label as true or false: also 1 and 0, and `true`, `false`, `yes`, `no`, `1`, `0` as text.

    Raises:
        RowRejected: missing, or anything else.
    """
    if is_missing(cell):
        raise missing(cell, "label")
    if isinstance(cell, bool):
        return cell
    if isinstance(cell, (int, float)) and cell in (0, 1):
        return bool(cell)
    found = _WORDS.get(cell.strip().lower()) if isinstance(cell, str) else None
    if found is None:
        words = repr(shown(cell)) if isinstance(cell, str) else f"{kind_of(cell)} ({shown(cell)})"
        raise RowRejected(
            "DATA_LABEL_INVALID",
            "label unclear",
            f"The label is {words}, neither true nor false.",
            "Write true or false, or choose the format prompt-completion if the label says something else.",
            value=shown(cell),
        )
    return found
