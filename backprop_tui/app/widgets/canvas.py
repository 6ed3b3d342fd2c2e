"""Curves as characters: decimation that loses no spike, and packing of dots into braille, half blocks or ASCII.

A curve is cut into columns of dots. Each column is filled from the lowest to the highest value the polyline takes within
it, so a single outlier among a million points still shows. A value that is not finite breaks the line. Work is
O(points in view) in numpy and O(cells) afterwards.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from backprop_tui.app.glyphs import Marks

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

#: Dots per cell, across and down.
DOTS: dict[Marks, tuple[int, int]] = {"braille": (2, 4), "block": (1, 2), "ascii": (1, 2)}
#: Bit of the braille pattern for each dot of a cell, by row and column (Unicode block 2800).
_BRAILLE = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
_PAIRS: dict[Marks, str] = {"block": " ▀▄█", "ascii": " '.|"}


@dataclass(frozen=True, slots=True)
class Window:
    """What part of the plane a canvas shows. `low` < `high` and `start` < `stop`, all finite; y may be log10 already."""

    start: float
    stop: float
    low: float
    high: float


def envelope(
    x: NDArray[np.float64], y: NDArray[np.float64], start: float, stop: float, columns: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Lowest and highest value of the polyline in each of `columns` equal parts of [start, stop]; NaN where it is absent.

    `x` is ascending and `y` its values, both of shape (n,); neighbours of a non-finite value are not joined.

    Returns:
        two arrays of shape (columns,).
    """
    import numpy as np

    nothing = np.full(columns, np.nan)
    if not len(x):
        return nothing, nothing.copy()
    first = max(0, int(x.searchsorted(start, "left")) - 1)
    last = min(len(x), int(x.searchsorted(stop, "right")) + 1)
    x, y = x[first:last], y[first:last]
    finite = np.isfinite(y)
    if not finite.any():
        return nothing, nothing.copy()
    breaks = np.cumsum(~finite)[finite]
    x, y = x[finite], y[finite]
    edges = np.linspace(start, stop, columns + 1)

    # The points inside each column. Overflowing sums of huge values are somebody's data, not an error.
    low, high = nothing, nothing.copy()
    column = np.clip(np.floor((x - start) / (stop - start) * columns), -1, columns).astype(np.int64)
    column[(x == stop) & (column == columns)] = columns - 1
    inside = (column >= 0) & (column < columns)
    if inside.any():
        held, values = column[inside], y[inside]
        starts = np.flatnonzero(np.diff(held, prepend=-1))
        low[held[starts]] = np.minimum.reduceat(values, starts)
        high[held[starts]] = np.maximum.reduceat(values, starts)

    # Where the line crosses a column's edges, unless its two neighbours are not joined.
    right = np.clip(x.searchsorted(edges, "left"), 0, len(x) - 1)
    left = np.clip(x.searchsorted(edges, "right") - 1, 0, len(x) - 1)
    joined = (breaks[left] == breaks[right]) & (x[left] <= edges) & (x[right] >= edges)
    span = x[right] - x[left]
    share = np.divide(edges - x[left], span, out=np.zeros_like(edges), where=span > 0)
    crossing = np.where(joined, y[left] * (1 - share) + y[right] * share, np.nan)
    for edge in (crossing[:-1], crossing[1:]):
        low = np.fmin(low, edge)
        high = np.fmax(high, edge)
    return low, high


def raster(
    low: NDArray[np.float64], high: NDArray[np.float64], window: Window, height: int, marks: Marks
) -> NDArray[np.bool_]:
    """Dots of a curve's envelope, shape (height in dots, columns). What lies outside the window is drawn at its edge."""
    import numpy as np

    rows = height * DOTS[marks][1]
    scale = (rows - 1) / (window.high - window.low)
    present = np.isfinite(low) & np.isfinite(high)
    with np.errstate(over="ignore", invalid="ignore"):
        top = np.where(present, np.clip(np.rint((window.high - high) * scale), 0, rows - 1), rows)
        bottom = np.where(present, np.clip(np.rint((window.high - low) * scale), 0, rows - 1), -1)
    down = np.arange(rows)[:, None]
    return (down >= top) & (down <= bottom)


