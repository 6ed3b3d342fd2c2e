"""The list of runs: ten thousand entries of which only the lines in view are ever put into words."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

from rich.cells import cell_len
from textual import events
from textual.binding import BindingType
from textual.geometry import Region
from textual.message import Message
from textual.strip import Strip

from backprop_tui.app import wording
from backprop_tui.app.actions import bindings
from backprop_tui.app.context import glyphs_of
from backprop_tui.app.keymap import runs as keys
from backprop_tui.app.screens.runs_cells import CELLS, COLUMNS, ON_DEMAND
from backprop_tui.app.spots import Spot
from backprop_tui.app.widgets import painted
from backprop_tui.app.widgets.lines import Line, LineView, fit, fit_middle
from backprop_tui.app.widgets.table_rows import Column, visible_columns
from backprop_tui.protocol.text import safe_text
from backprop_tui.store.entry import Entry
from backprop_tui.store.queue_rows import is_queued


@dataclass(frozen=True, slots=True)
class Heading:
    """The line above the runs of one experiment ("" has none): how many there are, whether they are shown, the best."""

    name: str
    count: int
    live: int
    best: float | None
    open: bool


Item = Entry | Heading


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
        place = next((at for at, item in enumerate(items) if _key(item) == old), None) if old is not None else None
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
        group = self._below(self._cursor) if self.heading is not None else [self.current] if self.current else []
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
        for number, (column, cells) in enumerate(self._columns(width)):
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
            return [bar, *self._heading(item, width - 1, here)]
        tick = ("✓" if item.id in self.ticked else " ", "strong accent")
        pieces: list[tuple[str, str]] = [bar, tick]
        for number, (column, cells) in enumerate(self._columns(width)):
            pieces.append((" " if number else "", ""))
            pieces += self._cell(item, column, cells, "strong" if here else "")
        return pieces

    def _painted(self, y: int, width: int) -> painted.Line:
        index = y - self.header_lines + self.top
        return tuple(self.line(index, width)) if index < len(self._items) else ()

    def _cell(self, entry: Entry, column: Column, width: int, strong: str) -> list[tuple[str, str]]:
        if column.key == "name":
            name = safe_text(entry.title, limit=200)
            tags = "".join(f" #{tag}" for tag in entry.tags)
            note = " +" if entry.note else ""
            extra = f"{safe_text(tags, limit=80)}{note}{' (archived)' if entry.archived else ''}"
            room = max(width - cell_len(extra), min(width, 16))
            if not extra or cell_len(name) >= room:
                return [(fit(name + extra, width), strong)]
            return [(name, strong), (fit(extra, width - cell_len(name)), "muted")]
        text, tone = CELLS[column.key](entry, self._now, glyphs_of(self).marks == "ascii")
        shown = fit_middle(text, width) if column.middle else fit(text, width, column.align)
        return [(shown, f"{strong} {tone}".strip())]

    def _heading(self, item: Heading, width: int, here: bool) -> Line:
        signs = glyphs_of(self)
        mark = ("▾" if item.open else "▸") if signs.marks != "ascii" else ("v" if item.open else ">")
        name = safe_text(item.name, limit=80) or "in no experiment"
        facts = f"{item.count:,} {'run' if item.count == 1 else 'runs'}"
        if item.live:
            facts += f" {signs.dot} {item.live} live"
        if item.best is not None:
            facts += f" {signs.dot} best {wording.loss(item.best)}"
        rest = signs.frame[4] * max(0, width - cell_len(name) - cell_len(facts) - 7)
        return [
            (f"{mark} ", "muted"), (name, "strong" if here else "text"), ("  ", ""), (facts, "muted"), (" ", ""),
            (rest, "grid"),
        ]  # fmt: skip

    def _columns(self, width: int) -> list[tuple[Column, int]]:
        wanted: tuple[Column, ...] = COLUMNS
        extra = ON_DEMAND.get(self._sort)
        if extra is not None:
            wanted = (*COLUMNS[:-1], extra, COLUMNS[-1])
        elif any(column.key == self._sort and column.drop for column in COLUMNS):
            # What is sorted by stays in view.
            wanted = tuple(
                Column(c.key, c.title, c.width, c.align, c.flex, 0, c.middle) if c.key == self._sort else c
                for c in COLUMNS
            )
        return [(column, cells) for _, column, cells in visible_columns(wanted, width - 3)]

    def _title_at(self, x: int) -> str | None:
        at = 2
        for column, cells in self._columns(self.size.width):
            if at <= x < at + cells:
                return column.key
            at += cells + 1
        return None

    # -- the cursor ---------------------------------------------------------------------------------------------------

    def _below(self, index: int) -> list[Entry]:
        """Runs under a heading; only those that are shown can be ticked."""
        found: list[Entry] = []
        for item in self._items[index + 1 :]:
            if isinstance(item, Heading):
                break
            found.append(item)
        return found

    def _key(self, index: int) -> str | None:
        return _key(self._items[index]) if index < len(self._items) else None

    def _go(self, index: int) -> None:
        if not 0 <= index < len(self._items) or index == self._cursor:
            return
        self._cursor = index
        self.reveal(index)
        self.sync()
        self.post_message(self.Moved())


def grouped(entries: Iterable[Entry], closed: set[str]) -> list[Item]:
    """Runs under the headings of their experiments, in the order given; groups stand where their first run stands."""
    groups: dict[str, list[Entry]] = {}
    for entry in entries:
        groups.setdefault(entry.experiment, []).append(entry)
    items: list[Item] = []
    # Runs of no experiment last: they are the many that nobody sorted.
    for name in sorted(groups, key=lambda name: not name):
        members = groups[name]
        bests = [entry.best for entry in members if entry.best is not None and entry.best == entry.best]
        live = sum(entry.state.live for entry in members)
        items.append(Heading(name, len(members), live, min(bests, default=None), name not in closed))
        if name not in closed:
            items += members
    return items


def _key(item: Item) -> str:
    return item.id if isinstance(item, Entry) else f"group {item.name}"
