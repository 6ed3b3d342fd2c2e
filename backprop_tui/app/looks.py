"""What is known of the files of a list. One is looked through at a time; the one a person asks for comes first."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

from backprop_tui.app.jobs import Cancelled, in_thread
from backprop_tui.protocol.errors import BackpropError

if TYPE_CHECKING:
    from textual.screen import Screen

    from backprop_tui.app.draft import Draft
    from backprop_tui.data.inspection import Inspection

#: What is known of a file: nothing, how far the look is (a sentence), what it found, or why it can't be read.
Look: TypeAlias = "Inspection | BackpropError | str | None"

#: Seconds between two words of progress.
_PROGRESS_S = 0.5


class Looks:
    """Looks through files in a thread, the way the draft's model would read them.

    Args:
        screen: where the thread reports to. draft: how rows are read, and what is remembered.
        changed: called with the path whose look is another one.
    """

    def __init__(self, screen: Screen[Any], draft: Draft, changed: Callable[[str], object]) -> None:
        self._screen = screen
        self._draft = draft
        self._changed = changed
        self._known: dict[str, Look] = {}
        self._waiting: list[str] = []
        self._under_way: str | None = None
        self._asked = False

    @property
    def known(self) -> Mapping[str, Look]:
        """Every look by path."""
        return self._known

    def get(self, path: str | None) -> Look:
        """What is known of one file."""
        return self._known.get(path) if path is not None else None

    def found(self, path: str | None) -> Inspection | None:
        """What was found in a file that could be read to the end."""
        look = self.get(path)
        return None if isinstance(look, (str, BackpropError)) else look

    def forget(self) -> None:
        """Rows are read another way now: nothing is known."""
        self._known.clear()
        self._waiting.clear()
        self._under_way = None

    def wait(self, paths: Iterable[str]) -> None:
        """Look through these when nobody asks for another."""
        self._waiting = [path for path in paths if path not in self._known]
        if self._under_way is None:
            self._next()

    def look(self, path: str) -> None:
        """Look through this file now; one under way is given up, and waits again if nobody had asked for it."""
        before = self._under_way
        if before == path:
            return
        if before is not None and isinstance(self._known.get(before), str):
            del self._known[before]
            if not self._asked:
                self._waiting.insert(0, before)
            self._changed(before)
        self._begin(path, asked=True)

    def _next(self) -> None:
        while self._waiting:
            path = self._waiting.pop(0)
            if path not in self._known:
                self._begin(path, asked=False)
                return

    def _begin(self, path: str, *, asked: bool) -> None:
        said = 0.0

        def progress(done: int, total: int) -> None:
            nonlocal said
            now = time.monotonic()
            if now - said >= _PROGRESS_S and done < total:
                said = now
                self._screen.call_later(self._progress, path, f"looking, {100 * done // max(1, total)} %")

        def work(cancelled: Cancelled) -> Inspection:
            return self._draft.scans.inspect(path, self._draft.reading(), cancelled, progress)

        def done(look: Inspection | BackpropError) -> None:
            if self._under_way == path:
                self._under_way = None
                self._known[path] = look
                self._changed(path)
            if self._under_way is None:
                self._next()

        self._under_way, self._asked = path, asked
        if path not in self._known:
            self._known[path] = "looking"
            self._changed(path)
        in_thread(self._screen, work, done, done, group="looks")

    def _progress(self, path: str, words: str) -> None:
        if self._under_way == path and isinstance(self._known.get(path), str):
            self._known[path] = words
            self._changed(path)
