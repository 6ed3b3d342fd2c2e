"""What a task × run matrix says of continual learning. Pure; None is what can't be said, never 0.

Row 0 is the untouched base, row i the merged adapter after run i; column j is the held-out loss on task j. Losses: lower is
better, so forgetting and backward transfer carry the sign that accuracy would give them (Chaudhry et al. 2018,
arXiv 1801.10112; Lopez-Paz and Ranzato 2017, arXiv 1706.08840).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

Row = Sequence[float | None]


@dataclass(frozen=True, slots=True)
class Transfer:
    """Figures of the newest row.

    Attributes:
        average: mean loss over the tasks seen so far.
        forgetting: mean over earlier tasks of how far their loss is above the lowest it ever was; at least 0.
        backward: mean over earlier tasks of loss right after their own run minus loss since; above 0 when later runs helped.
        base: mean loss of the untouched base over the tasks seen so far.
    """

    average: float | None
    forgetting: float | None
    backward: float | None
    base: float | None


def transfer(rows: Sequence[Row]) -> Transfer:
    """The figures of a matrix whose first row is the base's. Task j was learnt in run j (counted from 1)."""
    seen = len(rows) - 1
    if seen < 1:
        return Transfer(None, None, None, _mean(rows[0]) if rows else None)
    last = rows[-1]
    tasks = min(seen, len(last))
    lost, gained = [], []
    for task in range(min(tasks, seen - 1)):
        now = _at(rows, seen, task)
        since = [value for run in range(task + 1, seen + 1) if (value := _at(rows, run, task)) is not None]
        first = _at(rows, task + 1, task)
        if now is not None and since:
            lost.append(now - min(since))
        if now is not None and first is not None:
            gained.append(first - now)
    return Transfer(_mean(last[:tasks]), _mean(lost), _mean(gained), _mean(rows[0][:tasks]))


def _at(rows: Sequence[Row], run: int, task: int) -> float | None:
    value = rows[run][task] if task < len(rows[run]) else None
    return value if value is not None and math.isfinite(value) else None


def _mean(values: Row) -> float | None:
    known = [value for value in values if value is not None and math.isfinite(value)]
    return math.fsum(known) / len(known) if known and len(known) == len(values) else None
