"""`LiveTable`: a table that lists ten thousand rows at once and repaints only the rows that changed.

The selection is shown by `▌` and bold, never by colour alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

from rich.cells import cell_len
from textual import events
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.strip import Strip

from backprop_tui.app.context import glyphs_of
from backprop_tui.app.spots import Spot
from backprop_tui.app.widgets.lines import Line, LineView, fit, fit_middle
from backprop_tui.app.widgets.table_rows import Cell, Column, Row, arrange, visible_columns
from backprop_tui.protocol.text import safe_text


class LiveTable(LineView):
    """Rows with a cursor. Give it rows with `update`; it keeps the cursor on the same key and repaints what differs."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "choose", "Open", show=False),
    ]

    @dataclass
    class Highlighted(Message):
        """The cursor came to another row."""

        table: LiveTable
        row: Row

        @property
        def control(self) -> LiveTable:
            """The table, for `@on` selectors."""
            return self.table

    @dataclass
    class Chosen(Message):
        """Enter, or a click on the row under the cursor."""

        table: LiveTable
        row: Row

        @property
        def control(self) -> LiveTable:
            """The table, for `@on` selectors."""
            return self.table

    def __init__(
        self,
        columns: Sequence[Column],
        *,
        heading: bool = True,
        empty: Sequence[str] = (),
        id: str | None = None,
        classes: str | None = None,
    ) -> None:
        super().__init__(id=id, classes=classes)
        self.columns = tuple(columns)
        self.header_lines = 1 if heading else 0
        self.empty = tuple(empty)
        self.needle = ""
        self.sort_key: str | None = None
        self.sort_reverse = False
        self._rows: tuple[Row, ...] = ()
        self._shown: list[Row] = []
        self._cursor = 0
        self._awaited: str | None = None
        self._layout_for = -1
        self._layout: list[tuple[int, Column, int]] = []

    @property
    def line_count(self) -> int:
        """Rows after filtering."""
        return len(self._shown)

    def set_empty(self, *sentences: str) -> None:
        """What stands where the rows would be when there are none: one sentence a line, and the key to press."""
        if sentences != self.empty:
            self.empty = sentences
            if not self._shown:
                self.refresh()

    def render_line(self, y: int) -> Strip:
        """A row, or a sentence in place of the rows."""
        if not self._shown and self.empty:
            at = y - self.header_lines - 1
            if 0 <= at < len(self.empty):
                return self.strip_of([("  ", ""), (self.empty[at], "muted")])
        return super().render_line(y)

    @property
    def current(self) -> Row | None:
        """The row under the cursor."""
        return self._shown[self._cursor] if self._cursor < len(self._shown) else None

    @property
    def position(self) -> tuple[int, int]:
        """(number of the selected row from 1, selectable rows shown)."""
        places = [index for index, row in enumerate(self._shown) if row.rule is None]
        return (places.index(self._cursor) + 1 if self._cursor in places else 0, len(places))

    @property
    def shown(self) -> Sequence[Row]:
        """Rows in the order painted."""
        return self._shown

    def update(self, rows: Sequence[Row]) -> None:
        """Show these rows; the cursor stays with its key, unchanged rows are not repainted."""
        self._rows = tuple(rows)
        self._arrange()
        if self._awaited is not None and self.select(self._awaited):
            self._awaited = None

    def set_filter(self, needle: str) -> None:
        """Show only rows that contain `needle`."""
        self.needle = needle
        self._arrange()
        self.repaint_header()

    def sort_by(self, key: str | None, *, reverse: bool = False) -> None:
        """Sort by a column; None is the order given."""
        self.sort_key, self.sort_reverse = key, reverse
        self._arrange()
        self.repaint_header()

    def remember(self) -> dict[str, Any]:
        """The row under the cursor, what is looked for, and the order."""
        row = self.current
        return {
            "row": row.key if row is not None else None, "needle": self.needle,
            "sort": self.sort_key, "reverse": self.sort_reverse,
        }  # fmt: skip

    def recall(self, words: Mapping[str, Any]) -> None:
        """Go back to the row once it is there, unless the cursor was moved meanwhile."""
        key, sort = words.get("row"), words.get("sort")
        if sort in [column.key for column in self.columns]:
            self.sort_by(sort, reverse=words.get("reverse") is True)
        self._awaited = key if isinstance(key, str) and not self.select(key) else None

    def select(self, key: str) -> bool:
        """Move the cursor to a row by key; False when it is not shown."""
        for index, row in enumerate(self._shown):
            if row.key == key and row.rule is None:
                self._go(index)
                return True
        return False

    def action_move(self, by: int) -> None:
        """Move the cursor over selectable rows, stopping at the ends."""
        self._awaited = None
        index = self._cursor + by
        while 0 <= index < len(self._shown) and self._shown[index].rule is not None:
            index += 1 if by > 0 else -1
        if 0 <= index < len(self._shown):
            self._go(index)
        elif by < 0:
            self.scroll_to(y=0, animate=False)

    def action_page(self, direction: int) -> None:
        """Move the cursor by one view."""
        target = max(0, min(len(self._shown) - 1, self._cursor + direction * self.body_height))
        self._go(self._nearest(target, direction))

    def action_edge(self, direction: int) -> None:
        """First or last row."""
        self._go(self._nearest(0 if direction < 0 else len(self._shown) - 1, -direction))

    def action_choose(self) -> None:
        """Open the row under the cursor."""
        row = self.current
        if row is not None and row.rule is None:
            self.post_message(self.Chosen(self, row))

    def spots(self) -> list[Spot]:
        """The rows in view, for jump mode."""
        seen = range(self.top, min(len(self._shown), self.top + self.body_height))
        return [
            Spot(0, index - self.top + self.header_lines, partial(self._go, index))
            for index in seen
            if self._shown[index].rule is None
        ]

    def on_click(self, event: events.Click) -> None:
        """A click selects; a click on the selected row opens it."""
        index = event.y - self.header_lines + self.top
        if event.y < self.header_lines or not 0 <= index < len(self._shown) or self._shown[index].rule is not None:
            return
        if index == self._cursor:
            self.action_choose()
        else:
            self._go(index)

    def on_focus(self) -> None:
        """The cursor's bar shows the focus."""
        self.repaint_line(self._cursor)

    def on_blur(self) -> None:
        """The cursor's bar shows the focus."""
        self.repaint_line(self._cursor)

    def header(self, y: int, width: int) -> Line:
        """The column titles; the sorted one carries an arrow."""
        pieces: list[tuple[str, str]] = [("  ", "")]
        for number, (_, column, cells) in enumerate(self._columns(width)):
            title = column.title
            if column.key == self.sort_key:
                signs = glyphs_of(self)
                title = f"{title} {signs.down if self.sort_reverse else signs.up}"
            pieces.append((" " if number else "", ""))
            pieces.append((fit(title, cells, column.align), "muted"))
        return pieces

    def line(self, index: int, width: int) -> Line:
        """One row, or a heading between groups."""
        row = self._shown[index]
        if row.rule is not None:
            across = glyphs_of(self).frame[4]
            title = safe_text(row.rule)
            rest = across * max(0, width - cell_len(title) - 8)
            return [("  ", ""), (f"{across * 2} ", "grid"), (f"{title} ", "muted"), (rest, "grid")]
        here = index == self._cursor
        strong = "strong" if here else ""
        pieces: list[tuple[str, str]] = [
            (f"{glyphs_of(self).cursor} " if here else "  ", ("focus" if self.has_focus else "muted") if here else "")
        ]
        for number, (position, column, cells) in enumerate(self._columns(width)):
            cell = row.cells[position] if position < len(row.cells) else Cell("")
            text = fit_middle(cell.text, cells) if column.middle else fit(cell.text, cells, column.align)
            pieces.append((" " if number else "", ""))
            pieces.append((text, f"{strong} {cell.tone}".strip()))
        return pieces

    def _columns(self, width: int) -> list[tuple[int, Column, int]]:
        if self._layout_for != width:
            self._layout, self._layout_for = visible_columns(self.columns, width - 3), width
        return self._layout

    def _arrange(self) -> None:
        before, old, cursor = self._shown, self.current, self._cursor
        sort = next((i for i, column in enumerate(self.columns) if column.key == self.sort_key), None)
        self._shown = arrange(self._rows, self.needle, sort, self.sort_reverse)
        kept = next((i for i, row in enumerate(self._shown) if old is not None and row.key == old.key), None)
        self._cursor = self._nearest(kept if kept is not None else min(self._cursor, len(self._shown) - 1), 1)
        if len(before) != len(self._shown):
            self.relayout()
            self.reveal(self._cursor)
        else:
            moved = {cursor, self._cursor} if cursor != self._cursor else set()
            for index, (was, now) in enumerate(zip(before, self._shown, strict=True)):
                if was != now or index in moved:
                    self.repaint_line(index)
        new = self.current
        if new is not None and (old is None or new.key != old.key):
            self.post_message(self.Highlighted(self, new))

    def _nearest(self, index: int, direction: int) -> int:
        index = max(0, index)
        for step in (1 if direction >= 0 else -1, -1 if direction >= 0 else 1):
            at = index
            while 0 <= at < len(self._shown):
                if self._shown[at].rule is None:
                    return at
                at += step
        return 0

    def _go(self, index: int) -> None:
        if not 0 <= index < len(self._shown) or index == self._cursor:
            return
        before, self._cursor = self._cursor, index
        self.repaint_line(before)
        self.repaint_line(index)
        self.reveal(index)
        row = self.current
        if row is not None:
            self.post_message(self.Highlighted(self, row))
