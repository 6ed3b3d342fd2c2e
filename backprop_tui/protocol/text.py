"""Hostile text made harmless, visibly.

Dataset cells, names, log lines, exceptions and generated samples may carry escape sequences that retitle the window,
write the clipboard or move the cursor, and bidirectional controls that reorder what is read. `safe_text` replaces each
such character by a printable stand-in, so nothing is hidden and nothing acts. It does not touch square brackets: markup
is avoided by giving widgets `Content(text)` or `Text(text)`, never `str`.
"""

from __future__ import annotations

import re

#: Longest piece of foreign text handed to a screen, in characters.
DISPLAY_LIMIT = 20_000

_STAND_INS: dict[int, str] = {}
for _code in range(0x20):
    _STAND_INS[_code] = chr(0x2400 + _code)
_STAND_INS[0x7F] = "\u2421"
for _code in [
    *range(0x80, 0xA0),
    0x061C,
    0x200B,
    0x200E,
    0x200F,
    *range(0x2028, 0x202F),
    *range(0x2060, 0x2070),
    0xFEFF,
    *range(0xFFF9, 0xFFFC),
]:
    _STAND_INS[_code] = f"\\u{_code:04x}"
for _code in range(0xD800, 0xE000):
    _STAND_INS[_code] = "\ufffd"
for _code in range(0xE0000, 0xE0080):
    _STAND_INS[_code] = f"\\U{_code:08x}"

_LINE_TABLE = {**_STAND_INS, 0x09: "    ", 0x0A: "\u21b5"}
_BLOCK_TABLE = {**_STAND_INS, 0x09: "    ", 0x0A: "\n"}
_SUSPECT = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\ud800-\udfff\U000e0000-\U000e007f]"
)


def safe_text(text: object, *, limit: int = DISPLAY_LIMIT) -> str:
    """One harmless line: newlines become `\u21b5`, tabs four spaces, controls visible stand-ins; at most `limit` characters."""
    return _clean(text, _LINE_TABLE, limit)


def safe_block(text: object, *, limit: int = DISPLAY_LIMIT) -> str:
    """Like `safe_text`, keeping newlines as line breaks (CRLF counts as one)."""
    return _clean(str(text).replace("\r\n", "\n"), _BLOCK_TABLE, limit)


def last_segment(line: str) -> str:
    """What a progress bar leaves on a terminal: the part after the last carriage return that holds any text."""
    parts = [part for part in line.rstrip("\r\n").split("\r") if part]
    return parts[-1] if parts else ""


def _clean(text: object, table: dict[int, str], limit: int) -> str:
    value = text if isinstance(text, str) else str(text)
    cut = len(value) > limit
    if cut:
        value = value[:limit]
    if _SUSPECT.search(value):
        value = value.translate(table)
    return f"{value}\u2026" if cut else value
