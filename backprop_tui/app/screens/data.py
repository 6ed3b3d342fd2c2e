"""Data: pick a dataset, see what is in it and what of it would be learnt."""

from __future__ import annotations

import os
import random
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Container, Vertical
from textual.content import Content

from backprop_tui.app import wording
from backprop_tui.app.actions import bindings
from backprop_tui.app.context import glyphs_of
from backprop_tui.app.draft import DEMO, Draft
from backprop_tui.app.jobs import Cancelled, in_thread
from backprop_tui.app.keymap import data as keys
from backprop_tui.app.looks import Look, Looks
from backprop_tui.app.open_file import OpenFile, Page
from backprop_tui.app.screens.data_words import (
    browser_rows,
    check_lines,
    data_key,
    data_path,
    folder_path,
    folder_words,
    home_words,
    tokens_lines,
)
from backprop_tui.app.screens.room import Room
from backprop_tui.app.widgets.findbar import FindBar
from backprop_tui.app.widgets.lines import Line
from backprop_tui.app.widgets.modal import PromptModal
from backprop_tui.app.widgets.painted import Line as PaintedLine
from backprop_tui.app.widgets.panel import Panel
from backprop_tui.app.widgets.preview import RowView
from backprop_tui.app.widgets.sheet import LongSheet, Sheet
from backprop_tui.app.widgets.table import Column, LiveTable
from backprop_tui.protocol.errors import BackpropError
from backprop_tui.protocol.text import safe_text

if TYPE_CHECKING:
    from backprop_tui.app.scans import Reading
    from backprop_tui.data.browse import Folder
    from backprop_tui.data.preview import PreviewRow

_COLUMNS = (
    Column("name", "name", 14, flex=True, middle=True),
    Column("rows", "rows", 9, "right"),
    Column("format", "file", 7, drop=1),
    Column("ok", "ok", 2),
    Column("says", "", 26, drop=2),
)
#: Seconds the cursor rests on a file before it is opened.
_SETTLE_S = 0.15
#: Files up to this many bytes are looked through without being asked for, in folders of at most so many entries.
_SMALL = 2_000_000
_FEW = 500


class DataTable(LiveTable):
    """The list with this screen's keys."""

    BINDINGS: ClassVar[list[BindingType]] = [*bindings(keys.TABLE)]


