"""Pairs of columns under everyday names, such as question and answer."""

from __future__ import annotations

from typing import Any

from backprop_tui.data.formats.conversation import Conversation, conversation, optional_text, text_of
from backprop_tui.data.rows import RowRejected

NAME = "question-answer"
_PAIRS = (
    ("question", "answer"),
    ("question", "response"),
    ("query", "answer"),
    ("query", "response"),
    ("prompt", "response"),
    ("prompt", "answer"),
    ("prompt", "output"),
    ("user", "assistant"),
    ("human", "assistant"),
    ("input", "output"),
    ("input", "response"),
    ("q", "a"),
    ("source", "target"),
)
_CONTEXTS = ("context", "passage")
_SYSTEMS = ("system", "system_prompt")


def detect(value: Any) -> bool:
    """One of the known pairs is there, in any case."""
    return isinstance(value, dict) and _columns(value) is not None


def normalise(value: Any) -> Conversation:
    """A context column, if any, stands before the question with a blank line between.

    Raises:
        RowRejected: no known pair, or a column fails the shared checks.
    """
    columns = _columns(value) if isinstance(value, dict) else None
    if columns is None:
        raise RowRejected("DATA_FORMAT_MISMATCH", "other format", "The row has no question and answer columns.")
    question, answer, named = columns
    prompt = text_of(value[question], question.lower())
    context = next((optional_text(value[named[name]], name) for name in _CONTEXTS if name in named), "")
    if context.strip():
        prompt = f"{context}\n\n{prompt}"
    system = next((optional_text(value[named[name]], name) for name in _SYSTEMS if name in named), "")
    return conversation([("system", system), ("user", prompt), ("assistant", text_of(value[answer], answer.lower()))])


def _columns(value: dict[str, Any]) -> tuple[str, str, dict[str, str]] | None:
    named = {str(key).strip().lower(): key for key in value}
    for question, answer in _PAIRS:
        if question in named and answer in named:
            return named[question], named[answer], named
    return None
