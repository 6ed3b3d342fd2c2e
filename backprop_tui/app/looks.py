"""What is known of the datasets of a list. One is looked through at a time; the one a person asks for comes first."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

from backprop_tui.app.jobs import Cancelled, in_thread
from backprop_tui.protocol.errors import BackpropError

if TYPE_CHECKING:
    from textual.screen import Screen
    from textual.worker import Worker

    from backprop_tui.app.draft import Draft
    from backprop_tui.data.looking.findings import Inspection

#: What is known of a dataset: nothing, how far the look is (a few words), what it found, or why it can't be read.
Look: TypeAlias = "Inspection | BackpropError | str | None"

#: Seconds between two words of progress.
_PROGRESS_S = 0.5
#: What stands for a look that was given up.
STOPPED = "stopped"


class Looks:
    """Looks through datasets in a thread, the way the draft's model would read them.

    Args:
        screen: where the thread reports to. draft: how rows are read, and what is remembered.
        changed: called with the words whose look is another one.
    """

    def __init__(self, screen: Screen[Any], draft: Draft, changed: Callable[[str], object]) -> None:
        self._screen = screen
        self._draft = draft
        self._changed = changed
        self._known: dict[str, Look] = {}
        self._waiting: list[str] = []
        self._under_way: str | None = None
        self._asked = False
        self._worker: Worker[None] | None = None

    @property
    def known(self) -> Mapping[str, Look]:
        """Every look by its words."""
        return self._known

    def get(self, words: str | None) -> Look:
        """What is known of one dataset."""
        return self._known.get(words) if words is not None else None

    def found(self, words: str | None) -> Inspection | None:
        """What was found in a dataset that could be read to the end."""
        look = self.get(words)
        return None if isinstance(look, (str, BackpropError)) else look

    def forget(self, words: str | None = None) -> None:
        """Rows are read another way: nothing is known, or nothing of one dataset."""
        if words is not None and words != self._under_way:
            self._known.pop(words, None)
            return
        if words is None:
            self._known.clear()
            self._waiting.clear()
        else:
            self._known.pop(words, None)
        self._give_up()

    def wait(self, words: Iterable[str]) -> None:
        """Look through these when nobody asks for another."""
        self._waiting = [one for one in words if one not in self._known]
        if self._under_way is None:
            self._next()

    def wait_also(self, words: str) -> None:
        """Look through this one next, when the one under way is done."""
        if words not in self._known and words not in self._waiting:
            self._waiting.insert(0, words)
            if self._under_way is None:
                self._next()

    def look(self, words: str) -> None:
        """Look through this dataset now; one under way is given up, and waits again if nobody had asked for it."""
        before = self._under_way
        if before == words:
            self._asked = True
            return
        if before is not None and isinstance(self._known.get(before), str):
            del self._known[before]
            if not self._asked:
                self._waiting.insert(0, before)
            self._changed(before)
        self._begin(words, asked=True)

    def stop(self) -> bool:
        """Give up what is under way and what waits; False when there is nothing to give up."""
        words = self._under_way
        if words is None:
            return False
        self._waiting.clear()
        self._give_up()
        if isinstance(self._known.get(words), str):
            self._known[words] = STOPPED
        self._changed(words)
        return True

    def _give_up(self) -> None:
        self._under_way = None
        if self._worker is not None:
            self._worker.cancel()

    def _next(self) -> None:
        while self._waiting:
            words = self._waiting.pop(0)
            if words not in self._known:
                self._begin(words, asked=False)
                return

    def _begin(self, words: str, *, asked: bool) -> None:
        said = 0.0

        def progress(done: int, total: int) -> None:
            nonlocal said
            now = time.monotonic()
            if now - said >= _PROGRESS_S and done < total:
                said = now
                self._screen.call_later(self._progress, words, f"{100 * done // max(1, total)} %")

        def work(cancelled: Cancelled) -> Inspection:
            return self._draft.scans.inspect(words, self._draft.reading(words), cancelled, progress)

        def done(look: Inspection | BackpropError) -> None:
            if self._under_way == words:
                self._under_way = None
                self._known[words] = look
                self._changed(words)
            if self._under_way is None:
                self._next()

        self._under_way, self._asked = words, asked
        if isinstance(self._known.get(words), (str, type(None))):
            self._known[words] = "looking"
            self._changed(words)
        self._worker = in_thread(self._screen, work, done, done, group="looks")

    def _progress(self, words: str, share: str) -> None:
        if self._under_way == words and isinstance(self._known.get(words), str):
            self._known[words] = f"looking, {share}"
            self._changed(words)
