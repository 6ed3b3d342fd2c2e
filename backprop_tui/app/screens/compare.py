"""Compare: curves of some runs over one another, and below them what differs and what explains it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.content import Content
from textual.timer import Timer

from backprop_tui.app.actions import bindings
from backprop_tui.app.comparison import Comparison, New, close, data_from, load_comparison, news, take
from backprop_tui.app.context import glyphs_of
from backprop_tui.app.jobs import Cancelled, in_thread
from backprop_tui.app.keymap import compare as keys
from backprop_tui.app.screens.compare_words import plain, sheet
from backprop_tui.app.screens.room import Room
from backprop_tui.app.widgets import painted
from backprop_tui.app.widgets.chart import Chart
from backprop_tui.app.widgets.chart_metrics import metric_of, slots_for
from backprop_tui.app.widgets.chart_model import Other
from backprop_tui.app.widgets.lines import Line, LineView
from backprop_tui.app.widgets.modal import Choice, ConfirmModal
from backprop_tui.app.widgets.panel import Panel
from backprop_tui.protocol.errors import BackpropError
from backprop_tui.protocol.text import safe_text
from backprop_tui.store.layout import RunDir

#: Least seconds between two looks at live runs.
_LOOK_S = 2.0


class CompareChart(Chart):
    """The curves; where there is nothing of its own to go back from, Esc leaves the comparison."""

    def action_back(self) -> None:
        """One level out."""
        state = self.model.state
        if state.cursor is None and state.span is None and state.layout == "single":
            screen = self.screen
            if isinstance(screen, CompareScreen):
                screen.action_back()
            return
        super().action_back()


class CompareSheet(LineView):
    """The sections in words; it scrolls, and sends the lines that differ."""

    def __init__(self) -> None:
        super().__init__(id="compare-sheet")
        self.found: Comparison | None = None
        self._lines: Sequence[painted.Line] = ()
        self._for = -1

    @property
    def line_count(self) -> int:
        """Lines of all sections."""
        self._make()
        return len(self._lines)

    def line(self, index: int, width: int) -> Line:
        """One of them."""
        self._make()
        return self._lines[index]

    def show(self, found: Comparison) -> None:
        """Another comparison, or newer figures."""
        before = self._lines
        self.found, self._for = found, -1
        self._make()
        if len(before) != len(self._lines):
            self.relayout()
            return
        for at, (old, new) in enumerate(zip(before, self._lines, strict=True)):
            if old != new:
                self.repaint_line(at)

    def _make(self) -> None:
        width = self.size.width - 1
        if self.found is not None and width > 0 and self._for != width:
            self._lines, self._for = sheet(self.found, width), width


class CompareScreen(Room):
    """Lies over the Runs screen until Esc.

    Args:
        runs: at least two.
    """

    ROOM = "runs"
    CSS_PATH = "compare.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [*bindings(keys.ACTIONS)]

    def __init__(self, runs: Sequence[RunDir]) -> None:
        super().__init__()
        self._runs = tuple(runs)
        self._found: Comparison | None = None
        self._zoomed: Panel | None = None
        self._timer: Timer | None = None
        self._looking = False

    def compose_body(self) -> ComposeResult:
        """Curves above, words below."""
        yield Panel("loss", CompareChart(), id="curves-panel")
        yield Panel("what differs", CompareSheet(), id="sheet-panel")

    def on_mount(self) -> None:
        """Read everything in a thread."""
        chart = self.query_one(CompareChart)
        chart.model.empty = f"Reading {len(self._runs)} runs."
        chart.show()
        in_thread(
            self,
            lambda cancelled: load_comparison(self._runs, cancelled),
            self._loaded,
            self._complain,
            group="compare-load",
        )

    def on_unmount(self) -> None:
        """The journals are let go; a look that is going on does it at its end."""
        found, self._found = self._found, None
        if found is not None and not self._looking:
            close(found)

    def on_screen_resume(self) -> None:
        """Live runs went on meanwhile."""
        if self._found is not None:
            self._wait()

    def on_screen_suspend(self) -> None:
        """Nobody looks: don't read the disk."""
        if self._timer is not None:
            self._timer.stop()

    def wants(self, panel: Panel) -> bool:
        """A zoomed panel is alone; where it is low there is room for one at a time."""
        return self._zoomed is None or panel is self._zoomed

    @property
    def narrow(self) -> bool:
        """One panel at a time also where two would be too low to read."""
        return super().narrow or self.app.size.height < 20

    # -- reading ------------------------------------------------------------------------------------------------------

    def _loaded(self, found: Comparison) -> None:
        self._found = found
        self.query_one(CompareChart).model.empty = "These runs recorded no steps."
        self._show()
        self._wait()

    def _wait(self) -> None:
        if self._timer is not None:
            self._timer.stop()
        if self._found is not None and self._found.live:
            self._timer = self.set_timer(max(_LOOK_S, 1 / self.backprop.terminal.profile.hz), self._look)

    def _look(self) -> None:
        found = self._found
        if found is None:
            return

        self._looking = True

        def work(cancelled: Cancelled) -> list[New]:
            try:
                return news(found, cancelled)
            finally:
                self._looking = False
                if self._found is None:
                    close(found)

        def done(new: list[New]) -> None:
            take(found, new)
            self._show()
            self._wait()

        in_thread(self, work, done, self._complain, group="compare-look")

    def _show(self) -> None:
        found = self._found
        if found is None:
            return
        drawn = [one for one in found.runs if one.series is not None]
        slots = slots_for([one.run.id for one in found.runs])
        chart = self.query_one(CompareChart)
        labels = [safe_text(f"{one.letter} {one.entry.title}", limit=24) for one in drawn]
        if drawn:
            first = drawn[0]
            chart.model.store, chart.model.label = first.series, labels[0]
            chart.model.slot, chart.model.began = slots[first.run.id], first.began
            chart.model.others = [
                Other(label, one.series, slots[one.run.id], one.began)
                for label, one in zip(labels[1:], drawn[1:], strict=True)
                if one.series is not None
            ]
            chart.model.live = found.live
        chart.show()
        self.query_one(CompareSheet).show(found)
        dot = f" {glyphs_of(self).dot} "
        count = len(found.differ)
        facts = f"{len(found.runs)} runs{dot}{'1 setting differs' if count == 1 else f'{count} settings differ'}"
        if len(drawn) < len(found.runs):
            facts += f"{dot}curves of the first {len(drawn)}"
        self.query_one("#sheet-panel", Panel).label(facts=facts)

    def _complain(self, error: BackpropError) -> None:
        self.say(str(error), "bad")

    # -- keys ---------------------------------------------------------------------------------------------------------

    def on_chart_said(self, message: Chart.Said) -> None:
        """The chart has something to say."""
        self.say(message.text)

    def on_chart_export_asked(self, message: Chart.ExportAsked) -> None:
        """Ask for a file and write it."""
        from backprop_tui.app.chart_export import ask_and_export

        ask_and_export(self, message.chart, "compare")

    def action_metric(self) -> None:
        """Choose what the curves show."""
        chart = self.query_one(CompareChart)
        names = chart.model.names
        if not names:
            self.say("Nothing has been recorded yet.")
            return

        def chosen(name: str | None) -> None:
            if name is not None:
                chart.model.metric, chart.model.state.layout = name, "single"
                chart.show()

        choices = tuple(Choice(name, metric_of(name).title) for name in names)
        body = Content("What the curves show.")
        self.app.push_screen(ConfirmModal(Content("metric"), body, choices, chart.model.metric), chosen)

    def action_outcome(self) -> None:
        """Explain another figure."""
        found = self._found
        if found is None:
            return
        # Judging a few hundred runs takes a moment: in a thread.
        wanted = found.next_outcome
        in_thread(
            self, lambda _: found.explain(wanted), lambda _: self._explained(wanted.title), self._complain,
            group="compare-explain",
        )  # fmt: skip

    def _explained(self, title: str) -> None:
        self._show()
        self.say(f"Settings are judged by the {title}.")

    def action_reference(self) -> None:
        """Compare data with the next run."""
        found = self._found
        if found is None:
            return
        wanted = (found.reference + 1) % len(found.runs)

        def done(lines: list[list[str] | None]) -> None:
            found.reference, found.data = wanted, lines
            self._show()
            self.say(f"Data is compared with that of {found.runs[wanted].letter}.")

        in_thread(
            self,
            lambda _: data_from([one.run for one in found.runs], wanted),
            done,
            self._complain,
            group="compare-data",
        )

    def action_zoom_panel(self) -> None:
        """The focused panel alone, or both."""
        self._zoomed = None if self._zoomed is not None else self.current_panel()
        self.settle()

    def action_copy(self) -> None:
        """The words as text."""
        if self._found is None:
            return
        from backprop_tui.app.clipboard import copy_out

        self.say(copy_out(self.app, plain(self._found), "compare.txt"))

    def action_back(self) -> None:
        """Back to the runs."""
        if self._zoomed is not None:
            self.action_zoom_panel()
            return
        self.app.pop_screen()
