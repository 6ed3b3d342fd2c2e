"""What the scoring process is asked and what it answers; both ends import this, so it knows neither torch nor screens.

Requests are frames on its standard input: a 4-byte big-endian length, then that many bytes of MessagePack: one `Task`,
any number of `Rows`, one `Go`. The stream then stays open: its end means that nobody waits for the answers.
Answers are lines of JSON on its standard output, each with its kind under `k`:

- `loaded`: `device`, `dtype`. The weights are there.
- `smaller`: `rows`, `tokens`. Memory did not suffice; batches of so many rows of so many tokens are tried from here on.
- `scores`: `rows`, `nll`, `tokens`, three lists of equal length: numbers of rows in the order they were sent, mean negative
  log-likelihoods in nats (None where too few tokens count), and how many tokens count.
- `failed`: `code`, `cause`, `next`, `detail` of an error, and its exit code under `exit`. The last line.
- `end`: every row was answered. The last line.
"""

from __future__ import annotations

import json
import struct
from typing import IO, Any

import msgspec

from backprop_tui.protocol.codec import to_json

_LENGTH = struct.Struct(">I")

LOADED = "loaded"
SMALLER = "smaller"
SCORES = "scores"
FAILED = "failed"
END = "end"

#: Tokens that must count in a row before their mean says anything about it.
FEWEST = 2


class Task(msgspec.Struct, tag=True):
    """What to score with: a model directory, `auto`, `cuda` or `cpu`, and rows per forward pass."""

    model: str
    device: str
    batch_size: int


class Rows(msgspec.Struct, tag=True):
    """Some rows, one after the other: tokens of each, all ids as 32-bit numbers, and a byte a token that says whether it
    counts."""

    lengths: list[int]
    ids: bytes
    counted: bytes


class Go(msgspec.Struct, tag=True):
    """These were all rows."""


Request = Task | Rows | Go

_encode = msgspec.msgpack.Encoder().encode
_requests = msgspec.msgpack.Decoder(Request)


def frame(message: Request) -> bytes:
    """A request as it travels."""
    body = _encode(message)
    return _LENGTH.pack(len(body)) + body


def receive(stream: IO[bytes]) -> Request | None:
    """The next request, None when the stream ends.

    Raises:
        msgspec.MsgspecError: it is not one of ours.
    """
    head = stream.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        return None
    (length,) = _LENGTH.unpack(head)
    body = stream.read(length)
    return _requests.decode(body) if len(body) == length else None


def line(kind: str, words: dict[str, Any]) -> bytes:
    """An answer as it travels; numbers that are not finite are written as words (see `protocol.codec.number`)."""
    return to_json({"k": kind, **words}).encode("ascii") + b"\n"


def read_line(data: bytes) -> dict[str, Any] | None:
    """The answer in a line, None when it is none."""
    try:
        words = json.loads(data)
    except ValueError:
        return None
    return words if isinstance(words, dict) and isinstance(words.get("k"), str) else None
