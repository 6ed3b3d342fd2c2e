"""What the Run screen does with its chart beyond the chart's own keys."""

from __future__ import annotations

from textual.content import Content

from backprop_tui.app.jobs import in_thread
from backprop_tui.app.overlaid import Overlaid, offered, read_curves
from backprop_tui.app.run_model import RunModel
from backprop_tui.app.screens.run_commands import RunCommands
from backprop_tui.app.widgets.chart import Chart
from backprop_tui.app.widgets.chart_metrics import SLOTS, metric_of, slots_for
from backprop_tui.app.widgets.chart_model import Other
from backprop_tui.app.widgets.footer import Footer
from backprop_tui.protocol.errors import BackpropError
from backprop_tui.protocol.task_figures import REWARD
from backprop_tui.protocol.text import safe_text
from backprop_tui.store.layout import RunDir

#: The choice that takes away what is laid over; no run is called so.
_NONE = "none"


class RunCharts(RunCommands):
    """The chart on the Run screen."""

    #: Whether the chart has been led to the metric that tells most of this run.
    _led = False

    def chart_begins(self, model: RunModel) -> None:
        """Point the chart at another run; what the person chose stays, the part in view and the crosshair don't."""
        chart = self.query_one(Chart).model
        chart.store, chart.marks, chart.began, chart.others = model.series, model.marks, None, []
        chart.total_steps, chart.live, chart.state.cursor = None, model.held, None
        self._led = False
        chart.fit()

    def show_chart(self, model: RunModel) -> None:
        """Bring the chart up to date."""
        chart = self.query_one(Chart)
        chart.model.live, chart.model.total_steps = model.state.live, model.view.total_steps
        chart.model.began, chart.model.label = model.marks.began, model.name or "this run"
        chart.model.empty = waiting_words(model)
        if not self._led and REWARD in chart.model.names:
            # The loss of a run that learns from rewards says next to nothing; a metric the person chose stays.
            self._led = True
            if chart.model.metric == "loss":
                chart.model.metric = REWARD
        chart.show()

    def on_chart_said(self, message: Chart.Said) -> None:
        """The chart has something to say."""
        self.say(message.text)

    def on_chart_export_asked(self, message: Chart.ExportAsked) -> None:
        """Ask for a file and write it."""
        from backprop_tui.app.chart_export import ask_and_export

        run = self._run
        ask_and_export(
            self, message.chart, (self.model.name if self.model else "") or (run.short_id if run else "chart")
        )

    def action_lay_over(self) -> None:
        """Choose another run to lay over this one, or take those away."""
        chart = self.query_one(Chart)
        if self._run is None or not chart.model.known:
            self.say("Nothing has been recorded yet.")
            return
        run = self._run
        self.say("Looking for other runs…")
        in_thread(self, lambda cancelled: offered(run, cancelled), self._offer_runs, self._failed, group="run-over")

    def _offer_runs(self, runs: list[tuple[RunDir, str]]) -> None:
        from backprop_tui.app.widgets.modal import Choice, ConfirmModal

        over = self.query_one(Chart).model.others
        names = dict(runs)
        choices = [Choice(run.id, safe_text(words, limit=80)) for run, words in runs]
        if over:
            choices.insert(0, Choice(_NONE, "take away what is laid over"))
        if not choices:
            self.say("There is no other run.")
            return
        self.query_one(Footer).quiet()

        def chosen(answer: str | None) -> None:
            if answer == _NONE:
                self.query_one(Chart).model.others = []
                self.query_one(Chart).show()
            elif answer is not None:
                run = next(run for run in names if run.id == answer)
                label = names[run].partition("  ")[0]
                self.say("Reading its curves…")
                in_thread(
                    self, lambda stop: read_curves(run, label, stop), self._lay_over, self._failed, group="run-over"
                )

        words = Content(
            "Its curves of the same metric, as they are now. Up to seven runs; each has a colour and a sign."
        )
        self.app.push_screen(ConfirmModal(Content("lay another run over"), words, choices, choices[0].value), chosen)

    def _lay_over(self, found: Overlaid) -> None:
        chart = self.query_one(Chart)
        over = [other for other in chart.model.others if other.label != found.label][-(SLOTS - 2) :]
        taken = [chart.model.slot, *(other.slot for other in over)]
        slot = slots_for([found.run.id], taken)[found.run.id]
        chart.model.others = [*over, Other(found.label, found.series, slot, found.began)]
        if chart.model.state.layout == "overlay":
            chart.model.state.layout = "single"
        chart.show()
        self.query_one(Footer).quiet()

    def _failed(self, error: BackpropError) -> None:
        self.say(str(error), "bad")

    def action_metric(self) -> None:
        """Choose what the chart shows."""
        chart = self.query_one(Chart)
        names = chart.model.names
        if not names:
            self.say("Nothing has been recorded yet.")
            return
        from backprop_tui.app.widgets.modal import Choice, ConfirmModal

        choices = tuple(Choice(name, metric_of(name).title) for name in names)
        picker = ConfirmModal(Content("metric"), Content("What the chart shows."), choices, chart.model.metric)
        self.app.push_screen(picker, self._choose_metric)

    def _choose_metric(self, name: str | None) -> None:
        if name is not None:
            chart = self.query_one(Chart)
            chart.model.metric = name
            if chart.model.state.layout == "overlay":
                chart.model.state.layout = "single"
            chart.show()


def waiting_words(model: RunModel) -> str:
    """What an empty chart says."""
    if model.reading:
        return "Reading what this run recorded."
    if not model.state.live:
        return "This run recorded no steps."
    return "The curve begins with the first step."
