"""Plain text and Markdown: each paragraph, ended by a blank line, is a row."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

from backprop_tui.data.readers.entry import Entry
from backprop_tui.data.readers.files import MAX_LINE, Line, read_lines
from backprop_tui.data.rows import Problem, Row

EXTENSIONS = (".txt", ".md")


@dataclass(slots=True)
class _Paragraph:
    """Lines of one paragraph; beyond the limit they are measured and forgotten."""

    lines: list[str] = field(default_factory=list)
    first: int = 0
    start: int = 0
    end: int = 0
    size: int = 0

    def add(self, line: Line) -> None:
        if not self.size:
            self.first, self.start = line.number, line.start
        self.size += len(line.text or "")
        self.end = line.end
        if self.size < MAX_LINE:
            self.lines.append(line.text or "")

    def row(self, index: int, entry: Entry) -> Row:
        problem = None
        if self.size >= MAX_LINE:
            problem = Problem(
                "DATA_LINE_TOO_LONG",
                f"The paragraph has {self.size:,} characters; the most is {MAX_LINE:,}.",
                "Put blank lines between its parts.",
                line=self.first,
            )
        text = None if problem else "\n".join(self.lines)
        return Row(index, self.first, text, problem, self.start, self.end, "", entry.file)


def read(file: BinaryIO, entry: Entry) -> Iterator[Row]:
    """Paragraphs from the entry on."""
    index = entry.index
    paragraph = _Paragraph()
    for line in read_lines(file, start=entry.start, number=entry.line, note=entry.note):
        if line.problem is None and line.text and not line.text.isspace():
            paragraph.add(line)
            continue
        if paragraph.size:
            yield paragraph.row(index, entry)
            index += 1
            paragraph = _Paragraph()
        if line.problem is not None:
            yield Row(index, line.number, None, line.problem, line.start, line.end, "", entry.file)
            index += 1
    if paragraph.size:
        yield paragraph.row(index, entry)
