"""Exponential moving average of a growing curve, a block of points at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_BLOCK = 256


class Ema:
    """Average with weight `weight` on the past, corrected for its start (Kingma & Ba 2015, section 3), so that it begins at
    the first value. Values that are not finite are passed over and stay gaps.

    `of` may be called again with a longer array; only what is new is computed. A shortened or rewritten array starts over.
    """

    def __init__(self, weight: float) -> None:
        self.weight = weight
        self._seen: NDArray[np.float64] | None = None
        self._done: NDArray[np.float64] | None = None
        self._size = 0
        self._average = 0.0
        self._count = 0

    def of(self, y: NDArray[np.float64]) -> NDArray[np.float64]:
        """Smoothed values, shape (n,) like `y`."""
        import numpy as np

        if self.weight <= 0:
            return y
        size = self._size
        fresh = self._seen is None or self._done is None or len(y) < size
        if not fresh and size and self._seen is not None:
            # The store hands out views: an unchanged last point means an unchanged past.
            fresh = not np.array_equal(self._seen[size - 1 : size], y[size - 1 : size], equal_nan=True)
        if fresh or self._done is None:
            self._done, self._size, self._average, self._count, size = np.empty(max(1024, len(y))), 0, 0.0, 0, 0
        if len(y) > len(self._done):
            self._done = np.concatenate((self._done[:size], np.empty(max(len(y), len(self._done)))))
        if len(y) > size:
            self._done[size : len(y)] = self._extend(y[size:])
        self._seen, self._size = y, len(y)
        return self._done[: len(y)]

    def _extend(self, y: NDArray[np.float64]) -> NDArray[np.float64]:
        import numpy as np

        result = np.full(len(y), np.nan)
        finite = np.flatnonzero(np.isfinite(y))
        # Sums of values near the end of the range of floats would overflow; at the edge of the picture it doesn't show.
        values = np.clip(y[finite], -1e300, 1e300)
        powers = self.weight ** np.arange(1, _BLOCK + 1)
        lags = np.arange(_BLOCK)[:, None] - np.arange(_BLOCK)[None, :]
        mixing = np.where(lags >= 0, (1 - self.weight) * self.weight ** np.maximum(lags, 0), 0.0)
        for start in range(0, len(values), _BLOCK):
            block = values[start : start + _BLOCK]
            size = len(block)
            averages = mixing[:size, :size] @ block + powers[:size] * self._average
            counts = self._count + np.arange(1, size + 1)
            result[finite[start : start + size]] = averages / -np.expm1(counts * np.log(self.weight))
            self._average, self._count = float(averages[-1]), self._count + size
        return result