class DataScreen(Room):
    """The list left, the row, its lengths and the checks right; stacked where it is narrower."""

    ROOM = "data"
    CSS_PATH = "data.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [*bindings(keys.SCREEN)]

    def __init__(self) -> None:
        super().__init__()
        self._folder: Folder | None = None
        self._recent: list[str] = []
        self._typed: str | None = None
        self._opened: OpenFile | None = None
        self._reading: Reading | None = None
        self._row: PreviewRow | None = None
        self._raw = False

    def compose_body(self) -> ComposeResult:
        """List, row, lengths, checks."""
        with Container(id="data"):
            table = DataTable(_COLUMNS, empty=("Nothing here.  o opens another folder.",), id="data-table")
            yield Panel("datasets", table, FindBar("part of a name", id="data-find"), id="data-panel")
            with Vertical(id="right"):
                yield Panel("row", RowView(id="row"), id="row-panel")
                yield Panel("lengths", Sheet(id="lengths"), id="lengths-panel")
                yield Panel("checks", LongSheet(id="checks"), id="checks-panel")

    @property
    def table(self) -> LiveTable:
        """The list of datasets."""
        return self.query_one("#data-table", LiveTable)

    @property
    def draft(self) -> Draft:
        """The run being prepared."""
        return self.backprop.draft

    def context(self) -> PaintedLine:
        """What is used, besides the run that is open."""
        used = f"using {wording.data_name(self.draft.data, 30)}   " if self.draft.data_chosen else ""
        return ((used, "text"), *self.backprop.run_words())

    def on_mount(self) -> None:
        """Paint the frame first; then list the working directory."""
        self._looks = Looks(self, self.draft, self._look_changed)
        self._timer = self.set_timer(_SETTLE_S, self._open, pause=True)
        self._show_rows()
        self.call_after_refresh(self.list_folder, Path.cwd())

    def on_screen_resume(self) -> None:
        """Another model or another length reads rows another way."""
        if self._reading is not None:
            in_thread(self, lambda _: self.draft.reading(), self._read_as, self._complain, group="data-reading")

    def _read_as(self, reading: Reading) -> None:
        before, self._reading = self._reading, reading
        if before is not None and before != reading:
            self._looks.forget()
            self._opened = None
            self._show_rows()
            self._open()
            self._look_around()

    def wants(self, panel: Panel) -> bool:
        """Lengths have a panel of their own only where there is room."""
        return panel.id != "lengths-panel" or (self.wide and self.app.size.height >= 36)

    # -- the list -----------------------------------------------------------------------------------------------------

    def list_folder(self, folder: Path, select: str | None = None) -> None:
        """List a folder in a thread, and put the cursor on a dataset in it."""

        def work(cancelled: Cancelled) -> tuple[Folder, list[str]]:
            from backprop_tui.config.recent import recent
            from backprop_tui.data.browse import list_folder

            return list_folder(folder), recent("data")

        def done(found: tuple[Folder, list[str]]) -> None:
            self._folder, self._recent = found
            self._typed = select
            bar = self.query_one("#data-find", FindBar)
            bar.clear()
            self.table.set_filter("")
            self._show_rows()
            if select is not None:
                self.table.select(data_key(select))
            self._settle()
            self._look_around()

        in_thread(self, work, done, self._complain, group="data-list")

    def _look_around(self) -> None:
        """Small files of a folder of reasonable size are looked through one by one, so the list says how they are."""
        entries = self._folder.entries if self._folder is not None else ()
        if len(entries) <= _FEW:
            small = (entry for entry in entries if entry.kind == "data" and (entry.size or 0) <= _SMALL)
            self._looks.wait(str(entry.path) for entry in small)

    def _show_rows(self) -> None:
        listed = {str(entry.path) for entry in self._folder.entries} if self._folder else set()
        recent = [*([self._typed] if self._typed and self._typed not in listed else []), *self._recent]
        ascii_only = glyphs_of(self).marks == "ascii"
        self.table.update(browser_rows(self._folder, list(dict.fromkeys(recent)), self._looks.known, ascii_only))
        self._label_list()

    def _label_list(self) -> None:
        place, total = self.table.position
        needle = self.table.needle
        facts = (
            f"/ {safe_text(needle, limit=20)}" if needle else folder_words(self._folder.path) if self._folder else ""
        )
        self.query_one("#data-panel", Panel).label(facts=facts, foot=f"{place} of {total}")

    @on(LiveTable.Highlighted, "#data-table")
    def _moved(self) -> None:
        self._label_list()
        self._settle()

    def _settle(self) -> None:
        self._timer.stop()
        self._timer = self.set_timer(_SETTLE_S, self._open)

    @on(LiveTable.Chosen, "#data-table")
    def _chosen(self, message: LiveTable.Chosen) -> None:
        folder = folder_path(message.row.key)
        if folder is not None:
            self.list_folder(folder)
            return
        path = data_path(message.row.key)
        if path is None:
            return
        look = self._looks.get(path)
        if isinstance(look, BackpropError):
            self.backprop.say(str(look), "bad")
            return
        if look is not None and not isinstance(look, str) and look.verdict == "bad":
            self.backprop.say(f"This file can't be trained on: {look.headline}.  The checks say more.", "bad")
            return
        self._use(path)

    def _use(self, path: str) -> None:
        def work(cancelled: Cancelled) -> None:
            from backprop_tui.config.recent import remember

            remember("data", path)

        if path != DEMO:
            in_thread(self, work, lambda _: None, self._complain, group="data-remember")
        self.draft.use_data(path)
        self.backprop.action_go("tune")

    @on(FindBar.Changed, "#data-find")
    def _filter(self, message: FindBar.Changed) -> None:
        self.table.set_filter(message.text)
        self._label_list()
        self._settle()

    def action_filter(self) -> None:
        """Type part of a name."""
        self.query_one("#data-find", FindBar).open(self.table)

    def action_up(self) -> None:
        """The folder above."""
        if self._folder is not None and self._folder.parent is not None:
            self.list_folder(self._folder.parent)
        else:
            self.backprop.say("There is no folder above.")

    def action_open(self) -> None:
        """Type a path."""

        def check(text: str) -> str | None:
            if not text:
                return "Type a path, or press Esc."
            return None if os.path.exists(os.path.expanduser(text)) else "There is no file or folder of that name."

        def answered(text: str | None) -> None:
            if text is None:
                return
            place = Path(os.path.abspath(os.path.expanduser(text)))
            if place.is_dir():
                self.list_folder(place)
            else:
                self.list_folder(place.parent, str(place))

        here = f"{home_words(self._folder.path)}/" if self._folder else "~/"
        body = Content("A data file (jsonl, json, csv, parquet, txt) or a folder.")
        self.app.push_screen(PromptModal(Content("Open"), body, value=here.replace("//", "/"), check=check), answered)

    # -- the file under the cursor ------------------------------------------------------------------------------------

    def _open(self) -> None:
        row = self.table.current
        path = data_path(row.key) if row is not None else None
        if path is None:
            self._opened = None
            self._show_row(None)
            self.query_one("#row", RowView).say("Enter opens the folder." if row is not None else "")
            self._show_look(None)
            return
        if self._opened is None or self._opened.path != path:
            self._opened = opened = OpenFile(self, self.draft, path, self._shown, self._unreadable)
            opened.read(0)
        self._looks.look(path)
        self._show_look(self._looks.get(path))

    def _shown(self, file: OpenFile, page: Page) -> None:
        if file is not self._opened:
            return
        self._reading = page.reading
        if page.beyond:
            self.backprop.say(f"The file has {page.known:,} rows; this is the last.")
        self._show_row(page.row)

    def _unreadable(self, file: OpenFile, error: BackpropError) -> None:
        if file is not self._opened:
            return
        self._show_row(None)
        self.query_one("#row", RowView).say(error.cause, error.next_step, f"({error.code})")

    def _show_row(self, row: PreviewRow | None) -> None:
        self._row = row
        self.query_one("#row", RowView).show(row, raw=self._raw)
        self._label_row()

    def _label_row(self) -> None:
        row, panel = self._row, self.query_one("#row-panel", Panel)
        if row is None:
            panel.label(title="row", facts="", foot="")
            return
        look = self._looks.found(self._opened.path if self._opened else None)
        total = f" of {look.rows:,}" if look is not None else ""
        dot = glyphs_of(self).dot
        facts = "raw" if self._raw else row.format or "no known format"
        if row.tokens is not None and not self._raw:
            facts += f" {dot} {row.tokens:,} tokens {dot} loss on {wording.count(row.trained)}"
        elif row.normalised is not None and row.problem is None and not self._raw:
            facts += f" {dot} tokens unknown, {wording.model_name(self.draft.model, 20)} is not here"
        panel.label(title=f"row {row.index + 1:,}{total}", facts=facts, foot="n/p row  g go to  r random  t raw")

    def _look_changed(self, path: str) -> None:
        self._show_rows()
        if self._opened is not None and self._opened.path == path:
            self._show_look(self._looks.get(path))
            self._label_row()

    def _show_look(self, look: Look) -> None:
        signs = glyphs_of(self)

        def checks(width: int) -> Sequence[Line]:
            # Lengths have no panel of their own where it is narrow.
            return check_lines(look, width, signs.marks == "ascii", with_tokens=not self.wide, spark=signs.spark)

        self.query_one("#checks", LongSheet).show(checks)
        panel, lengths = self.query_one("#checks-panel", Panel), self.query_one("#lengths-panel", Panel)
        lengths.label(facts="")
        if look is None or isinstance(look, str):
            panel.label(facts=look or "")
        elif isinstance(look, BackpropError):
            panel.label(facts=((look.code, "bad"),))
        else:
            role = {"ok": "good", "warn": "warn", "bad": "bad"}[look.verdict]
            panel.label(facts=((safe_text(look.headline, limit=40), role),))
            lengths.label(facts=wording.rows(look.kept))
        self.query_one("#lengths", Sheet).show(lambda width, height: tokens_lines(look, width, height, signs))

    def _go_to(self, index: int) -> None:
        if self._opened is None:
            self.backprop.say("Put the cursor on a dataset first.")
        elif index < 0:
            self.backprop.say("This is the first row.")
        else:
            self._opened.read(index)

    def action_row(self, by: int) -> None:
        """The next row or the one before."""
        self._go_to((self._opened.wanted if self._opened else 0) + by)

    def action_random(self) -> None:
        """Any row."""
        look = self._looks.found(self._opened.path if self._opened else None)
        if look is None:
            self.backprop.say("Wait until the file has been looked through.")
        else:
            self._go_to(random.randrange(max(1, look.rows)))

    def action_go_to(self) -> None:
        """A row by number."""
        if self._opened is None:
            self.backprop.say("Put the cursor on a dataset first.")
            return

        def check(text: str) -> str | None:
            return (
                None
                if text.replace(",", "").isdecimal() and int(text.replace(",", "")) > 0
                else "Type a number from 1."
            )

        def answered(text: str | None) -> None:
            if text is not None:
                self._go_to(int(text.replace(",", "")) - 1)

        self.app.push_screen(PromptModal(Content("Go to row"), Content("Rows count from 1."), check=check), answered)

    def action_raw(self) -> None:
        """The row as in the file, or as it is read."""
        self._raw = not self._raw
        self._show_row(self._row)

    def _complain(self, error: BackpropError) -> None:
        self.backprop.say(str(error), "bad")
