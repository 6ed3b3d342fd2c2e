"""The curves of a run: metric values by optimiser step, as numpy arrays that grow cheaply to millions of points."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from backprop_tui.protocol import events as ev
from backprop_tui.protocol.codec import number
from backprop_tui.protocol.events import Event

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

#: Metrics of `step` events, under their own names.
STEP_METRICS = ("loss", "grad_norm", "lr", "tokens_per_s", "step_s", "epoch", "tokens")
#: Metrics of `eval` events and the keys they come under.
EVAL_METRICS = {"eval_loss": "loss", "perplexity": "perplexity", "exact_match": "exact_match"}
#: When each step ended, in seconds since the epoch (float64: float32 would be minutes off). An axis, so `names` leaves it out.
WALL = "wall"
_FIRST_CAPACITY = 1024
_STEP_LIMIT = 1 << 62


class _Curve:
    __slots__ = ("size", "x", "y")

    def __init__(self) -> None:
        import numpy as np

        self.x: NDArray[np.int64] = np.empty(_FIRST_CAPACITY, dtype=np.int64)
        self.y: NDArray[np.float64] = np.empty(_FIRST_CAPACITY, dtype=np.float64)
        self.size = 0

    def add(self, step: int, value: float) -> None:
        if self.size == len(self.x):
            import numpy as np

            self.x = np.concatenate((self.x, np.empty_like(self.x)))
            self.y = np.concatenate((self.y, np.empty_like(self.y)))
        self.x[self.size] = step
        self.y[self.size] = value
        self.size += 1

    def cut_from(self, step: int) -> None:
        """Drop the points at `step` and after it."""
        if self.size and self.x[self.size - 1] >= step:
            # Views handed out before keep the old buffers; writing over them would change what their holder draws.
            keep = int(self.x[: self.size].searchsorted(step))
            self.x, self.y, self.size = self.x.copy(), self.y.copy(), keep


class SeriesStore:
    """Curves by metric name (`STEP_METRICS`, `EVAL_METRICS`), fed with events in journal order.

    A step repeated by a later attempt supersedes everything the earlier attempt wrote from that step on.

    Attributes:
        seams: steps after which a later attempt went on, in order.
    """

    def __init__(self) -> None:
        self.seams: list[int] = []
        self._curves: dict[str, _Curve] = {}
        self._last_step = -1

    def add(self, events: Iterable[Event]) -> None:
        """Take in more events; kinds without metrics are passed over."""
        for event in events:
            if event.kind == ev.STEP:
                self._add_step(event)
            elif event.kind == ev.EVAL:
                self._add_eval(event)
            elif event.kind == ev.ATTEMPT and self._last_step >= 0:
                resumed = _step_of(event, "resume_step")
                if resumed:
                    self.seams = [*(seam for seam in self.seams if seam < resumed), resumed]

    def get(self, metric: str) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Steps and values of a metric, both of shape (n,), ascending in step; empty when there are none.

        The arrays are views for reading; values may be NaN or infinite, as the run reported them.
        """
        import numpy as np

        curve = self._curves.get(metric)
        if curve is None:
            return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.float64)
        return curve.x[: curve.size], curve.y[: curve.size]

    def names(self) -> list[str]:
        """Metrics that have at least one point."""
        return [name for name, curve in self._curves.items() if curve.size and name != WALL]

    def _add_step(self, event: Event) -> None:
        step = _step_of(event)
        if step is None:
            return
        if step <= self._last_step:
            for curve in self._curves.values():
                curve.cut_from(step)
            self.seams = [seam for seam in self.seams if seam < step]
        self._last_step = step
        for name in STEP_METRICS:
            self._put(name, step, event.data.get(name))
        self._put(WALL, step, event.wall)

    def _add_eval(self, event: Event) -> None:
        step = _step_of(event)
        if step is None:
            return
        for name, key in EVAL_METRICS.items():
            if name in self._curves:
                self._curves[name].cut_from(step)
            self._put(name, step, event.data.get(key))

    def _put(self, name: str, step: int, raw: object) -> None:
        value = number(raw)
        if value is None:
            return
        curve = self._curves.get(name)
        if curve is None:
            curve = self._curves[name] = _Curve()
        curve.add(step, value)


def _step_of(event: Event, key: str = "step") -> int | None:
    """A step that fits the arrays; None for anything else a foreign journal may hold."""
    value = event.data.get(key)
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _STEP_LIMIT else None
