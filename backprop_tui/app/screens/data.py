"""Data: pick a dataset, see what is in it and what of it would be learnt."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Sequence
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, ClassVar

from textual import events, on
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
from backprop_tui.app.scans import data_file
from backprop_tui.app.screens.data_words import (
    Look,
    browser_rows,
    check_lines,
    data_key,
    data_path,
    folder_path,
    home_words,
    tokens_lines,
)
from backprop_tui.app.screens.room import Room
from backprop_tui.app.widgets.findbar import FindBar
from backprop_tui.app.widgets.lines import Line, LineView
from backprop_tui.app.widgets.modal import PromptModal
from backprop_tui.app.widgets.painted import Line as PaintedLine
from backprop_tui.app.widgets.panel import Panel
from backprop_tui.app.widgets.preview import RowView
from backprop_tui.app.widgets.sheet import Sheet
from backprop_tui.app.widgets.table import Column, LiveTable
from backprop_tui.protocol.errors import BackpropError
from backprop_tui.protocol.text import safe_text

if TYPE_CHECKING:
    from backprop_tui.data.browse import Folder
    from backprop_tui.data.chat import ChatTokenizer, TrainOn
    from backprop_tui.data.inspection import Inspection
    from backprop_tui.data.preview import FilePreview, PreviewRow

_COLUMNS = (
    Column("name", "name", 14, flex=True, middle=True),
    Column("rows", "rows", 9, "right"),
    Column("format", "file", 7, drop=1),
    Column("ok", "ok", 2),
    Column("says", "", 26, drop=2),
)
#: Seconds the cursor rests on a file before it is opened.
_SETTLE_S = 0.15
#: Seconds between two words of progress.
_PROGRESS_S = 0.5
#: Files up to this many bytes are looked through without being asked for.
_SMALL = 2_000_000


class DataTable(LiveTable):
    """The list with this screen's keys."""

    BINDINGS: ClassVar[list[BindingType]] = [*bindings(keys.TABLE)]


class Checks(LineView):
    """What was found in the file."""

    def __init__(self) -> None:
        super().__init__(id="checks")
        self.look: Look = None
        self.with_tokens = False
        self._lines: list[Line] = []

    @property
    def line_count(self) -> int:
        """Lines at the present width."""
        return len(self._lines)

    def line(self, index: int, width: int) -> Line:
        """One of them."""
        return self._lines[index]

    def show(self, look: Look) -> None:
        """Other findings."""
        self.look = look
        self._arrange()

    def on_resize(self, event: events.Resize) -> None:
        """Lines depend on the width."""
        self._arrange()

    def _arrange(self) -> None:
        width, signs = self.size.width - 2, glyphs_of(self)
        lines: Sequence[Line] = ()
        if width > 8:
            ascii_only = signs.marks == "ascii"
            lines = check_lines(self.look, width, ascii_only, with_tokens=self.with_tokens, spark=signs.spark)
        self._lines = [((" ", "text"), *line) for line in lines]
        self.relayout()


