"""Which columns rows have, counted while they pass."""

from __future__ import annotations

from collections import Counter
from typing import Any

from backprop_tui.protocol.text import safe_text

#: Columns counted, and of these named in a fingerprint.
_COUNTED, _NAMED = 4096, 64
#: Different sets of columns counted as a whole; nearly all rows of a file have the same.
_SHAPES = 256


class ColumnsSeen:
    """Counts columns. A row with ids for names of columns costs no more memory than any other."""

    def __init__(self) -> None:
        self._shapes: Counter[tuple[object, ...]] = Counter()
        self._counts: Counter[object] = Counter()
        self._others: set[int] = set()

    def add(self, value: Any) -> None:
        """One row as it stands in the file; only objects have columns."""
        if not isinstance(value, dict):
            return
        shape = tuple(value)
        if shape in self._shapes or len(self._shapes) < _SHAPES:
            self._shapes[shape] += 1
        else:
            self._count(shape, 1)

    def named(self) -> tuple[dict[str, int], int]:
        """How many rows have which column, the commonest first, names harmless; and how many columns are not named."""
        for shape, rows in self._shapes.items():
            self._count(shape, rows)
        self._shapes.clear()
        common = sorted(self._counts.items(), key=lambda column: (-column[1], str(column[0])))[:_NAMED]
        more = len(self._counts) - len(common) + len(self._others)
        return {safe_text(name, limit=80): count for name, count in common}, more

    def _count(self, names: tuple[object, ...], rows: int) -> None:
        for name in names:
            if name in self._counts or len(self._counts) < _COUNTED:
                self._counts[name] += rows
            elif len(self._others) < _COUNTED:
                # That there are many is all there is to say.
                self._others.add(hash(name))
