"""Lines of plain chats, read in one go: most lines of most chat files are nothing but roles and words.

A decoder that knows the shape checks and builds at once what the general way does in several steps. It decides nothing:
every line that is anything more, less or else gives None and goes the general way.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from backprop_tui.data.formats import Conversation, Message, messages

#: The format these lines are in.
NAME = messages.NAME


class _Turn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    role: Literal["system", "user", "assistant", "tool"]
    content: str


class _Line(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    messages: list[_Turn]


_decode = msgspec.json.Decoder(_Line).decode
#: Quotation marks around the names and values of a turn, and around `messages`.
_TURN_MARKS, _LINE_MARKS = 8, 2


def plain_chat(raw: bytes) -> Conversation | None:
    """The conversation in a line, None for everything that is not as plain as can be.

    Args:
        raw: the line without its line break.
    """
    try:
        turns = _decode(raw).messages
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
    found: list[Message] = []
    marks = 0
    answered = False
    for turn in turns:
        role, content = turn.role, turn.content
        if not content or content.isspace():
            return None
        marks += content.count('"')
        if role == "assistant":
            answered = True
        found.append(Message(role, content))
    # A key that stands twice leaves more marks than these; which of its values counts would be a guess.
    if not answered or raw.count(b'"') != _LINE_MARKS + _TURN_MARKS * len(found) + marks:
        return None
    if marks and b"\\u0022" in raw:
        return None
    return Conversation(tuple(found))
