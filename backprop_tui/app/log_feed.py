"""`LogFeed`: what the log widget shows, fetched from the files. Every method reads files and belongs into a thread.

A long log is shown from its end at once; the rest of it is walked over when somebody scrolls back, searches or filters, not
before. Until then line numbers count from where the end began, so they shift once.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from backprop_tui.app.narrate import tell
from backprop_tui.store.layout import RunDir
from backprop_tui.store.log_lines import LogRow
from backprop_tui.store.log_search import LogSearch
from backprop_tui.store.log_slice import LogLines
from backprop_tui.store.logs import LogBook

#: Logs up to this many bytes are read from their start at once.
SHORT = 4 << 20
#: Bytes of the journal's end that are read of longer ones.
_END = 256 * 1024

Stop = Callable[[], bool]


@dataclass(frozen=True, slots=True)
class Choice:
    """What is wanted: the quietest level, the sources."""

    level: str
    sources: frozenset[str]


@dataclass(slots=True)
class Window:
    """Some lines and what is known of the others.

    Attributes:
        choice: what it was made for. total: lines there are (of the end only, unless `whole`).
        first: number of the first of `rows`. unfinished: a line the worker has begun.
        whole: whether numbers count from the oldest line.
    """

    choice: Choice
    total: int = 0
    first: int = 0
    rows: list[LogRow] = field(default_factory=list)
    unfinished: str = ""
    whole: bool = True

    def row(self, number: int) -> LogRow | None:
        """A line by its number, if it was fetched."""
        index = number - self.first
        return self.rows[index] if 0 <= index < len(self.rows) else None


class LogFeed:
    """The log of one run. `limit` (an event's number) hides everything later, for a replay."""

    def __init__(self, run: RunDir) -> None:
        self.run = run
        self.limit: int | None = None
        self._book = LogBook(run, tell)
        self._end: LogBook | None = LogBook(run, tell, near_end=_END)
        self._lines: dict[tuple[int, Choice], LogLines] = {}
        self._searches: dict[tuple[Choice, str], LogSearch] = {}
        self._lock = threading.RLock()

    @property
    def whole(self) -> bool:
        """Whether the log has been walked over from its start."""
        return self._end is None

    @property
    def share(self) -> float:
        """How much of it has been walked over, 0 to 1."""
        return self._book.done / self._book.size if self._book.size else 0.0

    def fetch(self, choice: Choice, first: int | None, height: int) -> Window:
        """What was appended, and the lines around a view of `height` lines; `first` None is the newest."""
        with self._lock:
            if self._end is not None and (self.limit is not None or self._short()):
                self._end = None
            book = self._end or self._book
            book.extend()
            window = Window(choice, whole=self.whole)
            lines = self._of(book, choice)
            window.total = self._count(lines)
            if first is None:
                first = max(0, window.total - height)
            window.first = max(0, min(first, window.total) - height)
            window.rows = lines.rows(window.first, min(window.total - window.first, 3 * height))
            if "worker" in choice.sources and self.limit is None:
                window.unfinished = book.unfinished()
            return window

    def walk(self, choice: Choice, stop: Stop) -> int:
        """Walk over all of it; what to add to numbers from before. Does nothing to see when stopped early."""
        self._book.extend(stop)
        with self._lock:
            if self._end is None or stop():
                return 0
            before = self._count(self._of(self._end, choice))
            self._end.close()
            self._end = None
            self._book.extend()
            return self._count(self._of(self._book, choice)) - before

    def lines(self, choice: Choice) -> LogLines:
        """The lines by number; `walk` must have been called."""
        with self._lock:
            return self._of(self._end or self._book, choice)

    def search(self, choice: Choice, query: str) -> LogSearch:
        """A search that remembers what it has looked at."""
        with self._lock:
            key = (choice, query)
            if key not in self._searches:
                self._searches.clear()
                self._searches[key] = LogSearch(self._of(self._book, choice), query)
            return self._searches[key]

    def _of(self, book: LogBook, choice: Choice) -> LogLines:
        key = (id(book), choice)
        if key not in self._lines:
            if len(self._lines) > 8:
                self._lines.clear()
            self._lines[key] = LogLines(book, choice.level, choice.sources)
        return self._lines[key]

    def _count(self, lines: LogLines) -> int:
        return len(lines) if self.limit is None else lines.of_seq(self.limit + 1)

    def _short(self) -> bool:
        total = 0
        for file in (self.run.journal_file, self.run.worker_log, self.run.host_log):
            try:
                total += file.stat().st_size
            except OSError:
                continue
        return total <= SHORT
