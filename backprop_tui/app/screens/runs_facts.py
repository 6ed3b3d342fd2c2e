"""What is known of the run under the cursor, in sentences."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from backprop_tui.app import wording
from backprop_tui.app.widgets.lines import wrap
from backprop_tui.app.widgets.painted import Line, Painted
from backprop_tui.protocol.multi_words import summary_sentence
from backprop_tui.protocol.resume_words import lineage_words, resume_sentence
from backprop_tui.protocol.task_figures import said
from backprop_tui.protocol.text import safe_block, safe_text
from backprop_tui.store.entry import Entry
from backprop_tui.store.lineage import Parent
from backprop_tui.store.queue_rows import is_queued
from backprop_tui.store.retention import Shelf
from backprop_tui.store.summary import RunSummary

_LABEL = 12
_RESUMABLE = ("crashed", "failed", "stopped", "aborted")


class RunFacts(Painted):
    """Why it is in this state, what it measured, what was noted, where it lies."""

    DEFAULT_CSS = "RunFacts { height: 1fr; padding: 0 1; }"

    def __init__(self) -> None:
        super().__init__(id="run-facts")
        self.entry: Entry | None = None
        self.summary: RunSummary | None = None
        self.resume_step: int | None = None
        self.shelf: Shelf | None = None
        self.parent_run: Parent | None = None

    def show(
        self,
        entry: Entry | None,
        summary: RunSummary | None = None,
        resume_step: int | None = None,
        shelf: Shelf | None = None,
        parent: Parent | None = None,
    ) -> None:
        """Another run, or newer facts of the same. The summary comes later, from the disk."""
        if entry is None or self.entry is None or entry.id != self.entry.id or summary is not None:
            # From the disk as well: a worker that lost its host has saved without a word in the journal.
            self.summary, self.resume_step = summary, resume_step
            self.shelf, self.parent_run = shelf, parent
        self.entry = entry
        self.repaint()

    def paint(self, width: int, height: int) -> Sequence[Line]:
        """The sentences."""
        entry = self.entry
        if entry is None:
            return []
        lines: list[Line] = []

        def fact(name: str, words: str, role: str = "text") -> None:
            lines.append(((f"{name:<{_LABEL}}", "muted"), (safe_text(words, limit=400), role)))

        if entry.place is not None:
            fact("queue", f"number {entry.place}; K J move it, N starts it now, d takes it out")
        elif is_queued(entry.id) and entry.fault:
            fact("queue", "could not start; N tries again, d takes it out")
        self._problem(entry, fact)
        notes = [line for part in safe_block(entry.note, limit=2000).split("\n") for line in wrap(part, width - _LABEL)]
        for at, line in enumerate(notes[: max(1, height // 3)] if entry.note else ()):
            fact("" if at else "note", line)
        if entry.tags or entry.experiment:
            inside = f"   in {entry.experiment}" if entry.experiment else ""
            fact("tags", (" ".join(f"#{tag}" for tag in entry.tags) or "none") + inside)
        evaluated = f"{wording.loss(entry.eval_loss)}, best {wording.loss(entry.best)}"
        fact("eval loss", evaluated if entry.eval_loss is not None else "not measured yet")
        if entry.exact_match is not None:
            fact("exact match", wording.percent(entry.exact_match))
        view = self.summary.view if self.summary is not None else None
        if view is not None and view.eval_figures:
            fact("held out", "   ".join(said(view.eval_figures, 3)))
        if view is not None and view.multi.get("rows"):
            fact("multi-run", summary_sentence(view.multi))
        if view is not None and view.resumed and view.resumed.get("kind") != "warm":
            fact("resumed", resume_sentence(view.resumed))
        if self.parent_run is not None:
            fact("fork of", lineage_words(self.parent_run.to_dict()))
        if self.shelf is not None:
            saved = ", ".join(self._saved(info.step) for info in self.shelf.infos[-6:])
            fact("checkpoints", f"steps {saved}" if saved else "none yet")
        fact("data", entry.data or wording.UNKNOWN)
        if self.summary is not None:
            fact("folder", str(self.summary.run.path))
        return lines[:height]

    def _saved(self, step: int) -> str:
        pinned = self.shelf is not None and step in (self.shelf.pinned or ())
        return f"{step:,} (pinned)" if pinned else f"{step:,}"

    def _problem(self, entry: Entry, say: Callable[..., None]) -> None:
        view = self.summary.view if self.summary is not None else None
        if view is not None and view.fault:
            say("problem", f"{view.fault.get('cause', '')} ({view.fault.get('code', '')})", "bad")
            if view.fault.get("next"):
                say("next", str(view.fault["next"]))
        elif entry.fault:
            say("problem", entry.fault, "bad")
        elif entry.state.value == "crashed":
            rebooted = self.summary is not None and self.summary.rebooted
            how = "The machine went down while it ran." if rebooted else "Its engine is gone without saying goodbye."
            say("problem", how, "bad")
        elif view is not None and view.reason:
            say("state", view.reason)
        if self.summary is not None and entry.state.value in _RESUMABLE:
            where = f"from step {self.resume_step:,}" if self.resume_step is not None else "from the start"
            say("resume", f"r continues {where}")
