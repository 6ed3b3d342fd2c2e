"""Preference pairs: a better and a worse answer to one prompt, under the names the usual sets give them.

The prompt is a column of its own (text or turns), or what both sides begin with: the same turns, or dialogue in text as
in Anthropic's HH (`\\n\\nHuman: … \\n\\nAssistant: …`).
"""

from __future__ import annotations

from itertools import takewhile
from typing import Any

from backprop_tui.data.formats.calls import tools_in, tools_of
from backprop_tui.data.formats.cells import is_missing, names_of
from backprop_tui.data.formats.conversation import Message, Preference
from backprop_tui.data.formats.sides import answer_side, dialogue, no_prompt, prompt_side
from backprop_tui.data.formats.turns import check_answered, with_system
from backprop_tui.data.rows import RowRejected

NAME = "preference"
#: Better and worse answer by column name.
PAIRS = (
    ("chosen", "rejected"),
    ("chosen_response", "rejected_response"),
    ("chosen_answer", "rejected_answer"),
    ("response_chosen", "response_rejected"),
    ("response_j", "response_k"),
    ("preferred_output", "non_preferred_output"),
    ("preferred", "dispreferred"),
)
COLUMNS = tuple(name for pair in PAIRS for name in pair)
_PROMPTS = ("prompt", "question", "instruction", "query", "input", "messages", "conversations")


def detect(value: Any) -> bool:
    """A known pair of columns is there, in any case, and at least one of the two holds something."""
    return isinstance(value, dict) and _pair(value) is not None


def normalise(value: Any) -> Preference:
    """Bring one row to the internal form; a `system` column comes first.

    Raises:
        RowRejected: an answer is missing or empty, both are the same, or the prompt can't be told.
    """
    names = _pair(value) if isinstance(value, dict) else None
    if names is None:
        raise RowRejected("DATA_FORMAT_MISMATCH", "other format", "The row has no chosen and rejected answer.")
    columns = names_of(value)
    asked = next((columns[name] for name in _PROMPTS if name in columns and not is_missing(value[columns[name]])), None)
    prompt = None if asked is None else value[asked]
    tools = tools_of(value)
    if isinstance(prompt, dict) and not tools:
        tools = tools_in(prompt.get("tools"))
    chosen, rejected = (value[name] for name in names)
    return preference_of(prompt, chosen, rejected, value.get("system"), tools)


def preference_of(
    prompt: Any, chosen: Any, rejected: Any, system: Any = None, tools: tuple[dict[str, Any], ...] = ()
) -> Preference:
    """The pair in these cells. `prompt` is None where both sides begin with it.

    Raises:
        RowRejected: an answer is missing or empty, both are the same, or the prompt can't be told.
    """
    better, worse = _answer(chosen, "chosen answer"), _answer(rejected, "rejected answer")
    if better == worse:
        raise RowRejected(
            "DATA_PAIR_EQUAL",
            "equal pair",
            "The chosen and the rejected answer are the same.",
            "Remove the row: it prefers nothing.",
        )
    asked = None if prompt is None else _prompt(prompt)
    if asked is None or better[0].role != "assistant" or worse[0].role != "assistant":
        asked, better, worse = _cut_prompt(asked, better, worse)
    if not asked:
        raise no_prompt(
            "The pair has no prompt, and its two sides begin with no turns in common.",
            'Say which columns hold what, such as columns="prompt=question chosen=good rejected=bad".',
        )
    return Preference(tuple(with_system(system, asked)), tuple(better), tuple(worse), tools)


def _pair(value: dict[str, Any]) -> tuple[str, str] | None:
    names = names_of(value)
    for better, worse in PAIRS:
        if better in names and worse in names:
            pair = names[better], names[worse]
            # Files that hold several formats in one table leave the columns of the others empty.
            if not (value[pair[0]] is None and value[pair[1]] is None):
                return pair
    return None


def _answer(cell: Any, what: str) -> list[Message]:
    if isinstance(cell, str) and (turns := dialogue(cell)) is not None:
        check_answered(turns)
        return turns
    return answer_side(cell, what)


def _prompt(cell: Any) -> list[Message]:
    if isinstance(cell, str) and (turns := dialogue(cell)) is not None:
        return turns
    return prompt_side(cell, "prompt")


def _cut_prompt(
    asked: list[Message] | None, better: list[Message], worse: list[Message]
) -> tuple[list[Message], list[Message], list[Message]]:
    """The turns both sides begin with, and what is left of each: at least an answer."""
    same = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(better, worse, strict=False)))
    while same and not (_answers_at(better, same) and _answers_at(worse, same)):
        same -= 1
    prompt = better[:same]
    if not prompt or not _answers_at(better, same) or not _answers_at(worse, same):
        raise no_prompt(
            "The two sides begin with no turns in common that an answer follows.",
            "Write the prompt into a column of its own.",
        )
    if asked and not _holds(prompt, asked):
        raise no_prompt(
            "The sides hold a prompt of their own, which is not the one in the prompt column.",
            "Leave one of the two prompts out.",
        )
    return prompt, better[same:], worse[same:]


def _answers_at(turns: list[Message], place: int) -> bool:
    return place < len(turns) and turns[place].role == "assistant"


def _holds(prompt: list[Message], asked: list[Message]) -> bool:
    """Whether the pair's own prompt holds the turns of the prompt column or is held by them, outer white space aside."""
    own, other = ({(entry.role, entry.content.strip()) for entry in turns} for turns in (prompt, asked))
    return other <= own or own <= other
