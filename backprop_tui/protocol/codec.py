"""Bytes on the pipe and in the journal.

Frame: 4-byte big-endian length, then that many bytes of ASCII JSON (at most 1 MiB).
Journal line: one ASCII JSON object whose last key is `crc`, the CRC-32 of the object without it, then a newline; so every
line is plain JSON for `tail` and `jq`, and a torn or damaged line is recognised. Non-finite numbers are the strings
"nan", "inf" and "-inf".
"""

from __future__ import annotations

import json
import math
import struct
import zlib
from typing import Any

from backprop_tui.protocol.errors import ProtocolError

MAX_FRAME = 1 << 20
_LENGTH = struct.Struct(">I")
_CRC_TAIL = len(',"crc":"00000000"}')
_NON_FINITE = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}


def finite(value: Any) -> Any:
    """Copy of a JSON-ready value with non-finite floats as strings."""
    if isinstance(value, float):
        if math.isfinite(value):
            return value
        return "nan" if math.isnan(value) else ("inf" if value > 0 else "-inf")
    if isinstance(value, dict):
        return {str(key): finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(item) for item in value]
    return value


def number(value: Any) -> float | None:
    """Read a number back: float, int or one of the non-finite words; None for anything else (unknown stays unknown)."""
    if isinstance(value, bool):
        return None
    if isinstance(value, (int, float)):
        return float(value)
    if isinstance(value, str):
        return _NON_FINITE.get(value)
    return None


def to_json(value: Any) -> str:
    """Compact ASCII JSON; non-finite floats become strings."""
    try:
        return json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    except ValueError:
        return json.dumps(finite(value), ensure_ascii=True, allow_nan=False, separators=(",", ":"))


def encode_line(record: dict[str, Any]) -> bytes:
    """One journal line including its newline."""
    body = to_json(record).encode("ascii")
    return b'%s,"crc":"%08x"}\n' % (body[:-1], zlib.crc32(body))


def decode_line(line: bytes) -> dict[str, Any] | None:
    """The record of one journal line, or None when it is torn, damaged or not ours."""
    line = line.rstrip(b"\n")
    tail = line[-_CRC_TAIL:]
    if len(line) <= _CRC_TAIL or not tail.startswith(b',"crc":"') or not tail.endswith(b'"}'):
        return None
    body = line[:-_CRC_TAIL] + b"}"
    try:
        if int(tail[8:16], 16) != zlib.crc32(body):
            return None
        record = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) else None


def encode_frame(message: dict[str, Any]) -> bytes:
    """One frame ready to write to the pipe.

    Raises:
        ProtocolError: the message is larger than 1 MiB.
    """
    body = to_json(message).encode("ascii")
    if len(body) > MAX_FRAME:
        raise ProtocolError("FRAME_TOO_LARGE", f"A message of {len(body):,} bytes exceeds {MAX_FRAME:,}.")
    return _LENGTH.pack(len(body)) + body


class FrameReader:
    """Cuts a byte stream into messages; feed it whatever arrives."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[dict[str, Any]]:
        """Complete messages found so far.

        Raises:
            ProtocolError: an oversized length, invalid JSON, or JSON that is not an object; the stream is then unusable.
        """
        self._buffer += data
        messages: list[dict[str, Any]] = []
        while len(self._buffer) >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._buffer)
            if length > MAX_FRAME:
                raise ProtocolError("FRAME_TOO_LARGE", f"The peer announced a message of {length:,} bytes.")
            end = _LENGTH.size + length
            if len(self._buffer) < end:
                break
            body = bytes(self._buffer[_LENGTH.size : end])
            del self._buffer[:end]
            try:
                message = json.loads(body)
            except (ValueError, RecursionError) as error:
                raise ProtocolError("FRAME_NOT_JSON", "The peer sent a message that is not JSON.") from error
            if not isinstance(message, dict):
                raise ProtocolError("FRAME_NOT_OBJECT", "The peer sent JSON that is not an object.")
            messages.append(message)
        return messages
