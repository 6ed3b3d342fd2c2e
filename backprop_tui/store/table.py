"""The steps of a run as one table: a column of steps, one of wall times, one per metric; older rows may lie in files.

A column in a file comes into memory when somebody first asks for it: whoever looks at the loss of a million steps does not
pay for seven other metrics. Arrays handed out are never written again where they were already filled.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from backprop_tui.store.columns import STEP, WALL, Columns
from backprop_tui.store.stretch import ABSENT, ABSENT_BITS, MOST_METRICS, Rows, Stretch, first_present, is_metric

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_FIRST_CAPACITY = 1024
#: Rows by which a large array grows.
_STRIDE = 1 << 17


class _Column:
    """A growing array of 8-byte numbers."""

    __slots__ = ("data", "size")

    def __init__(self, name: str, room: int = 0) -> None:
        import numpy as np

        kind = np.int64 if name == STEP else np.float64
        self.data: NDArray[Any] = np.empty(max(_FIRST_CAPACITY, room), dtype=kind)
        self.size = 0

    def room(self, more: int) -> NDArray[Any]:
        """The next `more` places, to be filled."""
        first, self.size = self.size, self.size + more
        if self.size > len(self.data):
            import numpy as np

            # Doubling is quick while small; doubling what is large takes memory for rows that may never come.
            grown = np.empty(max(self.size, len(self.data) + min(len(self.data), _STRIDE)), dtype=self.data.dtype)
            grown[:first] = self.data[:first]
            self.data = grown
        return self.data[first : self.size]

    def cut(self, keep: int) -> None:
        """Forget what follows; views handed out before keep the old values."""
        if keep < self.size:
            self.data, self.size = self.data.copy(), keep

    @property
    def view(self) -> NDArray[Any]:
        return self.data[: self.size]


class _Reported:
    """One metric without the steps that did not report it, as far as `checked`."""

    __slots__ = ("checked", "steps", "values")

    def __init__(self) -> None:
        self.checked = 0
        self.steps: _Column | None = None
        self.values: _Column | None = None

    def of(self, steps: NDArray[np.int64], values: NDArray[np.float64]) -> tuple[NDArray[Any], NDArray[Any]]:
        """The rows whose value is there; copies only when one is missing."""
        import numpy as np

        known = values[self.checked :].view(np.uint64) != ABSENT_BITS
        if self.steps is None or self.values is None:
            if known.all():
                self.checked = len(values)
                return steps, values
            self.steps, self.values = _Column(STEP), _Column("")
            self.steps.room(self.checked)[:] = steps[: self.checked]
            self.values.room(self.checked)[:] = values[: self.checked]
        count = int(known.sum())
        if count:
            self.steps.room(count)[:] = steps[self.checked :][known]
            self.values.room(count)[:] = values[self.checked :][known]
        self.checked = len(values)
        return self.steps.view, self.values.view


class StepTable:
    """Rows are added at the end; a step that was there already replaces everything from it on.

    `append`, `extend` and `attach` say whether rows were replaced.

    Attributes:
        rows: steps there are.
    """

    def __init__(self) -> None:
        self.rows = 0
        self._base: Columns | None = None
        self._base_rows = 0
        self._late: dict[str, _Column] = {}
        self._loaded: dict[str, _Column] = {}
        self._reported: dict[str, _Reported] = {}
        #: Row of each metric's first value.
        self._first: dict[str, int] = {}
        self._last = -1

    def append(self, step: int, wall: float, values: dict[str, float]) -> bool:
        """One more step."""
        cut = self._make_way(step)
        for name in values:
            self._admit(name, self.rows)
        self._late_column(STEP).room(1)[0] = step
        self._late_column(WALL).room(1)[0] = wall
        for name, column in self._late.items():
            if name not in (STEP, WALL):
                column.room(1)[0] = values.get(name, ABSENT)
        self._last = step
        self.rows += 1
        return cut

    def extend(self, rows: Rows) -> bool:
        """More steps, in ascending order."""
        count = len(rows.steps)
        if not count:
            return False
        cut = self._make_way(int(rows.steps[0]))
        for name, values in rows.values.items():
            first = first_present(values)
            if first is not None:
                self._admit(name, self.rows + first)
        self._late_column(STEP).room(count)[:] = rows.steps
        self._late_column(WALL).room(count)[:] = rows.walls
        for name, column in self._late.items():
            if name not in (STEP, WALL):
                column.room(count)[:] = rows.values.get(name, ABSENT)
        self._last = int(rows.steps[-1])
        self.rows += count
        return cut

    def attach(self, stretch: Stretch) -> bool:
        """Columns in files hold the first steps, which are all there are so far."""
        import numpy as np

        base, rows, changed_from = stretch.base, stretch.base_rows, stretch.changed_from
        if base is None:
            return False
        cut = changed_from < self.rows
        self._forget_from(min(changed_from, self.rows))
        self._late.clear()
        self._base, self._base_rows, self.rows = base, rows, rows
        for name, first in stretch.firsts.items():
            self._first.setdefault(name, first)
        newest = np.empty(1, dtype=np.int64)
        if rows and base.read(STEP, rows - 1, newest):
            self._last = int(newest[0])
        return cut

    def get(self, name: str) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Steps and values of a metric, without the steps that did not report it."""
        import numpy as np

        if not self.rows or (name != WALL and self._first.get(name, self.rows) >= self.rows):
            return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.float64)
        steps, values = self._whole(STEP), self._whole(name)
        # Files that became shorter show fewer rows, never made-up ones.
        size = min(len(steps), len(values))
        return self._reported.setdefault(name, _Reported()).of(steps[:size], values[:size])

    def names(self) -> list[str]:
        """Metrics with at least one value."""
        return [name for name, first in self._first.items() if first < self.rows]

    # -- columns ------------------------------------------------------------------------------------------------------

    def _late_column(self, name: str) -> _Column:
        column = self._late.get(name)
        if column is None:
            column = self._late[name] = _Column(name)
        return column

    def _admit(self, name: str, row: int) -> None:
        """A metric with a value at `row`: the late rows before, if any, did not report it."""
        if not is_metric(name) or (name not in self._first and len(self._first) >= MOST_METRICS):
            return
        if name not in self._late:
            self._late_column(name).room(self.rows - self._base_rows)[:] = ABSENT
        self._first.setdefault(name, row)

    def _whole(self, name: str) -> NDArray[Any]:
        """A column from the first row to the newest one there is."""
        late = self._late.get(name)
        if self._base is None or not self._base_rows:
            return late.view if late is not None else _Column(name).view
        column = self._loaded.get(name)
        if column is None:
            column = self._loaded[name] = _Column(name, self.rows + min(self.rows // 8, _STRIDE))
        if column.size < self._base_rows:
            first = column.size
            into = column.room(self._base_rows - first)
            if name in self._base:
                column.size = first + self._base.read(name, first, into)
            else:
                into[:] = ABSENT
        if self._base_rows <= column.size < self.rows:
            first = column.size - self._base_rows
            column.room(self.rows - column.size)[:] = late.view[first:] if late is not None else ABSENT
        return column.view

    def _make_way(self, step: int) -> bool:
        """Drop the rows from `step` on."""
        if step > self._last:
            return False
        keep = int(self._whole(STEP).searchsorted(step))
        cut = keep < self.rows
        self._forget_from(keep)
        if keep < self._base_rows:
            self._base_rows = keep
            self._late.clear()
            if not keep:
                self._base = None
                self._loaded.clear()
        for column in self._late.values():
            column.cut(keep - self._base_rows)
        self.rows = keep
        return cut

    def _forget_from(self, row: int) -> None:
        """What was worked out from rows at `row` and after it."""
        for column in self._loaded.values():
            column.cut(row)
        if row < self.rows:
            self._reported.clear()
            self._first = {name: first for name, first in self._first.items() if first < row}
