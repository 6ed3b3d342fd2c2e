"""Lengths of rows, exactly: every length is kept, four bytes each. And how often contents repeat."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

_BUCKETS = 48
#: Rows from which numpy pays for its own import.
_MANY = 300_000
_DIGEST = 16


@dataclass(frozen=True, slots=True)
class LengthStats:
    """How long the rows are, before cutting.

    Args:
        total: sum of all lengths.
        p50: half of the rows are at most this long. p95: 95 % are. longest: none is longer.
        histogram: (upper edge, rows) of equally wide ranges; a row belongs to the first range whose edge it doesn't pass.
    """

    total: int
    p50: int
    p95: int
    longest: int
    histogram: tuple[tuple[int, int], ...]

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready words."""
        return {
            "total": self.total,
            "p50": self.p50,
            "p95": self.p95,
            "max": self.longest,
            "histogram": [list(bucket) for bucket in self.histogram],
        }


def length_stats(lengths: array[int]) -> LengthStats | None:
    """Statistics of row lengths, None when there are no rows."""
    if not lengths:
        return None
    ordered: Sequence[int] = sorted(lengths)
    longest = ordered[-1]
    width = max(1, -(-longest // _BUCKETS))
    counts = [0] * max(1, -(-longest // width))
    for length in ordered:
        counts[max(0, -(-length // width) - 1)] += 1
    return LengthStats(
        total=sum(ordered),
        p50=_quantile(ordered, 50),
        p95=_quantile(ordered, 95),
        longest=longest,
        histogram=tuple((width * (place + 1), count) for place, count in enumerate(counts)),
    )


def repeated(digests: bytes) -> int:
    """How many of the 16-byte digests occurred before in the row of them."""
    count = len(digests) // _DIGEST
    if count < _MANY:
        return count - len({digests[at : at + _DIGEST] for at in range(0, len(digests), _DIGEST)})
    import numpy as np

    pairs = np.frombuffer(digests, dtype="<u8").reshape(-1, 2)
    order = np.lexsort((pairs[:, 1], pairs[:, 0]))
    ordered = pairs[order]
    return int((ordered[1:] == ordered[:-1]).all(axis=1).sum())


def _quantile(ordered: Sequence[int], percent: int) -> int:
    """The smallest length that at least `percent` % of the rows don't pass (nearest rank)."""
    return ordered[max(0, -(-len(ordered) * percent // 100) - 1)]
