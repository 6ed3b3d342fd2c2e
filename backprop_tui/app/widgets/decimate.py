"""Decimation that loses no spike: the lowest and the highest value of a curve in each column of a picture.

Every column takes in all its points, so that a single outlier among a million still shows, and a value that is not finite
breaks the line. The work is one `reduceat` over the points in view, or over their blocks where there are very many.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

#: Points per block, and blocks per column from which they pay.
_BLOCK, _WORTH = 64, 4


class Blocks:
    """Extremes of each 64 points of a growing array, NaN passed over. Whoever holds it starts another for another past.

    Attributes:
        low, high: shape (blocks,), for the blocks that are full.
    """

    def __init__(self) -> None:
        import numpy as np

        self.low: NDArray[Any] = np.empty(0)
        self.high: NDArray[Any] = np.empty(0)

    def update(self, y: NDArray[Any]) -> Blocks:
        """Take in the points that are new in `y`."""
        import numpy as np

        done, full = len(self.low), len(y) // _BLOCK
        if full > done:
            with np.errstate(all="ignore"):
                fresh = y[done * _BLOCK : full * _BLOCK].reshape(-1, _BLOCK)
                self.low = np.concatenate((self.low, np.fmin.reduce(fresh, axis=1)))
                self.high = np.concatenate((self.high, np.fmax.reduce(fresh, axis=1)))
        return self

    def extremes(self, y: NDArray[Any], starts: NDArray[np.int64], stop: int) -> tuple[NDArray[Any], NDArray[Any]]:
        """Least and greatest value from each start to the next, the last one to `stop`."""
        import numpy as np

        stops = np.append(starts[1:], stop)
        first, last = -(-starts // _BLOCK), np.minimum(stops // _BLOCK, len(self.low))
        first = np.minimum(first, last)
        whole = first < last
        # The points before a column's first whole block and after its last one.
        heads = np.where(whole, first * _BLOCK, stops)
        tails = np.where(whole, last * _BLOCK, stops)
        low, high = np.full(len(starts), np.nan), np.full(len(starts), np.nan)
        for begin, end in ((starts, heads), (tails, stops)):
            counts = end - begin
            some = np.flatnonzero(counts)
            if len(some):
                counts = counts[some]
                before = np.cumsum(counts) - counts
                values = y[np.repeat(begin[some] - before, counts) + np.arange(counts.sum())]
                low[some] = np.fmin(low[some], np.fmin.reduceat(values, before))
                high[some] = np.fmax(high[some], np.fmax.reduceat(values, before))
        some = np.flatnonzero(whole)
        if len(some):
            # Every other result: those between belong to no column.
            pairs = np.stack((first[some], np.minimum(last[some], len(self.low) - 1)), axis=1).reshape(-1)
            inner = np.fmin.reduceat(self.low, pairs)[::2], np.fmax.reduceat(self.high, pairs)[::2]
            if last[some[-1]] == len(self.low):
                # An index one past the end can't be given: without it the last range ends one block early.
                inner[0][-1] = np.fmin(inner[0][-1], self.low[-1])
                inner[1][-1] = np.fmax(inner[1][-1], self.high[-1])
            low[some], high[some] = np.fmin(low[some], inner[0]), np.fmax(high[some], inner[1])
        return low, high


def first_at(x: NDArray[Any], keys: NDArray[np.float64], side: Literal["left", "right"]) -> NDArray[np.int64]:
    """`x.searchsorted(keys, side)` that never converts the whole of a long integer or single-precision `x`."""
    import numpy as np

    if x.dtype.kind in "iu":
        bounds = np.iinfo(x.dtype)
        whole = np.ceil(keys) if side == "left" else np.floor(keys)
        # The largest float below 2**63 is 2**63 - 1024: casting the bound itself would overflow.
        keys = np.clip(whole, float(bounds.min), float(bounds.max) * (1 - 1e-15)).astype(x.dtype)
        return x.searchsorted(keys, side)
    return x.searchsorted(keys.astype(x.dtype, copy=False), side)


def envelope(
    x: NDArray[Any], y: NDArray[Any], edges: NDArray[np.float64], *, log: bool = False, blocks: Blocks | None = None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Lowest and highest value of the polyline between each two neighbouring `edges`; NaN where it is absent.

    Args:
        x: ascending, shape (n,).
        y: its values, shape (n,); neighbours of a non-finite value are not joined.
        edges: ascending, shape (columns + 1,), in units of x; the last one belongs to the last column.
        log: give decimal logarithms; values that have none are gaps.
        blocks: extremes of `y`, brought up to date; they spare most of the work where a column holds very many points.

    Returns:
        two arrays of shape (columns,).
    """
    import numpy as np

    columns = len(edges) - 1
    low, high = np.full(columns, np.nan), np.full(columns, np.nan)
    if not len(x):
        return low, high
    # Overflowing sums of huge values are somebody's data, not an error.
    with np.errstate(all="ignore"):
        at = first_at(x, edges, "left")
        inner = at.copy()
        inner[-1] = first_at(x, edges[-1:], "right")[0]
        filled = np.flatnonzero(np.diff(inner))
        if len(filled):
            low[filled], high[filled] = _extremes(y, inner[:-1][filled], int(inner[-1]), log, blocks)

        # Where the line crosses a column's edges, unless its two neighbours are not joined.
        right = np.clip(at, 0, len(x) - 1)
        left = np.clip(first_at(x, edges, "right") - 1, 0, len(x) - 1)
        x0, x1 = x[left].astype(np.float64), x[right].astype(np.float64)
        y0, y1 = _shown(y[left], log), _shown(y[right], log)
        joined = (right - left <= 1) & (x0 <= edges) & (x1 >= edges)
        span = x1 - x0
        share = np.divide(edges - x0, span, out=np.zeros_like(edges), where=span > 0)
        crossing = np.where(joined, y0 * (1 - share) + y1 * share, np.nan)
        for edge in (crossing[:-1], crossing[1:]):
            low, high = np.fmin(low, edge), np.fmax(high, edge)
    return low, high


def _extremes(
    y: NDArray[Any], starts: NDArray[np.int64], stop: int, log: bool, blocks: Blocks | None
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Least and greatest finite value from each start to the next; a second pass only where something must be left out."""
    import numpy as np

    if blocks is not None and stop - starts[0] > len(starts) * _BLOCK * _WORTH:
        low, high = blocks.extremes(y, starts, stop)
    else:
        seen, inner = y[starts[0] : stop], starts - starts[0]
        low, high = np.fmin.reduceat(seen, inner), np.fmax.reduceat(seen, inner)
    if np.isinf(low).any() or np.isinf(high).any() or (log and (low <= 0).any()):
        seen, inner = y[starts[0] : stop], starts - starts[0]
        seen = np.where(np.isfinite(seen) & (seen > 0) if log else np.isfinite(seen), seen, np.nan)
        low, high = np.fmin.reduceat(seen, inner), np.fmax.reduceat(seen, inner)
    return (np.log10(low.astype(float)), np.log10(high.astype(float))) if log else (low, high)


def _shown(y: NDArray[Any], log: bool) -> NDArray[np.float64]:
    import numpy as np

    y = y.astype(np.float64)
    y = np.where(np.isfinite(y), y, np.nan)
    return np.log10(np.where(y > 0, y, np.nan)) if log else y
