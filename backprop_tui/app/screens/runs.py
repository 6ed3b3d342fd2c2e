"""Runs: every run there is, live or past, in one table."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.content import Content

from backprop_tui.app import wording
from backprop_tui.app.actions import bindings
from backprop_tui.app.app import state_role
from backprop_tui.app.context import glyphs_of
from backprop_tui.app.jobs import Cancelled, in_thread
from backprop_tui.app.keymap import runs as keys
from backprop_tui.app.screens.room import Room
from backprop_tui.app.widgets.findbar import FindBar
from backprop_tui.app.widgets.modal import Choice, ConfirmModal
from backprop_tui.app.widgets.painted import Line, Painted
from backprop_tui.app.widgets.panel import Panel
from backprop_tui.app.widgets.table import Cell, Column, LiveTable, Row
from backprop_tui.protocol.errors import BackpropError
from backprop_tui.protocol.text import safe_text

if TYPE_CHECKING:
    from backprop_tui.store.layout import RunDir
    from backprop_tui.store.summary import RunSummary

_COLUMNS = (
    Column("state", "state", 12),
    Column("id", "id", 4),
    Column("name", "name", 16, flex=True),
    Column("model", "model", 18, drop=3, middle=True),
    Column("data", "data", 16, drop=4, middle=True),
    Column("step", "step", 13, "right", drop=2),
    Column("loss", "loss", 8, "right"),
    Column("age", "age", 7, "right", drop=1),
)
_SORTS: tuple[str | None, ...] = (None, "state", "name", "model", "step", "loss")
#: Least seconds between two looks at the disk while the screen is open.
_LOOK_S = 2.0


class RunsTable(LiveTable):
    """The table with this screen's keys."""

    BINDINGS: ClassVar[list[BindingType]] = [*bindings(keys.TABLE)]


class RunFacts(Painted):
    """What is known of the run under the cursor, in sentences."""

    DEFAULT_CSS = "RunFacts { height: 1fr; padding: 0 1; }"

    def __init__(self) -> None:
        super().__init__(id="run-facts")
        self.summary: RunSummary | None = None
        self._resume_step: int | None = None

    def show(self, summary: RunSummary | None) -> None:
        """Another run, or newer facts of the same."""
        self.summary = summary
        # From the disk: a worker that lost its host has saved without a word in the journal.
        self._resume_step = None if summary is None else summary.resume_step
        self.repaint()

    def paint(self, width: int, height: int) -> Sequence[Line]:
        """Why it is in this state, what it measured, where it lies."""
        summary = self.summary
        if summary is None:
            return []
        view, label = summary.view, 12
        lines: list[Line] = []

        def fact(name: str, words: str, role: str = "text") -> None:
            lines.append(((f"{name:<{label}}", "muted"), (safe_text(words, limit=400), role)))

        if view.fault:
            fact("problem", f"{view.fault.get('cause', '')} ({view.fault.get('code', '')})", "bad")
            if view.fault.get("next"):
                fact("next", str(view.fault["next"]))
        elif summary.state.value == "crashed":
            fact("problem", "Its engine is gone without saying goodbye.", "bad")
        elif view.reason:
            fact("state", view.reason)
        where = f"from step {self._resume_step:,}" if self._resume_step is not None else "from the start"
        if summary.state.value in ("crashed", "failed", "stopped", "aborted"):
            fact("resume", f"r continues {where}")
        evaluated = f"{wording.loss(view.eval_loss)}, best {wording.loss(view.best_eval_loss)}"
        fact("eval loss", evaluated if view.eval_loss is not None else "not measured yet")
        if view.exact_match is not None:
            fact("exact match", wording.percent(view.exact_match))
        saved = ", ".join(f"{step:,}" for step in view.checkpoints[-6:])
        fact("checkpoints", f"steps {saved}" if saved else "none yet")
        fact("data", summary.data or wording.UNKNOWN)
        fact("folder", str(summary.run.path))
        return lines[:height]


