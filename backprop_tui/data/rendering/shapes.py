"""What a chat template writes around the turns of a conversation, learnt once for each sequence of roles.

Most templates put the same words around the same roles whatever is said. A shape holds those words, so that the places of
the answers in a rendering are known without rendering its beginnings again. It is only ever believed where the words and
the row's own text, put together, equal the template's actual rendering character by character.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from backprop_tui.data.formats.conversation import Message
from backprop_tui.data.rendering.control import ControlTokens, Span
from backprop_tui.data.rendering.spans import Render, answer_spans
from backprop_tui.data.rows import RowRejected
from backprop_tui.protocol.errors import DataError

Trim = Literal["none", "both", "left", "right"]
#: Sequences of roles remembered; a file has few, and each costs a little memory.
_MOST = 2048
#: Longest conversation worth learning: a rare length costs more than it saves.
_LONGEST = 64


@dataclass(frozen=True, slots=True)
class Shape:
    """One sequence of roles under one template.

    Args:
        words: what stands before each shown turn, and last what ends the rendering.
        shown: which turn's content follows each of `words` but the last. trims: what is stripped from it.
        answers: for each answer its place in `shown`, and how far the learnt span begins before the content and ends after.
    """

    words: tuple[str, ...]
    shown: tuple[int, ...]
    trims: tuple[Trim, ...]
    answers: tuple[tuple[int, int, int], ...]


@dataclass(frozen=True, slots=True)
class Placed:
    """Where things stand in a rendering: the learnt answers, and each turn's content as (turn, start, end)."""

    spans: tuple[Span, ...]
    contents: tuple[tuple[int, int, int], ...]


class Shapes:
    """The shapes of one template, learnt as rows come by."""

    def __init__(self, control: ControlTokens) -> None:
        self._control = control
        self._known: dict[tuple[str, ...], Shape | None] = {}
        self._seen: set[tuple[str, ...]] = set()

    def place(self, render: Render, messages: Sequence[Message], text: str) -> Placed | None:
        """The places in `text`, the rendering of `messages`; None when they have to be found the long way."""
        roles = tuple([message.role for message in messages])
        shape = self._known.get(roles)
        if shape is None:
            if roles in self._known or not self._worth(roles):
                return None
            shape = self._known[roles] = learn(render, roles, self._control)
            if shape is None:
                return None
        at = 0
        parts: list[str] = []
        contents: list[tuple[int, int, int]] = []
        for words, turn, trim in zip(shape.words, shape.shown, shape.trims, strict=False):
            message = messages[turn]
            if message.tool_calls or message.reasoning:
                return None
            content = _trimmed(message.content, trim)
            if not content:
                return None
            start = at + len(words)
            at = start + len(content)
            parts += (words, content)
            contents.append((turn, start, at))
        parts.append(shape.words[-1])
        if "".join(parts) != text:
            return None
        spans = [(contents[place][1] - before, contents[place][2] + after) for place, before, after in shape.answers]
        return Placed(tuple(spans), tuple(contents))

    def _worth(self, roles: tuple[str, ...]) -> bool:
        """From the second time on: learning costs as much as finding the places of two rows."""
        if len(roles) > _LONGEST or len(self._known) >= _MOST:
            return False
        if roles in self._seen:
            return True
        if len(self._seen) < 8 * _MOST:
            self._seen.add(roles)
        return False


def learn(render: Render, roles: Sequence[str], control: ControlTokens) -> Shape | None:
    """The shape of a sequence of roles; None where the template treats contents in another way than showing them."""
    plain = [f"Zq{number}turn{number}qZ" for number in range(len(roles))]
    messages = [Message(role, word) for role, word in zip(roles, plain, strict=True)]
    try:
        text = render(messages, False)
        spaced = render([Message(message.role, f" \n{message.content}\n ") for message in messages], False)
        spans = answer_spans(render, messages, text, control)
    except (DataError, RowRejected):
        return None
    found = sorted((text.find(word), turn) for turn, word in enumerate(plain) if word in text)
    if any(text.count(plain[turn]) > 1 for _, turn in found):
        return None
    words: list[str] = []
    trims: list[Trim] = []
    at = 0
    for start, turn in found:
        words.append(text[at:start])
        at = start + len(plain[turn])
        trim = _trim_of(spaced, plain[turn])
        if trim is None:
            return None
        trims.append(trim)
    words.append(text[at:])
    shown = [turn for _, turn in found]
    answers = []
    for turn, (start, end) in zip((t for t, role in enumerate(roles) if role == "assistant"), spans, strict=True):
        if turn not in shown:
            return None
        place = shown.index(turn)
        content = found[place][0]
        answers.append((place, content - start, end - content - len(plain[turn])))
    return Shape(tuple(words), tuple(shown), tuple(trims), tuple(answers))


def _trim_of(spaced: str, word: str) -> Trim | None:
    """What the template strips, seen in a rendering whose contents have white space on both sides."""
    before, found, after = spaced.partition(word)
    if not found:
        return None
    left, right = before.endswith(" \n"), after.startswith("\n ")
    if left and right:
        return "none"
    if left:
        return "right"
    return "left" if right else "both"


def _trimmed(content: str, trim: Trim) -> str:
    if trim == "none":
        return content
    if trim == "both":
        return content.strip()
    return content.lstrip() if trim == "left" else content.rstrip()
