"""What a row says as sixteen bytes: equal for equal content, whatever the file, the process or the version."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import msgspec

from backprop_tui.data.formats.conversation import (
    Conversation,
    Message,
    Normalised,
    PlainText,
    Preference,
    Unpaired,
)
from backprop_tui.data.tools.texts import arguments_of, canonical

#: Bytes of a content key.
KEY_SIZE = 16
_sha256 = hashlib.sha256
#: Each text with its length in front, as MessagePack writes a list of them.
_packed = msgspec.msgpack.Encoder().encode


def content_key(row: Normalised) -> bytes:
    """The key of a row's content, 16 bytes.

    Rows have the same key exactly when they are of the same kind and say the same: roles, texts, reasoning, calls and
    answers of tools, tools on offer, labels, and columns kept for reward functions (the order of the keys of an object
    aside). All lengths come before all texts, so that no two different rows are written the same way.
    """
    shape: list[str] = []
    texts: list[str] = []
    if type(row) is Conversation and not row.tools:
        # Nearly every row: turns of nothing but a role and words. Paid for every row of a file, so it is done at once.
        said = ["conversation"]
        for message in row.messages:
            if message.reasoning or message.tool_calls or message.name or message.tool_call_id:
                break
            said += (message.role, message.content)
        else:
            return _sha256(_packed(said)).digest()[:KEY_SIZE]
    if isinstance(row, Conversation):
        shape.append("conversation")
        _messages(row.messages, shape, texts)
    elif isinstance(row, PlainText):
        shape.append("text")
        _text(row.text, shape, texts)
    elif isinstance(row, Preference):
        shape.append("preference")
        for side in (row.prompt, row.chosen, row.rejected):
            _messages(side, shape, texts)
    elif isinstance(row, Unpaired):
        shape.append("wanted" if row.label else "unwanted")
        _messages(row.prompt, shape, texts)
        _messages(row.completion, shape, texts)
    else:
        shape.append("prompt")
        _messages(row.prompt, shape, texts)
        _text(canonical(row.columns) if row.columns else "", shape, texts)
    if not isinstance(row, PlainText) and row.tools:
        shape.append("tools")
        _text(canonical(row.tools), shape, texts)
    return _digest(shape, texts)


def _messages(messages: Iterable[Message], shape: list[str], texts: list[str]) -> None:
    for message in messages:
        role, content = message.role, message.content
        shape.append(f"m{len(role)},{len(content)}")
        texts += (role, content)
        if message.reasoning or message.name or message.tool_call_id or message.tool_calls:
            shape.append("x")
            for text in (message.reasoning, message.name, message.tool_call_id):
                _text(text, shape, texts)
            for call in message.tool_calls:
                # An object and the text it is written as are not the same: templates render them differently.
                shape.append("a" if isinstance(call.arguments, str) else "o")
                for text in (call.name, call.id, arguments_of(call.arguments)):
                    _text(text, shape, texts)
    shape.append(".")


def _text(text: str, shape: list[str], texts: list[str]) -> None:
    shape.append(f"t{len(text)}")
    texts.append(text)


def _digest(shape: list[str], texts: list[str]) -> bytes:
    written = "".join((" ".join(shape), "\n", *texts))
    return _sha256(written.encode("utf-8", "surrogatepass")).digest()[:KEY_SIZE]
