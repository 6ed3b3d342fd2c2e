"""Curves as characters: columns of dots from an envelope's lowest to its highest value, packed into braille, half blocks or
ASCII. Array arithmetic over the cells; nothing loops over them in Python.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from backprop_tui.app.glyphs import Marks
from backprop_tui.app.widgets.decimate import envelope

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
