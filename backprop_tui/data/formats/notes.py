"""What deserves a look in a row that can be used: odd order of turns, answers that say next to nothing or echo."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

from backprop_tui.data.formats.conversation import Conversation, Message, Normalised, Preference, PromptOnly, Unpaired


@dataclass(frozen=True, slots=True)
class Note:
    """Words for a code: what is odd about a row, and what to do."""

    code: str
    cause: str
    next_step: str


ROLE_ORDER = "DATA_ROLE_ORDER"
ANSWER_SHORT = "DATA_ANSWER_SHORT"
SAME_TURNS = "DATA_SAME_TURNS"

NOTES: dict[str, Note] = {
    note.code: note
    for note in (
        Note(
            ROLE_ORDER,
            "The turns are in an unusual order: a role twice in a row, a system turn that is not first, an answer before any "
            "question, no answer at the end, or a tool's answer that nobody called for.",
            "Check that no turn is lost; some chat templates refuse such rows.",
        ),
        Note(
            ANSWER_SHORT,
            "An answer has fewer than three letters or digits, or is a filler such as `n/a`, `none` or `null`.",
            "Check that such answers are meant; filter them out if they are leftovers.",
        ),
        Note(
            SAME_TURNS,
            "An answer repeats the turn before it word for word.",
            "Check that the columns are not mapped to the same text; a model learns to echo from it.",
        ),
    )
}
#: Three letters or digits, anything between them.
_SAYS_SOMETHING = re.compile(r"[^\W_](?:[\W_]*[^\W_]){2}")
_FILLERS = frozenset({"n/a", "none", "null", "nan", "nil", "undefined", "todo", "tbd"})
_LONGEST_FILLER = 12
_THOUGHT = re.compile(r"\s*<think>.*?</think>", re.DOTALL)
#: Calls that models such as Hermes write into their answer.
_CALL_IN_TEXT = re.compile(r"<\|?(?:tool_call|function)|\[TOOL_CALLS\]", re.IGNORECASE)
_NONE: tuple[str, ...] = ()


def notes_of(row: Normalised) -> tuple[str, ...]:
    """Codes of `NOTES` that hold for the row, each once, in the table's order."""
    if type(row) is Conversation:
        return _notes(row.messages, True)
    if isinstance(row, Preference):
        both = {*_notes((*row.prompt, *row.chosen), True), *_notes((*row.prompt, *row.rejected), True)}
        return tuple(code for code in NOTES if code in both)
    if isinstance(row, Unpaired):
        return _notes((*row.prompt, *row.completion), True)
    return _notes(row.prompt, False) if isinstance(row, PromptOnly) else _NONE


def _notes(messages: Sequence[Message], answered: bool) -> tuple[str, ...]:
    roles = tuple([message.role for message in messages])
    odd = _odd_order(roles, answered) or ("tool" in roles and _uncalled(messages))
    short = same = False
    before = ""
    for message in messages:
        text = message.content
        if message.role == "assistant":
            if text == before and text:
                same = True
            # The usual answer begins with a word; only others cost a search.
            if (
                (len(text) <= _LONGEST_FILLER or not text[:3].isalnum())
                and not message.tool_calls
                and _says_little(text)
            ):
                short = True
        before = text
    if not (odd or short or same):
        return _NONE
    return tuple(code for code, holds in ((ROLE_ORDER, odd), (ANSWER_SHORT, short), (SAME_TURNS, same)) if holds)


@lru_cache(maxsize=256)
def _odd_order(roles: tuple[str, ...], answered: bool) -> bool:
    turns = roles[1:] if roles[:1] == ("system",) else roles
    return (
        "system" in turns
        or turns[:1] == ("assistant",)
        or any(first == second != "tool" for first, second in pairwise(turns))
        or (answered and turns[-1:] != ("assistant",))
    )


def _uncalled(messages: Sequence[Message]) -> bool:
    """Whether a tool answers without a call in the assistant's turn before it (other tools' answers between)."""
    called = False
    for message in messages:
        if message.role == "tool":
            if not called:
                return True
        else:
            called = message.role == "assistant" and (
                bool(message.tool_calls) or _CALL_IN_TEXT.search(message.content) is not None
            )
    return False


def _says_little(text: str) -> bool:
    if text.lstrip().startswith("<think>"):
        text = _THOUGHT.sub("", text, count=1)
    return _SAYS_SOMETHING.search(text) is None or text.strip().strip(".!").lower() in _FILLERS
