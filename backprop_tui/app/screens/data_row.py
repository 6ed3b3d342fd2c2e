"""The right side of the Data screen: one row of the dataset under the cursor, its lengths, and what was found in all rows."""

from __future__ import annotations

import random
from collections.abc import Sequence

from textual.content import Content

from backprop_tui.app import wording
from backprop_tui.app.context import glyphs_of
from backprop_tui.app.looks import Look
from backprop_tui.app.open_file import OpenFile, Page
from backprop_tui.app.screens.data_base import DataRoom
from backprop_tui.app.screens.data_checks import check_lines, recipe_words, tokens_lines
from backprop_tui.app.widgets.lines import Line
from backprop_tui.app.widgets.modal import PromptModal
from backprop_tui.app.widgets.panel import Panel
from backprop_tui.app.widgets.preview import MODES, RowView
from backprop_tui.app.widgets.sheet import LongSheet, Sheet
from backprop_tui.protocol.errors import BackpropError
from backprop_tui.protocol.text import safe_text

_NO_DATA = "Put the cursor on a dataset first."


class RowSide(DataRoom):
    """Rows by number, by text, and by what is wrong with them."""

    def __init__(self) -> None:
        super().__init__()
        self._needle = ""
        self._refused: tuple[str, BackpropError] | None = None

    # -- what is open -------------------------------------------------------------------------------------------------

    def open_here(self) -> None:
        """Show the first row of the dataset under the cursor, unless it is open already."""
        words = self.here
        if words is None:
            self._opened = None
            self.show_page(None)
            on_row = self.table.current is not None
            self._row_view.say("Enter opens the folder.", "f takes all its files as one dataset.") if on_row else None
            self.show_look()
            return
        if self._opened is None or self._opened.words != words:
            if self._unfetched(words):
                self._opened = None
                self.show_page(None)
                self._row_view.say("Enter fetches this dataset from the Hugging Face hub.")
            else:
                self._opened = OpenFile(self, self.draft, words, self._shown, self._unreadable)
                # The row before stays on the screen until there is another, but nothing goes by it any more.
                self._page = None
                self._opened.read(0)
        self.show_look()

    def look_here(self) -> None:
        """Look through the dataset under the cursor."""
        words = self.here
        if words is not None and not self._unfetched(words):
            self._looks.look(words)

    def open_again(self) -> None:
        """Rows are read another way: read the one that is shown again."""
        if self._opened is not None:
            index, words = self._opened.wanted, self._opened.words
            self._opened.stop()
            self._opened = OpenFile(self, self.draft, words, self._shown, self._unreadable)
            self._opened.read(index)

    def _unfetched(self, words: str) -> bool:
        return self.draft.scans.to_fetch(words)

    def _shown(self, file: OpenFile, page: Page) -> None:
        if file is not self._opened:
            return
        if page.beyond and page.final:
            self.backprop.say(f"The data has {page.known:,} rows; this is the last.")
        self.show_page(page)

    def _unreadable(self, file: OpenFile, error: BackpropError) -> None:
        if file is not self._opened:
            return
        self._refused = (file.words, error)
        self.show_page(None)
        self._row_view.say(error.cause, error.next_step, f"({error.code})")

    # -- painting -----------------------------------------------------------------------------------------------------

    @property
    def _row_view(self) -> RowView:
        return self.query_one("#row", RowView)

    def show_page(self, page: Page | None) -> None:
        """The row as it is read so far."""
        self._page = page
        row = page.row if page is not None else None
        self._row_view.show(row, mode=self._mode, rendered=page.rendered if page is not None else None)
        self.label_row()

    def label_row(self) -> None:
        """The frame of the row: its number, format, and tokens."""
        page, panel = self._page, self.query_one("#row-panel", Panel)
        if page is None:
            panel.label(title="row", facts="", foot="")
            return
        row = page.row
        look = self._looks.found(self._opened.words if self._opened else None)
        total = f" of {look.rows:,}" if look is not None else ""
        dot = glyphs_of(self).dot
        facts = row.format or "no known format"
        if self._mode != "rendered":
            facts = f"{self._mode} {dot} {facts}"
        if row.tokens is not None:
            facts += f" {dot} {row.tokens:,} tokens {dot} loss on {wording.count(row.trained)}"
        elif page.final and row.normalised is not None and row.problem is None:
            facts += f" {dot} tokens unknown, {wording.model_name(self.draft.model, 20)} is not here"
        if page.file:
            facts = f"{safe_text(page.file, limit=24)} {dot} {facts}"
        foot = "n/p row  g go to  r random  s search  b bad  t view"
        panel.label(title=f"row {row.index + 1:,}{total}", facts=facts, foot=foot)

    def show_look(self) -> None:
        """What is known of the dataset under the cursor."""
        words = self.here
        look: Look = self._looks.get(words)
        signs = glyphs_of(self)
        settings = self.settings(words)
        recipe, counted = recipe_words(settings, signs.dot), self._counted.get(words or "")

        def checks(width: int) -> Sequence[Line]:
            # Lengths have no panel of their own where it is narrow.
            return check_lines(
                look, width, signs.marks == "ascii", with_tokens=not self.wide, spark=signs.spark,
                settings=settings, recipe=recipe, counted=counted,
            )  # fmt: skip

        self.query_one("#checks", LongSheet).show(checks)
        panel, lengths = self.query_one("#checks-panel", Panel), self.query_one("#lengths-panel", Panel)
        lengths.label(facts="")
        if look is None or isinstance(look, str):
            panel.label(facts=f"{look}  Esc stops" if look and look.startswith("looking") else look or "")
        elif isinstance(look, BackpropError):
            panel.label(facts=((look.code, "bad"),))
        else:
            role = {"ok": "good", "warn": "warn", "bad": "bad"}[look.verdict]
            panel.label(facts=((safe_text(look.headline, limit=40), role),))
            lengths.label(facts=wording.rows(look.kept))
        panel.label(foot=safe_text(recipe, limit=60))
        self.query_one("#lengths", Sheet).show(lambda width, height: tokens_lines(look, width, height, signs))

    # -- which row ----------------------------------------------------------------------------------------------------

    def _go_to(self, index: int) -> None:
        if self._opened is None:
            self.backprop.say(_NO_DATA)
        elif index < 0:
            self.backprop.say("This is the first row.")
        else:
            self._opened.read(index)

    def action_row(self, by: int) -> None:
        """The next row or the one before."""
        self._go_to((self._opened.wanted if self._opened else 0) + by)

    def action_random(self) -> None:
        """Any row."""
        look = self._looks.found(self._opened.words if self._opened else None)
        if look is None:
            self.backprop.say("Wait until the data has been looked through.")
        else:
            self._go_to(random.randrange(max(1, look.rows)))

    def action_go_to(self) -> None:
        """A row by number."""
        if self._opened is None:
            self.backprop.say(_NO_DATA)
            return

        def number(text: str) -> int | None:
            digits = text.replace(",", "").replace("_", "")
            return int(digits) if digits.isdecimal() and len(digits) < 16 and int(digits) > 0 else None

        def answered(text: str | None) -> None:
            if text is not None:
                self._go_to((number(text) or 1) - 1)

        modal = PromptModal(
            Content("Go to row"),
            Content("Rows count from 1."),
            check=lambda text: None if number(text) else "Type a number from 1.",
        )
        self.app.push_screen(modal, answered)

    def action_view(self) -> None:
        """What the row says, the row as in the file, or its tokens."""
        self._mode = MODES[(MODES.index(self._mode) + 1) % len(MODES)]
        self.show_page(self._page)

    def action_search(self) -> None:
        """Ask for a text and go to the next row that holds it."""
        if self._opened is None:
            self.backprop.say(_NO_DATA)
            return

        def answered(text: str | None) -> None:
            if text:
                self._needle = text
                self.action_search_again()

        modal = PromptModal(
            Content("Search rows"),
            Content("A text in the row as it stands in the file; capitals don't matter.  S goes to the next one."),
            value=self._needle,
            check=lambda text: None if text else "Type a text, or press Esc.",
        )
        self.app.push_screen(modal, answered)

    def action_search_again(self) -> None:
        """The next row that holds the text searched for."""
        opened, needle = self._opened, self._needle
        if opened is None:
            self.backprop.say(_NO_DATA)
        elif not needle:
            self.action_search()
        else:
            shown = safe_text(needle, limit=40)
            opened.find(
                lambda file, start, cancelled: file.find(needle, start, cancelled=cancelled),
                opened.wanted + 1,
                lambda found: self._found(opened, found, f"No row holds {shown!r}."),
                lambda at: self._passed(opened, at, f"searching for {shown!r}"),
            )

    def action_bad(self) -> None:
        """The next row that is broken, refused or cut."""
        opened = self._opened
        if opened is None:
            self.backprop.say(_NO_DATA)
            return
        opened.find(
            opened.bad_row,
            opened.wanted + 1,
            lambda found: self._found(opened, found, "No row is broken, refused or cut."),
            lambda at: self._passed(opened, at, "looking for a bad row"),
        )

    def _found(self, opened: OpenFile, found: int | None, nothing: str) -> None:
        if opened is not self._opened:
            return
        if found is None:
            self.backprop.say(nothing)
            return
        words = "Row {:,}, counted from the beginning again." if found <= opened.wanted else "Row {:,}."
        self.backprop.say(words.format(found + 1))
        opened.read(found)

    def _passed(self, opened: OpenFile, at: int, doing: str) -> None:
        if opened is self._opened and opened.searching:
            self.backprop.say(f"Row {at:,}: {doing}.  Esc stops.")
