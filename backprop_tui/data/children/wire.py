"""What a child is asked and what it answers: a 4-byte big-endian length, then that many bytes.

Questions are JSON, which knows integers of any size as rows do; answers are MessagePack, which carries token ids as bytes.
"""

from __future__ import annotations

import struct
from typing import IO, Any, Literal

import msgspec

from backprop_tui.data.formats.conversation import Message, Normalised
from backprop_tui.data.looking.part import How, Part
from backprop_tui.data.rendering.control import Span
from backprop_tui.data.rendering.encoded import EncodedRow, Measure, Piece, Rendered
from backprop_tui.data.rows import RowRejected
from backprop_tui.protocol.errors import DataError

_LENGTH = struct.Struct(">I")


class Load(msgspec.Struct, tag=True):
    """Read a model directory's tokenizer and template. Answer: `Loaded`."""

    model: bytes


class Check(msgspec.Struct, tag=True):
    """Try the template on a question and an answer. Answer: `Done`."""


class Encode(msgspec.Struct, tag=True):
    """Tokenise rows. Answer: `Encoded`. `given` says of each how many answers belong to its prompt; empty where none do."""

    rows: list[tuple[int, Normalised]]
    max_length: int | None
    train_on: Literal["answers", "everything"]
    given: list[int] = []


class Count(msgspec.Struct, tag=True):
    """Count the tokens of rows. Answer: `Counted`."""

    rows: list[Normalised]
    max_length: int | None
    train_on: Literal["answers", "everything"]


class Explain(msgspec.Struct, tag=True):
    """Show how one row is read. Answer: `Explained`."""

    row: Normalised
    max_length: int | None
    train_on: Literal["answers", "everything"]


class Ask(msgspec.Struct, tag=True):
    """Render turns and a generation prompt. Answer: `Ids`."""

    messages: list[Message]
    tools: list[dict[str, Any]] = []


class Look(msgspec.Struct, tag=True):
    """Look through the lines of a JSON Lines file that begin at bytes `start` to before `end`. Answer: `Looked`."""

    path: bytes
    start: int
    end: int
    how: How
    tokens: bool


Request = Load | Check | Encode | Count | Explain | Ask | Look


class Loaded(msgspec.Struct, tag=True):
    """What others need to know of a tokenizer and its template."""

    has_template: bool
    closes_answers: bool
    template: str
    stop_ids: list[int]


class Done(msgspec.Struct, tag=True):
    """It went well."""


class Failed(msgspec.Struct, tag=True):
    """One of our errors, about one row or about the whole request."""

    code: str
    cause: str
    next_step: str
    reason: str | None = None
    value: str = ""
    detail: dict[str, Any] = {}

    @classmethod
    def of(cls, error: DataError) -> Failed:
        """An error as it travels."""
        reason, value = (error.reason, error.value) if isinstance(error, RowRejected) else (None, "")
        return cls(error.code, error.cause, error.next_step, reason, value, error.detail)

    def error(self) -> DataError:
        """The error again."""
        if self.reason is not None:
            return RowRejected(self.code, self.reason, self.cause, self.next_step, value=self.value)
        return DataError(self.code, self.cause, self.next_step, self.detail)


class Tokens(msgspec.Struct, tag=True):
    """An `EncodedRow` as it travels: ids as 32-bit numbers, one byte of mask a token."""

    ids: bytes
    trained: bytes
    cut: int
    spans: list[Span]
    index: int

    @classmethod
    def of(cls, row: EncodedRow) -> Tokens:
        """A row as it travels."""
        ids, trained = row.parts()
        return cls(ids, trained, row.cut, list(row.text_spans), row.index)

    def row(self) -> EncodedRow:
        """The row again."""
        return EncodedRow.from_parts(self.ids, self.trained, self.cut, tuple(self.spans), self.index)


class Encoded(msgspec.Struct, tag=True):
    """One entry a row."""

    rows: list[Tokens | Failed]


class Counted(msgspec.Struct, tag=True):
    """One entry a row."""

    rows: list[tuple[int, int, int, bool] | Failed]


class Explained(msgspec.Struct, tag=True):
    """A `Rendered` as it travels."""

    tokens: Tokens
    pieces: list[tuple[str, Literal["trained", "masked", "cut"]]]
    ends: list[int]

    def rendered(self) -> Rendered:
        """The rendering again."""
        pieces = tuple(Piece(text, kind) for text, kind in self.pieces)
        return Rendered(self.tokens.row(), pieces, tuple(self.ends))


class Ids(msgspec.Struct, tag=True):
    """Token ids."""

    ids: list[int]


class Looked(msgspec.Struct, tag=True):
    """What was found in a part of a file."""

    part: Part


Reply = Loaded | Done | Failed | Encoded | Counted | Explained | Ids | Looked

_ask = msgspec.json.Encoder().encode
_asked = msgspec.json.Decoder(Request)
_answer = msgspec.msgpack.Encoder().encode
_answered = msgspec.msgpack.Decoder(Reply)


def can_travel(row: Normalised) -> bool:
    """Whether a row can be asked about: all its text can be encoded, also that of tools and calls."""
    try:
        _ask(row)
    except (UnicodeEncodeError, TypeError, ValueError, RecursionError, msgspec.MsgspecError):
        return False
    return True


def measure_of(entry: tuple[int, int, int, bool] | Failed) -> Measure | DataError:
    """One row's measure, or why there is none."""
    return entry.error() if isinstance(entry, Failed) else Measure(*entry)


def send_request(stream: IO[bytes], request: Request) -> None:
    """Write a question.

    Raises:
        UnicodeEncodeError, TypeError: a row that can't travel, see `can_travel`.
    """
    _send(stream, _ask(request))


def send_reply(stream: IO[bytes], reply: Reply) -> None:
    """Write an answer."""
    _send(stream, _answer(reply))


def receive_request(stream: IO[bytes]) -> Request | None:
    """The next question, None when the other side is gone."""
    body = _receive(stream)
    return None if body is None else _asked.decode(body)


def receive_reply(stream: IO[bytes]) -> Reply | None:
    """The next answer, None when the other side is gone.

    Raises:
        msgspec.MsgspecError: it is not one of ours.
    """
    body = _receive(stream)
    return None if body is None else _answered.decode(body)


def _send(stream: IO[bytes], body: bytes) -> None:
    stream.write(_LENGTH.pack(len(body)) + body)
    stream.flush()


def _receive(stream: IO[bytes]) -> bytes | None:
    head = stream.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        return None
    (length,) = _LENGTH.unpack(head)
    body = stream.read(length)
    return body if len(body) == length else None
