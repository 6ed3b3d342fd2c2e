"""One open dataset and the row that is wanted of it. Reading happens in threads; the newest wish wins.

A row comes in two stages: what it says, at once; then what the model reads, from the child process that renders it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from threading import Lock
from typing import TYPE_CHECKING, Any, Literal

from backprop_tui.app.jobs import Cancelled, in_thread
from backprop_tui.app.scans import Reading
from backprop_tui.protocol.errors import BackpropError
from backprop_tui.protocol.text import safe_text

if TYPE_CHECKING:
    from textual.screen import Screen
    from textual.worker import Worker

    from backprop_tui.app.draft import Draft
    from backprop_tui.data.children.remote import RemoteTokenizer
    from backprop_tui.data.formats import Normalised
    from backprop_tui.data.looking.preview import Preview, PreviewRow
    from backprop_tui.data.rendering.encoded import Measure, Rendered
    from backprop_tui.data.rows import Row
    from backprop_tui.protocol.errors import DataError

#: Seconds the first stage waits for the second, so that a row that is rendered quickly is painted once.
_TOGETHER_S = 0.08
#: Seconds between two words of progress of a search.
_PROGRESS_S = 0.5
#: Finds the first row from a number on: (preview, start, cancelled).
Find = Callable[["Preview", int, Cancelled], "int | None"]


@dataclass(frozen=True, slots=True)
class Page:
    """A row that was read, and how.

    Args:
        row: what it says. reading: how it was read. known: rows passed so far.
        beyond: a later one was wanted, and this is the last. rendered: what the model reads, tokens and all.
        final: whether nothing more comes of it. value: the row as it stands in the file.
        file: the (harmless) name of its file, where the dataset has several.
    """

    row: PreviewRow
    reading: Reading
    known: int
    beyond: bool
    rendered: Rendered | None = None
    final: bool = False
    value: Any = None
    file: str = ""


class OpenFile:
    """Rows of one dataset.

    Args:
        screen: where the thread reports to. draft: how rows are read. words: the dataset.
        shown: called with each row read. failed: called when the dataset can't be read.

    Attributes:
        wanted: index of the row asked for last, so that keys pressed faster than a disk reads all count.
    """

    def __init__(
        self,
        screen: Screen[Any],
        draft: Draft,
        words: str,
        shown: Callable[[OpenFile, Page], object],
        failed: Callable[[OpenFile, BackpropError], object],
    ) -> None:
        self.words = words
        self.wanted = 0
        self._screen = screen
        self._draft = draft
        self._shown = shown
        self._failed = failed
        self._lock = Lock()
        self._file: Preview | None = None
        self._names: list[str] = []
        self._turn = 0
        self._warm = False
        self._search: Worker[None] | None = None

    def read(self, index: int) -> None:
        """Ask for a row; one beyond the end gives the last."""
        file = self._file
        # Where the end is known, a key pressed next counts from the last row, not from beyond it.
        self.wanted = min(index, file.known - 1) if file is not None and file.complete and file.known else index
        self._search = None
        self._turn += 1
        turn = self._turn

        def work(cancelled: Cancelled) -> tuple[Page, Row] | None:
            return self._page(index, cancelled)

        def done(found: tuple[Page, Row] | None) -> None:
            if found is None or turn != self._turn:
                return
            page, row = found
            if self.wanted == index:
                self.wanted = page.row.index
            if self._warm:
                self._screen.set_timer(_TOGETHER_S, lambda: self._show(page, turn))
            else:
                self._show(page, turn)
            self._explain(page, row, turn)

        in_thread(self._screen, work, done, self._fail, group="open-file")

    def find(
        self, find: Find, start: int, done: Callable[[int | None], object], progress: Callable[[int], object]
    ) -> None:
        """Look for a row from `start` on, then from the first; `progress` is told how many rows were passed."""

        def work(cancelled: Cancelled) -> int | None:
            said = time.monotonic()

            with self._lock:
                file = self._open()

                def given_up() -> bool:
                    nonlocal said
                    if time.monotonic() - said >= _PROGRESS_S:
                        said = time.monotonic()
                        self._screen.call_later(progress, file.at)
                    return cancelled()

                found = find(file, start, given_up)
                if found is None and start and not cancelled():
                    found = find(file, 0, given_up)
            return found

        def finish(found: int | None) -> None:
            self._search = None
            done(found)

        def fail(error: BackpropError) -> None:
            self._search = None
            self._failed(self, error)

        self._search = in_thread(self._screen, work, finish, fail, group="open-file")

    @property
    def searching(self) -> bool:
        """Whether a row is looked for."""
        return self._search is not None

    def stop(self) -> bool:
        """Give up a search; False when there is none."""
        search, self._search = self._search, None
        if search is None:
            return False
        search.cancel()
        return True

    def bad_row(self, file: Preview, start: int, cancelled: Cancelled) -> int | None:
        """The first row from `start` on that can't be used or is cut; called in a thread, by `find`."""
        reading = self._draft.reading(self.words)
        tokenizer = self._draft.scans.tokenizer(reading.model, "bulk")
        return file.find_bad(start, how=reading.how, tokenizer=tokenizer, cancelled=cancelled)

    def _fail(self, error: BackpropError) -> None:
        self._failed(self, error)

    def _show(self, page: Page, turn: int) -> None:
        """A stage, unless a later one is there already."""
        if turn == self._turn:
            if page.final:
                # The first stage of this turn may still wait for its timer.
                self._turn += 1
            self._shown(self, page)

    def _open(self) -> Preview:
        from backprop_tui.data.looking.preview import Preview

        if self._file is None:
            data = self._draft.scans.resolve(self.words)
            self._names = [safe_text(path.name, limit=120) for path in data.files] if len(data.files) > 1 else []
            self._file = Preview(data)
        return self._file

    def _page(self, index: int, cancelled: Cancelled) -> tuple[Page, Row] | None:
        from backprop_tui.data.looking.preview import view_row

        reading = self._draft.reading(self.words)
        with self._lock:
            file = self._open()
            row, beyond = file.row(index, cancelled=cancelled), False
            if row is None and file.complete and file.known:
                row, beyond = file.row(file.known - 1, cancelled=cancelled), True
            known = file.known
        if row is None:
            return None
        name = self._names[row.file] if self._names else ""
        return Page(view_row(row, reading.how), reading, known, beyond, value=row.value, file=name), row

    def _explain(self, page: Page, row: Row, turn: int) -> None:
        def work(cancelled: Cancelled) -> Page:
            from backprop_tui.data.looking.preview import view_row

            tokenizer = self._draft.scans.tokenizer(page.reading.model, "preview")
            if tokenizer is None:
                return replace(page, final=True)
            keeper = _Keeper(tokenizer)
            view = view_row(row, page.reading.how, keeper)
            return replace(page, row=view, rendered=keeper.rendered, final=True)

        def done(explained: Page) -> None:
            self._warm = True
            self._show(explained, turn)

        in_thread(self._screen, work, done, self._fail, group="open-tokens")


class _Keeper:
    """Explains rows like the tokenizer, and keeps what it said last, tokens and all."""

    def __init__(self, tokenizer: RemoteTokenizer) -> None:
        self.rendered: Rendered | None = None
        self._tokenizer = tokenizer

    def explain(
        self, row: Normalised, *, max_length: int | None, train_on: Literal["answers", "everything"] = "answers"
    ) -> Rendered:
        self.rendered = self._tokenizer.explain(row, max_length=max_length, train_on=train_on)
        return self.rendered

    def measure_many(
        self, rows: list[Normalised], *, max_length: int | None, train_on: Literal["answers", "everything"]
    ) -> list[Measure | DataError]:
        return self._tokenizer.measure_many(rows, max_length=max_length, train_on=train_on)
