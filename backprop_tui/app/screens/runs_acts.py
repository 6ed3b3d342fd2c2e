"""What is done to a run of the list: resumed, deleted."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from textual.content import Content

from backprop_tui.app import wording
from backprop_tui.app.jobs import Cancelled, in_thread
from backprop_tui.app.screens.room import Room
from backprop_tui.app.widgets.modal import Choice, ConfirmModal
from backprop_tui.protocol.text import safe_text
from backprop_tui.store.entry import Entry
from backprop_tui.store.layout import RunDir

if TYPE_CHECKING:
    from backprop_tui.store.index import RunIndex


class RunsActs(Room):
    """Base of the Runs screen: `selected` is the run under the cursor, `look` reads the runs anew."""

    index: RunIndex

    def selected(self) -> Entry | None:
        """The run under the cursor."""
        raise NotImplementedError

    def look(self) -> None:
        """Read the runs in a thread."""
        raise NotImplementedError

    def needed(self) -> Entry | None:
        """The run under the cursor; says what to do when there is none."""
        entry = self.selected()
        if entry is None:
            self.backprop.say("There is no run to act on.  Pick data with 1, then press g in Tune.", "warn")
        return entry

    def action_resume(self) -> None:
        """Go on with the run under the cursor."""
        entry = self.needed()
        if entry is None:
            return
        title = safe_text(entry.title, limit=80)
        if entry.state.live:
            self.backprop.say(f"{title} is {entry.state.value}; nothing to resume.  Enter opens it.", "warn")
            return
        if entry.state.value == "completed":
            self.backprop.say(f"{title} is complete; there is nothing left to train.", "warn")
            return
        run = self.index.run(entry.id)

        def work(cancelled: Cancelled) -> RunDir:
            from backprop_tui.launch.start import resume_run

            return resume_run(run)

        self.backprop.say(f"Resuming {title}.")
        in_thread(self, work, self.backprop.open_run, self.complain, group="runs-resume")

    def action_replay(self) -> None:
        """Play the run under the cursor again from its beginning."""
        entry = self.needed()
        if entry is not None:
            self.backprop.replay(self.index.run(entry.id))

    def action_delete(self) -> None:
        """Ask, naming the folder and its size, then delete."""
        entry = self.needed()
        if entry is None:
            return
        if entry.state.live:
            title = safe_text(entry.title, limit=80)
            self.backprop.say(f"{title} is {entry.state.value}.  Stop it first: Enter, then x.", "warn")
            return
        place = str(self.index.run(entry.id).path)
        in_thread(
            self,
            lambda cancelled: folder_size(place, cancelled),
            lambda found: self._ask_delete(entry, found),
            self.complain,
            group="runs-size",
        )

    def _ask_delete(self, entry: Entry, found: int) -> None:
        title, run = safe_text(entry.title, limit=80), self.index.run(entry.id)
        body = Content("\n").join(
            [
                Content.assemble(("This folder and everything in it goes, for good:", "")),
                Content(safe_text(run.path)),
                Content(""),
                Content(f"{wording.size(found)}, {entry.checkpoints} checkpoints, log, curves and notes."),
            ]
        )

        def answered(answer: str | None) -> None:
            if answer == "delete":
                in_thread(self, work, lambda _: self._deleted(title), self.complain, group="runs-delete")

        def work(cancelled: Cancelled) -> None:
            from backprop_tui.store.remove import delete_run

            delete_run(run)

        choices = [Choice("delete", "Delete this run", "d", danger=True)]
        self.app.push_screen(ConfirmModal(Content(f"Delete {title}"), body, choices, cancel="Keep it"), answered)

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
