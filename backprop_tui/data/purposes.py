"""What kinds of rows are called when they turn up among rows of another purpose."""

from __future__ import annotations

from backprop_tui.data.formats.conversation import Normalised, purpose_of
from backprop_tui.data.rows import RowRejected

#: The reason under which rows of a purpose are left out of a set that is for something else.
OTHER: dict[str, str] = {
    "sft": "text or conversation among other rows",
    "preference": "preference pair",
    "unpaired": "labelled completion",
    "prompt": "prompt without an answer",
}


def other_purpose(row: Normalised) -> RowRejected:
    """Why a row is left out of supervised fine-tuning, or of what the run does instead."""
    reason = OTHER[purpose_of(row)]
    return RowRejected(
        "DATA_OTHER_PURPOSE",
        reason,
        f"The row is a {reason}; the method learns from other rows.",
        "`backprop data convert` makes conversations of pairs and labelled completions.",
    )
