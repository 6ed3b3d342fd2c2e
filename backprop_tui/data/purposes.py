"""What kinds of rows are called when they turn up among rows of another purpose."""

from __future__ import annotations

from collections.abc import Mapping

from backprop_tui.data.formats.conversation import Conversation, Normalised, PromptOnly, Purpose, purpose_of
from backprop_tui.data.rows import RowRejected
from backprop_tui.protocol.errors import DataError

#: The reason under which rows of a purpose are left out of a set that is for something else.
OTHER: dict[str, str] = {
    "sft": "text or conversation among other rows",
    "preference": "preference pair",
    "unpaired": "labelled completion",
    "prompt": "prompt without an answer",
}
#: The same of many rows, and how such rows are recognised.
_MANY: dict[str, str] = {
    "sft": "conversations or text",
    "preference": "preference pairs",
    "unpaired": "labelled answers",
    "prompt": "prompts without an answer",
}
_COLUMNS: dict[str, str] = {
    "sft": "",
    "preference": " (prompt, chosen, rejected)",
    "unpaired": " (prompt, completion, label)",
    "prompt": "",
}


#: The column under which a reward finds what a conversation's last answer was.
ANSWER = "answer"


def as_wanted(row: Normalised, purpose: Purpose) -> Normalised:
    """A row in the form a purpose takes it: of a conversation everything before its last answer is a prompt, and the answer
    a column for the rewards. Any other row is left as it is."""
    if purpose != "prompt" or not isinstance(row, Conversation):
        return row
    last = max(place for place, message in enumerate(row.messages) if message.role == "assistant")
    before = row.messages[:last]
    if not any(message.role != "system" for message in before):
        return row
    return PromptOnly(before, {ANSWER: row.messages[last].content}, row.tools)


def other_purpose(row: Normalised) -> RowRejected:
    """Why a row is left out of supervised fine-tuning, or of what the run does instead."""
    reason = OTHER[purpose_of(row)]
    return RowRejected(
        "DATA_OTHER_PURPOSE",
        reason,
        f"The row is a {reason}; the method learns from other rows.",
        "`backprop data convert` makes conversations of pairs and labelled completions.",
    )


def objectives_for(purpose: str) -> list[str]:
    """What a run can learn from rows of a purpose."""
    # The children that render rows come past here, and have no use for settings.
    from backprop_tui.protocol.spec import ROWS_OF

    return [name for name, rows in ROWS_OF.items() if rows == purpose]


def wrong_rows(name: str, rows: int, wanted: Purpose, dropped: Mapping[str, int]) -> DataError | None:
    """The error of data without a usable row, where most of them are for something else; None where they are not.

    Args:
        name: of the data, already harmless.
        rows: how many there are.
        wanted: what they were wanted for.
        dropped: rows left out, by reason.
    """
    found = {purpose: dropped.get(reason, 0) for purpose, reason in OTHER.items() if dropped.get(reason)}
    if 2 * sum(found.values()) < rows:
        return None
    held = max(found, key=lambda purpose: found[purpose])
    counted = " and ".join(f"{count:,} {_MANY[purpose]}" for purpose, count in found.items())
    asking, able = objectives_for(wanted), objectives_for(held)
    who, verb = f"objective={asking[0]}" if asking else "this", "learns"
    if len(asking) > 1:
        who, verb = f"objectives {', '.join(asking[:-1])} and {asking[-1]}", "learn"
    step = f"Choose data with {_MANY[wanted]}."
    if able:
        step = f"Set objective={' or '.join(able)}, or choose data with {_MANY[wanted]}{_COLUMNS[wanted]}."
    return DataError(
        "DATA_OTHER_PURPOSE",
        f"{name} has {counted}, and {who} {verb} from {_MANY[wanted]}.",
        step,
        {"found": found, "wanted": wanted, "objectives": able, "dropped": dict(dropped)},
    )
