"""A dataset that is searched row by row: the search asks as often as it should whether it is still wanted.

Imported in threads only; it brings along everything that reads data.
"""

from __future__ import annotations

from collections.abc import Callable

from backprop_tui.data.places import DataSet
from backprop_tui.data.preview import Preview
from backprop_tui.data.rows import Row

#: Rows between two questions. Reading this many takes a millisecond or two.
_EVERY = 64

Cancelled = Callable[[], bool]


class Searched(Preview):
    """Rows by number, as `Preview`.

    `Preview` asks while it passes over rows on the way to a far one. A search wants every row on its way, so it has to be
    asked at the rows themselves.

    Args:
        data: the resolved dataset.

    Attributes:
        at: the row asked for last.

    Raises:
        DataError: a file can't be opened.
    """

    def __init__(self, data: DataSet) -> None:
        super().__init__(data)
        self.at = 0

    def row(self, index: int, *, cancelled: Cancelled | None = None) -> Row | None:
        """Row `index`; None beyond the end, or when `cancelled` says so.

        Raises:
            DataError: as `Preview.row`.
        """
        self.at = index
        if cancelled is not None and index % _EVERY == 0 and cancelled():
            return None
        return super().row(index, cancelled=cancelled)
