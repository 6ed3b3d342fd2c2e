"""How far a long look at data is, on one line of the terminal that goes away when it is over."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Self

from backprop_tui.cli import words
from backprop_tui.cli.output import Output
from backprop_tui.protocol.text import safe_text

#: Seconds before anything is shown, and between two changes of it.
PATIENCE = 1.0
_EVERY = 0.1


class Progress:
    """Shows how far it is on stderr, if that is a terminal and it takes longer than `PATIENCE`. A context manager.

    Args:
        out: the command's output, for the signs it may use.
    """

    def __init__(self, out: Output) -> None:
        self._out = out
        self._shows = sys.stderr.isatty()
        self._due = time.monotonic() + PATIENCE
        self._taken = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.clear()

    def bytes_read(self, done: int, total: int) -> None:
        """So many bytes of all have been read."""
        self._show("reading", words.size(done), words.size(total), done, total)

    def rows(self, stage: str, done: int, total: int | None) -> None:
        """So many rows have been dealt with."""
        self._show(stage, words.count(done), f"{words.count(total)} rows" if total else "rows", done, total or 0)

    def files(self, name: str, done: int, total: int) -> None:
        """So many files have been downloaded, and the next is on its way."""
        self._show(f"downloading {safe_text(name, limit=60)}", str(done), f"{total} files", done, total)

    def clear(self) -> None:
        """Take the line away."""
        if self._taken:
            self._write("\r" + " " * self._taken + "\r")
            self._taken = 0

    def _show(self, what: str, done: str, total: str, part: int, whole: int) -> None:
        now = time.monotonic()
        if not self._shows or now < self._due:
            return
        self._due = now + _EVERY
        of = f"{done} of {total}  {100 * part / whole:.0f} %" if whole else f"{done} {total}"
        # The last column stays free: some terminals go on to the next line when it is filled.
        line = words.shorten(self._out.shown(f"{what}  {of}"), max(1, self._out.columns - 1))
        self._write("\r" + words.fit(line, max(words.width(line), self._taken)))
        self._taken = words.width(line)

    def _write(self, text: str) -> None:
        try:
            sys.stderr.write(text)
            sys.stderr.flush()
        except OSError:
            # Nobody looks any more; the work goes on.
            self._shows = False
