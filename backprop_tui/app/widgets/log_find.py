"""Searching in the log as somebody types: the nearest hit first, then how many there are; on to the next and around."""

from __future__ import annotations

import time
from dataclasses import replace

from backprop_tui.app.jobs import Cancelled, in_thread
from backprop_tui.app.widgets.log_moves import LogMoves
from backprop_tui.app.widgets.log_paint import Manner
from backprop_tui.protocol.errors import BackpropError
from backprop_tui.store.log_search import LogSearch

_TELL_EVERY = 0.3
_SEARCH_GROUPS = ("log-find", "log-count")


class LogFind(LogMoves):
    """A text that is looked for, and the lines that hold it."""

    def __init__(self) -> None:
        super().__init__()
        self._query = ""
        self._search: LogSearch | None = None
        self._origin: int | None = None

    @property
    def manner(self) -> Manner:
        """How lines are written, with what is searched for."""
        return replace(super().manner, needle=self._query.lower())

    def hit_words(self) -> str:
        """How many lines hold the text, as far as they are counted."""
        search = self._search
        if search is None:
            return "…"
        more = "" if search.done else "+"
        return f"{search.hits:,}{more} hit{'' if search.hits == 1 else 's'}"

    def search(self, text: str) -> None:
        """Look for a text; empty forgets the search."""
        if text == self._query:
            return
        self._query, self._search = text, None
        for group in _SEARCH_GROUPS:
            self.app.workers.cancel_group(self, group)
        if text:
            self._begin_search()
        self.update()

    def forget_search(self) -> None:
        """No search, and back to where it was begun."""
        self.search("")
        if self._origin is None:
            self.set_follow(True)
        else:
            self.place(self._origin)

    def _begin_search(self) -> None:
        query = self._query
        self.walk_then(lambda: self._find(query, self.cursor if self._origin is None else self._origin))

    def _find(self, query: str, start: int) -> None:
        """The nearest hit at `start` or before it, else after it; then all are counted."""
        feed, choice = self._feed, self.choice
        if feed is None or not query or query != self._query:
            return
        newest = self.follow or self._origin is None

        def find(cancelled: Cancelled) -> tuple[LogSearch, int | None]:
            search = feed.search(choice, query)
            begin = len(search.lines) - 1 if newest else start
            found = search.find(begin, -1, cancelled)
            return search, found if found is not None else search.find(begin, 1, cancelled)

        def done(result: tuple[LogSearch, int | None]) -> None:
            if query != self._query or choice != self.choice:
                return
            self._search = result[0]
            if result[1] is not None:
                self.place(result[1])
            self._count_hits()

        in_thread(self, find, done, self._complain, group="log-find")

    def _count_hits(self) -> None:
        search = self._search
        if search is None:
            return
        told = time.monotonic()

        def count(cancelled: Cancelled) -> None:
            def tell() -> None:
                nonlocal told
                if time.monotonic() - told > _TELL_EVERY:
                    told = time.monotonic()
                    self.call_later(self.label)

            search.count(tell, cancelled)

        in_thread(self, count, lambda _: self.label(), self._complain, group="log-count")
        self.label()

    def action_next_hit(self, direction: int) -> None:
        """The next line (1) or the one before (-1) that holds the text; around at the ends."""
        search = self._search
        if search is None:
            self._say("/ searches the log." if not self._query else "Still looking.")
            return
        self._stay()
        start = self.cursor + direction

        def find(cancelled: Cancelled) -> tuple[int | None, bool]:
            found = search.find(start, direction, cancelled) if start >= 0 else None
            if found is not None:
                return found, False
            return search.find(0 if direction > 0 else len(search.lines) - 1, direction, cancelled), True

        def done(result: tuple[int | None, bool]) -> None:
            number, around = result
            if number is None:
                self._say(f"Nothing holds {self._query!r}.")
            else:
                self.place(number)
                if around:
                    self._say("Around to the newest hit." if direction < 0 else "Around to the oldest hit.")
            if not search.done:
                self._count_hits()

        in_thread(self, find, done, self._complain, group="log-find")

    def _say(self, text: str) -> None:
        say = getattr(self.screen, "say", None)
        if say is not None and text:
            say(text)

    def _complain(self, error: BackpropError) -> None:
        self._say(str(error))
