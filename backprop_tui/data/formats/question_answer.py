"""Pairs of columns under everyday names, such as question and answer."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from backprop_tui.data.formats.cells import names_of, optional_text
from backprop_tui.data.formats.conversation import Conversation, Message
from backprop_tui.data.formats.sides import answer_side, prompt_side
from backprop_tui.data.formats.turns import conversation, with_system
from backprop_tui.data.rows import RowRejected

NAME = "question-answer"
#: Question and answer by column name, the surest first.
PAIRS = (
    ("question", "answer"),
    ("question", "response"),
    ("question", "solution"),
    ("query", "answer"),
    ("query", "response"),
    ("prompt", "response"),
    ("prompt", "answer"),
    ("prompt", "output"),
    ("problem", "solution"),
    ("problem", "answer"),
    ("user", "assistant"),
    ("human", "assistant"),
    ("input", "output"),
    ("input", "response"),
    ("input", "target"),
    ("inputs", "targets"),
    ("message", "response"),
    ("message", "reply"),
    ("article", "summary"),
    ("document", "summary"),
    ("dialogue", "summary"),
    ("q", "a"),
    ("source", "target"),
)
COLUMNS = tuple(question for question, _ in PAIRS)
CONTEXTS = ("context", "passage")
SYSTEMS = ("system", "system_prompt")


def detect(value: Any) -> bool:
    """One of the known pairs is there, in any case."""
    return isinstance(value, dict) and _columns(tuple(value)) is not None


def normalise(value: Any) -> Conversation:
    """A context column, if any, stands before the question with a blank line between.

    Raises:
        RowRejected: no known pair, or a column fails the shared checks.
    """
    columns = _columns(tuple(value)) if isinstance(value, dict) else None
    if columns is None:
        raise RowRejected("DATA_FORMAT_MISMATCH", "other format", "The row has no question and answer columns.")
    question, answer, context, system = columns
    prompt = prompt_side(value[question], question.lower())
    if context is not None and (passage := optional_text(value[context], context.lower())).strip():
        prompt = _behind(passage, prompt)
    turns = [*prompt, *answer_side(value[answer], answer.lower())]
    return conversation(turns if system is None else with_system(value[system], turns))


def _behind(passage: str, prompt: list[Message]) -> list[Message]:
    first = next((place for place, entry in enumerate(prompt) if entry.role == "user"), None)
    if first is None:
        return prompt
    asked = Message("user", f"{passage}\n\n{prompt[first].content}")
    return [*prompt[:first], asked, *prompt[first + 1 :]]


@lru_cache(maxsize=64)
def _columns(keys: tuple[str, ...]) -> tuple[str, str, str | None, str | None] | None:
    names = names_of(dict.fromkeys(keys))
    for question, answer in PAIRS:
        if question in names and answer in names:
            context = next((names[name] for name in CONTEXTS if name in names), None)
            system = next((names[name] for name in SYSTEMS if name in names), None)
            return names[question], names[answer], context, system
    return None
