"""Rows between two percentiles of a score, the same number lost at both ends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_FLOOR, Decimal
from typing import Any

from backprop_tui.protocol.errors import UsageError


@dataclass(frozen=True, slots=True)
class Kept:
    """Which rows are between the percentiles.

    Args:
        places: rows kept, ascending.
        low: lowest score kept. high: highest score kept. Both None where no scored row is kept.
        below: rows lost at the lower end. above: rows lost at the upper end.
        unscored: rows without a score, kept or not.
    """

    places: list[int]
    low: float | None
    high: float | None
    below: int
    above: int
    unscored: int

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready words, the places as their number."""
        return {
            "kept": len(self.places),
            "low": self.low,
            "high": self.high,
            "below": self.below,
            "above": self.above,
            "unscored": self.unscored,
        }


def keep_between(
    scores: Sequence[float | None], low: float = 5.0, high: float = 95.0, *, keep_unscored: bool = True
) -> Kept:
    """Rows whose score is neither among the lowest `low` % nor among the highest `100 - high` %.

    The tails are counted in rows, rounded down: 20 rows between 5 and 95 lose one at each end, 19 rows lose none. Equal
    scores at a border are told apart by place, the earlier row counting as lower, so that the counts hold.

    Args:
        scores: one per row, such as perplexities; None and NaN mean that the row could not be scored. Infinite scores
            count as scores.
        low: percentile below which rows are lost, 0 to 100.
        high: percentile above which rows are lost, at least `low`.
        keep_unscored: whether rows without a score stay.

    Raises:
        UsageError: PERCENTILES_INVALID, not 0 <= low <= high <= 100.
    """
    if not 0 <= low <= high <= 100:
        raise UsageError(
            "PERCENTILES_INVALID",
            f"The percentiles {low:g} and {high:g} are not two numbers from 0 to 100 in ascending order.",
            "Give two percentiles such as 5 and 95.",
        )
    scored = [(score, place) for place, score in enumerate(scores) if score is not None and score == score]
    scored.sort()
    below = _rows(len(scored), Decimal(repr(low)))
    above = _rows(len(scored), 100 - Decimal(repr(high)))
    middle = scored[below : len(scored) - above]
    places = [place for _, place in middle]
    if keep_unscored:
        places += (place for place, score in enumerate(scores) if score is None or score != score)
    return Kept(
        places=sorted(places),
        low=middle[0][0] if middle else None,
        high=middle[-1][0] if middle else None,
        below=below,
        above=above,
        unscored=len(scores) - len(scored),
    )


def _rows(count: int, percent: Decimal) -> int:
    # In decimals, because 100 - 97.7 is not 2.3 in binary and one tail would lose a row more than the other.
    return int((percent * count / 100).to_integral_value(ROUND_FLOOR))
