"""What the Run screen does with its log, its samples and its alerts, and how these find each other and the chart."""

from __future__ import annotations

from backprop_tui.app.alerts import Alert
from backprop_tui.app.run_model import RunModel
from backprop_tui.app.screens.run_charts import RunCharts
from backprop_tui.app.widgets.chart import Chart
from backprop_tui.app.widgets.log import LogView
from backprop_tui.app.widgets.samples import Samples
from backprop_tui.store.layout import RunDir


class RunLog(RunCharts):
    """Log, samples and alerts on the Run screen."""

    def log_begins(self, run: RunDir) -> None:
        """Point log and samples at another run."""
        self.query_one(LogView).open(run)
        self.query_one(Samples).open(run)

    def show_log(self, model: RunModel, upto: int | None = None) -> None:
        """Bring the log up to date; `upto` hides what came after that event."""
        self.query_one(LogView).show(model, upto=upto)

    def show_alerts(self, model: RunModel, damaged: int) -> None:
        """Look for what no event tells of, and count in the header."""
        model.alerts.damage(damaged)
        model.alerts.scan(model.series)
        self.backprop.show_alerts(model.alerts.total, model.alerts.errors)

    def action_alerts(self) -> None:
        """What the run complained of."""
        if self.model is None or not self.model.alerts:
            self.say("Nothing has gone wrong so far.")
            return
        from backprop_tui.app.widgets.alerts import AlertsScreen

        self.app.push_screen(AlertsScreen(self.model.alerts), self._to_alert)

    def action_matrix(self) -> None:
        """Runs, merges and losses of a multi-run."""
        if self.model is None or not self.model.view.multi:
            self.say("This is a single run; `multi-run` trains several and merges them.")
            return
        from backprop_tui.app.widgets.matrix import MatrixScreen

        self.app.push_screen(MatrixScreen(self.model.view.multi))

    def _to_alert(self, alert: Alert | None) -> None:
        if alert is None:
            return
        log = self.query_one(LogView)
        self.bring_log()
        if alert.step is not None:
            self._chart_to(alert.step)
        if alert.seq:
            log.go_to_seq(alert.seq)
        elif alert.step is not None:
            log.go_to_step(alert.step)

    def bring_log(self) -> None:
        """See to it that the log is on the screen."""

    def on_log_base_to_chart(self, message: LogView.ToChart) -> None:
        """A line of the log belongs to a step."""
        message.stop()
        self._chart_to(message.step)

    def _chart_to(self, step: int) -> None:
        chart = self.query_one(Chart)
        chart.model.put_cursor(step)
        chart.show()
