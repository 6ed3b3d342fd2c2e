"""JSON files: an array of rows, an object holding one such array, or JSON Lines under the wrong name."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator
from typing import Any, BinaryIO

from backprop_tui.data.readers import jsonl
from backprop_tui.data.readers.files import MAX_LINE, refuse_wide_encoding
from backprop_tui.data.rows import Problem, Row
from backprop_tui.protocol.errors import DataError

EXTENSIONS = (".json",)
_CHUNK = 1 << 18
_MAX_OBJECT = 256 << 20
#: Characters that must follow a number before it counts as whole: enough for an exponent's `e+308`.
_NUMBER_TAIL = 8
_BLANK = re.compile(r"[ \t\r\n]*")


def read(file: BinaryIO, *, start: int = 0, line: int = 1, index: int = 0) -> Iterator[Row]:
    """Rows of the file; arrays are read piece by piece. `start`, `line` and `index` belong to JSON Lines only.

    Raises:
        DataError: the file is neither array, object with one array, nor JSON Lines.
    """
    first = file.read(1 << 16)
    refuse_wide_encoding(first[:4])
    opening = first.removeprefix(b"\xef\xbb\xbf").lstrip()[:1]
    file.seek(0)
    if start or (opening != b"[" and _is_lines(file)):
        yield from jsonl.read(file, start=start, line=line, index=index)
    elif opening == b"[":
        yield from _read_array(file)
    else:
        yield from _read_object(file)


def _is_lines(file: BinaryIO) -> bool:
    """Whether the first line is a whole JSON value and more follows."""
    head = file.readline(MAX_LINE).removeprefix(b"\xef\xbb\xbf")
    more = file.readline(1 << 16).strip()
    file.seek(0)
    try:
        json.loads(head)
    except (ValueError, RecursionError):
        return False
    return bool(more)


class _Window:
    """Decoded text of a file, read on demand and forgotten once used."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._decode = codecs.getincrementaldecoder("utf-8-sig")().decode
        self._decoder = json.JSONDecoder()
        self._text = ""
        self._at = 0
        self._first_line = 1
        self._line = 1
        self._bytes = 0
        self._ended = False

    @property
    def line(self) -> int:
        """Line of the next character."""
        return self._line

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
        """The next JSON value, or what keeps it from being one."""
        while True:
            try:
                value, end = self._decoder.raw_decode(self._text, self._at)
                # A number near the end of what was read may go on in the next chunk.
                torn = isinstance(value, int | float) and len(self._text) - end < _NUMBER_TAIL
                if self._ended or (end < len(self._text) and not torn):
                    self._move(end)
                    return value, None
            except json.JSONDecodeError as error:
                if self._ended or len(self._text) - self._at > MAX_LINE:
                    line = self._first_line + error.lineno - 1
                    cause = f"Not JSON: {error.msg}."
                    return None, Problem("DATA_LINE_NOT_JSON", cause, "Mend or split the row.", line=line)
            except RecursionError:
                return None, jsonl.too_deep(self._line)
            except ValueError:
                cause = "A number has thousands of digits."
                return None, Problem("DATA_NUMBER_TOO_LONG", cause, "Write it as text.", line=self._line)
            self._more()

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
        self._text = self._text[self._at :] + text
        self._at, self._first_line = 0, self._line
        self._bytes += len(data)
        self._ended = not data


def _read_array(file: BinaryIO) -> Iterator[Row]:
    window = _Window(file)
    window.next_mark()
    window.skip()
    index = 0
    if window.next_mark() == "]":
        return
    while True:
        window.next_mark()
        line = window.line
        value, problem = window.value()
        yield Row(index, line, value, problem, end=window.end)
        if problem is not None:
            return
        index += 1
        mark = window.next_mark()
        if mark == "]":
            return
        if mark != ",":
            cause = "A comma or ] is missing." if mark else "The file ends inside the array."
            problem = Problem("DATA_LINE_NOT_JSON", cause, "Mend the file.", line=window.line)
            yield Row(index, window.line, problem=problem, end=window.end)
            return
        window.skip()


def _read_object(file: BinaryIO) -> Iterator[Row]:
    data = file.read(_MAX_OBJECT + 1)
    if len(data) > _MAX_OBJECT:
        raise DataError(
            "DATA_OBJECT_TOO_LARGE",
            f"The file is one object of more than {_MAX_OBJECT:,} bytes.",
            "Write its rows as JSON Lines.",
        )
    try:
        value = json.loads(data.decode("utf-8-sig"))
    except json.JSONDecodeError as error:
        problem = Problem(
            "DATA_LINE_NOT_JSON",
            f"Not JSON at column {error.colno:,}: {error.msg}.",
            "Mend the file.",
            line=error.lineno,
        )
        yield Row(0, error.lineno, problem=problem, end=len(data))
        return
    except RecursionError:
        yield Row(0, 1, problem=jsonl.too_deep(1), end=len(data))
        return
    except ValueError as error:
        raise DataError("DATA_NOT_UTF8", f"The file can't be read: {error}.", "Convert the file to UTF-8.") from None
    lists = _row_lists(value)
    if len(lists) > 1:
        names = ", ".join(repr(name) for name in lists)
        raise DataError(
            "DATA_SEVERAL_LISTS",
            f"The file's object holds several lists of rows: {names}.",
            "Write the rows you want as JSON Lines.",
        )
    rows = next(iter(lists.values())) if lists else [value]
    for index, row in enumerate(rows):
        yield Row(index, None, row, end=len(data))


def _row_lists(value: Any) -> dict[str, list[Any]]:
    """Fields of an object that hold rows; a list of turns is part of a row, not a list of rows."""
    from backprop_tui.data.formats import detect

    if not isinstance(value, dict) or detect(value) is not None:
        return {}
    return {
        name: entry for name, entry in value.items() if isinstance(entry, list) and entry and isinstance(entry[0], dict)
    }