class RunsScreen(Room):
    """The table, and facts about the run under the cursor where there is room."""

    ROOM = "runs"
    CSS_PATH = "runs.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [*bindings(keys.SCREEN)]

    def __init__(self) -> None:
        super().__init__()
        self._summaries: dict[str, RunSummary] = {}
        self._sort = 0

    def compose_body(self) -> ComposeResult:
        """Table above, facts below."""
        table = RunsTable(_COLUMNS, empty=("Looking for runs.",), id="runs-table")
        yield Panel("runs", table, FindBar("name, model, state or data", id="runs-find"), id="runs-panel")
        yield Panel("this run", RunFacts(), id="facts-panel")

    @property
    def table(self) -> LiveTable:
        """The table of runs."""
        return self.query_one("#runs-table", LiveTable)

    def on_mount(self) -> None:
        """Look at once, then at the profile's slow rate while the screen is open."""
        self._timer = self.set_interval(max(_LOOK_S, 1 / self.backprop.terminal.profile.hz), self.look)
        self.look()

    def wants(self, panel: Panel) -> bool:
        """Facts stand below the table only where there is room for both."""
        return panel.id != "facts-panel" or not (self.narrow or self.has_class("-low") or self.has_class("-short"))

    def on_screen_suspend(self) -> None:
        """Nobody looks: don't read the disk."""
        self._timer.pause()

    def on_screen_resume(self) -> None:
        """Runs may have changed meanwhile."""
        if hasattr(self, "_timer"):
            self._timer.resume()
            self.look()

    def look(self) -> None:
        """Read the runs in a thread."""

        def work(cancelled: Cancelled) -> list[RunSummary]:
            from backprop_tui.store.summary import list_summaries

            return list_summaries()

        in_thread(self, work, self._show, self._complain, group="runs-look")

    def _show(self, summaries: list[RunSummary]) -> None:
        self._summaries = {summary.run.id: summary for summary in summaries}
        now, ascii_only = time.time(), glyphs_of(self).marks == "ascii"
        self.table.update([_row(summary, now, ascii_only) for summary in summaries])
        self._say_empty()
        self._label()
        self._facts()

    def _say_empty(self) -> None:
        if self.table.needle and self._summaries:
            self.table.set_empty("No run contains that.  Esc in / shows all.")
        else:
            self.table.set_empty("No run yet.  Pick data with 1, then press g in Tune.")

    def _label(self) -> None:
        place, total = self.table.position
        live = sum(summary.state.live for summary in self._summaries.values())
        column = _SORTS[self._sort] or "newest"
        facts = f"{live} live {glyphs_of(self).dot} sort: {column}"
        if self.table.needle:
            facts = f"/ {safe_text(self.table.needle, limit=20)} {glyphs_of(self).dot} {facts}"
        self.query_one("#runs-panel", Panel).label(facts=facts, foot=f"{place} of {total}")

    def _facts(self) -> None:
        row = self.table.current
        summary = self._summaries.get(row.key) if row else None
        self.query_one(RunFacts).show(summary)
        self.query_one("#facts-panel", Panel).label(title=safe_text(summary.title, limit=60) if summary else "this run")

    def _complain(self, error: BackpropError) -> None:
        self.backprop.say(str(error), "bad")

    def _selected(self) -> RunSummary | None:
        row = self.table.current
        summary = self._summaries.get(row.key) if row else None
        if summary is None:
            self.backprop.say("There is no run to act on.  Pick data with 1, then press g in Tune.", "warn")
        return summary

    @on(LiveTable.Highlighted, "#runs-table")
    def _moved(self) -> None:
        self._label()
        self._facts()

    @on(LiveTable.Chosen, "#runs-table")
    def _open(self, message: LiveTable.Chosen) -> None:
        summary = self._summaries.get(message.row.key)
        if summary is not None:
            self.backprop.open_run(summary.run)

    @on(FindBar.Changed)
    def _filter(self, message: FindBar.Changed) -> None:
        self.table.set_filter(message.text)
        self._say_empty()
        self._label()
        self._facts()

    def action_filter(self) -> None:
        """Type what to look for."""
        self.query_one(FindBar).open(self.table)

    def action_sort(self) -> None:
        """The next column."""
        self._sort = (self._sort + 1) % len(_SORTS)
        self.table.sort_by(_SORTS[self._sort], reverse=False)
        self._label()

    def action_reverse(self) -> None:
        """The other way round; newest first stays as it is."""
        if _SORTS[self._sort] is None:
            self.backprop.say("Newest first has one order.  s sorts by a column.")
            return
        self.table.sort_by(_SORTS[self._sort], reverse=not self.table.sort_reverse)

    def action_resume(self) -> None:
        """Go on with the run under the cursor."""
        summary = self._selected()
        if summary is None:
            return
        if summary.state.live:
            self.backprop.say(f"{summary.title} is {summary.state.value}; nothing to resume.  Enter opens it.", "warn")
            return
        if summary.state.value == "completed":
            self.backprop.say(f"{summary.title} is complete; there is nothing left to train.", "warn")
            return

        def work(cancelled: Cancelled) -> RunDir:
            from backprop_tui.launch.start import resume_run

            return resume_run(summary.run)

        self.backprop.say(f"Resuming {summary.title}.")
        in_thread(self, work, self.backprop.open_run, self._complain, group="runs-resume")

    def action_delete(self) -> None:
        """Ask, naming the folder and its size, then delete."""
        summary = self._selected()
        if summary is None:
            return
        if summary.state.live:
            self.backprop.say(f"{summary.title} is {summary.state.value}.  Stop it first: Enter, then x.", "warn")
            return
        in_thread(
            self,
            lambda cancelled: folder_size(str(summary.run.path), cancelled),
            lambda found: self._ask_delete(summary, found),
            self._complain,
            group="runs-size",
        )

    def _ask_delete(self, summary: RunSummary, found: int) -> None:
        title = safe_text(summary.title, limit=80)
        body = Content("\n").join(
            [
                Content.assemble(("This folder and everything in it goes, for good:", "")),
                Content(safe_text(summary.run.path)),
                Content(""),
                Content(f"{wording.size(found)}, {len(summary.view.checkpoints)} checkpoints, log and curves."),
            ]
        )

        def answered(answer: str | None) -> None:
            if answer == "delete":
                in_thread(self, work, lambda _: self._deleted(title), self._complain, group="runs-delete")

        def work(cancelled: Cancelled) -> None:
            from backprop_tui.store.remove import delete_run

            delete_run(summary.run)

        modal = ConfirmModal(
            Content(f"Delete {title}"), body, [Choice("delete", "Delete this run", "d", danger=True)], cancel="Keep it"
        )
        self.app.push_screen(modal, answered)

    def _deleted(self, title: str) -> None:
        self.backprop.say(f"Deleted {title}.", "good")
        self.look()


