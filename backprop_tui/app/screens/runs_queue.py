"""The queue on the Runs screen: what waits stands before the runs, in its order, and is moved, started or taken out there."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from textual.content import Content

from backprop_tui.app.actions import Action
from backprop_tui.app.jobs import Cancelled, in_thread
from backprop_tui.app.screens.runs_checkpoints import RunsCheckpoints
from backprop_tui.app.widgets.footer import Footer
from backprop_tui.app.widgets.modal import Choice, ConfirmModal
from backprop_tui.protocol.text import safe_text
from backprop_tui.store.entry import Entry
from backprop_tui.store.filter import Filter
from backprop_tui.store.queue import Queue
from backprop_tui.store.queue_rows import is_queued, queue_rows

#: Keys that move or start what waits, and keys that say something to a run, for which what waits has no ear.
_OF_QUEUED = frozenset({"runs.queue_up", "runs.queue_down", "runs.queue_first", "runs.queue_now"})
_OF_RUNS = frozenset(
    f"runs.{verb}"
    for verb in (
        "open", "tick", "compare", "resume", "checkpoints", "replay", "tags", "note", "rename", "experiment", "archive",
    )
)  # fmt: skip


class RunsQueue(RunsCheckpoints):
    """Adds the queue. What an entry can't be asked for before it is a run is refused in `needed` and `targets`."""

    _rows: Sequence[Entry] = ()
    _held: str | None = None
    _asked = 0
    _on_queued = False

    def read_queue(self) -> None:
        """Read what waits, and bring back a runner that was lost; called in a thread."""
        queue = Queue()
        if not queue.root.exists():
            self._rows, self._held = (), None
            return
        from backprop_tui.launch.queueing import look_after

        look_after(queue)
        self._rows, self._held = queue_rows(), queue.held()

    def offers(self, action: Action) -> bool:
        """The queue's keys on what waits, those of runs on runs."""
        entry = self.selected()
        other = _OF_RUNS if entry is not None and is_queued(entry.id) else _OF_QUEUED
        return super().offers(action) and action.id not in other

    def hint(self, action: Action) -> str:
        """The footer's word: the same key deletes a run and takes what only waits out of the queue."""
        entry = self.selected()
        waits = entry is not None and is_queued(entry.id)
        return "Take out…" if action.id == "runs.delete" and waits else action.hint

    def show_keys(self) -> None:
        """The footer names other keys where the cursor came from a run to what waits, or went back."""
        entry = self.selected()
        here = entry is not None and is_queued(entry.id)
        if here != self._on_queued:
            self._on_queued = here
            self.query_one(Footer).repaint()

    def queued(self, wanted: Filter) -> list[Entry]:
        """What waits and fits the filter, in the queue's order."""
        return [row for row in self._rows if wanted.matches(row)]

    def queue_facts(self) -> list[str]:
        """How many wait, for the frame of the list."""
        waiting = sum(row.place is not None for row in self._rows)
        facts = [f"{waiting:,} queued"] if waiting else []
        return [*facts, "queue held"] if self._held is not None else facts

    def needed(self) -> Entry | None:
        """The run under the cursor; says what to do when there is none, or when it only waits to be one."""
        entry = super().needed()
        if entry is not None and is_queued(entry.id):
            title = safe_text(entry.title, limit=60)
            how = "waits in the queue" if entry.place is not None else "has not begun"
            self.backprop.say(f"{title} {how}.  K J move it, N starts it now, d takes it out.", "warn")
            return None
        return entry

    def action_queue_move(self, where: str) -> None:
        """Earlier or later."""
        entry = self._waiting()
        if entry is None:
            return
        title = safe_text(entry.title, limit=60)
        self._change_queue(
            lambda: Queue().move(entry.id, where), lambda place: self.backprop.say(f"{title} is number {place} now.")
        )

    def action_queue_now(self) -> None:
        """Begin beside whatever runs."""
        entry = self._waiting()
        if entry is None:
            return

        def work() -> int:
            from backprop_tui.launch.queueing import ensure_runner

            queue = Queue()
            queue.hasten(entry.id)
            ensure_runner(queue)
            return 0

        title = safe_text(entry.title, limit=60)
        self._change_queue(work, lambda _: self.backprop.say(f"{title} begins now.", "good"))

    def action_queue_hold(self) -> None:
        """Begin nothing more, or go on."""

        def work() -> int:
            from backprop_tui.launch.queueing import ensure_runner

            queue = Queue()
            if queue.held() is None:
                queue.hold("It was stopped by hand.")
                return 1
            queue.let_go()
            ensure_runner(queue)
            return 0

        def said(held: int) -> None:
            words = "The queue is held: nothing more begins; H lets it go." if held else "The queue goes on."
            self.backprop.say(words, "warn" if held else "good")

        self._change_queue(work, said)

    def action_delete(self) -> None:
        """Take what waits out of the queue; delete what is a run."""
        entry = self.selected()
        if entry is None or not is_queued(entry.id):
            super().action_delete()
            return
        title = safe_text(entry.title, limit=60)

        def answered(answer: str | None) -> None:
            if answer == "remove":
                self._change_queue(
                    lambda: bool(Queue().remove(entry.id)),
                    lambda _: self.backprop.say(f"{title} is out of the queue.", "good"),
                )

        body = Content("It has not begun: nothing but its settings is lost.")
        choices = [Choice("remove", "Take it out", "d", danger=True)]
        self.app.push_screen(
            ConfirmModal(Content(f"Take {title} out of the queue"), body, choices, cancel="Keep it"), answered
        )

    def _waiting(self) -> Entry | None:
        entry = self.selected()
        if entry is None or not is_queued(entry.id):
            self.backprop.say("That is no queued run.  `train --queue` puts one in; they stand above the runs.", "warn")
            return None
        return entry

    def _change_queue(self, work: Callable[[], int], said: Callable[[int], None]) -> None:
        def done(answer: int) -> None:
            said(answer)
            self.look()

        def inside(cancelled: Cancelled) -> int:
            return work()

        # A group of its own: a second key pressed at once must not take the first one's place.
        self._asked += 1
        in_thread(self, inside, done, self.complain, group=f"runs-queue-{self._asked}")
