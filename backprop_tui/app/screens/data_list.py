"""The left side of the Data screen: datasets by name, those opened by hand, and those ticked to be mixed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from textual import on

from backprop_tui.app import wording
from backprop_tui.app.context import glyphs_of
from backprop_tui.app.draft_presets import DEMO
from backprop_tui.app.jobs import Cancelled, in_thread
from backprop_tui.app.screens.data_checks import SEVERAL_LISTS
from backprop_tui.app.screens.data_open import OpenSide
from backprop_tui.app.screens.data_words import (
    Browser,
    data_key,
    folder_path,
    folder_words,
)
from backprop_tui.app.widgets.findbar import FindBar
from backprop_tui.app.widgets.panel import Panel
from backprop_tui.app.widgets.table import LiveTable
from backprop_tui.protocol.errors import BackpropError
from backprop_tui.protocol.text import safe_text

if TYPE_CHECKING:
    from backprop_tui.data.finding.browse import Folder

#: Seconds the cursor rests on a dataset before its first row is read, and before all its rows are.
_OPEN_S, _LOOK_S = 0.05, 0.3
#: Files up to this many bytes are looked through without being asked for, in folders of at most so many entries.
_SMALL = 2_000_000
_FEW = 500


class ListSide(OpenSide):
    """The list, what opens datasets, and what mixes them."""

    filled = False

    def __init__(self) -> None:
        super().__init__()
        self._recent: list[str] = []
        self._browser: Browser | None = None

    def start_list(self) -> None:
        """Paint what is known before any folder has been read, then list the working directory."""
        self._open_timer = self.set_timer(_OPEN_S, self.open_here, pause=True)
        self._look_timer = self.set_timer(_LOOK_S, self.look_here, pause=True)
        self.show_list()
        self.call_after_refresh(self.list_folder, self._folder_left() or Path.cwd())

    def remember(self) -> dict[str, Any]:
        """The folder that is listed."""
        folder = {"folder": str(self._folder.path), "started_in": str(Path.cwd())} if self._folder is not None else {}
        return {**super().remember(), **folder}

    def _folder_left(self) -> Path | None:
        """The folder that was listed when the person left, if the app was started in the same place."""
        keeper = self.backprop.keeper
        words = keeper.saved.words_of(self.ROOM) if keeper is not None else {}
        folder = words.get("folder")
        if words.get("started_in") != str(Path.cwd()):
            return None
        return Path(folder) if isinstance(folder, str) and "\0" not in folder and Path(folder).is_dir() else None

    def list_folder(self, folder: Path, select: str | None = None) -> None:
        """List a folder in a thread, and put the cursor on a dataset in it."""

        def work(cancelled: Cancelled) -> tuple[Folder, list[str]]:
            from backprop_tui.config.recent import recent
            from backprop_tui.data.finding.browse import list_folder

            return list_folder(folder), recent("data")

        def done(found: tuple[Folder, list[str]]) -> None:
            self._folder, self._recent = found
            if select is not None and all(str(entry.path) != select for entry in self._folder.entries):
                self.name_it(select)
            self.table.set_filter(bar.text)
            self.show_list()
            if select is not None:
                self.table.select(data_key(select))
            self.rest()
            self._look_around()
            self.mark_filled()

        # The old filter goes now: what is typed until the folder is read is meant for the new one.
        bar = self.query_one("#data-find", FindBar)
        bar.clear()
        self.table.set_filter("")
        in_thread(self, work, done, self.fill_failed, group="data-list")

    def list_again(self) -> None:
        """List the same folder, because a file in it is another one; the filter and the cursor stay."""
        if self._folder is None:
            return
        folder = self._folder.path

        def work(cancelled: Cancelled) -> Folder:
            from backprop_tui.data.finding.browse import list_folder

            return list_folder(folder)

        def done(found: Folder) -> None:
            self._folder = found
            self.show_list()
            self._look_around()

        in_thread(self, work, done, self.complain, group="data-list")

    def look_around(self) -> None:
        """Look through the small files of the folder again."""
        self._look_around()

    def _look_around(self) -> None:
        """Small files of a folder of reasonable size are looked through one by one, so the list says how they are."""
        entries = self._folder.entries if self._folder is not None else ()
        if len(entries) <= _FEW:
            small = (entry for entry in entries if entry.kind == "data" and (entry.size or 0) <= _SMALL)
            self._looks.wait([*self._mix.weights, *(str(entry.path) for entry in small)])

    def show_list(self) -> None:
        """Rows whose look or weight is another one are made anew; the table repaints those."""
        if self._browser is None:
            self._browser = Browser(glyphs_of(self).marks == "ascii")
        mix = self._mix.words if self._mix.several else ""
        rows = self._browser.rows(self._folder, self._named, self._recent, self._looks.known, self._mix.weights, mix)
        self.table.update(rows)
        self._label_list()

    def _label_list(self) -> None:
        place, total = self.table.position
        needle = self.table.needle
        if needle:
            facts = f"/ {safe_text(needle, limit=20)}"
        elif self._mix:
            # The header has room for the mixture only where it is wide.
            facts = f"{len(self._mix.weights)} ticked" if self.wide else self.mix_words()
        else:
            facts = folder_words(self._folder.path) if self._folder else ""
        self.query_one("#data-panel", Panel).label(facts=facts, foot=f"{place} of {total}")

    def mix_words(self) -> str:
        """What is ticked, with the rows it comes to; empty without ticks."""
        if not self._mix:
            return ""
        rows = self._mix.rows(lambda words: look.kept if (look := self._looks.found(words)) is not None else None)
        total = wording.rows(rows) if rows is not None else f"{wording.UNKNOWN} rows"
        return f"mix {wording.data_name(self._mix.words, 40)} {total}"

    @on(LiveTable.Highlighted, "#data-table")
    def _moved(self) -> None:
        self._label_list()
        self.rest()

    def rest(self) -> None:
        """Open what the cursor rests on, and look through it a little later."""
        self._open_timer.stop()
        self._look_timer.stop()
        self._open_timer = self.set_timer(_OPEN_S, self.open_here)
        self._look_timer = self.set_timer(_LOOK_S, self.look_here)

    @on(FindBar.Changed, "#data-find")
    def _filter(self, message: FindBar.Changed) -> None:
        self.table.set_filter(message.text)
        self._label_list()
        self.rest()

    def action_filter(self) -> None:
        """Type part of a name."""
        self.query_one("#data-find", FindBar).open(self.table)

    # -- using --------------------------------------------------------------------------------------------------------

    @on(LiveTable.Chosen, "#data-table")
    def _chosen(self, message: LiveTable.Chosen) -> None:
        folder = folder_path(message.row.key)
        if folder is not None:
            self.list_folder(folder)
            return
        words = self.here
        if words is None:
            return
        if self._mix:
            if all(self._usable(part) for part in self._mix.weights):
                self._use(self._mix.words)
        elif self.draft.scans.to_fetch(words):
            self.fetch(words)
        elif self._usable(words):
            self._use(words)

    def _usable(self, words: str) -> bool:
        """Whether nothing speaks against a dataset so far; says what does."""
        look = self._looks.get(words)
        name = wording.data_name(words, 40)
        if isinstance(look, BackpropError):
            if look.code == SEVERAL_LISTS:
                self.choose_list(words, look)
            else:
                self.backprop.say(str(look), "bad")
            return False
        if look is not None and not isinstance(look, str) and look.verdict == "bad":
            self.backprop.say(f"{name} can't be trained on: {look.headline}.  The checks say more.", "bad")
            return False
        return True

    def _use(self, words: str) -> None:
        def work(cancelled: Cancelled) -> None:
            from backprop_tui.config.recent import remember

            remember("data", words)

        if words != DEMO:
            in_thread(self, work, lambda _: None, self.complain, group="data-remember")
        self._counted.clear()
        self.draft.use_data(words)
        self.backprop.action_go("tune")

    # -- mixing -------------------------------------------------------------------------------------------------------

    def _part_here(self) -> str | None:
        """What a tick under the cursor is about; says why there is nothing."""
        row = self.table.current
        folder = folder_path(row.key) if row is not None else None
        if folder is not None and self._folder is not None and folder != self._folder.parent:
            return str(folder)
        words = self.here
        if words is not None and not wording.is_mix(words):
            return words
        self.backprop.say(
            "Tick the datasets themselves." if words is not None else "Put the cursor on a dataset first."
        )
        return None

    def action_tick(self) -> None:
        """Tick the dataset under the cursor for the mixture, or take the tick away."""
        words = self._part_here()
        if words is not None:
            self._mix.toggle(words)
            self._mixed(words)

    def action_weigh(self, by: int) -> None:
        """Take the rows of the dataset under the cursor more or less often."""
        words = self._part_here()
        if words is not None:
            weight = self._mix.weigh(words, by)
            self.backprop.say(f"{wording.data_name(words, 40)} is taken {weight:g} times.")
            self._mixed(words)

    def _mixed(self, words: str) -> None:
        if words in self._mix.weights:
            self._looks.wait_also(words)
        self.show_list()
        self.show_context()
