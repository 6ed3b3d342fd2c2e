"""JSON files: an array of rows, an object holding such arrays, or JSON Lines under the wrong name."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, BinaryIO

from backprop_tui.data.readers import jsonl
from backprop_tui.data.readers.entry import Entry
from backprop_tui.data.readers.files import BOM, MAX_LINE, bom_note, decode, nul_bytes, refuse_wide_encoding
from backprop_tui.data.readers.json_window import Window
from backprop_tui.data.readers.json_words import parse_words
from backprop_tui.data.rows import Problem, Row
from backprop_tui.protocol.errors import DataError
from backprop_tui.protocol.text import safe_text

EXTENSIONS = (".json",)
_MAX_OBJECT = 256 << 20
#: How deep lists of rows are looked for inside an object.
_LOOK = 4
_MOST_FIELDS = 8


def read(file: BinaryIO, entry: Entry) -> Iterator[Row]:
    """Rows of the file; arrays are read piece by piece. Only JSON Lines can be entered after the beginning.

    Raises:
        DataError: the file is neither array, object with one array, nor JSON Lines, or lacks the field asked for.
    """
    first = file.read(1 << 16)
    refuse_wide_encoding(first[:4])
    opening = first.removeprefix(BOM).lstrip()[:1]
    file.seek(0)
    if entry.start or (opening != b"[" and not entry.field and _is_lines(file)):
        yield from jsonl.read(file, entry)
        return
    if first.startswith(BOM):
        entry.note(bom_note())
    if opening == b"[":
        if entry.field:
            raise _no_field(entry, "the file is one list")
        yield from _read_array(file, entry)
    else:
        yield from _read_object(file, entry)


def _is_lines(file: BinaryIO) -> bool:
    """Whether the first line is a whole JSON value and more follows."""
    head = file.readline(MAX_LINE).removeprefix(BOM)
    more = file.readline(1 << 16).strip()
    file.seek(0)
    try:
        json.loads(head)
    except (ValueError, RecursionError):
        return False
    return bool(more)


def _read_array(file: BinaryIO, entry: Entry) -> Iterator[Row]:
    window = Window(file)
    window.next_mark()
    window.skip()
    index = entry.index
    empty = True
    while True:
        mark = window.next_mark()
        if mark == "]" and empty:
            break
        empty = False
        line = window.line
        value, problem = window.value()
        yield Row(index, line, value, problem, None, window.end, "", entry.file)
        index += 1
        if window.lost:
            return
        mark = window.next_mark()
        if mark == "]":
            break
        if mark != ",":
            cause = "A comma or ] is missing." if mark else "The file ends inside the array."
            yield _stop(window, f"{cause} Nothing after it is read.", index, entry)
            return
        window.skip()
    window.skip()
    if window.next_mark():
        yield _stop(window, "Something follows the end of the array. It is not read.", index, entry)


def _stop(window: Window, cause: str, index: int, entry: Entry) -> Row:
    problem = Problem(
        "DATA_LINE_NOT_JSON", cause, "Mend the file.", line=window.line, column=window.column, value=window.ahead
    )
    return Row(index, window.line, None, problem, None, window.end, "", entry.file)


def _read_object(file: BinaryIO, entry: Entry) -> Iterator[Row]:
    data = file.read(_MAX_OBJECT + 1)
    if len(data) > _MAX_OBJECT:
        raise DataError(
            "DATA_OBJECT_TOO_LARGE",
            f"The file is one object of more than {_MAX_OBJECT:,} bytes.",
            "Write its rows as JSON Lines.",
        )
    value, problem = _whole(data.removeprefix(BOM))
    if problem is not None:
        yield Row(entry.index, problem.line, None, problem, None, len(data), "", entry.file)
        return
    for index, row in enumerate(_chosen(value, entry), entry.index):
        yield Row(index, None, row, None, None, len(data), "", entry.file)


def _whole(data: bytes) -> tuple[Any, Problem | None]:
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        begin = data.rfind(b"\n", 0, error.start) + 1
        return decode(data[begin : error.start + 1], line)
    place = text.find("\0")
    if place >= 0:
        begin = text.rfind("\n", 0, place) + 1
        return None, nul_bytes(text[begin : place + 80], text.count("\n", 0, place) + 1)
    return parse_words(text, 1)


def _chosen(value: Any, entry: Entry) -> list[Any]:
    """The rows inside an object."""
    if entry.field:
        found = _follow(value, entry.field)
        if not isinstance(found, list):
            raise _no_field(entry, "there is no list at that place", _fields(value))
        return found
    fields = _fields(value)
    if len(fields) > 1:
        words = [f"{entry.name}#{safe_text(name, limit=80)}" for name in fields]
        raise DataError(
            "DATA_SEVERAL_LISTS",
            "The file's object holds several lists of rows: "
            + ", ".join(f"{safe_text(name, limit=40)} ({count:,})" for name, count in _first_of(fields))
            + ".",
            f"Choose one as the data: {' or '.join(words[:_MOST_FIELDS])}.",
            {"words": words},
        )
    rows: list[Any] = _follow(value, next(iter(fields))) if fields else [value]
    return rows


def _fields(value: Any) -> dict[str, int]:
    """Dotted paths to lists of objects, with their lengths; a list of turns is part of a row, not a list of rows."""
    from backprop_tui.data.formats import detect

    found: dict[str, int] = {}

    def look(inside: dict[str, Any], path: str, depth: int) -> None:
        for name, part in inside.items():
            if isinstance(part, list) and part and isinstance(part[0], dict):
                found[f"{path}{name}"] = len(part)
            elif isinstance(part, dict) and depth < _LOOK:
                look(part, f"{path}{name}.", depth + 1)

    if isinstance(value, dict) and detect(value) is None:
        look(value, "", 1)
    return found


def _follow(value: Any, path: str) -> Any:
    """What stands at a dotted path, None if nothing does. Names may hold dots themselves."""
    if not isinstance(value, dict):
        return None
    if path in value:
        return value[path]
    place = path.find(".")
    while place >= 0:
        if path[:place] in value and (found := _follow(value[path[:place]], path[place + 1 :])) is not None:
            return found
        place = path.find(".", place + 1)
    return None


def _no_field(entry: Entry, why: str, fields: dict[str, int] | None = None) -> DataError:
    choices = " or ".join(f"{entry.name}#{safe_text(name, limit=80)}" for name, _ in _first_of(fields or {}))
    return DataError(
        "DATA_FIELD_MISSING",
        f"There are no rows at {safe_text(entry.field, limit=80)}: {why}.",
        f"Choose {choices}." if choices else f"Choose {entry.name} without a field.",
    )


def _first_of(fields: dict[str, int]) -> list[tuple[str, int]]:
    return list(fields.items())[:_MOST_FIELDS]
