"""Curves as characters: decimation that loses no spike, and packing of dots into braille, half blocks or ASCII.

A curve is cut into columns of dots. Each column is filled from the lowest to the highest value the polyline takes within
it, so a single outlier among a million points still shows. A value that is not finite breaks the line. The work is one
`reduceat` over the points in view and array arithmetic over the cells; nothing loops over either in Python.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal

from backprop_tui.app.glyphs import Marks

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

#: Dots per cell, across and down.
DOTS: dict[Marks, tuple[int, int]] = {"braille": (2, 4), "block": (1, 2), "ascii": (1, 2)}
#: Bit of the braille pattern for each dot of a cell, by row and column (Unicode block 2800).
_BRAILLE = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
_PAIRS: dict[Marks, str] = {"block": " ▀▄█", "ascii": " '.|"}
_SPACE = 32


@dataclass(frozen=True, slots=True)
class Window:
    """What part of the plane a canvas shows. `low` < `high` and `start` < `stop`, all finite; y may be log10 already."""

    start: float
    stop: float
    low: float
    high: float


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
    x: NDArray[Any], y: NDArray[Any], edges: NDArray[np.float64], *, log: bool = False
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Lowest and highest value of the polyline between each two neighbouring `edges`; NaN where it is absent.

    Args:
        x: ascending, shape (n,).
        y: its values, shape (n,); neighbours of a non-finite value are not joined.
        edges: ascending, shape (columns + 1,), in units of x; the last one belongs to the last column.
        log: give decimal logarithms; values that have none are gaps.

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
            low[filled], high[filled] = _extremes(y[inner[0] : inner[-1]], inner[:-1][filled] - inner[0], log)

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


def _extremes(y: NDArray[Any], starts: NDArray[np.int64], log: bool) -> tuple[NDArray[Any], NDArray[Any]]:
    """Least and greatest finite value from each start to the next; a second pass only where something must be left out."""
    import numpy as np

    low, high = np.fmin.reduceat(y, starts), np.fmax.reduceat(y, starts)
    if np.isinf(low).any() or np.isinf(high).any() or (log and (low <= 0).any()):
        kept = np.isfinite(y) & (y > 0) if log else np.isfinite(y)
        y = np.where(kept, y, np.nan)
        low, high = np.fmin.reduceat(y, starts), np.fmax.reduceat(y, starts)
    return (np.log10(low.astype(float)), np.log10(high.astype(float))) if log else (low, high)


def _shown(y: NDArray[Any], log: bool) -> NDArray[np.float64]:
    import numpy as np

    y = y.astype(np.float64)
    y = np.where(np.isfinite(y), y, np.nan)
    return np.log10(np.where(y > 0, y, np.nan)) if log else y


def raster(
    low: NDArray[np.float64], high: NDArray[np.float64], window: Window, rows: int
) -> tuple[NDArray[np.int16], NDArray[np.int16]]:
    """First and last row of dots of each column of an envelope, of `rows` rows counted from the top.

    A column without a value gets a first row below its last. What lies outside the window is drawn at its edge.
    """
    import numpy as np

    scale = (rows - 1) / (window.high - window.low)
    present = np.isfinite(low) & np.isfinite(high)
    with np.errstate(over="ignore", invalid="ignore"):
        top = np.where(present, np.clip(np.rint((window.high - high) * scale), 0, rows - 1), rows)
        bottom = np.where(present, np.clip(np.rint((window.high - low) * scale), 0, rows - 1), -1)
    return top.astype(np.int16), bottom.astype(np.int16)


def pack(top: NDArray[np.int16], bottom: NDArray[np.int16], height: int, marks: Marks) -> NDArray[np.uint32]:
    """Columns filled from `top` to `bottom` as code points, shape (height, cells across); a space where there is no dot."""
    import numpy as np

    across, down = DOTS[marks]
    at = np.arange(height * down, dtype=np.int16)[:, None]
    dots = ((at >= top) & (at <= bottom)).view(np.uint8)
    if marks == "braille":
        bits = np.zeros((height, len(top) // across), dtype=np.uint32)
        for row, pair in enumerate(_BRAILLE):
            for column, bit in enumerate(pair):
                bits |= dots[row::down, column::across] * np.uint32(bit)
        return np.where(bits, bits + np.uint32(0x2800), np.uint32(_SPACE))
    signs = np.array([ord(sign) for sign in _PAIRS[marks]], dtype=np.uint32)
    packed: NDArray[np.uint32] = signs[dots[0::2] + 2 * dots[1::2]]
    return packed


class Canvas:
    """Cells of a plot: curves laid over one another, the later one in front, each cell with one role.

    Args:
        width: cells across. height: cells down.
    """

    def __init__(self, width: int, height: int, window: Window, marks: Marks) -> None:
        import numpy as np

        self.width, self.height = width, height
        self.window = window
        self.marks = marks
        self.codes: NDArray[np.uint32] = np.full((height, width), _SPACE, dtype=np.uint32)
        self.roles: NDArray[np.uint8] = np.zeros((height, width), dtype=np.uint8)
        self._names = ["text"]

    @property
    def columns(self) -> int:
        """Columns of dots."""
        return self.width * DOTS[self.marks][0]

    def role(self, name: str) -> int:
        """The number a role has on this canvas."""
        if name not in self._names:
            self._names.append(name)
        return self._names.index(name)

    def curve(self, x: NDArray[Any], y: NDArray[Any], role: str) -> None:
        """Draw a polyline; `x` ascending, both of shape (n,)."""
        import numpy as np

        edges = np.linspace(self.window.start, self.window.stop, self.columns + 1)
        self.fill(*envelope(x, y, edges), role)

    def fill(
        self, low: NDArray[np.float64], high: NDArray[np.float64], role: str, window: Window | None = None
    ) -> None:
        """Draw an envelope of one value per column of dots, on another y scale where `window` says so."""
        down = DOTS[self.marks][1]
        signs = pack(*raster(low, high, window or self.window, self.height * down), self.height, self.marks)
        drawn = signs != _SPACE
        self.codes[drawn] = signs[drawn]
        self.roles[drawn] = self.role(role)

    def points(self, x: NDArray[Any], y: NDArray[Any], sign: str, role: str, window: Window | None = None) -> None:
        """Put a sign on each finite point in view."""
        import numpy as np

        window = window or self.window
        x, y = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
        seen = np.isfinite(y) & (x >= window.start) & (x <= window.stop)
        columns, rows = self.columns_of(x[seen]), self.rows_of(y[seen], window)
        self.codes[rows, columns] = ord(sign)
        self.roles[rows, columns] = self.role(role)

    def line_at(self, x: float, sign: str, role: str) -> None:
        """A vertical line through empty cells."""
        if self.window.start <= x <= self.window.stop:
            at = self.column_of(x)
            empty = self.codes[:, at] == _SPACE
            self.codes[empty, at] = ord(sign)
            self.roles[empty, at] = self.role(role)

    def columns_of(self, x: NDArray[np.float64]) -> NDArray[np.int64]:
        """Cell columns of values in view."""
        import numpy as np

        share = (x - self.window.start) / (self.window.stop - self.window.start)
        return np.clip((share * self.width).astype(np.int64), 0, self.width - 1)

    def rows_of(self, y: NDArray[np.float64], window: Window | None = None) -> NDArray[np.int64]:
        """Cell rows of values, kept inside; the same rows `raster` uses."""
        import numpy as np

        window = window or self.window
        down = DOTS[self.marks][1]
        share = np.clip((window.high - y) / (window.high - window.low), 0.0, 1.0)
        return np.clip(np.rint(share * (self.height * down - 1)).astype(np.int64) // down, 0, self.height - 1)

    def column_of(self, x: float) -> int:
        """Cell column of an x in view."""
        import numpy as np

        return int(self.columns_of(np.array([x]))[0])

    def row_of(self, y: float, window: Window | None = None) -> int:
        """Cell row of a y, kept inside."""
        import numpy as np

        return int(self.rows_of(np.array([y]), window)[0])

    def lines(self) -> list[tuple[tuple[str, str], ...]]:
        """Rows as (text, role) pieces, equal neighbours joined."""
        import numpy as np

        lines: list[tuple[tuple[str, str], ...]] = []
        for codes, roles in zip(self.codes, self.roles, strict=True):
            text = codes.astype("<u4").tobytes().decode("utf-32-le")
            cuts = [0, *(np.flatnonzero(np.diff(roles)) + 1).tolist(), self.width]
            lines.append(
                tuple((text[start:stop], self._names[roles[start]]) for start, stop in pairwise(cuts) if stop > start)
            )
        return lines
