"""Run: one run, live or past. It folds the run's events into a `RunModel` and shows it at the pace the terminal allows."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from textual import work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Container
from textual.timer import Timer

from backprop_tui.app import wording
from backprop_tui.app.actions import bindings
from backprop_tui.app.keymap import run as keymap
from backprop_tui.app.run_model import RunModel
from backprop_tui.app.screens import run_memory
from backprop_tui.app.screens.run_log import RunLog
from backprop_tui.app.widgets.chart import Chart
from backprop_tui.app.widgets.figures import Figures
from backprop_tui.app.widgets.footer import Footer
from backprop_tui.app.widgets.log import LogPane, LogView
from backprop_tui.app.widgets.machine import Machine
from backprop_tui.app.widgets.notice import Notice
from backprop_tui.app.widgets.panel import Panel
from backprop_tui.app.widgets.progress import ProgressLine
from backprop_tui.app.widgets.samples import Samples
from backprop_tui.config.prices import read_prices
from backprop_tui.protocol.states import RunState
from backprop_tui.store import locks
from backprop_tui.store.layout import RunDir, list_runs
from backprop_tui.store.notes import read_notes

if TYPE_CHECKING:
    from backprop_tui.launch.session import RunSession

#: Between two looks at a long run that is being read: seconds at least, and how many times as long as the look took.
_READING_S, _READING_TIMES = 1.0, 10.0


class RunScreen(RunLog):
    """One run: progress, loss, machine, figures, log, samples."""

    ROOM = "run"
    CSS_PATH = "run.tcss"
    BINDINGS: ClassVar[list[BindingType]] = bindings(action for action in keymap.ACTIONS if action.scope == "run")

    def __init__(self) -> None:
        super().__init__()
        self._pending: Timer | None = None
        self._shown_at = self._log_at = self._took = 0.0
        self._samples = False
        self._zoomed: Panel | None = None
        self._was: RunState | None = None
        self._offered: tuple[object, ...] = ()
        self._session: RunSession | None = None

    def compose_body(self) -> ComposeResult:
        """Progress, notice, panels."""
        yield ProgressLine()
        yield Notice()
        with Container(id="main"):
            yield Panel("loss", Chart(), id="chart-panel")
            with Container(id="side"):
                yield Panel("machine", Machine(), id="machine-panel")
                yield Panel("now", Figures(), id="now-panel")
        yield Figures(one_line=True, id="brief")
        yield Panel("log", LogPane(), id="log-panel")
        yield Panel("samples", Samples(), id="samples-panel")

    # -- which run ----------------------------------------------------------------------------------------------------

    def on_mount(self) -> None:
        """Open the run asked for, else the newest."""
        if self._run is None:
            newest = list_runs()[:1]
            self._run = self.backprop.run_dir or (newest[0] if newest else None)
        self.settle()
        self._read_prices()
        if self._run is None:
            self.query_one(Notice).show(None)
        else:
            self._start(self._run)

    def on_screen_resume(self) -> None:
        """What happened meanwhile; somebody else may have resumed the run."""
        self._read_prices()
        if self._run is not None and self.model is not None:
            if not self.model.held and locks.is_held(self._run.lock_file):
                self._start(self._run)
            self._show()

    def _read_prices(self) -> None:
        prices = read_prices()
        for figures in self.query(Figures):
            figures.prices = prices

    def open(self, run: RunDir) -> None:
        """Show another run, or the same one anew after it was resumed."""
        self._run = run
        if self.is_mounted:
            self._start(run)

    def _start(self, run: RunDir) -> None:
        self.backprop.run_dir = run
        self.model = RunModel(held=locks.is_held(run.lock_file), opening=True, renamed=read_notes(run).name)
        self._was = None
        self._samples, self._session = False, None
        self.chart_begins(self.model)
        self.settle()
        self.log_begins(run)
        self._follow(run, self.model)

    @work(exclusive=True, group="run-events", exit_on_error=False)
    async def _follow(self, run: RunDir, model: RunModel) -> None:
        from backprop_tui.launch.session import RunSession

        async with RunSession(run) as session:
            self._session = session
            model.look_ahead(await session.newest())
            self._show()
            async for batch in session.stream():
                model.apply(batch)
                self._schedule(soon=model.turn)
        model.held = False
        self._log_at = 0.0
        self._show()

    # -- pace ---------------------------------------------------------------------------------------------------------

    def _schedule(self, *, soon: bool = False) -> None:
        """Show soon, at most as often as the profile says; no timer runs while nothing happens."""
        if soon and self._pending is not None:
            self._pending.stop()
            self._pending = None
        if self._pending is None:
            # Painting what is half read delays the rest of it.
            pause = 1.0 / self.backprop.terminal.profile.hz
            if self.model is not None and self.model.reading:
                pause = max(_READING_S, _READING_TIMES * self._took)
            wait = 0.0 if soon else self._shown_at + pause - time.monotonic()
            self._pending = self.set_timer(max(0.01, wait), self._show)

    def _show(self) -> None:
        """Compare everything with the model and send what differs."""
        if self._pending is not None:
            self._pending.stop()
            self._pending = None
        model = self.model
        if model is None or model.opening or not self.is_mounted:
            return
        state = model.state
        self.tell(model)
        if self not in self.app.screen_stack:
            return
        now = self._shown_at = time.monotonic()
        self.show_alerts(model, self._session.damaged if self._session is not None else 0)
        if state is not self._was:
            finished = self._was is not None and self._was.live and state is RunState.COMPLETED
            self._was = state
            if finished and model.samples and not self._samples:
                self.action_samples()
        # What keys do follows from more than the state, and may be read after it.
        offered = (state, self.halvable(state), bool(model.view.multi))
        if offered != self._offered:
            self._offered = offered
            self.query_one(Footer).repaint()
        self.query_one(Notice).show(model)
        self.query_one(ProgressLine).show(model)
        self.show_chart(model)
        self.query_one(Machine).show(model)
        for figures in self.query(Figures):
            figures.show(model)
        self.query_one(Samples).show(model)
        due = self._log_at + self.backprop.terminal.profile.log_s
        if now >= due or not state.live:
            self._log_at = now
            self.show_log(model)
        elif self._pending is None:
            self._pending = self.set_timer(due - now, self._show)
        self._took = time.monotonic() - now

    def tell(self, model: RunModel) -> None:
        """Let the app know, also while another room is open: header, window title, signs."""
        view = model.view
        share = min(1.0, view.step / view.total_steps) if view.total_steps else None
        title = model.name or (self._run.short_id if self._run else "")
        if model.reading:
            self.backprop.show_run_state(title, model.state)
        else:
            self.backprop.hear(title, model.state, share, wording.loss(view.loss))

    def remember(self) -> dict[str, Any]:
        """Zoom, samples, chart and log, with the run they belong to."""
        return {**super().remember(), **run_memory.remember(self)}

    def recall(self, words: Mapping[str, Any]) -> None:
        """Show them again if it is the same run."""
        super().recall(words)
        run_memory.recall(self, words)

    # -- what is on the screen ----------------------------------------------------------------------------------------

    def wants(self, panel: Panel) -> bool:
        """One panel alone when zoomed; samples take the log's place; low screens give up the chart first."""
        if self._zoomed is not None and not self.narrow:
            return panel is self._zoomed
        if panel.id == "samples-panel":
            return self._samples
        if panel.id == "log-panel":
            return not self._samples or self.narrow
        if panel.id == "now-panel":
            return self.narrow or (self.wide and not self.short)
        if panel.id == "machine-panel" and self._samples and not (self.narrow or self.wide or self.tall):
            return False
        if panel.id in ("chart-panel", "machine-panel") and not self.narrow:
            return not self.short
        return True

    def _place_panels(self, shown: Panel | None) -> None:
        super()._place_panels(shown)
        self.set_class(self._zoomed is not None and not self.narrow, "-zoom")
        self.set_class(self.short, "-alone")

    # -- view ---------------------------------------------------------------------------------------------------------

    def action_samples(self) -> None:
        """Answers in the log's place, or the log again."""
        self._samples = not self._samples
        here = "#samples-panel" if self._samples else "#log-panel"
        self._place_panels(self.current_panel())
        self.show_panel(self.query_one(here, Panel))

    def bring_log(self) -> None:
        """The log on the screen, whatever was in its place."""
        panel = self.query_one("#log-panel", Panel)
        if self._zoomed is not panel:
            self._zoomed = None
        self._samples = False
        self.show_panel(panel)

    def action_zoom_panel(self) -> None:
        """The focused panel alone, or all again."""
        self.zoom(None if self._zoomed is not None else self.current_panel())

    def zoom(self, panel: Panel | None) -> None:
        """One panel alone; None is all of them."""
        self._zoomed = panel
        if panel is not None:
            self.show_panel(panel)
        self._place_panels(self.current_panel())

    @property
    def run(self) -> RunDir | None:
        """The run that is shown."""
        return self._run

    @property
    def zoomed(self) -> Panel | None:
        """The panel that fills the screen."""
        return self._zoomed

    @property
    def samples_shown(self) -> bool:
        """Whether answers stand in the log's place."""
        return self._samples

    def action_follow(self) -> None:
        """Chart and log show the newest."""
        chart, log = self.query_one(Chart), self.query_one(LogView)
        if isinstance(self.focused, LogView) and log.follow:
            log.set_follow(False)
            return
        chart.model.follow = True
        chart.show()
        log.set_follow(True)
