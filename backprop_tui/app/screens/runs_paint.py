"""A line of the list of runs as pieces: a run in the columns that fit, or the heading of a group. Pure."""

from __future__ import annotations

from rich.cells import cell_len

from backprop_tui.app import wording
from backprop_tui.app.glyphs import Glyphs
from backprop_tui.app.screens.runs_cells import CELLS, COLUMNS, ON_DEMAND
from backprop_tui.app.screens.runs_groups import Heading
from backprop_tui.app.widgets.lines import Line, fit, fit_middle
from backprop_tui.app.widgets.table_rows import Column, visible_columns
from backprop_tui.protocol.text import safe_text
from backprop_tui.store.entry import Entry


def columns_for(width: int, sort: str) -> list[tuple[Column, int]]:
    """Columns that fit beside the cursor and the ticks, with their cells; the one sorted by (`sort`) is always there."""
    wanted: tuple[Column, ...] = COLUMNS
    extra = ON_DEMAND.get(sort)
    if extra is not None:
        wanted = (*COLUMNS[:-1], extra, COLUMNS[-1])
    elif any(column.key == sort and column.drop for column in COLUMNS):
        # What is sorted by stays in view.
        wanted = tuple(
            Column(c.key, c.title, c.width, c.align, c.flex, 0, c.middle) if c.key == sort else c for c in COLUMNS
        )
    return [(column, cells) for _, column, cells in visible_columns(wanted, width - 3)]


def paint_cell(entry: Entry, column: Column, width: int, now: float, *, strong: str, ascii_only: bool) -> Line:
    """A run's cell in `width` cells; the name takes tags, note and archive mark along where they fit.

    Args:
        entry: the run.
        column: which cell.
        width: its cells.
        now: seconds since the Unix epoch, for ages.
        strong: a tone laid over all of it, empty for none.
        ascii_only: whether only ASCII can be shown.
    """
    if column.key == "name":
        name = safe_text(entry.title, limit=200)
        tags = "".join(f" #{tag}" for tag in entry.tags)
        note = " +" if entry.note else ""
        extra = f"{safe_text(tags, limit=80)}{note}{' (archived)' if entry.archived else ''}"
        room = max(width - cell_len(extra), min(width, 16))
        if not extra or cell_len(name) >= room:
            return [(fit(name + extra, width), strong)]
        return [(name, strong), (fit(extra, width - cell_len(name)), "muted")]
    text, tone = CELLS[column.key](entry, now, ascii_only)
    shown = fit_middle(text, width) if column.middle else fit(text, width, column.align)
    return [(shown, f"{strong} {tone}".strip())]


def paint_heading(item: Heading, width: int, signs: Glyphs, *, here: bool) -> Line:
    """A group's name, how many runs it has and the best of them, and a rule to the end of the line."""
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
