"""Curves of one run ready to be drawn: x in any unit, smoothing, and envelopes that are only made anew where they changed.

x is never converted point by point: the edges of the picture's columns are carried over into steps instead, so that a
million steps by tokens or by time cost as little as by step.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from backprop_tui.app.widgets.chart_state import XAxis
from backprop_tui.app.widgets.decimate import Blocks, envelope, first_at
from backprop_tui.app.widgets.smoothing import Smoother, smoother
from backprop_tui.protocol.text import safe_text

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

#: Envelopes and averages kept; a grid of six needs two each.
_KEPT = 32
#: Points from which extremes of blocks are kept too.
_LONG = 50_000


class Curves(Protocol):
    """What a chart asks of a run's series, as `store.series.SeriesStore` answers it; `cuts`, where there is one, counts pasts
    that were rewritten.
    """

    seams: list[int]

    def get(self, metric: str) -> tuple[NDArray[Any], NDArray[Any]]:
        """Steps, ascending, and values, both of shape (n,)."""
        ...

    def names(self) -> list[str]:
        """Metrics that have a point."""
        ...


@dataclass(slots=True)
class _Kept:
    """An envelope and what it was made of."""

    view: tuple[float, float, int]
    past: tuple[object, ...]
    size: int
    low: NDArray[np.float64]
    high: NDArray[np.float64]


@dataclass(slots=True)
class _Risen:
    """How much of an axis was looked at, and its mended copy where it did not rise."""

    size: int
    last: float
    risen: NDArray[np.float64] | None


class Source:
    """One run's curves under one label and colour.

    Args:
        label: what the run is called. store: the curves. slot: colour and marker, 0 to 7.
        began: wall time of the run's beginning in seconds since the epoch; None takes the start of its first step.
    """

    def __init__(self, label: str, store: Curves, slot: int = 0, began: float | None = None) -> None:
        self.label = safe_text(label, limit=80)
        self.store, self.slot, self.began = store, slot, began
        self._smoothers: dict[tuple[str, str], tuple[object, Smoother]] = {}
        self._kept: dict[tuple[str, str, XAxis, bool, int], _Kept] = {}
        self._blocks: dict[tuple[str, bool], tuple[object, int, Blocks]] = {}
        self._odd: dict[str, tuple[tuple[object, ...], int, NDArray[Any]]] = {}
        self._risen: dict[str, _Risen] = {}

    # -- values -------------------------------------------------------------------------------------------------------

    def curve(self, metric: str, smoothing: str = "raw") -> tuple[NDArray[Any], NDArray[Any]]:
        """Steps and values, both of shape (n,)."""
        steps, values = self.store.get(metric)
        if smoothing == "raw" or not len(values):
            return steps, values
        key, past = (metric, smoothing), self._past()
        held = self._smoothers.get(key)
        if held is None or held[0] != past:
            made = smoother(smoothing)
            if made is None:
                return steps, values
            # One smoothing per metric: at a million steps each takes megabytes.
            self._smoothers = {other: kept for other, kept in self._smoothers.items() if other[0] != metric}
            held = self._smoothers[key] = (past, made)
        return steps, held[1].of(values)

    def at(self, metric: str, step: float, smoothing: str = "raw") -> tuple[int, float] | None:
        """The newest point at `step` or before it, as (step, value); None when there is none."""
        import numpy as np

        steps, values = self.curve(metric, smoothing)
        index = int(first_at(steps, np.array([float(step)]), "right")[0]) - 1 if len(steps) else -1
        return None if index < 0 else (int(steps[index]), float(values[index]))

    def _blocks_of(self, metric: str, smoothing: str, values: NDArray[Any]) -> Blocks | None:
        if len(values) < _LONG:
            return None
        past = (self._past(), smoothing)
        held = self._blocks.get((metric, smoothing != "raw"))
        if held is None or held[0] != past or held[1] > len(values):
            held = (past, 0, Blocks())
        self._blocks[metric, smoothing != "raw"] = (past, len(values), held[2].update(values))
        return held[2]

    def odd(self, metric: str) -> NDArray[Any]:
        """Steps at which a metric is not a number, ascending."""
        import numpy as np

        steps, values = self.store.get(metric)
        known = self._odd.get(metric)
        begin, found = 0, steps[:0]
        if known is not None and known[0] == self._past() and known[1] <= len(steps):
            _, begin, found = known
        if begin < len(steps):
            fresh = steps[begin:][~np.isfinite(values[begin:])]
            found = np.concatenate((found, fresh)) if len(fresh) else found
            self._odd[metric] = (self._past(), len(steps), found)
        return found

    def _past(self) -> tuple[object, ...]:
        """Another one when points that were handed out have been superseded."""
        return *self.store.seams, getattr(self.store, "cuts", 0)

    # -- x axes -------------------------------------------------------------------------------------------------------

    def to_units(self, steps: NDArray[Any], axis: XAxis) -> NDArray[np.float64]:
        """Steps in the units of an axis; beyond what is known, the nearest known."""
        import numpy as np

        known = self._units(axis)
        steps = np.asarray(steps, dtype=np.float64)
        if known is None:
            return steps
        return _between(steps, known[0], known[1]) - known[2]

    def to_steps(self, units: NDArray[np.float64], axis: XAxis) -> NDArray[np.float64]:
        """Where an axis has these values, in steps; outside of what is known, just outside of the steps known."""
        import numpy as np

        known = self._units(axis)
        if known is None:
            return units
        base, values, origin = known
        wanted = units + origin
        steps = _between(wanted, values, base)
        steps = np.where(wanted < float(values[0]), float(base[0]) - 0.5, steps)
        return np.where(wanted > float(values[-1]), float(base[-1]) + 0.5, steps)

    def measures(self, axis: XAxis) -> bool:
        """Whether the run recorded what an axis needs; without it steps stand in."""
        return axis == "step" or self._units(axis) is not None

    def end(self, axis: XAxis, metric: str) -> float:
        """The newest point of a metric, or of the run's own pace, on an axis; 0 before the first."""
        ends = [
            float(self.to_units(known[-1:], axis)[-1]) for name in (metric, "loss") if len(known := self.curve(name)[0])
        ]
        return max(ends, default=0.0)

    def _units(self, axis: XAxis) -> tuple[NDArray[Any], NDArray[Any], float] | None:
        """Steps, ascending values, and what the axis calls 0."""
        import numpy as np

        if axis == "step":
            return None
        name = "wall" if axis == "time" else axis
        steps, values = self.store.get(name)
        if len(steps):
            origin = 0.0
            if axis == "time":
                origin = self.began if self.began is not None else self._first_step_began(float(values[0]))
            return steps, self._rising(name, values), origin
        if axis == "time":
            steps, seconds = self.store.get("step_s")
            if len(steps):
                return steps, np.cumsum(np.nan_to_num(seconds, nan=0.0, posinf=0.0, neginf=0.0), dtype=np.float64), 0.0
        return None

    def _first_step_began(self, ended: float) -> float:
        _, seconds = self.store.get("step_s")
        took = float(seconds[0]) if len(seconds) else 0.0
        return ended - took if 0 <= took < 1e9 else ended

    def _rising(self, name: str, values: NDArray[Any]) -> NDArray[Any]:
        """The values where they rise; a clock set back or a gap keeps the largest so far."""
        import numpy as np

        size, known = len(values), self._risen.get(name)
        if known is not None and not (known.size <= size and float(values[known.size - 1]) == known.last):
            known = None
        risen = known.risen if known is not None else None
        if known is not None and known.size == size:
            return values if risen is None else risen
        part = values[known.size - 1 :] if known is not None else values
        if risen is not None or not bool((part[1:] >= part[:-1]).all()) or values[0] != values[0]:
            with np.errstate(invalid="ignore"):
                risen = np.nan_to_num(np.fmax.accumulate(values.astype(np.float64)), nan=0.0)
        self._risen[name] = _Risen(size, float(values[-1]), risen)
        return values if risen is None else risen

    # -- envelopes ----------------------------------------------------------------------------------------------------

    def envelope(
        self, metric: str, smoothing: str, axis: XAxis, view: tuple[float, float, int], *, log: bool
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Lowest and highest value per column of a view (start, stop, columns); see `canvas.envelope`."""
        import numpy as np

        steps, values = self.curve(metric, smoothing)
        start, stop, columns = view
        if not len(steps):
            return np.full(columns, np.nan), np.full(columns, np.nan)
        key = (metric, smoothing, axis, log, columns)
        kept = self._kept.get(key)
        size, past = len(steps), self._past()
        fits = kept is not None and kept.view == view and kept.size <= size and kept.past[0] == past
        if kept is not None and fits and _ending(steps, values, kept.size) == kept.past[1]:
            if kept.size == size:
                return kept.low, kept.high
            # From the column that held the last point on: the line leaves it another way.
            edges = self.to_steps(np.linspace(start, stop, columns + 1), axis)
            column = max(0, int(edges.searchsorted(float(steps[kept.size - 1]), "left")) - 2)
            low, high = kept.low.copy(), kept.high.copy()
            if column < columns:
                low[column:], high[column:] = envelope(steps, values, edges[column:], log=log)
        else:
            edges = self.to_steps(np.linspace(start, stop, columns + 1), axis)
            low, high = envelope(steps, values, edges, log=log, blocks=self._blocks_of(metric, smoothing, values))
        if len(self._kept) >= _KEPT:
            self._kept.clear()
        self._kept[key] = _Kept(view, (past, _ending(steps, values, size)), size, low, high)
        return low, high


def _ending(steps: NDArray[Any], values: NDArray[Any], size: int) -> tuple[int, str]:
    """Tells one past of a curve from another; as text, because NaN does not equal itself."""
    return int(steps[size - 1]), repr(float(values[size - 1]))


def _between(at: NDArray[np.float64], x: NDArray[Any], y: NDArray[Any]) -> NDArray[np.float64]:
    """Linear interpolation like `numpy.interp`, which would convert all of `x` and `y` to do it."""
    import numpy as np

    left = np.clip(first_at(x, at, "right") - 1, 0, len(x) - 1)
    right = np.minimum(left + 1, len(x) - 1)
    x0, x1 = x[left].astype(np.float64), x[right].astype(np.float64)
    span = x1 - x0
    share = np.clip(np.divide(at - x0, span, out=np.zeros_like(at, dtype=np.float64), where=span > 0), 0.0, 1.0)
    between: NDArray[np.float64] = y[left].astype(np.float64) * (1 - share) + y[right].astype(np.float64) * share
    return between
