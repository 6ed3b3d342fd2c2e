"""What the list of runs lists: runs, and headings above the runs of one experiment. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from backprop_tui.store.entry import Entry


@dataclass(frozen=True, slots=True)
class Heading:
    """The line above the runs of one experiment ("" has none): how many there are, whether they are shown, the best."""

    name: str
    count: int
    live: int
    best: float | None
    open: bool


Item = Entry | Heading


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


def members_below(items: Sequence[Item], index: int) -> list[Entry]:
    """Runs under the heading at `index`; a folded group has none."""
    found: list[Entry] = []
    for item in items[index + 1 :]:
        if isinstance(item, Heading):
            break
        found.append(item)
    return found


def key_of(item: Item) -> str:
    """What stays the same of a line when the list is shown anew."""
    return item.id if isinstance(item, Entry) else f"group {item.name}"
