"""What a person chose about a chart: the part of it that outlives the app."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from backprop_tui.app.widgets.smoothing import SMOOTHINGS

XAxis = Literal["step", "tokens", "time", "epoch"]
Layout = Literal["single", "grid", "overlay"]
X_AXES: tuple[XAxis, ...] = get_args(XAxis)
LAYOUTS: tuple[Layout, ...] = get_args(Layout)
#: Metrics laid over one another at most; beyond that no picture is read.
MOST_OVERLAID = 4
#: A part of an axis that can be told apart from its ends, and an end that no run reaches.
_LEAST_SPAN, _MOST = 1e-13, 1e15


@dataclass(slots=True)
class ChartState:
    """State of one chart.

    Attributes:
        metric: what a single chart shows, and what is selected in a grid. overlaid: metrics of the overlay, in order.
        tight: whether the y axis leaves outliers to its edge.
        smoothing: one of `SMOOTHINGS`; None leaves it to the length of the run.
        start, span: the part of the x axis in view in its own units; `span` None is the whole run.
        follow: whether the newest point stays in view. cursor: the step under the crosshair; None is no crosshair.
    """

    layout: Layout = "single"
    metric: str = "loss"
    overlaid: list[str] = field(default_factory=list)
    axis: XAxis = "step"
    log_y: bool = False
    tight: bool = False
    smoothing: str | None = None
    follow: bool = True
    start: float = 0.0
    span: float | None = None
    cursor: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready; `from_dict` reads it back."""
        return {name: getattr(self, name) for name in self.__slots__} | {"overlaid": list(self.overlaid)}

    @classmethod
    def from_dict(cls, words: Mapping[str, Any]) -> ChartState:
        """Rebuild a state; whatever is missing, of another version or damaged is as in a fresh chart."""
        state = cls()
        if words.get("layout") in LAYOUTS:
            state.layout = words["layout"]
        if isinstance(words.get("metric"), str) and words["metric"]:
            state.metric = words["metric"]
        if isinstance(words.get("overlaid"), list):
            state.overlaid = [name for name in words["overlaid"] if isinstance(name, str)][:MOST_OVERLAID]
        if words.get("axis") in X_AXES:
            state.axis = words["axis"]
        if words.get("smoothing") in SMOOTHINGS:
            state.smoothing = words["smoothing"]
        state.log_y, state.tight = words.get("log_y") is True, words.get("tight") is True
        start, span, cursor = words.get("start"), words.get("span"), words.get("cursor")
        left, width = _finite(start), _finite(span)
        if 0 <= left < _MOST and _LEAST_SPAN * max(1.0, left) < width < _MOST:
            state.start, state.span = left, width
            state.follow = words.get("follow") is not False
        if isinstance(cursor, int) and not isinstance(cursor, bool) and 0 <= cursor < 1 << 53:
            state.cursor = cursor
        return state


def _finite(value: Any) -> float:
    """The number, or -1 for what is none."""
    plain = isinstance(value, (int, float)) and not isinstance(value, bool)
    return float(value) if plain and math.isfinite(value) else -1.0
