"""Smoothing of a growing curve: exponential average and running median. Only what came since the last time is computed.

Both look back, never ahead, so that a value once drawn does not change when more steps arrive. Values that are not finite
are passed over and stay gaps.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_BLOCK = 64
#: Largest size kept in single precision, and the rows by which a long result grows.
_SINGLE, _STRIDE = 1e37, 1 << 17
#: Points sorted at a time by the median: the rows of its network stay in the processor's cache.
_CHUNK = 8192
#: What a person may choose, in the order of the key; the number is the weight on the past or the count of points.
SMOOTHINGS = ("raw", "ema 0.6", "ema 0.9", "ema 0.97", "ema 0.99", "median 9", "median 25")


class Smoother(Protocol):
    """`of` gives smoothed values, shape (n,) like `y`; it may be called again with a longer array."""

    def of(self, y: NDArray[Any]) -> NDArray[Any]:
        """Smoothed values."""
        ...


def smoother(name: str) -> Smoother | None:
    """The one of a name in `SMOOTHINGS`; None for `raw` and for words that are not a smoothing."""
    kind, _, amount = name.partition(" ")
    try:
        if kind == "ema" and 0.0 < float(amount) < 1.0:
            return Ema(float(amount))
        if kind == "median" and 1 < int(amount) <= 101:
            return Median(int(amount))
    except ValueError:
        pass
    return None


def _same(one: float, other: float) -> bool:
    return one == other or (one != one and other != other)


class _Growing:
    """Keeps the result so far and notices when the past is another one.

    Results are kept in single precision while they fit, which is more than a screen shows, and half the memory.
    """

    def __init__(self) -> None:
        self._done: NDArray[Any] | None = None
        self._last = 0.0
        self._size = 0

    def of(self, y: NDArray[Any]) -> NDArray[Any]:
        """Smoothed values, shape (n,) like `y`."""
        import numpy as np

        size, done = self._size, self._done
        # Curves only grow at their end or are cut and written anew: an unchanged last point means an unchanged past.
        if done is None or len(y) < size or (size and not _same(float(y[size - 1]), self._last)):
            self.restart()
            done, size = np.empty(max(1024, len(y)), dtype=np.float32), 0
        if len(y) > size:
            fresh = np.full(len(y) - size, np.nan)
            finite = np.flatnonzero(np.isfinite(y[size:]))
            # Sums of values near the end of the range of floats would overflow; at the edge of the picture it doesn't show.
            fresh[finite] = self.extend(np.clip(y[size:][finite].astype(np.float64), -1e300, 1e300))
            if done.dtype == np.float32 and bool((np.abs(fresh) > _SINGLE).any()):
                done = done.astype(np.float64)
            if len(y) > len(done):
                grown = np.empty(max(len(y), size + min(size, _STRIDE)), dtype=done.dtype)
                grown[:size] = done[:size]
                done = grown
            done[size : len(y)] = fresh
        self._done, self._size, self._last = done, len(y), float(y[-1]) if len(y) else 0.0
        return done[: len(y)]

    def restart(self) -> None:
        raise NotImplementedError

    def extend(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        raise NotImplementedError


class Ema(_Growing):
    """Average with weight `weight` on the past, corrected for its start (Kingma & Ba 2015, section 3), so that it begins at
    the first value.
    """

    def __init__(self, weight: float) -> None:
        super().__init__()
        self.weight = weight
        self._average = 0.0
        self._count = 0

    def restart(self) -> None:
        """Forget the past."""
        self._average, self._count = 0.0, 0

    def extend(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Averages after each further finite value."""
        import numpy as np

        if self.weight <= 0:
            return values
        size = len(values)
        blocks = -(-size // _BLOCK)
        padded = np.zeros(blocks * _BLOCK)
        padded[:size] = values
        lags = np.arange(_BLOCK)[:, None] - np.arange(_BLOCK)[None, :]
        mixing = np.where(lags >= 0, (1 - self.weight) * self.weight ** np.maximum(lags, 0), 0.0)
        within = padded.reshape(blocks, _BLOCK) @ mixing.T
        # What each block hands to the next one: the only part that goes one after the other.
        carried, decay = np.empty(blocks), self.weight**_BLOCK
        carry = self._average
        for index, last in enumerate(within[:, -1].tolist()):
            carried[index] = carry
            carry = last + decay * carry
        averages = (within + carried[:, None] * self.weight ** np.arange(1, _BLOCK + 1)).reshape(-1)[:size]
        counts = self._count + np.arange(1, size + 1)
        if size:
            self._average, self._count = float(averages[-1]), self._count + size
        corrected: NDArray[np.float64] = averages / -np.expm1(counts * np.log(self.weight))
        return corrected


class Median(_Growing):
    """Median of the last `points` finite values, of fewer at the start."""

    def __init__(self, points: int) -> None:
        super().__init__()
        self.points = points
        self._tail: list[float] = []

    def restart(self) -> None:
        """Forget the past."""
        self._tail = []

    def extend(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Medians after each further finite value."""
        import numpy as np

        known = len(self._tail)
        joined = np.concatenate((np.array(self._tail, dtype=float), values))
        result = np.empty(len(values))
        begin = max(0, self.points - 1 - known)
        for at in range(min(begin, len(values))):
            result[at] = np.median(joined[: known + at + 1])
        if len(values) > begin:
            windows = joined[known + begin - self.points + 1 :]
            result[begin:] = _running(windows, self.points)
        self._tail = joined[-(self.points - 1) :].tolist()
        return result


def _running(values: NDArray[np.float64], points: int) -> NDArray[np.float64]:
    """Median of every `points` neighbours, shape (n - points + 1,), by a sorting network over whole arrays.

    A network takes the same comparisons whatever the values, so that each is one `minimum` and one `maximum` over thousands
    of windows; partitioning row by row takes ten times as long.
    """
    import numpy as np

    count = len(values) - points + 1
    result = np.empty(count)
    wires_of = _network(points)
    for start in range(0, count, _CHUNK):
        size = min(_CHUNK, count - start)
        wires = [values[start + lag : start + lag + size].copy() for lag in range(points)]
        spare = np.empty(size)
        for low, high in wires_of:
            np.minimum(wires[low], wires[high], out=spare)
            np.maximum(wires[low], wires[high], out=wires[high])
            wires[low], spare = spare, wires[low]
        middle = points // 2
        result[start : start + size] = wires[middle] if points % 2 else wires[middle - 1] * 0.5 + wires[middle] * 0.5
    return result


@lru_cache(maxsize=8)
def _network(points: int) -> tuple[tuple[int, int], ...]:
    """Comparisons of Batcher's odd-even merge sort (1968), without those that no middle wire depends on."""
    every: list[tuple[int, int]] = []
    p = 1
    while p < points:
        k = p
        while k >= 1:
            for j in range(k % p, points - k, 2 * k):
                for i in range(min(k, points - j - k)):
                    if (i + j) // (2 * p) == (i + j + k) // (2 * p):
                        every.append((i + j, i + j + k))
            k //= 2
        p *= 2
    needed = {points // 2, (points - 1) // 2}
    kept: list[tuple[int, int]] = []
    for low, high in reversed(every):
        if low in needed or high in needed:
            needed |= {low, high}
            kept.append((low, high))
    return tuple(reversed(kept))
