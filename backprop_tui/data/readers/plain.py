"""Plain text and Markdown: each paragraph, ended by a blank line, is a row."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

from backprop_tui.data.readers.files import MAX_LINE, read_lines
from backprop_tui.data.rows import Problem, Row

EXTENSIONS = (".txt", ".md")


def read(file: BinaryIO, *, start: int = 0, line: int = 1, index: int = 0) -> Iterator[Row]:
    """Paragraphs from byte `start`, the beginning of line `line` and row `index`."""
    lines: list[str] = []
    first, offset, size = line, start, 0
    end = start
    for entry in read_lines(file, start=start, number=line):
        if entry.problem is None and entry.text and not entry.text.isspace() and size < MAX_LINE:
            if not lines:
                first, offset = entry.number, entry.start
            lines.append(entry.text)
            size += len(entry.text)
            end = entry.end
            continue
        if lines:
            yield Row(index, first, "\n".join(lines), start=offset, end=end, problem=_long(first, size))
            index += 1
            lines, size = [], 0
        if entry.problem is not None:
            yield Row(index, entry.number, problem=entry.problem, start=entry.start, end=entry.end)
            index += 1
    if lines:
        yield Row(index, first, "\n".join(lines), start=offset, end=end, problem=_long(first, size))


def _long(line: int, size: int) -> Problem | None:
    if size < MAX_LINE:
        return None
    return Problem(
        "DATA_LINE_TOO_LONG",
        f"The paragraph has {size:,} characters or more; the most is {MAX_LINE:,}.",
        "Put blank lines between its parts.",
        line=line,
    )
