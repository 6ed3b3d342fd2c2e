"""What the sides of the Data screen share: the list, what is known of its datasets, what is open and what is ticked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from backprop_tui.app.draft import Draft
from backprop_tui.app.looks import Looks
from backprop_tui.app.open_file import OpenFile, Page
from backprop_tui.app.screens.data_mix import Mix
from backprop_tui.app.screens.data_words import data_words
from backprop_tui.app.screens.room import Room
from backprop_tui.app.widgets.table import LiveTable

if TYPE_CHECKING:
    from textual.worker import Worker

    from backprop_tui.app.widgets.preview import Mode

#: Settings that are looked at beside the rows.
_LOOKED_AT = (
    "columns", "filter", "duplicates", "near_threshold", "damaged", "max_rows", "eval_split", "group_by", "order",
    "difficulty", "seed",
)  # fmt: skip


class DataRoom(Room):
    """State of the Data screen. Its sides are one class each, one on top of the other."""

    ROOM = "data"

    def __init__(self) -> None:
        super().__init__()
        self._opened: OpenFile | None = None
        self._page: Page | None = None
        self._mode: Mode = "rendered"
        self._mix = Mix()
        self._looks: Looks
        #: What the data settings make of a dataset, as a verdict and words, by the dataset.
        self._counted: dict[str, tuple[str, str]] = {}
        #: What runs for long and can be stopped: a count, a download, a conversion, a scoring.
        self._job: Worker[None] | None = None

    @property
    def table(self) -> LiveTable:
        """The list of datasets."""
        return self.query_one("#data-table", LiveTable)

    @property
    def draft(self) -> Draft:
        """The run being prepared."""
        return self.backprop.draft

    @property
    def here(self) -> str | None:
        """The dataset under the cursor, in words; None for a folder."""
        row = self.table.current
        return data_words(row.key) if row is not None else None

    def settings(self, words: str | None) -> dict[str, object]:
        """What a person set of the data, by key, as it is for one dataset."""
        found = {key: value for key, value in self.draft.overrides.items() if key in _LOOKED_AT}
        columns = self.draft.columns_of(words) if words is not None else ""
        return {**found, "columns": columns}

    def show_list(self) -> None:
        """Bring the list up to date."""
        raise NotImplementedError

    def add_to_list(self, words: str) -> None:
        """Put a dataset that was named by hand into the list, and the cursor on it."""
        raise NotImplementedError

    def list_again(self) -> None:
        """List the folder again, because a file in it is another one."""
        raise NotImplementedError
