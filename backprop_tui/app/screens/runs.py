"""Runs: every run there is, live or past, in one list: filtered, sorted, grouped, noted, compared."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.content import Content
from textual.timer import Timer

from backprop_tui.app.actions import Action, bindings
from backprop_tui.app.context import glyphs_of
from backprop_tui.app.jobs import Cancelled, in_thread
from backprop_tui.app.keymap import runs as keys
from backprop_tui.app.screens.runs_acts import folder_size
from backprop_tui.app.screens.runs_facts import RunFacts
from backprop_tui.app.screens.runs_find import FilterBar
from backprop_tui.app.screens.runs_groups import Item, grouped
from backprop_tui.app.screens.runs_list import RunList
from backprop_tui.app.screens.runs_queue import RunsQueue
from backprop_tui.app.screens.runs_view import RunsView, load_view, save_view
from backprop_tui.app.widgets.panel import Panel
from backprop_tui.protocol.text import safe_text
from backprop_tui.store.entry import Entry
from backprop_tui.store.filter import Filter, parse_filter
from backprop_tui.store.filter_hints import occurring
from backprop_tui.store.index import Listing, RunIndex
from backprop_tui.store.lineage import Parent, parent_of
from backprop_tui.store.queue_rows import is_queued, with_queue
from backprop_tui.store.retention import Shelf, look_at
from backprop_tui.store.sorting import FIRST, ORDERS
from backprop_tui.store.summary import RunSummary, load_summary, resume_step

__all__ = ["RunsScreen", "folder_size"]

#: Least seconds between two looks at the disk while the screen is open, and the share of time that looking may take.
_LOOK_S, _LOOK_SHARE = 2.0, 0.05
#: The cursor rests this long before the facts of a run are read.
_REST_S = 0.15


class RunsScreen(RunsQueue):
    """The list, and facts about the run under the cursor where there is room."""

    ROOM = "runs"
    filled = False
    CSS_PATH = "runs.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [*bindings(keys.SCREEN), *bindings(keys.QUEUE)]

    def __init__(self) -> None:
        super().__init__()
        self.index = RunIndex()
        self.view = RunsView()
        self.wanted = Filter("")
        self._listing: Listing | None = None
        self._shown: list[Entry] = []
        self._timer: Timer | None = None
        self._resting: Timer | None = None
        self._away = False
        self._restored = False
        self._cursor_left = ""

    def compose_body(self) -> ComposeResult:
        """List above, facts below."""
        yield Panel("runs", RunList(empty=("Looking for runs.",), id="runs-list"), FilterBar(), id="runs-panel")
        yield Panel("this run", RunFacts(), id="facts-panel")

    @property
    def runs(self) -> RunList:
        """The list of runs."""
        return self.query_one(RunList)

    def on_mount(self) -> None:
        """Look at once, then slowly while the screen is open."""
        self.look()

    def wants(self, panel: Panel) -> bool:
        """Facts stand below the list only where there is room for both."""
        return panel.id != "facts-panel" or not (self.narrow or self.low)

    def offers(self, action: Action) -> bool:
        """Comparing is named once there is something to compare."""
        comparable = len(self.runs.ticked) > 1 or len(self._shown) > 1
        return super().offers(action) and (action.id != "runs.compare" or comparable)

    def remember(self) -> dict[str, Any]:
        """Filter and run under the cursor; order and groups are kept beside the index."""
        entry = self.runs.current
        return {**super().remember(), "filter": self.wanted.text, "cursor": entry.id if entry is not None else ""}

    def recall(self, words: Mapping[str, Any]) -> None:
        """Filter again, and go back to the run once it is listed."""
        super().recall(words)
        self._cursor_left = str(words.get("cursor") or "")
        text = words.get("filter")
        if isinstance(text, str) and text:
            wanted = parse_filter(text)
            self.query_one(FilterBar).preset(text)
            self._filter(FilterBar.Changed(wanted))
        self.runs.select(self._cursor_left)

    def on_screen_suspend(self) -> None:
        """Nobody looks: don't read the disk."""
        self._away = True
        if self._timer is not None:
            self._timer.stop()

    def on_screen_resume(self) -> None:
        """Runs may have changed meanwhile."""
        if self._away:
            self._away = False
            self.look()

    # -- reading ------------------------------------------------------------------------------------------------------

    def look(self) -> None:
        """Read the runs in a thread."""
        if self._timer is not None:
            self._timer.stop()

        def work(cancelled: Cancelled) -> tuple[Listing, float, RunsView | None]:
            view = None if self._restored else load_view()
            began = time.monotonic()
            self.read_queue()
            found = self.index.look(on_part=lambda part: self.call_later(self._show, part), cancelled=cancelled)
            return found, time.monotonic() - began, view

        in_thread(self, work, self._looked, self.fill_failed, group="runs-look")

    def _looked(self, found: tuple[Listing, float, RunsView | None]) -> None:
        listing, took, view = found
        if view is not None and not self._restored:
            self.view, self._restored = view, True
        self._show(listing)
        self.runs.select(self._cursor_left)
        self._cursor_left = ""
        if not self._away:
            wait = max(_LOOK_S, 1 / self.backprop.terminal.profile.hz, took / _LOOK_SHARE)
            self._timer = self.set_timer(wait, self.look)
        self.mark_filled()

    def _show(self, listing: Listing) -> None:
        self._listing = listing
        known = {entry.id for entry in listing.entries}
        for run_id in [run_id for run_id in self.runs.ticked if run_id not in known and not listing.left]:
            del self.runs.ticked[run_id]
        self._arrange()

    def _arrange(self) -> None:
        entries = self._listing.entries if self._listing is not None else ()
        self._shown = with_queue(self.view.chosen(entries, self.wanted), self.queued(self.wanted))
        items: Sequence[Item] = grouped(self._shown, self.view.closed) if self.view.grouped else self._shown
        self.runs.update(items, self.view.sort, self.view.reverse)
        self._say_empty()
        self._label()
        self._facts()

    def _say_empty(self) -> None:
        if self._listing is None or self._listing.left:
            self.runs.set_empty("Looking for runs.")
        elif self.wanted.text and self._listing.entries:
            self.runs.set_empty("No run fits the filter.  Esc in / shows all.")
        elif self._listing.entries:
            self.runs.set_empty("All runs are archived.  A shows them.")
        else:
            self.runs.set_empty("No run yet.  Pick data with 1, then press g in Tune.")

    def _label(self) -> None:
        if self._listing is None:
            return
        dot = f" {glyphs_of(self).dot} "
        ticked, left = len(self.runs.ticked), self._listing.left
        facts = [f"{ticked} ticked"] if ticked else []
        if left:
            facts.append(f"reading {left:,} more")
        if self.wanted.text:
            facts.append(f"/ {safe_text(self.wanted.text, limit=30)}")
        hidden = 0 if self.view.archived or self.wanted.archived else sum(e.archived for e in self._listing.entries)
        if hidden:
            facts.append(f"{hidden:,} archived")
        facts += self.queue_facts()
        facts.append(f"{sum(entry.state.live for entry in self._listing.entries)} live")
        facts.append(f"sort: {'newest' if self.view.sort == FIRST else self.view.sort}")
        foot = f"{self.runs.place:,} of {self.runs.line_count:,}"
        self.query_one("#runs-panel", Panel).label(facts=dot.join(facts), foot=foot)

    # -- the run under the cursor ---------------------------------------------------------------------------------------

    def selected(self) -> Entry | None:
        """The run under the cursor."""
        return self.runs.current

    def targets(self) -> list[Entry]:
        """The ticked runs, else the one under the cursor."""
        if not self.runs.ticked or self._listing is None:
            entry = self.runs.current
            return [entry] if entry is not None and not is_queued(entry.id) else []
        known = {entry.id: entry for entry in self._listing.entries}
        return [known[run_id] for run_id in self.runs.ticked if run_id in known]

    def _facts(self) -> None:
        entry = self.runs.current
        self.query_one(RunFacts).show(entry)
        title = safe_text(entry.title, limit=60) if entry is not None else "this run"
        self.query_one("#facts-panel", Panel).label(title=title)
        self.show_keys()
        if self._resting is not None:
            self._resting.stop()
        known = self.query_one(RunFacts).summary is not None and entry is self._read
        if entry is not None and not known and self.query_one("#facts-panel").display:
            self._resting = self.set_timer(_REST_S, self._read_facts)

    def _read_facts(self) -> None:
        entry = self.runs.current
        if entry is None or is_queued(entry.id):
            return
        run = self.index.run(entry.id)

        def work(cancelled: Cancelled) -> tuple[RunSummary, int | None, Shelf, Parent | None]:
            summary = load_summary(run)
            return summary, resume_step(run, entry.state), look_at(summary), parent_of(run)

        def show(found: tuple[RunSummary, int | None, Shelf, Parent | None]) -> None:
            now = self.runs.current
            if now is not None and now.id == entry.id:
                self._read = entry
                self.query_one(RunFacts).show(now, *found)

        in_thread(self, work, show, self.complain, group="runs-facts")

    @on(RunList.Moved)
    def _moved(self) -> None:
        self._label()
        self._facts()

    @on(RunList.Opened)
    def _open(self, message: RunList.Opened) -> None:
        if is_queued(message.entry.id):
            self.needed()
        else:
            self.backprop.open_run(self.index.run(message.entry.id))

    # -- filter, order, groups ------------------------------------------------------------------------------------------

    @on(FilterBar.Changed)
    def _filter(self, message: FilterBar.Changed) -> None:
        self.wanted = message.filter
        if not message.filter.settings:
            self._arrange()
            return
        keys_ = message.filter.settings
        in_thread(
            self,
            lambda cancelled: self.index.fill(keys_),
            lambda _: self._arrange(),
            self.complain,
            group="runs-fill",
        )

    def action_filter(self) -> None:
        """Type what to look for."""
        bar = self.query_one(FilterBar)
        bar.values = occurring(self._listing.entries if self._listing is not None else ())
        # The names of settings come with pydantic, which takes a moment: before it is typed that it is needed.
        in_thread(self, _warm, lambda _: None, self.complain, group="runs-warm")
        bar.open(self.runs)

    def action_sort(self) -> None:
        """The next column."""
        names = list(ORDERS)
        self._sort_by(names[(names.index(self.view.sort) + 1) % len(names)], False)

    def action_reverse(self) -> None:
        """The other end first."""
        self._sort_by(self.view.sort, not self.view.reverse)

    def action_sort_by(self) -> None:
        """Choose what to sort by."""
        from backprop_tui.app.widgets.modal import Choice, ConfirmModal

        choices = [Choice(name, "newest first" if name == FIRST else name) for name in ORDERS]
        body = Content("Unknown figures come last.  S turns the order around.")
        self.app.push_screen(
            ConfirmModal(Content("Sort runs by"), body, choices, self.view.sort, cancel="Leave it"),
            lambda name: self._sort_by(name, False) if name else None,
        )

    @on(RunList.TitleClicked)
    def _title(self, message: RunList.TitleClicked) -> None:
        self._sort_by(message.key, not self.view.reverse if message.key == self.view.sort else False)

    def _sort_by(self, name: str, reverse: bool) -> None:
        self.view.sort, self.view.reverse = name, reverse
        self._chose()

    def action_group(self) -> None:
        """Headings of experiments, or none."""
        self.view.grouped = not self.view.grouped
        if self.view.grouped and not any(entry.experiment for entry in self._shown):
            self.backprop.say("No run is in an experiment yet.  e puts one there.")
        self._chose()

    @on(RunList.Folded)
    def _folded(self, message: RunList.Folded) -> None:
        (self.view.closed.discard if message.open else self.view.closed.add)(message.name)
        self._chose()

    def action_archived(self) -> None:
        """Archived runs among the others, or not."""
        self.view.archived = not self.view.archived
        self.backprop.say("Archived runs are listed too." if self.view.archived else "Archived runs are left out.")
        self._chose()

    def _chose(self) -> None:
        self._restored = True
        self._arrange()
        words = self.view.to_dict()
        in_thread(self, lambda _: save_view(words), lambda _: None, self.complain, group="runs-view")

    # -- comparing ------------------------------------------------------------------------------------------------------

    def action_compare(self) -> None:
        """Compare the ticked runs, at least two."""
        runs = [entry.id for entry in self.targets()]
        if len(runs) < 2:
            self.backprop.say("Comparing takes two runs or more.  Space ticks them.", "warn")
            return
        from backprop_tui.app.screens.compare import CompareScreen

        self.app.push_screen(CompareScreen([self.index.run(run_id) for run_id in runs]))


def _warm(cancelled: Cancelled) -> None:
    from backprop_tui.protocol.fields import settings

    settings()
