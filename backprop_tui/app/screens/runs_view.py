"""How the list of runs is looked at: order, groups, archived ones. It outlives the app in the cache directory."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from backprop_tui.config import paths
from backprop_tui.store.entry import Entry
from backprop_tui.store.filter import Filter
from backprop_tui.store.layout import write_atomic
from backprop_tui.store.sorting import FIRST, ORDERS, ordered

#: Folded groups remembered at most.
_MOST = 200


@dataclass(slots=True)
class RunsView:
    """What a person chose about the list.

    Attributes:
        sort: one of `ORDERS`. reverse: the other end first. grouped: under headings of experiments. closed: folded ones.
        archived: archived runs among the others.
    """

    sort: str = FIRST
    reverse: bool = False
    grouped: bool = False
    closed: set[str] = field(default_factory=set)
    archived: bool = False

    def chosen(self, entries: Iterable[Entry], wanted: Filter) -> list[Entry]:
        """Runs that pass the filter, in order. Archived ones only when the list or the filter asks for them."""
        shown = self.archived or wanted.archived
        fits = [entry for entry in entries if (shown or not entry.archived) and wanted.matches(entry)]
        return ordered(fits, self.sort, reverse=self.reverse)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready; `from_dict` reads it back."""
        return {**asdict(self), "closed": sorted(self.closed)[:_MOST]}

    @classmethod
    def from_dict(cls, words: Mapping[str, Any]) -> RunsView:
        """Rebuild a view; what is missing, of another version or damaged is as in a fresh one."""
        view = cls()
        if words.get("sort") in ORDERS:
            view.sort = words["sort"]
        closed = words.get("closed")
        if isinstance(closed, list):
            view.closed = {name for name in closed[:_MOST] if isinstance(name, str)}
        view.reverse, view.grouped, view.archived = (
            words.get(key) is True for key in ("reverse", "grouped", "archived")
        )
        return view


def load_view() -> RunsView:
    """The view of the last time; a fresh one when there is none."""
    try:
        words = json.loads(_file().read_bytes())
    except (OSError, ValueError, RecursionError):
        return RunsView()
    return RunsView.from_dict(words) if isinstance(words, dict) else RunsView()


def save_view(words: Mapping[str, Any]) -> None:
    """Remember a view, given as `RunsView.to_dict`; where that can't be done it is forgotten, nothing else."""
    file = _file()
    try:
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_atomic(file, json.dumps(words).encode())
    except (OSError, ValueError):
        return


def _file() -> Path:
    return paths.cache_dir() / "screens" / "runs.json"
