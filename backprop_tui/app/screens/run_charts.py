"""What the Run screen does with its chart beyond the chart's own keys."""

from __future__ import annotations

from textual.content import Content

from backprop_tui.app.run_model import RunModel
from backprop_tui.app.screens.run_commands import RunCommands
from backprop_tui.app.widgets.chart import Chart


class RunCharts(RunCommands):
    """The chart on the Run screen."""

    def action_metric(self) -> None:
        """Choose what the chart shows."""
        names = self.model.series.names() if self.model else []
        if not names:
            self.say("Nothing has been recorded yet.")
            return
        from backprop_tui.app.widgets.modal import Choice, ConfirmModal

        chart = self.query_one(Chart)
        choices = tuple(Choice(name, name.replace("_", " ")) for name in names)
        picker = ConfirmModal(Content("metric"), Content("What the chart shows."), choices, chart.model.metric)
        self.app.push_screen(picker, self._choose_metric)

    def _choose_metric(self, name: str | None) -> None:
        if name is not None:
            chart = self.query_one(Chart)
            chart.model.metric = name
            chart.show()


def waiting_words(model: RunModel) -> str:
    """What an empty chart says."""
    if not model.state.live:
        return "This run recorded no steps."
    return "The curve begins with the first step."
