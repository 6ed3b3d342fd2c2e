"""What is noted of runs on the Runs screen: tags, a note, another name, an experiment, whether they are archived."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from textual.content import Content

from backprop_tui.app.jobs import Cancelled, in_thread
from backprop_tui.app.screens.runs_acts import RunsActs
from backprop_tui.app.widgets.modal import PromptModal
from backprop_tui.protocol.errors import UsageError
from backprop_tui.protocol.text import safe_text
from backprop_tui.store.entry import Entry
from backprop_tui.store.notes import Notes, change_notes

Change = Callable[[Notes], Notes]


class RunsNotes(RunsActs):
    """Adds to the Runs screen what people note. `targets` are the ticked runs, else the one under the cursor."""

    def targets(self) -> list[Entry]:
        """Runs an action is meant for."""
        raise NotImplementedError

    def action_tags(self) -> None:
        """Change the tags of one run, or add to those of several."""
        runs = self._meant()
        if not runs:
            return
        if len(runs) == 1:
            help_words = "Words between blanks: all the tags the run shall have."
            value = " ".join(runs[0].tags)
        else:
            help_words, value = "Words are added to each of them; -word takes one off.", ""

        def made(text: str) -> Change:
            words = text.split()
            if len(runs) == 1:
                return lambda notes: replace(notes, tags=()).tagged(words)
            off = [word[1:] for word in words if word.startswith("-")]
            return lambda notes: notes.untagged(off).tagged(word for word in words if not word.startswith("-"))

        self._ask("Tags", runs, help_words, value, made, "Tagged", "good paper")

    def action_note(self) -> None:
        r"""Write the note; a line break is typed as \n."""
        entry = self.needed()
        if entry is None:
            return
        self._ask(
            "Note", [entry], "Anything worth remembering. \\n begins a new line.", _typed(entry.note),
            lambda text: lambda notes: notes.noting(_meant_note(text)), "Noted", "what was tried, and why",
        )  # fmt: skip

    def action_rename(self) -> None:
        """Call the run otherwise."""
        entry = self.needed()
        if entry is None:
            return
        self._ask(
            "Name", [entry], "What lists call the run. An empty line goes back to the name it started with.",
            entry.title, lambda text: lambda notes: notes.named(text), "Renamed", "",
        )  # fmt: skip

    def action_experiment(self) -> None:
        """Put runs into a group."""
        runs = self._meant()
        if not runs:
            return
        same = {entry.experiment for entry in runs}
        self._ask(
            "Experiment", runs, "Runs of one experiment stand under its heading; z groups. An empty line takes them out.",
            same.pop() if len(same) == 1 else "", lambda text: lambda notes: notes.within(text), "Grouped", "lr sweep",
        )  # fmt: skip

    def action_archive(self) -> None:
        """Leave runs out of the list, or list them again when all of them are archived."""
        runs = self._meant()
        if not runs:
            return
        archived = not all(entry.archived for entry in runs)
        hint = "  A shows archived runs." if archived else ""
        self._change(runs, lambda notes: replace(notes, archived=archived), "Archived" if archived else "Listed", hint)

    def _meant(self) -> list[Entry]:
        runs = self.targets()
        if not runs:
            self.needed()
        return runs

    def _ask(
        self, title: str, runs: list[Entry], help_words: str, value: str, made: Callable[[str], Change], done: str,
        placeholder: str,
    ) -> None:  # fmt: skip
        about = safe_text(runs[0].title, limit=60) if len(runs) == 1 else f"{len(runs)} ticked runs"

        def check(text: str) -> str | None:
            try:
                made(text)(Notes())
            except UsageError as error:
                return f"{error.cause} {error.next_step}"
            return None

        def answered(text: str | None) -> None:
            if text is not None:
                self._change(runs, made(text), done)

        modal = PromptModal(
            Content(f"{title} of {about}"), Content(help_words), value=value, placeholder=placeholder, check=check
        )
        self.app.push_screen(modal, answered)

    def _change(self, runs: list[Entry], change: Change, done: str, hint: str = "") -> None:
        places = [self.index.run(entry.id) for entry in runs]

        def work(cancelled: Cancelled) -> None:
            for run in places:
                change_notes(run, change)

        def said(_: None) -> None:
            what = safe_text(runs[0].title, limit=60) if len(runs) == 1 else f"{len(runs)} runs"
            self.backprop.say(f"{done} {what}.{hint}", "good")
            self.look()

        in_thread(self, work, said, self.complain, group=f"runs-notes-{runs[0].id}")


def _typed(note: str) -> str:
    r"""A note as one line: line breaks as \n, a backslash doubled."""
    return note.replace("\\", "\\\\").replace("\n", "\\n")


def _meant_note(text: str) -> str:
    parts = text.split("\\\\")
    return "\\".join(part.replace("\\n", "\n") for part in parts)
