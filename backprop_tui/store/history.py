"""What a run was, as fast as it can be read: its remembered columns if there are any, then the rest of its journal in bulk.

Curves come before words: of a long journal the columns are taken first and the events, which are few, are folded after
them. That is also what keeps a screen from telling as the present what was a moment of the past.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from backprop_tui.store.journal import JournalTail
from backprop_tui.store.memory import let_large_blocks_go

if TYPE_CHECKING:
    from backprop_tui.store.bulk import StretchDecoder
    from backprop_tui.store.columns import Columns, ColumnsWriter
    from backprop_tui.store.stretch import Stretch

#: From this many unread bytes on the steps go to columns in files: less is read again in a moment.
WORTH_FILES = 8 << 20
_BLOCK = 1 << 20


class History:
    """Reads a journal in stretches, from where `tail` stands to its end; use it from one thread at a time.

    It is lazy: `next` does one piece of work. At the end of the file it gives None, and later whatever came since.

    Args:
        tail: knows the place in the journal. columns: where this run's columns are remembered; None is nowhere.
    """

    def __init__(self, tail: JournalTail, columns: Path | None) -> None:
        self._tail = tail
        self._place = columns
        self._decoder: StretchDecoder | None = None
        self._writer: ColumnsWriter | None = None
        self._opening: Iterator[Stretch] | None = None

    def next(self) -> Stretch | None:
        """The next stretch; None at the end of what is there."""
        if self._opening is None:
            self._opening = self._open()
        for stretch in self._opening:
            return stretch
        for stretch in self._rest():
            return _told_of(stretch)
        return None

    def close(self) -> None:
        """Leave nothing half-written behind."""
        self._opening = iter(())
        self._leave_files()

    # -- the first time -----------------------------------------------------------------------------------------------

    def _open(self) -> Iterator[Stretch]:
        """All there is."""
        from backprop_tui.store.stretch import Stretch

        tail = self._tail
        start: Columns | None = None
        long = tail.left >= WORTH_FILES
        if long:
            let_large_blocks_go()
        if long and self._place is not None:
            from backprop_tui.store.columns import Columns, ColumnsWriter

            start = Columns.find(self._place, tail.file)
            if start is not None:
                yield Stretch(base=start, base_rows=start.rows, firsts=start.firsts, passed=start.passed, turn=True)
                tail.offset, tail.damaged = start.offset, start.damaged
                tail.skip_to(start.seq)
            if tail.left >= WORTH_FILES:
                # A full or read-only cache costs memory and the speed of the next visit, nothing else.
                with suppress(OSError):
                    self._writer = ColumnsWriter(self._place, start)
        columns = self._writer.columns if self._writer is not None else start
        told = columns is None or self._writer is None
        if told and columns is not None:
            yield from self._told(columns)
        for stretch in self._rest():
            if self._writer is not None and self._filed(stretch):
                stretch.tell = None
            elif not told and columns is not None:
                told = True
                yield from self._told(columns)
            yield _told_of(stretch)
        if not told and columns is not None:
            yield Stretch(turn=True)
            yield from self._told(columns)
        if long:
            yield Stretch(turn=True)
        self._publish()

    def _told(self, columns: Columns) -> Iterator[Stretch]:
        """The events that go with columns."""
        from backprop_tui.store.bulk import StretchDecoder
        from backprop_tui.store.stretch import Stretch

        decoder = StretchDecoder()
        for block in columns.digest():
            for stretch in decoder.decode(block, whole=True):
                yield Stretch(_told_of(stretch).events)

    # -- the journal --------------------------------------------------------------------------------------------------

    def _rest(self) -> Iterator[Stretch]:
        tail = self._tail
        while True:
            block = tail.take(_BLOCK)
            if not block:
                return
            decoder = self._decoder
            if decoder is None:
                from backprop_tui.store.bulk import StretchDecoder

                decoder = self._decoder = StretchDecoder()
            decoder.seq = max(decoder.seq, tail.seq)
            before = decoder.damaged
            stretches = decoder.decode(block)
            tail.damaged += decoder.damaged - before
            tail.skip_to(decoder.seq)
            yield from stretches

    def _filed(self, stretch: Stretch) -> bool:
        if self._writer is None:
            return False
        try:
            self._writer.add(stretch)
        except OSError:
            self._leave_files()
            return False
        return True

    def _publish(self) -> None:
        if self._writer is not None:
            tail = self._tail
            with suppress(OSError, ValueError):
                self._writer.publish(tail.file, offset=tail.offset, seq=tail.seq, damaged=tail.damaged)
            self._leave_files()

    def _leave_files(self) -> None:
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.discard()


def _told_of(stretch: Stretch) -> Stretch:
    """The stretch with its events decoded; what they were decoded from, which is large, is let go."""
    if stretch.tell is not None:
        stretch.events, stretch.tell = stretch.tell(), None
    return stretch
