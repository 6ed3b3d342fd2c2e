"""The list of runs: ten thousand entries of which only the lines in view are ever put into words."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

from textual import events
from textual.binding import BindingType
from textual.geometry import Region
from textual.message import Message
from textual.strip import Strip

from backprop_tui.app.actions import bindings
from backprop_tui.app.context import glyphs_of
from backprop_tui.app.keymap import runs as keys
from backprop_tui.app.screens.runs_groups import Heading, Item, key_of, members_below
from backprop_tui.app.screens.runs_paint import columns_for, paint_cell, paint_heading
from backprop_tui.app.spots import Spot
from backprop_tui.app.widgets import painted
from backprop_tui.app.widgets.lines import Line, LineView, fit
from backprop_tui.store.entry import Entry
from backprop_tui.store.queue_rows import is_queued


class RunList(LineView):
    """The list. Give it items with `update`; it keeps the cursor on the same run and sends only the cells that differ.

    Attributes:
        ticked: ids of ticked runs in the order they were ticked.
    """

    BINDINGS: ClassVar[list[BindingType]] = [*bindings(keys.TABLE)]

    @dataclass
    class Moved(Message):
        """The cursor came to another item, or the ticks changed."""

    @dataclass
    class Opened(Message):
        """Enter, or a click on the run under the cursor."""

        entry: Entry

    @dataclass
    class Folded(Message):
        """A group is to be shown or hidden."""

        name: str
        open: bool

    @dataclass
    class TitleClicked(Message):
        """A column's title was clicked."""

        key: str

    def __init__(self, *, empty: Sequence[str] = (), id: str | None = None) -> None:
        super().__init__(id=id)
        self.header_lines = 1
        self.ticked: dict[str, None] = {}
        self._empty = tuple(empty)
        self._items: Sequence[Item] = ()
        self._cursor = 0
        self._sort, self._reverse = "age", False
        self._seen: dict[int, painted.Line] = {}
        self._now = time.time()

    # -- what is shown ------------------------------------------------------------------------------------------------

    @property
    def line_count(self) -> int:
        """Items."""
        return len(self._items)

    @property
    def items(self) -> Sequence[Item]:
        """Items in the order shown."""
        return self._items

    @property
    def current(self) -> Entry | None:
        """The run under the cursor; None on a heading or in an empty list."""
        item = self._items[self._cursor] if self._cursor < len(self._items) else None
        return item if isinstance(item, Entry) else None

    @property
    def heading(self) -> Heading | None:
        """The heading under the cursor."""
        item = self._items[self._cursor] if self._cursor < len(self._items) else None
        return item if isinstance(item, Heading) else None

    @property
    def place(self) -> int:
        """Number of the line under the cursor, from 1; 0 in an empty list."""
        return self._cursor + 1 if self._items else 0

    def set_empty(self, *sentences: str) -> None:
        """What stands where the runs would be when there are none."""
        if sentences != self._empty:
            self._empty = sentences
            if not self._items:
                self.refresh()

    def update(self, items: Sequence[Item], sort: str, reverse: bool) -> None:
        """Show these; the cursor stays on its run, else near its line."""
        old, before = self._key(self._cursor), len(self._items)
        self._items, self._now = items, time.time()
        place = next((at for at, item in enumerate(items) if key_of(item) == old), None) if old is not None else None
        self._cursor = place if place is not None else max(0, min(self._cursor, len(items) - 1))
        resorted = (sort, reverse) != (self._sort, self._reverse)
        self._sort, self._reverse = sort, reverse
        if len(items) != before:
            self.relayout()
            self.reveal(self._cursor)
        elif resorted:
            self.reveal(self._cursor)
            self.refresh()
        else:
            self.sync()
        if self._key(self._cursor) != old:
            self.post_message(self.Moved())

    def sync(self) -> None:
        """Send the cells that are not what they should be."""
        width = self.size.width
        if not width or not self.is_mounted:
            return
        changed: list[Region] = []
        for y in range(self.header_lines, self.size.height):
            old = self._seen.get(y)
            if old is None:
                continue
            new = self._painted(y, width)
            if old != new:
                self._seen[y] = new
                changed += [Region(start, y, end - start, 1) for start, end in painted.changed_spans(old, new, width)]
        if changed:
            self.refresh(*changed)

    def select(self, run_id: str) -> None:
        """Move the cursor to a run, if it is shown."""
        for at, item in enumerate(self._items):
            if isinstance(item, Entry) and item.id == run_id:
                self._go(at)
                return

    def spots(self) -> list[Spot]:
        """The runs and headings in view, for jump mode."""
        seen = range(self.top, min(len(self._items), self.top + self.body_height))
        return [Spot(0, at - self.top + self.header_lines, partial(self._go, at)) for at in seen]

    # -- keys ---------------------------------------------------------------------------------------------------------

    def action_move(self, by: int) -> None:
        """Move the cursor, stopping at the ends."""
        self._go(self._cursor + by)

    def action_page(self, direction: int) -> None:
        """Move the cursor by one view."""
        self._go(max(0, min(len(self._items) - 1, self._cursor + direction * self.body_height)))

    def action_edge(self, direction: int) -> None:
        """First or last."""
        self._go(0 if direction < 0 else len(self._items) - 1)

    def action_choose(self) -> None:
        """Open the run; on a heading, fold or unfold."""
        if self.heading is not None:
            self.post_message(self.Folded(self.heading.name, not self.heading.open))
        elif self.current is not None:
            self.post_message(self.Opened(self.current))

    def action_tick(self) -> None:
        """Tick the run, or all of a group, and go on to the next line."""
        group = (
            members_below(self._items, self._cursor)
            if self.heading is not None
            else [self.current]
            if self.current
            else []
        )
        # What waits is no run yet: it can't be compared, tagged or archived.
        ids = [entry.id for entry in group if not is_queued(entry.id)]
        if ids and all(run_id in self.ticked for run_id in ids):
            for run_id in ids:
                del self.ticked[run_id]
        else:
            self.ticked.update(dict.fromkeys(ids))
        self.sync()
        if self._cursor + 1 < len(self._items):
            self._go(self._cursor + 1)
        self.post_message(self.Moved())

    def action_untick(self) -> None:
        """Take every tick away."""
        self.ticked.clear()
        self.sync()
        self.post_message(self.Moved())

    def action_fold(self, open: int) -> None:
        """Fold or unfold the group the cursor is in."""
        for at in range(self._cursor, -1, -1):
            item = self._items[at] if at < len(self._items) else None
            if isinstance(item, Heading):
                if item.open != bool(open):
                    self._go(at)
                    self.post_message(self.Folded(item.name, bool(open)))
                return

    def on_click(self, event: events.Click) -> None:
        """A click selects, one on the selected run opens it, one on a title sorts."""
        if event.y < self.header_lines:
            key = self._title_at(event.x)
            if key:
                self.post_message(self.TitleClicked(key))
            return
        at = event.y - self.header_lines + self.top
        if at == self._cursor:
            self.action_choose()
        elif at < len(self._items):
            self._go(at)

    def on_focus(self) -> None:
        """The cursor's bar shows the focus."""
        self.sync()

    def on_blur(self) -> None:
        """The cursor's bar shows the focus."""
        self.sync()

    # -- words --------------------------------------------------------------------------------------------------------

    def render_line(self, y: int) -> Strip:
        """A line, or a sentence in place of the runs."""
        if not self._items and self._empty:
            at = y - self.header_lines - 1
            if 0 <= at < len(self._empty):
                self._seen.pop(y, None)
                return self.strip_of([("  ", ""), (self._empty[at], "muted")])
        if y >= self.header_lines:
            line = self._seen[y] = self._painted(y, self.size.width)
            return self.strip_of(line)
        return super().render_line(y)

    def header(self, y: int, width: int) -> Line:
        """The column titles; the sorted one carries an arrow."""
        signs = glyphs_of(self)
        pieces: list[tuple[str, str]] = [("  ", "")]
        for number, (column, cells) in enumerate(columns_for(width, self._sort)):
            title = column.title
            if column.key == self._sort:
                title = f"{title} {signs.down if self._reverse else signs.up}"
            pieces += [(" " if number else "", ""), (fit(title, cells, column.align), "muted")]
        return pieces

    def line(self, index: int, width: int) -> Line:
        """One run, or a heading."""
        item, here = self._items[index], index == self._cursor
        signs = glyphs_of(self)
        bar = (signs.cursor if here else " ", ("focus" if self.has_focus else "muted") if here else "")
        if isinstance(item, Heading):
            return [bar, *paint_heading(item, width - 1, signs, here=here)]
        strong, ascii_only = "strong" if here else "", signs.marks == "ascii"
        tick = ("✓" if item.id in self.ticked else " ", "strong accent")
        pieces: list[tuple[str, str]] = [bar, tick]
        for number, (column, cells) in enumerate(columns_for(width, self._sort)):
            pieces.append((" " if number else "", ""))
            pieces += paint_cell(item, column, cells, self._now, strong=strong, ascii_only=ascii_only)
        return pieces

    def _painted(self, y: int, width: int) -> painted.Line:
        index = y - self.header_lines + self.top
        return tuple(self.line(index, width)) if index < len(self._items) else ()

    def _title_at(self, x: int) -> str | None:
        at = 2
        for column, cells in columns_for(self.size.width, self._sort):
            if at <= x < at + cells:
                return column.key
            at += cells + 1
        return None

    # -- the cursor ---------------------------------------------------------------------------------------------------

    def _key(self, index: int) -> str | None:
        return key_of(self._items[index]) if index < len(self._items) else None

    def _go(self, index: int) -> None:
        if not 0 <= index < len(self._items) or index == self._cursor:
            return
        self._cursor = index
        self.reveal(index)
        self.sync()
        self.post_message(self.Moved())
