"""What a table shows: columns, cells and rows; which columns fit, and which rows are left in which order. Pure.

Columns give way by `drop` when the table is narrow.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class Column:
    """A column. `width` in cells is a minimum where `flex`; higher `drop` leaves first, 0 never."""

    key: str
    title: str
    width: int
    align: Literal["left", "right"] = "left"
    flex: bool = False
    drop: int = 0
    middle: bool = False


@dataclass(frozen=True, slots=True)
class Cell:
    """Literal text, what it means, and what it sorts by (None sorts last)."""

    text: str
    tone: str = ""
    sort: Any = None


@dataclass(frozen=True, slots=True)
class Row:
    """One row. A `rule` row is a heading between groups: it cannot be selected and is left out when sorting or filtering."""

    key: str
    cells: tuple[Cell, ...] = field(default=())
    rule: str | None = None


def visible_columns(columns: Sequence[Column], width: int) -> list[tuple[int, Column, int]]:
    """Which columns fit in `width` cells, as (position, column, cells); one blank cell stands between neighbours."""
    kept = list(enumerate(columns))

    def needed() -> int:
        return sum(column.width for _, column in kept) + max(0, len(kept) - 1)

    while needed() > width and any(column.drop for _, column in kept):
        kept.remove(max(kept, key=lambda item: item[1].drop))
    spare = max(0, width - needed())
    flexible = [column for _, column in kept if column.flex]
    out: list[tuple[int, Column, int]] = []
    for position, column in kept:
        extra = 0
        if column.flex:
            extra = spare // len(flexible)
            if column is flexible[-1]:
                extra = spare - extra * (len(flexible) - 1)
        out.append((position, column, column.width + extra))
    return out


def arrange(rows: Sequence[Row], needle: str, sort: int | None, reverse: bool) -> list[Row]:
    """Rows filtered by a text contained in any cell (case ignored) and sorted by a column position."""
    wanted = needle.casefold().strip()
    shown = list(rows)
    if wanted:
        shown = [row for row in shown if row.rule is None and any(wanted in c.text.casefold() for c in row.cells)]
    if sort is not None:
        shown = [row for row in shown if row.rule is None]
        known = [row for row in shown if _sort_value(row, sort) is not None]
        unknown = [row for row in shown if _sort_value(row, sort) is None]
        known.sort(key=lambda row: _sort_value(row, sort), reverse=reverse)
        shown = known + unknown
    return shown


def _sort_value(row: Row, position: int) -> Any:
    if position >= len(row.cells):
        return None
    cell = row.cells[position]
    return cell.sort if cell.sort is not None else (cell.text.casefold() or None)