def folder_size(path: str, cancelled: Cancelled = lambda: False) -> int:
    """Bytes of the files below a folder; symbolic links are not followed."""
    total = 0
    waiting = [path]
    while waiting and not cancelled():
        try:
            with os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
                    else:
                        total += entry.stat(follow_symlinks=False).st_size
        except OSError:
            continue
    return total


def _row(summary: RunSummary, now: float, ascii_only: bool) -> Row:
    view, state = summary.view, summary.state
    glyph = state.ascii_glyph if ascii_only else state.glyph
    step = f"{view.step:,}/{view.total_steps:,}" if view.total_steps else f"{view.step:,}" if view.step else "–"
    data = "demo" if summary.data == "demo" else os.path.basename(summary.data.rstrip("/"))
    model = summary.model if summary.model.count("/") <= 1 else os.path.basename(summary.model.rstrip("/"))
    return Row(
        summary.run.id,
        (
            Cell(f"{glyph} {state.value}", state_role(state), state.value),
            Cell(summary.run.short_id, "muted"),
            Cell(safe_text(summary.title, limit=200)),
            Cell(safe_text(model, limit=200) or wording.UNKNOWN),
            Cell(safe_text(data, limit=200) or wording.UNKNOWN),
            Cell(step, "", view.step),
            Cell(wording.loss(view.loss), "strong" if state.live else "", view.loss),
            Cell(wording.age(now - summary.created if summary.created else None), "muted", -summary.created),
        ),
    )