def pack(dots: NDArray[np.bool_], marks: Marks) -> list[list[str]]:
    """Dots as characters, one list per row of cells; a cell without dots is a space."""
    import numpy as np

    across, down = DOTS[marks]
    height, width = dots.shape[0] // down, dots.shape[1] // across
    cells = dots.reshape(height, down, width, across).transpose(0, 2, 1, 3)
    if marks == "braille":
        codes = (cells * np.array(_BRAILLE)).sum(axis=(2, 3))
        return [[chr(0x2800 + code) if code else " " for code in row] for row in codes.tolist()]
    signs = _PAIRS[marks]
    codes = (cells[..., 0] * np.array([1, 2])).sum(axis=2)
    return [[signs[code] for code in row] for row in codes.tolist()]


class Canvas:
    """Cells of a plot: curves laid over one another, the later one in front, each cell with one role.

    Args:
        width: cells across. height: cells down.
    """

    def __init__(self, width: int, height: int, window: Window, marks: Marks) -> None:
        self.width, self.height = width, height
        self.window = window
        self.marks = marks
        self.cells: list[list[tuple[str, str]]] = [[(" ", "text")] * width for _ in range(height)]

    @property
    def columns(self) -> int:
        """Columns of dots."""
        return self.width * DOTS[self.marks][0]

    def curve(self, x: NDArray[np.float64], y: NDArray[np.float64], role: str) -> None:
        """Draw a polyline; `x` ascending, both of shape (n,)."""
        if not len(x):
            return
        low, high = envelope(x, y, self.window.start, self.window.stop, self.columns)
        dots = raster(low, high, self.window, self.height, self.marks)
        for row, signs in zip(self.cells, pack(dots, self.marks), strict=True):
            for at, sign in enumerate(signs):
                if sign != " ":
                    row[at] = (sign, role)

    def points(self, x: Sequence[float], y: Sequence[float], sign: str, role: str) -> None:
        """Put a sign on each finite point in view."""
        import math

        for across, up in zip(x, y, strict=True):
            if not math.isfinite(up) or not self.window.start <= across <= self.window.stop:
                continue
            self.cells[self.row_of(up)][self.column_of(across)] = (sign, role)

    def line_at(self, x: float, sign: str, role: str) -> None:
        """A vertical line through empty cells."""
        if self.window.start <= x <= self.window.stop:
            at = self.column_of(x)
            for row in self.cells:
                if row[at][0] == " ":
                    row[at] = (sign, role)

    def column_of(self, x: float) -> int:
        """Cell column of an x in view."""
        share = (x - self.window.start) / (self.window.stop - self.window.start)
        return min(self.width - 1, max(0, int(share * self.width)))

    def row_of(self, y: float) -> int:
        """Cell row of a y, kept inside; the same row `raster` uses."""
        down = DOTS[self.marks][1]
        rows = self.height * down
        share = (self.window.high - y) / (self.window.high - self.window.low)
        return min(self.height - 1, max(0, round(min(1.0, max(0.0, share)) * (rows - 1)) // down))

    def lines(self) -> list[tuple[tuple[str, str], ...]]:
        """Rows as (text, role) pieces, equal neighbours joined."""
        rows: list[tuple[tuple[str, str], ...]] = []
        for row in self.cells:
            pieces: list[tuple[str, str]] = []
            text, role = "", "text"
            for sign, wanted in row:
                if text and wanted != role:
                    pieces.append((text, role))
                    text = ""
                text, role = text + sign, wanted
            pieces.append((text, role))
            rows.append(tuple(pieces))
        return rows
