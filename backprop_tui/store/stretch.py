"""A stretch of a run's history: the rows of its steps as arrays, and the few events a reader folds one by one.

A million steps can't pass through a fold one at a time while somebody waits for a chart. What a run is *now* depends on
all other events, on the steps beside those, and on the newest steps; the curves depend on every step, as columns.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from backprop_tui.protocol.codec import number
from backprop_tui.protocol.events import Event
from backprop_tui.protocol.pace import SCALE

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from backprop_tui.store.columns import Columns

#: A value that was not reported, among float64 values: a NaN that no computation gives. A reported NaN stays itself.
ABSENT_BITS = 0x7FF8_0000_BAC4_0001
ABSENT: float = struct.unpack("<d", struct.pack("<Q", ABSENT_BITS))[0]
#: Metrics of one run; a foreign journal may name any number.
MOST_METRICS = 64
#: Largest step that fits the arrays with room to count on.
STEP_LIMIT = 1 << 62
#: Metrics whose distribution over all steps is known of a run.
PASSED = ("step_s", "tokens_per_s")
_METRIC = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_./@:+-]{0,63}")
_NO_METRICS = frozenset({"step", "wall"})


@dataclass(slots=True)
class Rows:
    """Steps in strictly ascending order.

    Attributes:
        steps: shape (n,). walls: seconds since the Unix epoch, shape (n,).
        values: by metric, shape (n,); `ABSENT` where a step did not report it.
    """

    steps: NDArray[np.int64]
    walls: NDArray[np.float64]
    values: dict[str, NDArray[np.float64]]

    def part(self, low: int, high: int) -> Rows:
        """Some of them, as views."""
        return Rows(
            self.steps[low:high], self.walls[low:high], {name: column[low:high] for name, column in self.values.items()}
        )


@dataclass(slots=True)
class Stretch:
    """What a reader takes in at once.

    Attributes:
        events: what to fold one by one, in order. They hold some of the steps too, whose values are among the rows.
        lines: the journal's lines of what is to be folded. tell: decodes them.
        passed: of the steps that are not folded, how their `PASSED` metrics are spread (`protocol.pace.Spread`).
        rows: the steps as arrays, unless they are in `base`.
        base: columns that hold every step so far, `base_rows` of them; those from `changed_from` on are other than before.
        firsts: row of each metric's first value in `base`.
        turn: whether the curves or the events of a long run are whole with it.
    """

    events: list[Event] = field(default_factory=list)
    lines: bytes = b""
    tell: Callable[[], list[Event]] | None = None
    passed: dict[str, dict[str, int]] = field(default_factory=dict)
    rows: Rows | None = None
    base: Columns | None = None
    base_rows: int = 0
    changed_from: int = 0
    firsts: dict[str, int] = field(default_factory=dict)
    turn: bool = False


def is_metric(name: object) -> bool:
    """Whether a key of a step may name a curve."""
    return isinstance(name, str) and name not in _NO_METRICS and _METRIC.fullmatch(name) is not None


def step_of(data: dict[str, Any], key: str = "step") -> int | None:
    """A step that fits the arrays; None for anything else a foreign journal may hold."""
    value = data.get(key)
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < STEP_LIMIT else None


def first_present(values: NDArray[np.float64]) -> int | None:
    """Index of the first value that was reported."""
    import numpy as np

    known = values.view(np.uint64) != ABSENT_BITS
    return int(known.argmax()) if known.any() else None


def rows_of(events: Sequence[Event]) -> Rows:
    """Events of the kind `step` with a usable step, as rows."""
    import numpy as np

    names = dict.fromkeys(name for event in events for name in event.data if is_metric(name))
    known = [name for name in names if any(number(event.data.get(name)) is not None for event in events)]
    values = {}
    for name in known[:MOST_METRICS]:
        found = (number(event.data.get(name)) for event in events)
        values[name] = np.array([ABSENT if value is None else value for value in found], dtype=np.float64)
    steps = np.array([event.data["step"] for event in events], dtype=np.int64)
    return Rows(steps, np.array([event.wall for event in events], dtype=np.float64), values)


def spread(rows: Rows, which: NDArray[np.bool_]) -> dict[str, dict[str, int]]:
    """Counts of the `PASSED` metrics of some rows, by place in a `protocol.pace.Spread`."""
    import numpy as np

    found: dict[str, dict[str, int]] = {}
    for name in PASSED:
        if name in rows.values:
            values = rows.values[name][which]
            values = values[(values > 0) & np.isfinite(values)]
            places, counts = np.unique(np.rint(np.log(values) / SCALE).astype(np.int64), return_counts=True)
            found[name] = {str(place): count for place, count in zip(places.tolist(), counts.tolist(), strict=True)}
    return found