class _Opened:
    """The file in the preview; one thread at a time reads from it."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.lock = Lock()
        self.file: FilePreview | None = None


class DataScreen(Room):
    """The list left, the row, its lengths and the checks right; stacked where it is narrower."""

    ROOM = "data"
    CSS_PATH = "data.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [*bindings(keys.SCREEN)]

    def __init__(self) -> None:
        super().__init__()
        self._folder: Folder | None = None
        self._recent: list[str] = []
        self._looks: dict[str, Look] = {}
        self._opened: _Opened | None = None
        self._row: PreviewRow | None = None
        self._index = 0
        self._raw = False

    def compose_body(self) -> ComposeResult:
        """List, row, lengths, checks."""
        with Container(id="data"):
            table = DataTable(_COLUMNS, empty=("Nothing here.  o opens another folder.",), id="data-table")
            yield Panel("datasets", table, FindBar("part of a name", id="data-find"), id="data-panel")
            with Vertical(id="right"):
                yield Panel("row", RowView(id="row"), id="row-panel")
                yield Panel("lengths", Sheet(id="lengths"), id="lengths-panel")
                yield Panel("checks", Checks(), id="checks-panel")

    @property
    def table(self) -> LiveTable:
        """The list of datasets."""
        return self.query_one("#data-table", LiveTable)

    @property
    def draft(self) -> Draft:
        """The run being prepared."""
        return self.backprop.draft

    def on_mount(self) -> None:
        """Paint the frame first; then list the working directory."""
        self._timer = self.set_timer(_SETTLE_S, self._open, pause=True)
        self._show_rows()
        self.call_after_refresh(self.list_folder, Path.cwd())

    def on_resize(self, event: events.Resize) -> None:
        """Lengths have a panel of their own only where there is room."""
        checks = self.query_one(Checks)
        checks.with_tokens = event.size.width < 110

    def wants(self, panel: Panel) -> bool:
        """Lengths have a panel of their own only where there is room."""
        return panel.id != "lengths-panel" or (self.has_class("-wide") and self.has_class("-tall"))

    # -- the list -----------------------------------------------------------------------------------------------------

    def list_folder(self, folder: Path, select: str | None = None) -> None:
        """List a folder in a thread, and put the cursor on a dataset in it."""

        def work(cancelled: Cancelled) -> tuple[Folder, list[str]]:
            from backprop_tui.config.recent import recent
            from backprop_tui.data.browse import list_folder

            return list_folder(folder), recent("data")

        def done(found: tuple[Folder, list[str]]) -> None:
            self._folder, self._recent = found
            bar = self.query_one("#data-find", FindBar)
            bar.clear()
            self.table.set_filter("")
            self._show_rows()
            if select is not None:
                self.table.select(data_key(select))
            self._settle()

        in_thread(self, work, done, self._complain, group="data-list")

    def _show_rows(self) -> None:
        ascii_only = glyphs_of(self).marks == "ascii"
        self.table.update(browser_rows(self._folder, self._recent, self._looks, ascii_only))
        place, total = self.table.position
        needle = self.table.needle
        facts = f"/ {safe_text(needle, limit=20)}" if needle else home_words(self._folder.path) if self._folder else ""
        self.query_one("#data-panel", Panel).label(facts=facts, foot=f"{place} of {total}")

    @on(LiveTable.Highlighted, "#data-table")
    def _moved(self) -> None:
        self._show_rows()
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
        self.draft.use_data(path)
        self.backprop.action_go("tune")

    @on(FindBar.Changed, "#data-find")
    def _filter(self, message: FindBar.Changed) -> None:
        self.table.set_filter(message.text)
        self._show_rows()
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
            self._opened = _Opened(path)
            self._index = 0
            self._read(0)
        self._scan(path)

    def _read(self, index: int, note: str = "") -> None:
        opened = self._opened
        if opened is None:
            self.backprop.say("Put the cursor on a dataset first.")
            return

        def work(cancelled: Cancelled) -> tuple[PreviewRow | None, int]:
            from backprop_tui.data.preview import FilePreview

            tokenizer, max_length, train_on = self._reading()
            with opened.lock:
                if opened.file is None:
                    opened.file = FilePreview(data_file(opened.path))
                found = opened.file.view(
                    max(0, index), tokenizer=tokenizer, max_length=max_length, train_on=train_on, cancelled=cancelled
                )
                if found is None and opened.file.complete and opened.file.known:
                    found = opened.file.view(
                        opened.file.known - 1, tokenizer=tokenizer, max_length=max_length, train_on=train_on
                    )
                return found, opened.file.known

        def done(found: tuple[PreviewRow | None, int]) -> None:
            if opened is not self._opened or found[0] is None:
                return
            if found[0].index < index:
                self.backprop.say(f"The file has {found[1]:,} rows; this is the last.")
            self._index = found[0].index
            self._show_row(found[0])

        def failed(error: BackpropError) -> None:
            if opened is self._opened:
                self._show_row(None)
                self.query_one("#row", RowView).say(error.cause, error.next_step, f"({error.code})")

        in_thread(self, work, done, failed, group="data-row")

    def _reading(self) -> tuple[ChatTokenizer | None, int | None, TrainOn]:
        """How the draft's model reads a row. Called in threads: it may load pydantic, a preset and a tokenizer."""
        try:
            spec = self.draft.spec()
        except BackpropError:
            return self.draft.scans.tokenizer(DEMO), None, "answers"
        return self.draft.scans.tokenizer(self.draft.model), spec.data.max_length, spec.data.train_on

    def _show_row(self, row: PreviewRow | None) -> None:
        self._row = row
        self.query_one("#row", RowView).show(row, raw=self._raw)
        self._label_row()

    def _label_row(self) -> None:
        row, panel = self._row, self.query_one("#row-panel", Panel)
        if row is None:
            panel.label(title="row", facts="", foot="")
            return
        look = self._looks.get(self._opened.path) if self._opened else None
        total = f" of {look.rows:,}" if look is not None and not isinstance(look, (str, BackpropError)) else ""
        dot = glyphs_of(self).dot
        facts = "raw" if self._raw else row.format or "no known format"
        if row.tokens is not None and not self._raw:
            facts += f" {dot} {row.tokens:,} tokens {dot} loss on {wording.count(row.trained)}"
        panel.label(title=f"row {row.index + 1:,}{total}", facts=facts, foot="n/p row  g go to  r random  t raw")

    def _scan(self, path: str) -> None:
        said = 0.0

        def progress(done: int, total: int) -> None:
            nonlocal said
            now = time.monotonic()
            if now - said >= _PROGRESS_S and done < total:
                said = now
                self.call_later(self._progress, path, f"looking, {100 * done // max(1, total)} %")

        def work(cancelled: Cancelled) -> Inspection:
            _, max_length, _ = self._reading()
            return self.draft.scans.inspect(path, self.draft.model, max_length, cancelled, progress)

        def done(found: Inspection) -> None:
            self._found(path, found)

        in_thread(self, work, done, lambda error: self._found(path, error), group="data-scan")
        if self._looks.get(path) is None:
            self._looks[path] = "looking"
        self._show_look(self._looks[path])

    def _progress(self, path: str, words: str) -> None:
        if isinstance(self._looks.get(path), str):
            self._found(path, words)

    def _found(self, path: str, look: Look) -> None:
        self._looks[path] = look
        self._show_rows()
        if self._opened is not None and self._opened.path == path:
            self._show_look(look)
            self._label_row()
        if not isinstance(look, str):
            self._scan_another()

    def _scan_another(self) -> None:
        """Small files of the folder are looked through one by one, so the list says how they are."""
        if self._folder is None:
            return
        for entry in self._folder.entries:
            path = str(entry.path)
            small = entry.kind == "data" and entry.size is not None and entry.size <= _SMALL
            if small and (path not in self._looks or isinstance(self._looks[path], str)):
                self._scan(path)
                if self._opened is not None:
                    self._show_look(self._looks.get(self._opened.path))
                return

    def _show_look(self, look: Look) -> None:
        self.query_one(Checks).show(look)
        panel, lengths = self.query_one("#checks-panel", Panel), self.query_one("#lengths-panel", Panel)
        if look is None or isinstance(look, str):
            panel.label(facts=look or "")
        elif isinstance(look, BackpropError):
            panel.label(facts=((look.code, "bad"),))
        else:
            role = {"ok": "good", "warn": "warn", "bad": "bad"}[look.verdict]
            panel.label(facts=((safe_text(look.headline, limit=40), role),))
            lengths.label(facts=f"{wording.count(look.kept)} rows")
        signs = glyphs_of(self)

        def build(width: int, height: int) -> Sequence[PaintedLine]:
            return tokens_lines(look, width, height, signs)

        self.query_one("#lengths", Sheet).show(build)

    def action_row(self, by: int) -> None:
        """The next row or the one before."""
        if self._index + by < 0:
            self.backprop.say("This is the first row.")
        else:
            self._read(self._index + by)

    def action_random(self) -> None:
        """Any row."""
        look = self._looks.get(self._opened.path) if self._opened else None
        if look is None or isinstance(look, (str, BackpropError)):
            self.backprop.say("Wait until the file has been looked through.")
        else:
            self._read(random.randrange(max(1, look.rows)))

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
                self._read(int(text.replace(",", "")) - 1)

        self.app.push_screen(PromptModal(Content("Go to row"), Content("Rows count from 1."), check=check), answered)

    def action_raw(self) -> None:
        """The row as in the file, or as it is read."""
        self._raw = not self._raw
        self._show_row(self._row)

    def _complain(self, error: BackpropError) -> None:
        self.backprop.say(str(error), "bad")
