"""What a chart shows and how it is laid out, apart from the widget: metric, axes, smoothing, the part of the run in view."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from backprop_tui.app.glyphs import Glyphs
from backprop_tui.app.widgets import axes
from backprop_tui.app.widgets.canvas import Canvas, Window
from backprop_tui.app.widgets.painted import Line, fit
from backprop_tui.app.widgets.smoothing import Ema

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from backprop_tui.store.series import SeriesStore

XAxis = Literal["step", "tokens", "time"]
X_AXES: tuple[XAxis, ...] = ("step", "tokens", "time")
WEIGHTS = (0.0, 0.6, 0.9, 0.97)
#: Steps from which a run is smoothed more.
_LONG_RUN = 300
#: Metric drawn as points over another one.
_OVERLAY = {"loss": "eval_loss"}
#: Metrics measured now and then: points joined by a line, never smoothed.
_SPARSE = frozenset({"eval_loss", "perplexity", "exact_match"})
#: Metrics that are noisy enough to be smoothed.
_NOISY = frozenset({"loss", "grad_norm", "tokens_per_s", "step_s"})
_LEAST_WIDTH, _LEAST_HEIGHT = 24, 4
#: A view is never narrower than this many units of its axis.
_LEAST_SPAN = 2.0


@dataclass(slots=True)
class ChartModel:
    """State of one chart. `span` None is the whole run; `follow` keeps the newest point in view."""

    store: SeriesStore | None = None
    metric: str = "loss"
    axis: XAxis = "step"
    log_y: bool = False
    chosen_weight: float | None = None
    follow: bool = True
    live: bool = False
    total_steps: int | None = None
    empty: str = ""
    start: float = 0.0
    span: float | None = None
    _ema: Ema | None = None
    _ema_of: tuple[str, float, int] = ("", 0.0, 0)

    # -- what keys do -------------------------------------------------------------------------------------------------

    def zoom(self, factor: float) -> None:
        """Show a `factor`-th of what is shown, around its middle, or its right end while following."""
        start, stop = self.view()
        span = max(_LEAST_SPAN, (stop - start) / factor)
        if span >= self._end() and self.start <= 0:
            self.fit()
            return
        middle = (start + stop) / 2
        self.span = span
        self.start = max(0.0, self._end() - span if self.follow else middle - span / 2)

    def pan(self, share: float) -> None:
        """Move by a share of what is shown; at the right end following begins again."""
        start, stop = self.view()
        end, span = self._end(), stop - start
        if self.span is None and span >= end:
            return
        self.span = span
        self.start = min(max(0.0, start + share * span), max(0.0, end - span))
        self.follow = self.start + span >= end

    def fit(self) -> None:
        """The whole run."""
        self.start, self.span, self.follow = 0.0, None, True

    def next_axis(self) -> None:
        """Step, tokens, time, around; the view starts over because the units differ."""
        self.axis = X_AXES[(X_AXES.index(self.axis) + 1) % len(X_AXES)]
        self.fit()

    def next_weight(self) -> None:
        """The next smoothing."""
        self.chosen_weight = WEIGHTS[(WEIGHTS.index(self.weight) + 1) % len(WEIGHTS)]

    def view(self) -> tuple[float, float]:
        """Start and end of the x axis in view."""
        end = self._end()
        if self.span is None:
            return 0.0, end
        if self.follow:
            # Strides again: a tenth of the view at a time.
            stride = self.span / 10
            stop = max(self.span, math.ceil(self._newest() / stride) * stride) if self.live else end
            return stop - self.span, stop
        return self.start, self.start + self.span

    @property
    def weight(self) -> float:
        """Smoothing: the person's choice, else little on short runs, where an average lags visibly."""
        if self.chosen_weight is not None:
            return self.chosen_weight
        length = self.total_steps or (self._newest_step() if self.store else 0)
        return 0.9 if length >= _LONG_RUN else 0.6

    @property
    def smoothed(self) -> bool:
        """Whether an average is drawn in front of the values."""
        return bool(self.weight) and self.metric in _NOISY

    # -- words of the frame -------------------------------------------------------------------------------------------

    def facts(self, width: int, glyphs: Glyphs) -> Line:
        """Legend and settings for the title line."""
        smooth = f"ema {self.weight:g}" if self.smoothed else "raw"
        name: Line
        if self.metric == "loss":
            name = (
                ("train ", "muted"), (glyphs.bar_rest, "series-1"),
                ("  eval ", "muted"), (glyphs.eval_point, "series-2"),
            )  # fmt: skip
        else:
            name = ((self.metric, "muted"),)
        scale = "log" if self.log_y else "lin"
        if width < 70:
            return (*name, (f"  {smooth}", "muted"))
        return (*name, (f"   {smooth}   y:{scale}   x:{self.axis}", "muted"))

    def foot(self, glyphs: Glyphs) -> str:
        """What part is in view."""
        start, stop = self.view()
        follow = "" if self.follow else f"  {glyphs.dot} f follow"
        return f"{glyphs.both} {self._x_label(start)}{glyphs.dash}{self._x_label(stop)}{follow}"

    # -- the picture --------------------------------------------------------------------------------------------------

    def paint(self, width: int, height: int, glyphs: Glyphs) -> list[Line]:
        """The plot with its axes as `height` lines."""
        # Asked before any array is touched: an empty chart must not cost the first paint an import of numpy.
        if width < _LEAST_WIDTH or height < _LEAST_HEIGHT or self.store is None or not self._known:
            message: Line = ((f" {self.empty or 'Nothing recorded yet.'}", "muted"),)
            return [fit((), width)] * (height // 2) + [message]
        import numpy as np

        steps, raw = self._curve(self.metric)
        x = self._x_of(steps)
        start, stop = self.view()
        with np.errstate(all="ignore"):
            y = np.log10(np.where(raw > 0, raw, np.nan)) if self.log_y else raw.astype(float)
            smooth = self._smoothed(raw)
            front = np.log10(np.where(smooth > 0, smooth, np.nan)) if self.log_y else smooth
        over_steps, over_raw = self._curve(_OVERLAY.get(self.metric, ""))
        over_x = self._x_of(over_steps)
        over = [math.log10(v) if v > 0 else math.nan for v in over_raw] if self.log_y else list(over_raw)

        low, high, ticks = self._y_range(x, y, over_x, over, start, stop, max(2, (height - 2) // 3))
        labels = self._y_labels(ticks)
        gutter = max(len(text) for text in labels) + 2
        plot = Canvas(max(1, width - gutter - 1), height - 2, Window(start, stop, low, high), glyphs.marks)
        for seam in self._x_of(np.array(self.store.seams, dtype=np.int64)):
            plot.line_at(float(seam), "┊" if glyphs.marks != "ascii" else ":", "grid")
        if front is not y:
            plot.curve(x, y, "faint")
        plot.curve(x, front, "series-1")
        if self.metric in _SPARSE:
            plot.points(list(x), list(y), glyphs.eval_point, "series-2")
        plot.points(list(over_x), over, glyphs.eval_point, "series-2")
        # What is not a number has no height: it is marked at the top, never drawn as zero.
        odd = x[~np.isfinite(raw)]
        plot.points(list(odd), [high] * len(odd), glyphs.odd, "bad")

        named = {plot.row_of(tick): text for tick, text in zip(ticks, labels, strict=True)}
        lines: list[Line] = []
        for row, cells in enumerate(plot.lines()):
            text = named.get(row)
            axis = glyphs.tick if text is not None else glyphs.axis
            lines.append(((f"{text or '':>{gutter - 1}} ", "muted"), (axis, "grid"), *cells))
        lines.append(((" " * gutter, "text"), (glyphs.corner + glyphs.frame[4] * plot.width, "grid")))
        lines.append(((self._x_labels(plot, gutter + 1, width), "muted"),))
        return lines

    def _curve(self, metric: str) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        if self.store is None:
            import numpy as np

            return np.empty(0, dtype=np.int64), np.empty(0)
        return self.store.get(metric)

    def _smoothed(self, y: NDArray[np.float64]) -> NDArray[np.float64]:
        if not self.smoothed or self.store is None:
            return y
        wanted = (self.metric, self.weight, len(self.store.seams))
        if self._ema is None or self._ema_of != wanted:
            self._ema, self._ema_of = Ema(self.weight), wanted
        return self._ema.of(y)

    def _x_of(self, steps: NDArray[np.int64]) -> NDArray[np.float64]:
        """Steps in the units of the axis."""
        import numpy as np

        if self.axis == "step" or self.store is None or not len(steps):
            return steps.astype(float)
        if self.axis == "tokens":
            known, units = self.store.get("tokens")
        else:
            known, seconds = self.store.get("step_s")
            units = np.cumsum(np.nan_to_num(seconds, nan=0.0, posinf=0.0, neginf=0.0))
        if not len(known):
            return steps.astype(float)
        return np.maximum.accumulate(np.interp(steps, known, units))

    @property
    def _known(self) -> bool:
        return self.store is not None and self.metric in self.store.names()

    def _newest_step(self) -> int:
        if self.store is None or "loss" not in self.store.names():
            return 0
        return int(self.store.get("loss")[0][-1])

    def _newest(self) -> float:
        if self.store is None or not self.store.names():
            return 0.0
        steps, _ = self._curve(self.metric)
        every, _ = self._curve("loss")
        ends = [self._x_of(known[-1:])[-1] for known in (steps, every) if len(known)]
        return float(max(ends, default=0.0))

    def _end(self) -> float:
        newest = self._newest()
        if not self.live:
            return newest or 1.0
        return axes.grown_end(newest, float(self.total_steps) if self.axis == "step" and self.total_steps else None)

    def _y_range(
        self, x: NDArray[np.float64], y: NDArray[np.float64], over_x: NDArray[np.float64], over: list[float],
        start: float, stop: float, parts: int,
    ) -> tuple[float, float, list[float]]:  # fmt: skip
        import numpy as np

        seen = y[int(x.searchsorted(start, "left")) : int(x.searchsorted(stop, "right"))]
        seen = seen[np.isfinite(seen)]
        values = [v for at, v in zip(over_x, over, strict=True) if start <= at <= stop and math.isfinite(v)]
        if len(seen):
            values += [float(seen.min()), float(seen.max())]
        if not values:
            return 0.0, 1.0, [0.0, 1.0]
        if self.log_y:
            return axes.log_range(10 ** min(max(min(values), -300), 300), 10 ** min(max(max(values), -300), 300), parts)
        return axes.linear_range(min(values), max(values), parts)

    def _y_labels(self, ticks: list[float]) -> list[str]:
        if self.log_y:
            return [f"{10**tick:.4g}" for tick in ticks]
        decimals = axes.decimals_for(ticks)
        return [axes.label(tick, decimals) for tick in ticks]

    def _x_label(self, value: float) -> str:
        return axes.duration(value) if self.axis == "time" else axes.label(round(value), 0)

    def _x_labels(self, plot: Canvas, offset: int, width: int) -> str:
        start, stop = plot.window.start, plot.window.stop
        parts = max(1, plot.width // 14)
        step = axes.nice_seconds(stop - start, parts) if self.axis == "time" else axes.nice_step(stop - start, parts)
        step = max(1.0, step)
        row = [" "] * width
        tick = math.ceil(start / step - 1e-9) * step
        free = 0
        while tick <= stop + 1e-9:
            text = self._x_label(tick)
            at = min(offset + plot.column_of(min(tick, stop)) - len(text) // 2, width - len(text))
            at = max(at, offset - 1)
            if at >= free:
                row[at : at + len(text)] = text
                free = at + len(text) + 2
            tick += step
        return "".join(row[:width])
