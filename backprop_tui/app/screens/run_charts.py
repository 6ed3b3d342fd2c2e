"""What the Run screen does with its chart beyond the chart's own keys."""

from __future__ import annotations

from textual.content import Content

from backprop_tui.app.run_model import RunModel
from backprop_tui.app.screens.run_commands import RunCommands
from backprop_tui.app.widgets.chart import Chart
from backprop_tui.app.widgets.chart_metrics import metric_of


class RunCharts(RunCommands):
    """The chart on the Run screen."""

    def chart_begins(self, model: RunModel) -> None:
        """Point the chart at another run; what the person chose stays, the part in view and the crosshair don't."""
        chart = self.query_one(Chart).model
        chart.store, chart.marks, chart.began, chart.others = model.series, model.marks, None, []
        chart.total_steps, chart.live, chart.state.cursor = None, model.held, None
        chart.fit()

    def show_chart(self, model: RunModel) -> None:
        """Bring the chart up to date."""
        chart = self.query_one(Chart)
        chart.model.live, chart.model.total_steps = model.state.live, model.view.total_steps
        chart.model.began, chart.model.label = model.marks.began, model.name or "this run"
        chart.model.empty = waiting_words(model)
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
