"""What a run was, as fast as it can be read: its remembered columns if there are any, then the rest of its journal in bulk."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from backprop_tui.store.journal import JournalTail

if TYPE_CHECKING:
    from backprop_tui.store.columns import ColumnsWriter
    from backprop_tui.store.stretches import Stretch, StretchDecoder

#: From this many unread bytes on the steps go to columns in files: less is read again in a moment.
WORTH_FILES = 8 << 20
#: Less than this is folded event by event, which is what the newest stretch of any journal gets too.
FEW = 1 << 20
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
        return next(self._rest(FEW), None)

    def close(self) -> None:
        """Leave nothing half-written behind."""
        self._opening = iter(())
        self._leave_files()

    # -- the first time -----------------------------------------------------------------------------------------------

    def _open(self) -> Iterator[Stretch]:
        tail = self._tail
        start = None
        if self._place is not None and tail.left >= FEW and tail.offset == tail.seq == 0:
            from backprop_tui.store.columns import Columns
            from backprop_tui.store.stretches import Stretch

            start = Columns.find(self._place, tail.file)
            if start is not None:
                # Curves before words: they are what people open a run for, and here they are already.
                yield Stretch(base=start, base_rows=start.rows, firsts=start.firsts, passed=start.passed)
                yield from self._digest(start.digest_file())
                tail.offset, tail.damaged = start.offset, start.damaged
                tail.skip_to(start.seq)
        if self._place is not None and tail.left >= WORTH_FILES:
            from backprop_tui.store.columns import ColumnsWriter

            try:
                self._writer = ColumnsWriter(self._place, start)
            except OSError:
                # A full or read-only cache costs memory and the speed of the next visit, nothing else.
                self._writer = None
        yield from self._rest(FEW)
        if self._writer is not None:
            try:
                self._writer.publish(tail.file, offset=tail.offset, seq=tail.seq, damaged=tail.damaged)
            except (OSError, ValueError):
                pass
            self._leave_files()

    def _digest(self, file: Path) -> Iterator[Stretch]:
        from backprop_tui.store.stretches import Stretch

        digest = JournalTail(file)
        try:
            while events := digest.poll():
                yield Stretch(events)
        finally:
            digest.close()

    # -- the journal --------------------------------------------------------------------------------------------------

    def _rest(self, few: int) -> Iterator[Stretch]:
        tail = self._tail
        while True:
            near_end = tail.left <= few
            block = tail.take(_BLOCK)
            if not block:
                return
            decoder = self._decoder
            if decoder is None:
                from backprop_tui.store.stretches import StretchDecoder

                decoder = self._decoder = StretchDecoder()
            decoder.seq = max(decoder.seq, tail.seq)
            before = decoder.damaged
            stretches = decoder.decode(block, whole=near_end)
            tail.damaged += decoder.damaged - before
            tail.skip_to(decoder.seq)
            for stretch in stretches:
                self._file(stretch)
                yield stretch

    def _file(self, stretch: Stretch) -> None:
        if self._writer is None:
            return
        try:
            self._writer.add(stretch)
        except OSError:
            self._leave_files()

    def _leave_files(self) -> None:
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.discard()
