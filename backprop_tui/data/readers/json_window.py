"""A JSON text of any length, parsed value by value while it is read."""

from __future__ import annotations

import codecs
import json
import re
from typing import Any, BinaryIO

from backprop_tui.data.readers.files import EXCERPT, MAX_LINE, excerpt
from backprop_tui.data.readers.json_words import not_json, number_too_long, parse_words, too_deep, whole
from backprop_tui.data.rows import Problem
from backprop_tui.protocol.errors import DataError

_CHUNK = 1 << 18
#: Characters that must follow a number before it counts as whole: enough for an exponent's `e+308`.
_NUMBER_TAIL = 8
_BLANK = re.compile(r"[ \t\r\n]*")
_REST = " Nothing after it is read."


class Window:
    """Decoded text of a file, read on demand and forgotten once used. A byte order mark is passed over."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._decode = codecs.getincrementaldecoder("utf-8-sig")().decode
        self._decoder = json.JSONDecoder()
        self._text = ""
        self._at = 0
        self._line = 1
        self._gone = 0
        self._bytes = 0
        self._ended = False
        self.lost = False
        """Whether a value was so broken that its end, and so the next one, can't be found."""

    @property
    def line(self) -> int:
        """Line of the next character, from 1."""
        return self._line

    @property
    def column(self) -> int:
        """Column of the next character in its line, from 1."""
        return self._before(self._at) + 1

    @property
    def ahead(self) -> str:
        """An excerpt of what comes next."""
        return excerpt(self._text, self._at)

    @property
    def end(self) -> int:
        """Bytes used so far, nearly: characters not used yet count as one byte each."""
        return self._bytes - (len(self._text) - self._at)

    def next_mark(self) -> str:
        """The next character that is not white space, left in place; nothing at the end of the file."""
        while True:
            after = _BLANK.match(self._text, self._at)
            self._move(after.end() if after else self._at)
            if self._at < len(self._text) or self._ended:
                return self._text[self._at : self._at + 1]
            self._more()

    def skip(self) -> None:
        """Pass over one character."""
        self._move(self._at + 1)

    def value(self) -> tuple[Any, Problem | None]:
        """The next JSON value, or what keeps it from being one; then `lost` says whether reading can go on."""
        while True:
            try:
                value, end = self._decoder.raw_decode(self._text, self._at)
                # A number near the end of what was read may go on in the next chunk.
                torn = isinstance(value, int | float) and len(self._text) - end < _NUMBER_TAIL
                if self._ended or (end < len(self._text) and not torn):
                    return self._checked(value, end)
            except json.JSONDecodeError as error:
                if self._ended:
                    return None, self._broken(error)
                if len(self._text) - self._at > MAX_LINE:
                    # Cut off by our own limit, or broken before it?
                    cut = error.msg.startswith("Unterminated") or error.pos > len(self._text) - _NUMBER_TAIL
                    self.lost = True
                    return None, self._too_long(MAX_LINE, self._line, _REST) if cut else self._broken(error)
            except RecursionError:
                self.lost = True
                return None, too_deep(self._line, rest=_REST)
            except ValueError:
                self.lost = True
                return None, number_too_long(self._line, rest=_REST)
            self._more()

    def _checked(self, value: Any, end: int) -> tuple[Any, Problem | None]:
        begin, line, column = self._at, self._line, self._before(self._at)
        self._move(end)
        if end - begin > MAX_LINE:
            return None, self._too_long(end - begin, line)
        if whole(value, self._text.count('"', begin, end), self._text.find("\\u0022", begin, end) >= 0):
            return value, None
        return parse_words(self._text[begin:end], line, column=column)

    def _broken(self, error: json.JSONDecodeError) -> Problem:
        self.lost = True
        begin, end = max(self._at, error.pos - 2 * EXCERPT), error.pos + 2 * EXCERPT
        line = self._line + self._text.count("\n", self._at, error.pos)
        place = json.JSONDecodeError(error.msg, self._text[begin:end], error.pos - begin)
        place.lineno, place.colno = 1, self._before(error.pos) + 1
        return not_json(place, line, rest=_REST)

    def _too_long(self, size: int, line: int, rest: str = "") -> Problem:
        more = " or more" if rest else ""
        return Problem(
            "DATA_LINE_TOO_LONG",
            f"The row has {size:,} characters{more}; the most is {MAX_LINE:,}.{rest}",
            "Split the row into shorter ones.",
            line=line,
        )

    def _before(self, place: int) -> int:
        """Characters in front of a place in its line."""
        start = self._text.rfind("\n", 0, place) + 1
        return place - start + (self._gone if not start else 0)

    def _move(self, to: int) -> None:
        self._line += self._text.count("\n", self._at, to)
        self._at = to

    def _more(self) -> None:
        # As much again as is waiting, at least one chunk: a long value then costs linear time.
        data = self._file.read(max(_CHUNK, len(self._text) - self._at))
        try:
            text = self._decode(data, final=not data)
        except UnicodeDecodeError as error:
            near = self._line + self._text.count("\n", self._at) + error.object[: error.start].count(b"\n")
            raise DataError(
                "DATA_NOT_UTF8",
                f"Line {near:,} is not UTF-8.",
                "Convert the file to UTF-8, for example with iconv.",
                {"line": near},
            ) from None
        self._gone = self._before(self._at)
        self._text = self._text[self._at :] + text
        self._at = 0
        self._bytes += len(data)
        self._ended = not data
