"""Moving about in a chart: zoom, pan, fit, crosshair, jumps between marks."""

from __future__ import annotations

import math

from backprop_tui.app.widgets.chart_base import ChartBase


class ChartMoves(ChartBase):
    """Everything that changes the part in view or the step under the crosshair."""

    def zoom(self, factor: float, around: float | None = None) -> None:
        """Show a `factor`-th of what is shown, around a place: the crosshair, else the middle, else the end followed."""
        start, stop = self.view()
        end, least = self._end(), self._least()
        span = max(least, (stop - start) / factor)
        if span >= end:
            self.fit()
            return
        place = around if around is not None else self._place(self.state.cursor)
        if place is None and self.follow:
            self.state.start = max(0.0, end - span)
        else:
            place = min(max(start, place if place is not None else (start + stop) / 2), stop)
            self.state.start = min(max(0.0, place - (place - start) / (stop - start) * span), max(0.0, end - span))
            self.follow = self.state.start + span >= end
        self.state.span = span

    def show_range(self, start: float, stop: float) -> None:
        """Show just this range of the axis."""
        start, stop = max(0.0, min(start, stop)), max(start, stop)
        self.state.span = max(self._least(), stop - start)
        self.state.start, self.follow = start, False

    def pan(self, share: float) -> None:
        """Move by a share of what is shown; at the right end following begins again."""
        start, stop = self.view()
        end, span = self._end(), stop - start
        if self.state.span is None and span >= end:
            return
        self.state.span = span
        self.state.start = min(max(0.0, start + share * span), max(0.0, end - span))
        self.follow = self.state.start + span >= end

    def fit(self) -> None:
        """The whole run."""
        self.state.start, self.state.span, self.follow = 0.0, None, True

    # -- crosshair ----------------------------------------------------------------------------------------------------

    def toggle_cursor(self) -> None:
        """A crosshair on the newest point in view, or none."""
        self.hover = None
        if self.state.cursor is not None:
            self.state.cursor = None
            return
        self.state.cursor = self.nearest(self.view()[1])

    def move_cursor(self, by: int) -> None:
        """The crosshair so many points on; the view comes along."""
        import numpy as np

        steps = self._steps()
        if self.state.cursor is None or steps is None:
            return
        index = int(steps.searchsorted(np.asarray(self.state.cursor, dtype=steps.dtype)))
        self.put_cursor(int(steps[min(max(0, index + by), len(steps) - 1)]))

    def jump_mark(self, direction: int) -> str | None:
        """The crosshair on the next mark or the one before; the mark's words, or None where there is none."""
        if self.marks is None or not self.known:
            return None
        start, stop = self.view()
        here = self.state.cursor
        if here is None:
            import numpy as np

            sources = self.sources()
            edge = sources[0].to_steps(np.array([start - 1 if direction > 0 else stop]), self.axis)[0]
            here = int(edge) + (1 if direction < 0 else 0)
        step = self.marks.next(here, direction)
        if step is None:
            return None
        self.put_cursor(step)
        return ", ".join(words for _, words in self.marks.at(step))

    def put_cursor(self, step: int) -> None:
        """The crosshair on a step, moving the view where it would be outside."""
        self.hover = None
        self.state.cursor = step
        place = self._place(step)
        start, stop = self.view()
        if place is not None and self.state.span is not None and not start <= place <= stop:
            span = stop - start
            self.state.start = min(max(0.0, place - span / 2), max(0.0, self._end() - span))
            self.follow = False

    def nearest(self, x: float) -> int | None:
        """The step of the point nearest to a place on the axis."""
        import numpy as np

        steps = self._steps()
        if steps is None:
            return None
        source = self.sources()[0]
        at = float(source.to_steps(np.array([x]), self.axis)[0])
        index = int(steps.searchsorted(np.asarray(max(0, math.ceil(at)), dtype=steps.dtype)))
        near = steps[max(0, index - 1) : index + 1]
        return int(min(near.tolist(), key=lambda step: abs(step - at)))
