"""What of the Run screen outlives the app: the panel that fills it, samples or log, the chart as it was set, the log's place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from backprop_tui.app.widgets.chart import Chart
from backprop_tui.app.widgets.chart_state import ChartState
from backprop_tui.app.widgets.log import LogView
from backprop_tui.app.widgets.panel import Panel

if TYPE_CHECKING:
    from backprop_tui.app.screens.run import RunScreen


def remember(screen: RunScreen) -> dict[str, Any]:
    """JSON-ready words."""
    run, zoomed = screen.run, screen.zoomed
    if run is None:
        return {}
    log = screen.query_one(LogView)
    row = None if log.follow else log.row_at(log.cursor)
    return {
        "run": str(run.path),
        "zoomed": zoomed.id if zoomed is not None else None,
        "samples": screen.samples_shown,
        "chart": screen.query_one(Chart).model.state.to_dict(),
        "log": {**log.to_dict(), "seq": row.seq if row is not None else None},
    }


def recall(screen: RunScreen, words: Mapping[str, Any]) -> None:
    """Show it again; words of another run change nothing."""
    run = screen.run
    if run is None or words.get("run") != str(run.path):
        return
    chart = screen.query_one(Chart)
    if isinstance(words.get("chart"), dict):
        chart.model.state = ChartState.from_dict(words["chart"])
        chart.show()
    if isinstance(words.get("log"), dict):
        _recall_log(screen.query_one(LogView), words["log"])
    if words.get("samples") is True and not screen.samples_shown:
        screen.action_samples()
    zoomed = next((panel for panel in screen.query(Panel) if panel.id and panel.id == words.get("zoomed")), None)
    if zoomed is not None:
        screen.zoom(zoomed)


def _recall_log(log: LogView, words: Mapping[str, Any]) -> None:
    log.from_dict(words)
    log.label()
    seq = words.get("seq")
    if isinstance(seq, int) and not isinstance(seq, bool) and seq > 0:
        log.go_to_seq(seq)
