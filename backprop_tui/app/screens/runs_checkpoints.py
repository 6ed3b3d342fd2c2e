"""The checkpoints of one run on the Runs screen: pin or unpin one, go on from one, fork a run from one."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen

from backprop_tui.app import wording
from backprop_tui.app.actions import bindings
from backprop_tui.app.jobs import Cancelled, in_thread
from backprop_tui.app.keymap import runs as keys
from backprop_tui.app.screens.runs_notes import RunsNotes
from backprop_tui.app.widgets.modal import Choice, ChoiceList, PromptModal
from backprop_tui.protocol.errors import BackpropError, UsageError
from backprop_tui.protocol.text import safe_text
from backprop_tui.store import pins, retention
from backprop_tui.store.entry import Entry
from backprop_tui.store.layout import RunDir
from backprop_tui.store.retention import Shelf
from backprop_tui.store.summary import load_summary

#: What was asked for, and the step of the checkpoint.
Asked = tuple[str, int]


class CheckpointList(ChoiceList):
    """One line a checkpoint; Enter and a click only move the bar."""

    def action_choose(self) -> None:
        """What is to be done is said by a key."""

    def on_click(self, event: Any) -> None:
        """Move the bar there."""
        if 0 <= event.y < len(self.choices):
            self.action_move(event.y - self.selected)


class CheckpointsModal(ModalScreen[Asked | None]):
    """The list. The result is what a key asked for, or None for Esc.

    Args:
        title: the run's name.
        shelf: its checkpoints, newest shown first.
        selected: the step the bar is on at first.
    """

    DEFAULT_CSS = """
    CheckpointsModal {
        align: center middle; background: $background 60%;
        & > #box {
            width: 78; max-width: 95%; height: auto; max-height: 90%; padding: 0 1;
            background: $surface; border: round $primary; border-title-color: $foreground; border-title-style: bold;
        }
        & ChoiceList { height: auto; max-height: 24; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        *bindings(keys.CHECKPOINTS),
        Binding("escape,q", "cancel", "Back", show=False),
    ]
    AUTO_FOCUS = "#choices"

    def __init__(self, title: str, shelf: Shelf, selected: int | None = None) -> None:
        super().__init__()
        self._title = title
        self._shelf = shelf
        self._steps = [info.step for info in reversed(shelf.infos)]
        self._at = self._steps.index(selected) if selected in self._steps else 0

    def compose(self) -> ComposeResult:
        """Steps in a frame."""
        with Vertical(id="box") as box:
            box.border_title = Content(f"checkpoints of {self._title}")
            box.border_subtitle = Content("p pin · r resume · f fork · Esc back")
            yield CheckpointList([Choice(str(step), self._line(step)) for step in self._steps], self._at)

    @property
    def step(self) -> int:
        """The step under the bar."""
        return self._steps[self.query_one(CheckpointList).selected]

    def action_pin(self) -> None:
        """Pin it, or let it go."""
        self.dismiss(("pin", self.step))

    def action_resume_here(self) -> None:
        """Go on from it."""
        self.dismiss(("resume", self.step))

    def action_fork(self) -> None:
        """A run of its own."""
        self.dismiss(("fork", self.step))

    def action_cancel(self) -> None:
        """Nothing."""
        self.dismiss(None)

    def _line(self, step: int) -> str:
        info = next(info for info in self._shelf.infos if info.step == step)
        marks = ", ".join(retention.words_of(step, self._shelf))
        problem = safe_text(info.problem, limit=60) if info.problem else ""
        return f"step {step:<9,} {wording.size(info.bytes):>9}  {marks or problem}"


