"""The log of a run with its keys: search as you type, filters, jumps, copying."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.content import Content

from backprop_tui.app.actions import bindings
from backprop_tui.app.context import glyphs_of
from backprop_tui.app.jobs import Cancelled, in_thread
from backprop_tui.app.keymap import log as keymap
from backprop_tui.app.log_feed import Choice, LogFeed
from backprop_tui.app.log_places import Spot, read_spot, spot_problem
from backprop_tui.app.widgets.findbar import FindBar
from backprop_tui.app.widgets.log_base import SOURCE_CHOICES
from backprop_tui.app.widgets.log_find import LogFind
from backprop_tui.app.widgets.log_paint import TIMES, plain_line
from backprop_tui.app.widgets.painted import Piece
from backprop_tui.store.layout import RunDir
from backprop_tui.store.log_lines import LEVELS, LogRow

#: Lines copied at most.
_COPIED = 10_000


class LogView(LogFind):
    """Lines of a run's journal and raw logs. Moving up stops following; End or `f` begins again."""

    BINDINGS: ClassVar[list[BindingType]] = bindings(keymap.LOG)

    # -- frame --------------------------------------------------------------------------------------------------------

    def label(self) -> None:
        """Filters, hits and whether it follows; how many lines there are."""
        facts: list[Piece] = []
        if self._query:
            facts.append((f"{self.hit_words()}  ", "accent"))
        if self.range_from is not None:
            low, high = self.span
            facts.append((f"{high - low + 1:,} chosen  ", "accent"))
        if self.source != SOURCE_CHOICES[0][0]:
            facts.append((f"{self.source}  ", "muted"))
        facts.append((f"{self.level}+  ", "muted" if self.level in ("debug", "info") else "warn"))
        if self.follow:
            facts.append((f"follow {glyphs_of(self).follow}", "live"))
        else:
            newer = self.newer
            facts.append((f"{newer:,} newer, f follow" if newer else "f follow", "warn"))
        self.frame(facts, self._foot())

    def _foot(self) -> str:
        feed = self._feed
        if self._walking and feed is not None:
            return f"looking through it {feed.share:.0%}"
        if not self._whole:
            return "newest lines"
        if self.follow:
            return f"{self.total:,} lines"
        return f"line {self.cursor + 1:,} of {self.total:,}"

    # -- filters ------------------------------------------------------------------------------------------------------

    def action_level(self) -> None:
        """The next quietest level."""
        order = ("info", "warn", "error", "debug")
        self._filter(lambda: setattr(self, "level", order[(order.index(self.level) + 1) % len(order)]))

    def action_source(self) -> None:
        """The next sources."""
        names = [name for name, _ in SOURCE_CHOICES]
        self._filter(lambda: setattr(self, "source", names[(names.index(self.source) + 1) % len(names)]))

    def _filter(self, change: Callable[[], None]) -> None:
        """Change what is shown, staying at the line that is chosen."""
        row = None if self.follow else self.row_at(self.cursor)
        change()
        self.range_from = None
        self._search, self._window = None, None
        self.label()
        if row is not None:
            self.go_to_seq(row.seq)
        else:
            self.refresh_lines()
        if self._query:
            self._begin_search()

    def action_wrap(self) -> None:
        """Wrap long lines or cut them."""
        self.wrap = not self.wrap
        self._reveal()
        self.update()

    def action_times(self) -> None:
        """The next way to write times."""
        self.times = TIMES[(TIMES.index(self.times) + 1) % len(TIMES)]
        self.update()

    # -- searching ----------------------------------------------------------------------------------------------------

    def action_find(self) -> None:
        """Open the line to type into."""
        bar = self._bar()
        if bar is not None:
            self._origin = None if self.follow else self.cursor
            bar.open(self)

    def _bar(self) -> FindBar | None:
        return self.parent.query_one(FindBar) if isinstance(self.parent, LogPane) else None

    # -- jumps --------------------------------------------------------------------------------------------------------

    def action_go_to(self) -> None:
        """Ask where to."""
        from backprop_tui.app.widgets.modal import PromptModal

        body = Content("A step (1200), a share (50%), a time of day (18:47), or a line (#300).")
        prompt = PromptModal(Content("go to"), body, placeholder="1200", check=spot_problem)
        self.app.push_screen(prompt, self._go)

    def _go(self, text: str | None) -> None:
        row = self.row_at(self.total - 1 if self.follow else self.cursor)
        spot = read_spot(text, row.wall if row is not None else None) if text else None
        if spot is not None:
            self.walk_then(lambda: self._go_to_spot(spot))

    def go_to_step(self, step: int) -> None:
        """Show the line nearest to a step."""
        self.walk_then(lambda: self._go_to_spot(Spot("step", step)))

    def go_to_seq(self, seq: int) -> None:
        """Show the line of an event, or the next one that is shown."""
        self.walk_then(lambda: self._locate(lambda feed, choice: feed.lines(choice).of_seq(seq)))

    def _go_to_spot(self, spot: Spot) -> None:
        def find(feed: LogFeed, choice: Choice) -> int | None:
            lines = feed.lines(choice)
            if spot.kind == "step":
                return lines.of_step(int(spot.value))
            if spot.kind == "time":
                return lines.of_wall(spot.value)
            return int(spot.value) - 1 if spot.kind == "line" else round((len(lines) - 1) * spot.value / 100)

        self._locate(find, f"No attempt came to step {spot.value:,.0f}.")

    def _locate(self, find: Callable[[LogFeed, Choice], int | None], nowhere: str = "") -> None:
        feed, choice = self._feed, self.choice
        if feed is None:
            return

        def done(number: int | None) -> None:
            if choice != self.choice or feed is not self._feed:
                return
            if number is None:
                self._say(nowhere)
            else:
                self.place(number)
                self.refresh_lines()

        in_thread(self, lambda _: find(feed, choice), done, self._complain, group="log-locate")

    def action_to_chart(self) -> None:
        """Show the chosen line's step on the chart."""
        row = self.row_at(self.total - 1 if self.follow else self.cursor)
        step = row.step if row is not None else None
        if step is None:
            self._say("This line belongs to no step.")
        else:
            self.post_message(self.ToChart(step))

    # -- copying ------------------------------------------------------------------------------------------------------

    def action_range(self) -> None:
        """Begin a range at the chosen line, or end it."""
        self._stay()
        self.range_from = self.cursor if self.range_from is None else None
        self.update()

    def action_copy(self) -> None:
        """Copy the chosen lines."""
        feed, choice = self._feed, self.choice
        if feed is None or not self.total:
            self._say("There is nothing to copy.")
            return
        low, high = (self.total - 1, self.total - 1) if self.follow else self.span
        count = min(high - low + 1, _COPIED)

        def read(_: Cancelled) -> list[LogRow]:
            return feed.lines(choice).rows(low, count)

        def done(rows: list[LogRow]) -> None:
            from backprop_tui.app.clipboard import copy_out

            way = copy_out(self.app, "\n".join(map(plain_line, rows)) + "\n", "log.txt")
            lines = "1 line" if len(rows) == 1 else f"{len(rows):,} lines"
            self._say(f"{lines}: {way}")
            self.range_from = None
            self.update()

        in_thread(self, read, done, self._complain, group="log-copy")

    def action_back(self) -> None:
        """Forget the range, else the search, else follow again."""
        if self.range_from is not None:
            self.range_from = None
            self.update()
            return
        bar = self._bar()
        if self._query:
            if bar is not None:
                bar.clear()
            self.search("")
            return
        self.set_follow(True)

    # -- leaving and coming back --------------------------------------------------------------------------------------

    def open(self, run: RunDir) -> None:
        """Show the log of a run; filters stay, the search is forgotten."""
        self._query, self._search, self._origin = "", None, None
        bar = self._bar()
        if bar is not None and bar.is_mounted:
            bar.clear()
        super().open(run)

    def to_dict(self) -> dict[str, Any]:
        """How it is looked at, JSON-ready."""
        return {"level": self.level, "source": self.source, "wrap": self.wrap, "times": self.times}

    def from_dict(self, words: Mapping[str, Any]) -> None:
        """Look at it that way again; what makes no sense is passed over."""
        if words.get("level") in LEVELS:
            self.level = words["level"]
        if words.get("source") in dict(SOURCE_CHOICES):
            self.source = words["source"]
        if words.get("times") in TIMES:
            self.times = words["times"]
        self.wrap = words.get("wrap") is True
        self._window = None
        self.refresh_lines()


class LogPane(Vertical):
    """The log and the line that opens under `/`."""

    DEFAULT_CSS = "LogPane { height: 1fr; }"

    def compose(self) -> ComposeResult:
        """Log and line."""
        yield LogView()
        yield FindBar("text to find in the log")

    def on_find_bar_changed(self, message: FindBar.Changed) -> None:
        """Search while typing; Esc forgets."""
        message.stop()
        view = self.query_one(LogView)
        if message.done and not message.text:
            view.forget_search()
        else:
            view.search(message.text)
            if message.done:
                message.bar.display = False
