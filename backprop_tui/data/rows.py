"""What readers hand on: one row, or what is wrong at one place of a file."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from backprop_tui.protocol.errors import DataError

Severity = Literal["error", "warn"]


class Problem(msgspec.Struct, frozen=True):
    """Something wrong, with the place to look at.

    Args:
        code: stable name such as `DATA_LINE_NOT_JSON`.
        cause: one sentence.
        next_step: one sentence.
        line: line in the file counted from 1; None where a format has no lines (parquet).
        row: row counted from 1; None when the problem is not about one row.
        severity: an `error` keeps the file from being trained on, a `warn` costs rows or deserves a look.
        column: character of the line, or cell of the table, counted from 1; None when the whole row is meant.
        value: the offending value as far as it helps, already harmless and short; empty when there is none.
        file: the (already harmless) name of the file, where several make one set.
    """

    code: str
    cause: str
    next_step: str = ""
    line: int | None = None
    row: int | None = None
    severity: Severity = "error"
    column: int | None = None
    value: str = ""
    file: str = ""

    @property
    def where(self) -> str:
        """`line 12`, `chats.jsonl line 12 column 7`, `row 12`, or nothing."""
        words = [self.file] if self.file else []
        if self.line is not None:
            words.append(f"line {self.line:,}")
        elif self.row is not None:
            words.append(f"row {self.row:,}")
        if self.column is not None and len(words) > bool(self.file):
            words.append(f"column {self.column:,}")
        return " ".join(words)

    def to_error(self, name: str) -> DataError:
        """The same words as an exception; `name` is the (already harmless) file name."""
        place = f"{name}, {self.where}: " if self.where else f"{name}: "
        detail = {"line": self.line, "row": self.row, "file": name}
        return DataError(self.code, f"{place}{self.cause}", self.next_step, detail)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready words."""
        return {
            "code": self.code,
            "severity": self.severity,
            "line": self.line,
            "row": self.row,
            "column": self.column,
            "value": self.value,
            "file": self.file,
            "cause": self.cause,
            "next": self.next_step,
        }


class Row(msgspec.Struct, frozen=True):
    """One row as it stands in the file, untouched.

    Args:
        index: position among the rows, from 0; broken rows count.
        line: first line of the row in the file, from 1; None in formats without lines.
        value: an object (JSON, a table's row by column name) or a piece of text; None when `problem` is set.
        problem: why this place of the file could not be read.
        start: byte offset of the row, None where the format cannot be entered in the middle.
        end: bytes of the file consumed so far, for progress.
        raw: the row's own text, only where it differs from `value` and the row is broken.
        file: place of the row's file among the files of its set, from 0.
    """

    index: int
    line: int | None
    value: Any = None
    problem: Problem | None = None
    start: int | None = None
    end: int = 0
    raw: str = ""
    file: int = 0


class RowRejected(DataError):
    """A row that can't be trained on. `reason` is the short name it is counted under, `value` what is wrong in it."""

    def __init__(self, code: str, reason: str, cause: str, next_step: str = "", *, value: str = "") -> None:
        super().__init__(code, cause, next_step)
        self.reason = reason
        self.value = value
