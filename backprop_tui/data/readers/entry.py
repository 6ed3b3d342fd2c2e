"""Where a reader begins in a file, and to whom it says what is worth knowing about the file as a whole."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from backprop_tui.data.rows import Problem

#: Told what is odd about a file without being wrong with a row, such as a byte order mark.
Note = Callable[[Problem], None]


def unheard(problem: Problem) -> None:
    """A listener that does not mind."""


@dataclass(frozen=True, slots=True)
class Entry:
    """How a file is entered.

    Args:
        start: byte offset of the first row wanted; other than 0 only in files that can be entered at any row.
        line: line at `start`, from 1.
        index: number of the first row, from 0.
        file: place of the file among the files of its set, from 0; every row carries it.
        field: dotted path to the list of rows inside a JSON object; empty looks for the only one.
        name: the file as people write it, harmless, for words that can be typed as they stand.
        note: told what is odd about the file.
    """

    start: int = 0
    line: int = 1
    index: int = 0
    file: int = 0
    field: str = ""
    name: str = "FILE"
    note: Note = unheard