class RunsCheckpoints(RunsNotes):
    """Adds the list of checkpoints to the Runs screen."""

    def action_checkpoints(self) -> None:
        """Read the checkpoints of the run under the cursor, then show them."""
        entry = self.needed()
        if entry is not None:
            self._list(entry, None)

    def _list(self, entry: Entry, selected: int | None) -> None:
        run = self.index.run(entry.id)

        def work(cancelled: Cancelled) -> Shelf:
            return retention.look_at(load_summary(run))

        in_thread(
            self,
            work,
            lambda shelf: self._show_shelf(entry, shelf, selected),
            self.complain,
            group="runs-checkpoints",
        )

    def _show_shelf(self, entry: Entry, shelf: Shelf, selected: int | None) -> None:
        title = safe_text(entry.title, limit=40)
        if not shelf.infos:
            self.backprop.say(f"{title} has no checkpoint yet.", "warn")
            return

        def answered(asked: Asked | None) -> None:
            if asked is None:
                return
            what, step = asked
            if what == "pin":
                self._pin(entry, step, pinned=step in (shelf.pinned or ()))
            elif what == "fork":
                self._ask_fork(entry, step)
            else:
                self._resume_here(entry, step, newest=step == shelf.newest)

        self.app.push_screen(CheckpointsModal(title, shelf, selected), answered)

    def _pin(self, entry: Entry, step: int, *, pinned: bool) -> None:
        run = self.index.run(entry.id)

        def work(cancelled: Cancelled) -> None:
            (pins.unpin if pinned else pins.pin)(run, step)

        def done(_: None) -> None:
            words = "is one among the others again" if pinned else "stays until you unpin it"
            self.backprop.say(f"The checkpoint of step {step:,} {words}.", "good")
            self._list(entry, step)
            self.look()

        in_thread(self, work, done, self.complain, group="runs-pin")

    def _resume_here(self, entry: Entry, step: int, *, newest: bool) -> None:
        if newest and entry.state.value != "completed":
            self.action_resume()
            return
        # Going on from an earlier step in the same run would leave two futures in one journal.
        self.backprop.say(f"Going on from step {step:,} as a run of its own.")
        self._fork(entry, step, [], keep_optimizer=True)

    def _ask_fork(self, entry: Entry, step: int) -> None:
        def check(text: str) -> str | None:
            try:
                _assignments(text)
            except BackpropError as error:
                return f"{error.cause} {error.next_step}"
            return None

        def answered(text: str | None) -> None:
            if text is not None:
                self._fork(entry, step, shlex.split(text), keep_optimizer=False)

        title = safe_text(entry.title, limit=40)
        body = Content(
            "Settings to change, as KEY=VALUE between blanks; all others are the parent's. Empty changes nothing."
        )
        self.app.push_screen(
            PromptModal(Content(f"Fork {title} at step {step:,}"), body, placeholder="lr=1e-4 steps=200", check=check),
            answered,
        )

    def _fork(self, entry: Entry, step: int, words: Sequence[str], *, keep_optimizer: bool) -> None:
        parent = self.index.run(entry.id)

        def work(cancelled: Cancelled) -> RunDir:
            from backprop_tui.launch.fork import fork_run

            return fork_run(parent, step=step, changes=_pairs(words), keep_optimizer=keep_optimizer)

        in_thread(self, work, self.backprop.open_run, self.complain, group="runs-fork")


def _assignments(text: str) -> dict[str, str]:
    """What was typed, checked as far as names go.

    Raises:
        UsageError: unbalanced quotes, no `=`, or an unknown setting.
    """
    from backprop_tui.protocol.fields import find_setting

    try:
        words = shlex.split(text)
    except ValueError:
        raise UsageError("USAGE", "A quote is not closed.", "Write lr=1e-4 steps=200.") from None
    pairs = _pairs(words)
    for name in pairs:
        find_setting(name)
    return pairs


def _pairs(words: Sequence[str]) -> dict[str, str]:
    pairs = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals:
            raise UsageError("USAGE", f"{safe_text(word, limit=40)!r} has no =.", "Write lr=1e-4 steps=200.")
        pairs[name] = value
    return pairs
