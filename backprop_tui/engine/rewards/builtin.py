"""Rewards that need no file. Each takes what a person's own would (`prompts`, `completions`, columns of the rows by name) and
gives a number for each completion, None where the row lacks the column it goes by."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Sequence
from typing import Any

Rewards = list[float | None]
#: A completion as chats have it: its messages.
Completion = Sequence[dict[str, Any]]

_THOUGHT = re.compile(r"\s*<think>(?:(?!</?think>).)*</think>\s*\S(?:(?!</?think>).)*", re.DOTALL)
#: Characters at which `brevity` reaches 0.
_LONG = 400
#: Characters of each text that `similarity` looks at: its time grows with their product.
_COMPARED = 4000


def text_of(completion: Completion) -> str:
    """What was said."""
    return "".join(str(message.get("content") or "") for message in completion)


def exact_match(completions: Sequence[Completion], answer: Sequence[Any] | None = None, **_: Any) -> Rewards:
    """1 where the answer is the expected one, blanks and case apart."""
    return _by_answer(completions, answer, lambda said, wanted: float(_folded(said) == _folded(wanted)))


def contains_answer(completions: Sequence[Completion], answer: Sequence[Any] | None = None, **_: Any) -> Rewards:
    """1 where the expected answer stands in the given one."""
    return _by_answer(completions, answer, lambda said, wanted: float(_folded(wanted) in _folded(said)))


def similarity(completions: Sequence[Completion], answer: Sequence[Any] | None = None, **_: Any) -> Rewards:
    """The ratio of Ratcliff and Obershelp, 0 to 1: twice the characters in common over the characters of both."""

    def alike(said: str, wanted: str) -> float:
        return difflib.SequenceMatcher(None, said[:_COMPARED], wanted[:_COMPARED], autojunk=False).ratio()

    return _by_answer(completions, answer, alike)


def format_think(completions: Sequence[Completion], **_: Any) -> Rewards:
    """1 where the answer is one `<think>` passage with words after it."""
    return [float(_THOUGHT.fullmatch(text_of(completion)) is not None) for completion in completions]


def brevity(completions: Sequence[Completion], **_: Any) -> Rewards:
    """1 for an empty answer, falling evenly to 0."""
    return [max(0.0, 1.0 - len(text_of(completion)) / _LONG) for completion in completions]


BUILT_IN: dict[str, Callable[..., Rewards]] = {
    function.__name__: function for function in (exact_match, contains_answer, similarity, format_think, brevity)
}


def _by_answer(
    completions: Sequence[Completion], answer: Sequence[Any] | None, judge: Callable[[str, str], float]
) -> Rewards:
    if answer is None:
        return [None] * len(completions)
    pairs = zip(completions, answer, strict=True)
    return [None if wanted is None else judge(text_of(said), str(wanted)) for said, wanted in pairs]


def _folded(text: str) -> str:
    return " ".join(text.split()).casefold()
