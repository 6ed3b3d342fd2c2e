"""JSON Lines: one JSON value per line."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

import msgspec

from backprop_tui.data.readers.entry import Entry
from backprop_tui.data.readers.files import BOM, decode, nul_bytes, read_raw
from backprop_tui.data.readers.json_words import parse_words, whole
from backprop_tui.data.rows import Problem, Row

EXTENSIONS = (".jsonl", ".ndjson")
_decode: Callable[[bytes], Any] = msgspec.json.Decoder().decode


def read(file: BinaryIO, entry: Entry) -> Iterator[Row]:
    """Rows from the entry on. Blank lines are passed over."""
    index, place = entry.index, entry.file
    for number, start, end, raw, problem in read_raw(file, start=entry.start, number=entry.line, note=entry.note):
        value: Any = None
        if problem is None:
            if not raw or raw.isspace():
                continue
            value, problem = parse_line(raw, number)
        text = raw.decode(errors="replace") if problem is not None else ""
        yield Row(index, number, value, problem, start, end, text, place)
        index += 1


def parse_line(raw: bytes, number: int) -> tuple[Any, Problem | None]:
    """The value of one line without its line break, or None and what is wrong with it.

    Args:
        raw: the line as it stands in the file. A byte order mark is allowed on line 1.
        number: the line's number in the file, from 1.

    Returns:
        The value: integers of any length exact, NaN and lone surrogates as the file has them. A key that stands twice, a
        value nested deeper than 64 levels, broken JSON, broken UTF-8 and NUL bytes are problems of the severity `error`.
    """
    try:
        value = _decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return _patiently(raw, number)
    # Most rows hold text and lists of turns of text, and nothing else. Anything else raises here and is walked through.
    try:
        strings, texts = len(value), []
        for part in value.values():
            if type(part) is list:
                for turn in part:
                    strings += len(turn)
                    texts += turn.values()
            else:
                texts.append(part)
        inside = "".join(texts)
    except (TypeError, AttributeError):
        return (value, None) if whole(value, raw.count(b'"'), b"\\u0022" in raw) else _patiently(raw, number)
    over = raw.count(b'"') - 2 * (strings + len(texts))
    if over and (over != inside.count('"') or b"\\u0022" in raw):
        return _patiently(raw, number)
    return value, None


def _patiently(raw: bytes, number: int) -> tuple[Any, Problem | None]:
    """The same by slower means, for the lines that need words."""
    if number == 1:
        raw = raw.removeprefix(BOM)
    text, problem = decode(raw, number)
    if text is None:
        return None, problem
    if "\0" in text:
        return None, nul_bytes(text, number)
    return parse_words(text, number)
