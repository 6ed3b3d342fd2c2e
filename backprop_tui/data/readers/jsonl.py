"""JSON Lines: one JSON value per line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, BinaryIO

from backprop_tui.data.readers.files import Line, read_lines
from backprop_tui.data.rows import Problem, Row

EXTENSIONS = (".jsonl", ".ndjson")


def read(file: BinaryIO, *, start: int = 0, line: int = 1, index: int = 0) -> Iterator[Row]:
    """Rows from byte `start`, the beginning of line `line` and row `index`. Blank lines are passed over."""
    for entry in read_lines(file, start=start, number=line):
        if entry.problem is not None:
            yield Row(index, entry.number, problem=entry.problem, start=entry.start, end=entry.end)
        elif entry.text and not entry.text.isspace():
            value, problem = parse(entry)
            raw = entry.text if problem else ""
            yield Row(index, entry.number, value, problem, entry.start, entry.end, raw)
        else:
            continue
        index += 1


def parse(entry: Line) -> tuple[Any, Problem | None]:
    """The value of one line, or what keeps it from being JSON."""
    try:
        return json.loads(entry.text or ""), None
    except json.JSONDecodeError as error:
        return None, Problem(
            "DATA_LINE_NOT_JSON",
            f"Not JSON at column {error.colno:,}: {error.msg}.",
            "Mend or remove the line.",
            line=entry.number,
        )
    except RecursionError:
        return None, too_deep(entry.number)
    except ValueError:
        return None, Problem(
            "DATA_NUMBER_TOO_LONG", "A number has thousands of digits.", "Write it as text.", line=entry.number
        )


def too_deep(line: int | None) -> Problem:
    """The problem of a value nested more deeply than can be read."""
    return Problem("DATA_TOO_DEEP", "The value is nested too deeply.", "Flatten or remove the row.", line=line)
