"""The log of a run as it is shown: newest at the bottom while following, any line while not; only changed cells are sent.

Lines are fetched from the files in a thread, a few views of them at a time; a key never waits for a disk.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from textual.message import Message

from backprop_tui.app.context import glyphs_of
from backprop_tui.app.jobs import Cancelled, in_thread
from backprop_tui.app.log_feed import Choice, LogFeed, Window
from backprop_tui.app.run_model import RunModel
from backprop_tui.app.widgets.log_paint import TIMES, Manner, paint_row, paint_unfinished
from backprop_tui.app.widgets.painted import Line, Painted, Piece
from backprop_tui.app.widgets.panel import Panel
from backprop_tui.store.layout import RunDir
from backprop_tui.store.log_lines import SOURCES, LogRow

#: What `o` goes through.
SOURCE_CHOICES: tuple[tuple[str, frozenset[str]], ...] = (
    ("events", frozenset({"journal"})),
    ("all", frozenset(SOURCES)),
    ("worker", frozenset({"worker"})),
    ("host", frozenset({"host"})),
)
#: Seconds between two words about how far something has come.
_TELL_EVERY = 0.4


class LogBase(Painted, can_focus=True):
    """Fetching, showing and following; `LogMoves` adds moving, `LogFind` searching, `LogView` the rest of the keys.

    Attributes:
        follow: whether the newest line stays in view. cursor: number of the chosen line while not following.
        range_from: where a range begins, None without one.
    """

    DEFAULT_CSS = "LogBase { height: 1fr; }"

    @dataclass
    class ToChart(Message):
        """Somebody wants to see a step on the chart."""

        step: int

    def __init__(self) -> None:
        super().__init__()
        self.follow = True
        self.cursor = self._top = 0
        self.range_from: int | None = None
        self.level, self.source, self.wrap, self.times = "info", "events", False, TIMES[0]
        self._feed: LogFeed | None = None
        self._model: RunModel | None = None
        self._window: Window | None = None
        self._whole = False
        self._fetching = self._again = False
        self._walking = False
        self._waiting: list[Callable[[], object]] = []
        self._seen = 0

    # -- what is shown ------------------------------------------------------------------------------------------------

    def open(self, run: RunDir) -> None:
        """Show the log of a run from its newest line on."""
        self.workers.cancel_node(self)
        self._feed, self._window = LogFeed(run), None
        self._whole = self._fetching = self._again = self._walking = False
        self._waiting.clear()
        self.follow, self.cursor, self._top, self.range_from = True, 0, 0, None
        self.refresh_lines()

    def show(self, model: RunModel, *, upto: int | None = None) -> None:
        """Bring it up to date, as often as the screen asks; `upto` hides what came after that event, for a replay."""
        self._model = model
        if self._feed is not None:
            self._feed.limit = upto
            self.refresh_lines()

    @property
    def choice(self) -> Choice:
        """Which lines are wanted."""
        return Choice(self.level, dict(SOURCE_CHOICES)[self.source])

    @property
    def total(self) -> int:
        """Lines there are, as far as is known."""
        return self._window.total if self._window is not None else 0

    @property
    def manner(self) -> Manner:
        """How lines are written."""
        started = self._model.view.started if self._model is not None else None
        return Manner(self.times, started, self.wrap, "")

    def refresh_lines(self) -> None:
        """Fetch what is in view, in a thread; asked again meanwhile, once more afterwards."""
        feed = self._feed
        if feed is None or not self.is_mounted or not self.content_size:
            return
        if self._fetching:
            self._again = True
            return
        self._fetching, self._again = True, False
        choice, height = self.choice, self.content_size.height
        first = None if self.follow else self._top

        def fetch(_: Cancelled) -> tuple[LogFeed, Window]:
            return feed, feed.fetch(choice, first, height)

        in_thread(self, fetch, self._take, lambda _: self._missed(), group="log-fetch")

    def _take(self, found: tuple[LogFeed, Window]) -> None:
        feed, window = found
        if feed is not self._feed:
            return
        self._fetching = False
        fits = window.choice == self.choice and (self._window is None or window.whole == self._whole)
        if fits:
            self._window, self._whole = window, window.whole
            if self.follow:
                self._seen = window.total
            self._clamp()
            if self.wrap and not self.follow:
                self._reveal()
            self.update()
            reading = self._model is not None and (self._model.opening or self._model.reading)
            if not window.whole and window.total < 2 * self.content_size.height and not reading:
                # Later for a run whose curves are still being read: the two would take the processor from each other.
                self.walk_then(self.refresh_lines)
        if self._again or (not fits and not self._walking):
            self.refresh_lines()

    def _missed(self) -> None:
        self._fetching = False

    def walk_then(self, do: Callable[[], object]) -> None:
        """Do something that needs the whole log, after it has been walked over."""
        if self._whole or self._feed is None:
            do()
            return
        self._waiting.append(do)
        if self._walking:
            return
        self._walking = True
        feed, choice = self._feed, self.choice
        told = time.monotonic()

        def walk(cancelled: Cancelled) -> tuple[LogFeed, int]:
            def stop() -> bool:
                nonlocal told
                if time.monotonic() - told > _TELL_EVERY:
                    told = time.monotonic()
                    self.call_later(self.label)
                return cancelled()

            return feed, feed.walk(choice, stop)

        in_thread(self, walk, self._walked, lambda _: self._walked((feed, 0)), group="log-walk")
        self.label()

    def _walked(self, found: tuple[LogFeed, int]) -> None:
        feed, shift = found
        if feed is not self._feed:
            return
        self._walking, self._whole = False, True
        self._top, self.cursor, self._seen = self._top + shift, self.cursor + shift, self._seen + shift
        self.range_from = None if self.range_from is None else self.range_from + shift
        self._window = None
        waiting, self._waiting = self._waiting, []
        for do in waiting:
            do()
        self.refresh_lines()

    def paint(self, width: int, height: int) -> Sequence[Line]:
        """The lines in view."""
        window = self._window
        if window is None:
            return []
        if not window.total and not window.unfinished:
            return [((self._nothing(), "muted"),)]
        lines: list[Line] = []
        if self.follow:
            if window.unfinished:
                lines.append(paint_unfinished(window.unfinished, width, self.manner))
            number = window.total
            while number > 0 and len(lines) < height:
                number -= 1
                lines = [*self._lines_of(number, width), *lines]
            return lines[-height:]
        number = self._top
        while number < window.total and len(lines) < height:
            lines += self._lines_of(number, width)
            number += 1
        return lines

    def update(self) -> None:
        """Repaint what differs, the frame's words included."""
        self.label()
        self.repaint()

    def label(self) -> None:
        """The words of the frame; `LogView` says them."""

    def _nothing(self) -> str:
        loud = f" of level {self.level} or above" if self.level not in ("debug", "info") else ""
        if self._walking:
            return " Looking through the log…"
        return (
            f" Nothing{loud} has been written yet." if loud or self.source != "events" else " Nothing has happened yet."
        )

    def _lines_of(self, number: int, width: int) -> list[Line]:
        row = self._window.row(number) if self._window is not None else None
        if row is None:
            return [()]
        return paint_row(row, width, self.manner, glyphs_of(self), here=self.chosen(number))

    def chosen(self, number: int) -> bool:
        """Whether a line is the one under the cursor or in the range."""
        if self.follow:
            return False
        low, high = self.span
        return low <= number <= high

    @property
    def span(self) -> tuple[int, int]:
        """First and last chosen line."""
        other = self.cursor if self.range_from is None else self.range_from
        return min(self.cursor, other), max(self.cursor, other)

    def _clamp(self) -> None:
        self.cursor = max(0, min(self.cursor, self.total - 1))
        self._top = max(0, min(self._top, self.total - 1))

    def _reveal(self) -> None:
        height, width = max(1, self.content_size.height), self.content_size.width
        self._top = max(min(self._top, self.cursor), self.cursor - height + 1)
        if self.wrap:
            need = [len(self._lines_of(number, width)) for number in range(self._top, self.cursor + 1)]
            while len(need) > 1 and sum(need) > height:
                self._top += 1
                need.pop(0)

    def row_at(self, number: int) -> LogRow | None:
        """A line that was fetched."""
        return self._window.row(number) if self._window is not None else None

    @property
    def newer(self) -> int:
        """Lines that came since following stopped."""
        return 0 if self.follow else max(0, self.total - self._seen)

    def frame(self, facts: Sequence[Piece], foot: str) -> None:
        """Write into the frame of the panel around it."""
        panel: Any = self.parent
        while panel is not None and not isinstance(panel, Panel):
            panel = panel.parent
        if panel is not None:
            panel.label(facts=facts, foot=foot)
