"""Opening datasets on the Data screen: a typed path or pattern, a folder as one set, a dataset of the Hugging Face hub."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from textual.content import Content

from backprop_tui.app.draft_presets import DEMO
from backprop_tui.app.jobs import Cancelled, in_thread
from backprop_tui.app.screens.data_tools import ToolSide
from backprop_tui.app.screens.data_words import data_key, folder_path, home_words
from backprop_tui.app.widgets.findbar import FindBar
from backprop_tui.app.widgets.modal import PromptModal
from backprop_tui.protocol.errors import BackpropError
from backprop_tui.protocol.text import safe_text

if TYPE_CHECKING:
    from backprop_tui.data.finding.browse import Folder
    from backprop_tui.data.finding.places import DataSet

#: Datasets named by hand that the list remembers.
_NAMED = 12


class OpenSide(ToolSide):
    """Asks what to open and brings it into the list."""

    def __init__(self) -> None:
        super().__init__()
        self._folder: Folder | None = None
        self._named: list[str] = []

    def list_folder(self, folder: Path, select: str | None = None) -> None:
        """List a folder, and put the cursor on a dataset in it."""
        raise NotImplementedError

    def rest(self) -> None:
        """The cursor may rest on another dataset: open it soon."""
        raise NotImplementedError

    def action_up(self) -> None:
        """The folder above."""
        if self._folder is not None and self._folder.parent is not None:
            self.list_folder(self._folder.parent)
        else:
            self.backprop.say("There is no folder above.")

    def action_folder(self) -> None:
        """Take all files of the folder under the cursor, or of the one listed, as one dataset."""
        row = self.table.current
        folder = folder_path(row.key) if row is not None else None
        if self._folder is not None and (folder is None or folder == self._folder.parent):
            folder = self._folder.path
        if folder is not None:
            self.add_to_list(str(folder))

    def add_to_list(self, words: str) -> None:
        """Put a dataset that was named by hand into the list, and the cursor on it."""
        self.name_it(words)
        self.query_one("#data-find", FindBar).clear()
        self.table.set_filter("")
        self._looks.forget(words)
        self.show_list()
        self.table.select(data_key(words))
        self.rest()

    def action_open(self) -> None:
        """Type a path, a pattern, or several joined by +."""

        def check(text: str) -> str | None:
            if not text:
                return "Type a path, or press Esc."
            place = os.path.expanduser(text)
            if os.path.exists(place) or any(sign in text for sign in "*?[#+") or self.draft.scans.to_fetch(text):
                return None
            return "There is no file or folder of that name."

        def answered(text: str | None) -> None:
            if text is None:
                return
            place = Path(os.path.abspath(os.path.expanduser(text)))
            if place.is_dir():
                self.list_folder(place)
            elif place.exists():
                self.list_folder(place.parent, str(place))
            elif self.draft.scans.to_fetch(text):
                self.fetch(text)
            else:
                self.add_to_list(absolute_words(text))

        here = f"{home_words(self._folder.path)}/" if self._folder else "~/"
        body = Content(
            "A data file or a folder, a pattern such as data/**/*.jsonl, file.json#field, several as a.jsonl + 2x b.jsonl, "
            "or a dataset of the Hugging Face hub (h)."
        )
        self.app.push_screen(PromptModal(Content("Open"), body, value=here.replace("//", "/"), check=check), answered)

    def action_hub(self) -> None:
        """Type the id of a dataset of the Hugging Face hub."""

        def check(text: str) -> str | None:
            from backprop_tui.data.finding import hub

            try:
                return None if hub.parse(text) is not None else "Write org/name, or hf://datasets/org/name/path."
            except BackpropError as error:
                return f"{error.cause} {error.next_step}"

        def answered(text: str | None) -> None:
            if text is not None:
                self.fetch(text)

        body = Content(
            "org/name, org/name@revision, or hf://datasets/org/name/path. It is downloaded to the hub's cache."
        )
        placeholder = "HuggingFaceH4/ultrachat_200k"
        self.app.push_screen(PromptModal(Content("Hugging Face"), body, placeholder=placeholder, check=check), answered)

    def fetch(self, words: str) -> None:
        """Download a dataset of the hub in a thread, file by file, and put it into the list."""
        name = safe_text(words, limit=60)

        def work(cancelled: Cancelled) -> DataSet:
            def on_file(file: str, done: int, total: int) -> None:
                if cancelled():
                    raise InterruptedError
                self.call_later(self.backprop.say, f"Fetching {name}: {file} ({done + 1:,} of {total:,}).  Esc stops.")

            return self.draft.scans.resolve(words, again=True, on_file=on_file)

        def done(data: DataSet) -> None:
            self.backprop.say(
                f"{name} is here: {len(data.files):,} {'file' if len(data.files) == 1 else 'files'}.", "good"
            )
            self.add_to_list(words)

        self.backprop.say(f"Asking the hub for {name}…")
        self._job = in_thread(self, work, done, self.complain, group="data-fetch")

    def name_it(self, words: str) -> None:
        """List a dataset that was named by hand, the newest first."""
        self._named = [words, *(other for other in self._named if other != words)][:_NAMED]


def absolute_words(text: str) -> str:
    """Words as typed with their paths made absolute, so that they mean the same wherever the run is started."""
    parts = []
    for part in text.split(" + "):
        head, cross, place = part.strip().partition("x ")
        weight = f"{head}x " if cross and head.replace(".", "", 1).isdecimal() else ""
        place = place.strip() if weight else part.strip()
        if place == DEMO or place.startswith(("hf://", "https://", "/")):
            parts.append(f"{weight}{place}")
            continue
        given = os.path.abspath(os.path.expanduser(place))
        exists = os.path.lexists(given.partition("#")[0]) or any(sign in place for sign in "*?[")
        parts.append(f"{weight}{given if exists or place.startswith('~') else place}")
    return " + ".join(parts)
