"""Answers to held-out questions, evaluation by evaluation: the reference, the base model's and the tuned model's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from textual import events
from textual.binding import BindingType

from backprop_tui.app.actions import bindings
from backprop_tui.app.context import glyphs_of
from backprop_tui.app.jobs import Cancelled, in_thread
from backprop_tui.app.keymap import log as keymap
from backprop_tui.app.keymap import moves
from backprop_tui.app.run_model import RunModel
from backprop_tui.app.widgets.lines import moves_away
from backprop_tui.app.widgets.painted import Line, Painted, Piece
from backprop_tui.app.widgets.panel import Panel
from backprop_tui.app.widgets.samples_text import SIDE_BY_SIDE, answer_lines
from backprop_tui.store.layout import RunDir
from backprop_tui.store.samples import Answer, SampleBook


@dataclass(frozen=True, slots=True)
class Page:
    """One evaluation: its place among `count`, where in the run it was, what was answered."""

    which: int
    count: int
    step: int
    answers: tuple[Answer, ...]


class Samples(Painted, can_focus=True):
    """One evaluation at a time, the newest unless another was chosen; arrows scroll."""

    DEFAULT_CSS = "Samples { height: 1fr; }"
    BINDINGS: ClassVar[list[BindingType]] = [*bindings(moves.LINES), *bindings(keymap.SAMPLES)]

    def __init__(self) -> None:
        super().__init__()
        #: The chosen evaluation; None is the newest.
        self.chosen: int | None = None
        self.wrapping = True
        self.stacked = False
        self._book: SampleBook | None = None
        self._page: Page | None = None
        self._top = 0
        self._fetching = self._again = False
        self._laid: tuple[object, list[Line]] = (None, [])

    def open(self, run: RunDir) -> None:
        """Show another run's."""
        self.workers.cancel_node(self)
        self._book, self._page, self.chosen, self._top = SampleBook(run.journal_file), None, None, 0
        self._fetching = self._again = False
        self.refresh_page()

    def show(self, model: RunModel) -> None:
        """Bring it up to date."""
        self.refresh_page()

    def refresh_page(self) -> None:
        """Look for more answers and read the chosen ones, in a thread; only while somebody looks."""
        book = self._book
        if book is None or not self.is_mounted or not self.content_size:
            return
        if self._fetching:
            self._again = True
            return
        self._fetching, self._again = True, False
        wanted = self.chosen

        def read(cancelled: Cancelled) -> tuple[SampleBook, Page | None]:
            book.extend(cancelled)
            count = len(book.evaluations)
            if not count:
                return book, None
            which = count - 1 if wanted is None else max(0, min(wanted, count - 1))
            return book, Page(which, count, book.evaluations[which].step, tuple(book.answers(which)))

        in_thread(self, read, self._take, lambda _: self._missed(), group="samples")

    def _take(self, found: tuple[SampleBook, Page | None]) -> None:
        book, page = found
        if book is not self._book:
            return
        self._fetching = False
        if page is not None and self._page is not None and page.which != self._page.which:
            self._top = 0
        self._page = page
        self._label()
        self.repaint()
        if self._again:
            self.refresh_page()

    def _missed(self) -> None:
        self._fetching = False

    def paint(self, width: int, height: int) -> Sequence[Line]:
        """The lines in view."""
        if self._page is None:
            return [((" No samples yet. They are taken at each evaluation; e evaluates now.", "muted"),)]
        lines = self._all_lines(width)
        self._top = max(0, min(self._top, len(lines) - height))
        return lines[self._top : self._top + height]

    def _all_lines(self, width: int) -> list[Line]:
        page = self._page
        beside = width >= SIDE_BY_SIDE and not self.stacked
        key = (page, width, self.wrapping, beside, glyphs_of(self))
        if self._laid[0] != key:
            answers = page.answers if page is not None else ()
            self._laid = (key, answer_lines(answers, width, glyphs_of(self), wrap=self.wrapping, beside=beside))
        return self._laid[1]

    def _label(self) -> None:
        panel = self.parent
        if not isinstance(panel, Panel) or self._page is None:
            return
        asked = [answer for answer in self._page.answers if answer.tuned is not None]
        facts: list[Piece] = []
        if asked:
            right = sum(answer.tuned_match for answer in asked)
            facts.append((f"tuned {right} of {len(asked)} exact   ", "muted"))
        where = f"evaluation {self._page.which + 1} of {self._page.count}, step {self._page.step:,}   "
        facts.append((where, "muted" if self.chosen is None else "warn"))
        facts.append(("b back to the log", "muted"))
        panel.label(facts=facts)

    # -- keys ---------------------------------------------------------------------------------------------------------

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """The letter for the first line gives way to the room's own meaning of it."""
        return action != "top_letter" or not moves_away(self, moves.TOP)

    def action_evaluation(self, by: int) -> None:
        """Another evaluation; the last one is followed."""
        if self._page is None:
            return
        wanted = max(0, self._page.which + by)
        self.chosen = None if wanted >= self._page.count - 1 else wanted
        self.refresh_page()

    def action_newest(self) -> None:
        """Follow the newest."""
        self.chosen = None
        self.refresh_page()

    def action_wrap(self) -> None:
        """Wrap or cut."""
        self.wrapping = not self.wrapping
        self.repaint()

    def action_columns(self) -> None:
        """Side by side or stacked."""
        self.stacked = not self.stacked
        self.repaint()

    def action_move(self, by: int) -> None:
        """Scroll by lines."""
        self._top = max(0, self._top + by)
        self.repaint()

    def action_page(self, by: int) -> None:
        """Scroll by views."""
        self.action_move(by * max(1, self.content_size.height - 1))

    def action_edge(self, direction: int) -> None:
        """The first line or the last."""
        self.action_move(direction * 1_000_000)

    def action_top_letter(self) -> None:
        """The first line."""
        self.action_edge(-1)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        """The wheel scrolls."""
        event.stop()
        self.action_move(-3)

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        """The wheel scrolls."""
        event.stop()
        self.action_move(3)

    def on_resize(self, event: events.Resize) -> None:
        """It may have come into view."""
        self.refresh_page()
