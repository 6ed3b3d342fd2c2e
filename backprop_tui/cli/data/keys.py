"""What a choice among rows goes by: their contents' keys, gathered in one reading, so that no row's text is kept."""

from __future__ import annotations

from array import array
from collections.abc import Callable
from typing import Any

from backprop_tui.cli.data.originals import Places
from backprop_tui.cli.data.progress import Progress
from backprop_tui.cli.data.reading import Tally, Usable, usable_rows
from backprop_tui.data.finding.places import DataSet
from backprop_tui.data.formats import Reader

#: What is noted of a row besides its key.
Noted = Callable[[Usable], Any]


class Keys:
    """The usable rows of a set: places in the set, content keys, and what was noted of each, in order; about 70 bytes a row."""

    def __init__(
        self,
        data: DataSet,
        read: Reader,
        tally: Tally,
        progress: Progress,
        *,
        note: Noted | None = None,
        places: Places | None = None,
    ) -> None:
        """Read all rows.

        Args:
            data: the set.
            read: how its rows are read.
            tally: what becomes of them.
            progress: told how far it is.
            note: what else is kept of each row.
            places: remembers where the rows stand.

        Raises:
            DataError: a file can't be read as a whole, or no row can be used.
        """
        from backprop_tui.data.tools.content import content_key

        self.index = array("Q")
        self.keys: list[bytes] = []
        self.noted: list[Any] = []
        for usable in usable_rows(data, read, tally, progress):
            self.index.append(usable.row.index)
            self.keys.append(content_key(usable.normalised))
            if note is not None:
                self.noted.append(note(usable))
            if places is not None:
                places.remember(usable.row)

    def flags(self, numbers: list[int], rows: int) -> bytearray:
        """For each of `rows` places of the set a byte: 1 where one of the usable rows `numbers` stands."""
        chosen = bytearray(rows)
        for number in numbers:
            chosen[self.index[number]] = 1
        return chosen
