"""The curves of a run: metric values by optimiser step, as numpy arrays that grow cheaply to millions of points."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from backprop_tui.protocol import events as ev
from backprop_tui.protocol.codec import number
from backprop_tui.protocol.events import Event
from backprop_tui.protocol.task_figures import eval_figures
from backprop_tui.store.stretch import MOST_METRICS, Stretch, is_metric, rows_of, step_of
from backprop_tui.store.table import StepTable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

#: Metrics the worker reports with each `step`, under their own names; others it may report follow them.
STEP_METRICS = ("loss", "grad_norm", "lr", "tokens_per_s", "step_s", "epoch", "tokens")
#: Metrics of `eval` events and the keys they come under; figures of an objective come with `eval_` before their names.
EVAL_METRICS = {
    "eval_loss": "loss",
    "perplexity": "perplexity",
    "eval_token_accuracy": "token_accuracy",
    "exact_match": "exact_match",
}
#: Metrics of `merge` events of a multi-run and the keys they come under.
MERGE_METRICS = {"merge_share": "share", "merge_drift": "drift"}


class _Points:
    """A curve of few points."""

    def __init__(self) -> None:
        self.x: list[int] = []
        self.y: list[float] = []

    def cut_from(self, step: int) -> None:
        import bisect

        keep = bisect.bisect_left(self.x, step)
        del self.x[keep:], self.y[keep:]


class SeriesStore:
    """Curves by metric name, fed with the run's events and stretches in journal order.

    A step repeated by a later attempt supersedes everything the earlier attempt wrote from that step on.

    Attributes:
        seams: steps after which a later attempt went on, in order.
        boundaries: steps after which a later run of a multi-run begins, in order.
        cuts: how often points that were handed out were superseded; what was worked out from them must be worked out again.
    """

    def __init__(self) -> None:
        self.seams: list[int] = []
        self.boundaries: list[int] = []
        self.cuts = 0
        self._table = StepTable()
        self._points: dict[str, _Points] = {}
        self._last_step = -1

    def add(self, events: Iterable[Event]) -> None:
        """Take in more events; kinds without metrics are passed over."""
        steps: list[Event] = []
        for event in events:
            if event.kind == ev.STEP:
                step = step_of(event.data)
                if step is None:
                    continue
                if steps and step <= self._last_step:
                    self._add_steps(steps)
                    steps = []
                self._mark_step(step)
                steps.append(event)
            elif event.kind in (ev.EVAL, ev.ATTEMPT, ev.STAGE, ev.MERGE):
                self.mark(event)
        self._add_steps(steps)

    def add_one(self, event: Event) -> None:
        """Take in one more event."""
        self.add((event,))

    def mark(self, event: Event) -> None:
        """Take in everything of an event but the values of a step, which come with the stretch it belongs to."""
        if event.kind == ev.STEP:
            step = step_of(event.data)
            if step is not None:
                self._mark_step(step)
        elif event.kind == ev.EVAL:
            self._add_eval(event)
        elif event.kind == ev.MERGE:
            self._add_points(event, {name: number(event.data.get(key)) for name, key in MERGE_METRICS.items()})
        elif event.kind == ev.STAGE and event.data.get("status") == "begin":
            first = step_of(event.data, "first_step")
            if first is not None and first > 1:
                self.boundaries = [*(step for step in self.boundaries if step < first - 1), first - 1]
        elif event.kind == ev.ATTEMPT and self._last_step >= 0:
            resumed = step_of(event.data, "resume_step")
            if resumed:
                self.seams = [*(seam for seam in self.seams if seam < resumed), resumed]

    def extend(self, stretch: Stretch) -> None:
        """Take in the values of the steps of a stretch whose events were marked."""
        if stretch.base is not None:
            self.cuts += self._table.attach(stretch)
        elif stretch.rows is not None:
            self.cuts += self._table.extend(stretch.rows)

    def get(self, metric: str) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Steps and values of a metric, both of shape (n,), ascending in step; empty when there are none.

        The arrays are views for reading; values may be NaN or infinite, as the run reported them.
        """
        import numpy as np

        points = self._points.get(metric)
        if points is not None:
            return np.array(points.x, dtype=np.int64), np.array(points.y, dtype=np.float64)
        return self._table.get(metric)

    def names(self) -> list[str]:
        """Metrics that have at least one point."""
        return [*self._table.names(), *(name for name, points in self._points.items() if points.x)]

    def _add_steps(self, events: list[Event]) -> None:
        if len(events) == 1:
            event = events[0]
            values = {name: value for name, raw in event.data.items() if (value := number(raw)) is not None}
            self.cuts += self._table.append(event.data["step"], event.wall, values)
        elif events:
            self.cuts += self._table.extend(rows_of(events))

    def _mark_step(self, step: int) -> None:
        if step <= self._last_step:
            for points in self._points.values():
                points.cut_from(step)
            self.seams = [seam for seam in self.seams if seam < step]
            self.boundaries = [boundary for boundary in self.boundaries if boundary < step]
        self._last_step = step

    def _add_eval(self, event: Event) -> None:
        values = {name: number(event.data.get(key)) for name, key in EVAL_METRICS.items()}
        values |= {f"eval_{name}": value for name, value in eval_figures(event.data).items() if is_metric(name)}
        self._add_points(event, values, "eval_")

    def _add_points(self, event: Event, values: dict[str, float | None], family: str = "merge_") -> None:
        """One point of several curves; of the family's curves whatever an earlier attempt told of that step is dropped."""
        step = step_of(event.data)
        if step is None:
            return
        for name, known in self._points.items():
            if name in values or name.startswith(family):
                known.cut_from(step)
        for name, value in values.items():
            points = self._points.get(name)
            if value is None or (points is None and len(self._points) >= MOST_METRICS):
                continue
            if points is None:
                points = self._points[name] = _Points()
            points.x.append(step)
            points.y.append(value)
