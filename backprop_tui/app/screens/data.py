"""Data: pick a dataset or mix several, see what is in them and what of it would be learnt, and mend what is wrong."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Container, Vertical

from backprop_tui.app import wording
from backprop_tui.app.actions import bindings
from backprop_tui.app.jobs import Cancelled, in_thread
from backprop_tui.app.keymap import data as keys
from backprop_tui.app.looks import Looks
from backprop_tui.app.screens.data_list import ListSide
from backprop_tui.app.widgets.findbar import FindBar
from backprop_tui.app.widgets.painted import Line
from backprop_tui.app.widgets.panel import Panel
from backprop_tui.app.widgets.preview import RowView
from backprop_tui.app.widgets.sheet import LongSheet, Sheet
from backprop_tui.app.widgets.table import LiveTable
from backprop_tui.app.widgets.table_rows import Column

if TYPE_CHECKING:
    from backprop_tui.app.scans import Reading

_COLUMNS = (
    Column("name", "name", 14, flex=True, middle=True),
    Column("rows", "rows", 9, "right"),
    Column("format", "format", 8, drop=1),
    Column("ok", "ok", 2),
    Column("says", "", 26, drop=2),
)


class DataTable(LiveTable):
    """The list with this screen's keys."""

    BINDINGS: ClassVar[list[BindingType]] = [*bindings(keys.TABLE)]


class DataScreen(ListSide):
    """The list left, the row, its lengths and the checks right; stacked where it is narrower."""

    CSS_PATH = "data.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [*bindings(keys.SCREEN)]

    def __init__(self) -> None:
        super().__init__()
        self._read_as: tuple[Reading, Mapping[str, str]] | None = None

    def compose_body(self) -> ComposeResult:
        """List, row, lengths, checks."""
        with Container(id="data"):
            table = DataTable(_COLUMNS, empty=("Nothing here.  o opens another folder.",), id="data-table")
            yield Panel("datasets", table, FindBar("part of a name", id="data-find"), id="data-panel")
            with Vertical(id="right"):
                yield Panel("row", RowView(id="row"), id="row-panel")
                yield Panel("lengths", Sheet(id="lengths"), id="lengths-panel")
                yield Panel("checks", LongSheet(id="checks"), id="checks-panel")

    def context(self) -> Line:
        """What is ticked or used, besides the run that is open."""
        used = self.mix_words() if self.is_mounted else ""
        if not used and self.draft.data_chosen:
            used = f"using {wording.data_name(self.draft.data, 30)}"
        return ((f"{used}   " if used else "", "text"), *self.backprop.run_words())

    def on_mount(self) -> None:
        """Paint the frame first; then list the working directory."""
        self._looks = Looks(self, self.draft, self._look_changed)
        self.start_list()

    def on_screen_resume(self) -> None:
        """Another model or another length reads rows another way; another recipe makes something else of them."""

        def work(cancelled: Cancelled) -> tuple[Reading, Mapping[str, str]]:
            # No dataset has this name, so no mapping of one dataset is taken for a way to read all of them.
            return self.draft.reading("\0"), self.draft.mappings

        in_thread(self, work, self._resumed, self.complain, group="data-reading")

    def _resumed(self, now: tuple[Reading, Mapping[str, str]]) -> None:
        before, self._read_as = self._read_as, now
        if before is None:
            return
        changed = {words for words, columns in before[1].items() ^ now[1].items()}
        if before[0] != now[0]:
            self.read_anew()
            self.look_around()
        elif changed:
            for words in changed:
                self._looks.forget(words)
            self.show_list()
            self.open_again()
            self.look_here()
        self.show_look()

    def wants(self, panel: Panel) -> bool:
        """Lengths have a panel of their own only where there is room."""
        return panel.id != "lengths-panel" or (self.wide and self.app.size.height >= 36)

    def action_stop(self) -> None:
        """Give up what runs; else forget the filter; else the ticks."""
        if self._opened is not None and self._opened.stop():
            self.backprop.say("The search was stopped.")
        elif self._job is not None and self._job.is_running:
            self._job.cancel()
            self._job = None
            self.backprop.say("Stopped.")
        elif self._looks.stop():
            self.backprop.say("The look was stopped.")
        elif self.table.needle:
            self.query_one("#data-find", FindBar).clear()
            self.table.set_filter("")
            self.show_list()
        elif self._mix:
            self._mix.clear()
            self.show_list()
            self.show_context()
            self.backprop.say("Nothing is ticked.")

    def _look_changed(self, words: str) -> None:
        self.show_list()
        if words in self._mix.weights:
            self.show_context()
        if self.here == words:
            self.show_look()
            self.label_row()
