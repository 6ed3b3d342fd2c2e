"""One open dataset and the row that is wanted of it. Reading happens in threads; the newest wish wins."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING, Any

from backprop_tui.app.jobs import Cancelled, in_thread
from backprop_tui.app.scans import Reading, data_file
from backprop_tui.protocol.errors import BackpropError

if TYPE_CHECKING:
    from textual.screen import Screen

    from backprop_tui.app.draft import Draft
    from backprop_tui.data.preview import FilePreview, PreviewRow


@dataclass(frozen=True, slots=True)
class Page:
    """A row that was read, and how. `beyond` says that a later one was wanted, and this is the last of `known` rows."""

    row: PreviewRow
    reading: Reading
    known: int
    beyond: bool


class OpenFile:
    """Rows of one dataset.

    Args:
        screen: where the thread reports to. draft: how rows are read. path: the dataset.
        shown: called with each row read. failed: called when the file can't be read.

    Attributes:
        wanted: index of the row asked for last, so that keys pressed faster than a disk reads all count.
    """

    def __init__(
        self,
        screen: Screen[Any],
        draft: Draft,
        path: str,
        shown: Callable[[OpenFile, Page], object],
        failed: Callable[[OpenFile, BackpropError], object],
    ) -> None:
        self.path = path
        self.wanted = 0
        self._screen = screen
        self._draft = draft
        self._shown = shown
        self._failed = failed
        self._lock = Lock()
        self._file: FilePreview | None = None

    def read(self, index: int) -> None:
        """Ask for a row; one beyond the end gives the last."""
        file = self._file
        # Where the end is known, a key pressed next counts from the last row, not from beyond it.
        self.wanted = min(index, file.known - 1) if file is not None and file.complete and file.known else index

        def work(cancelled: Cancelled) -> Page | None:
            return self._page(index, cancelled)

        def done(page: Page | None) -> None:
            if page is None:
                return
            if self.wanted == index:
                self.wanted = page.row.index
            self._shown(self, page)

        in_thread(self._screen, work, done, lambda error: self._failed(self, error), group="open-file")

    def _page(self, index: int, cancelled: Cancelled) -> Page | None:
        from backprop_tui.data.preview import FilePreview

        reading = self._draft.reading()
        tokenizer = self._draft.scans.tokenizer(reading.model)
        with self._lock:
            if self._file is None:
                self._file = FilePreview(data_file(self.path), format=reading.format)
            file = self._file

            def view(number: int) -> PreviewRow | None:
                return file.view(
                    number,
                    tokenizer=tokenizer,
                    max_length=reading.max_length,
                    train_on=reading.train_on,
                    cancelled=cancelled,
                )

            row = view(index)
            if row is not None:
                return Page(row, reading, file.known, False)
            last = view(file.known - 1) if file.complete and file.known else None
            return None if last is None else Page(last, reading, file.known, True)
