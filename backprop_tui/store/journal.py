"""The journal: one CRC-protected JSON line per event, one writer, any number of lock-free readers.

The writer is the engine host, the holder of the run's lock. Readers treat a last line without its newline as the end of
the file, pass over damaged lines and count them.
"""

from __future__ import annotations

import errno
import os
import re
import time
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from backprop_tui.protocol import events as ev
from backprop_tui.protocol.codec import decode_line, encode_line
from backprop_tui.protocol.errors import UnavailableError
from backprop_tui.protocol.events import Event
from backprop_tui.store.layout import sync_dir

#: Bytes read at once.
_CHUNK = 1 << 20
#: Room kept aside so that a full disk can still be told about.
_RESERVE = 64 * 1024
#: macOS has no fdatasync.
_datasync = getattr(os, "fdatasync", os.fsync)
_SEQ = re.compile(rb'^\{"seq":(\d{1,18}),')
_KIND = re.compile(rb'^\{"seq":\d+,"wall":[^,]*,"mono":[^,]*,"attempt":[^,]*,"kind":"([a-z_]{1,40})"')


class JournalWriter:
    """Appends events. Only the holder of the run's lock may have one.

    A tail torn by a crash is closed with a newline and recorded as a `repair` event, never cut off silently; numbers that
    damaged lines may have carried are not used again.

    Raises:
        UnavailableError: the file can't be opened or written.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        self._reserve = file.with_name(".reserve")
        self._dirty = False
        fresh = not file.exists()
        try:
            self._fd = os.open(
                file, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0), 0o600
            )
            self._size = os.fstat(self._fd).st_size
            if fresh:
                sync_dir(file.parent)
            self._hold_reserve()
            self.seq, torn = _last_seq(self._fd, self._size)
            if torn:
                self._write(b"\n")
                self.append(ev.REPAIR, {"reason": "torn tail", "bytes": torn}, attempt=0)
        except OSError as error:
            raise _failed(file, error) from error

    def append(self, kind: str, data: dict[str, Any], *, attempt: int) -> Event:
        """Stamp, write and return one event; when it returns, the event survives the death of this process.

        Events of the kinds in `events.DURABLE` also survive a power loss; `sync` does that for the others.

        Raises:
            UnavailableError: the disk is full or broken. Nothing of the event stays in the file and its number is free.
        """
        event = Event(self.seq + 1, time.time(), time.monotonic(), attempt, kind, data)
        try:
            self._write(encode_line(event.to_record()))
            if kind in ev.DURABLE:
                self._dirty = False
                _datasync(self._fd)
        except OSError as error:
            raise _failed(self.file, error) from error
        self.seq = event.seq
        return event

    def sync(self) -> None:
        """Make everything appended so far survive a power loss. Safe to call from another thread.

        Raises:
            UnavailableError: the disk refused; it must not be asked again as if nothing had happened.
        """
        if not self._dirty:
            return
        self._dirty = False
        try:
            _datasync(self._fd)
        except OSError as error:
            raise _failed(self.file, error) from error

    def release_reserve(self) -> None:
        """Give back the room kept aside, so that the last words fit on a full disk."""
        try:
            self._reserve.unlink(missing_ok=True)
        except OSError:
            pass

    def close(self) -> None:
        """Sync and close; calling it again does nothing."""
        if self._fd < 0:
            return
        try:
            self.sync()
        finally:
            os.close(self._fd)
            self._fd = -1
            self.release_reserve()

    def _write(self, line: bytes) -> None:
        written = 0
        try:
            while written < len(line):
                written += os.write(self._fd, line[written:] if written else line)
        except OSError:
            if written:
                # Nobody has been told of this event: taking its half line back keeps every line of the file whole.
                os.ftruncate(self._fd, self._size)
            raise
        self._size += written
        self._dirty = True

    def _hold_reserve(self) -> None:
        if not hasattr(os, "posix_fallocate"):
            return
        fd = os.open(self._reserve, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.posix_fallocate(fd, 0, _RESERVE)
        except OSError as error:
            if error.errno == errno.ENOSPC:
                raise
        finally:
            os.close(fd)


class JournalTail:
    """Follows a journal by offset. The file may not exist yet.

    Args:
        file: the journal.
        after: events up to this seq are passed over.
        offset: start of a line to begin at, in bytes.

    Attributes:
        seq: the newest event returned so far. offset: where the next unread line begins.
        damaged: lines passed over because they are torn, damaged or not ours.
    """

    def __init__(self, file: Path, *, after: int = 0, offset: int = 0, kinds: Collection[str] | None = None) -> None:
        self.file = file
        self.seq = self._passed = after
        self.offset = offset
        self.damaged = 0
        self._kinds = None if kinds is None else frozenset(kind.encode() for kind in kinds)
        self._fd = -1

    def poll(self, limit: int = _CHUNK) -> list[Event]:
        """Events appended since the last call, from about `limit` bytes at most; [] at the end of the file."""
        while block := self.take(limit):
            found = [event for line in block.split(b"\n")[:-1] if (event := self._event(line)) is not None]
            if found:
                return found
        return []

    def take(self, limit: int = _CHUNK) -> bytes:
        """The next whole lines as they are, about `limit` bytes at most; the caller decodes them and calls `skip_to`."""
        if self._fd < 0:
            try:
                self._fd = os.open(self.file, os.O_RDONLY | os.O_CLOEXEC)
            except OSError:
                return b""
        block = self._whole_lines(limit)
        self.offset += len(block)
        return block

    @property
    def left(self) -> int:
        """Bytes of the file that are not read yet; 0 when there is no file."""
        try:
            size = os.fstat(self._fd).st_size if self._fd >= 0 else os.stat(self.file).st_size
        except OSError:
            return 0
        return max(0, size - self.offset)

    def skip_to(self, seq: int) -> None:
        """Events up to `seq` arrived another way: pass over them."""
        self.seq = self._passed = max(self.seq, seq)

    def close(self) -> None:
        """Close the file; `poll` opens it again."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _whole_lines(self, limit: int) -> bytes:
        want = limit
        while True:
            block = os.pread(self._fd, want, self.offset)
            end = block.rfind(b"\n") + 1
            if end or len(block) < want:
                return block[:end]
            want *= 4

    def _event(self, line: bytes) -> Event | None:
        head = _SEQ.match(line)
        if head is not None and int(head.group(1)) <= self._passed:
            return None
        if self._kinds is not None and (kind := _KIND.match(line)) is not None and kind.group(1) not in self._kinds:
            return None
        record = decode_line(line)
        event = Event.from_record(record) if record is not None else None
        if event is None:
            self.damaged += 1
            return None
        if event.seq <= self.seq:
            return None
        self.seq = event.seq
        return event


def read_events(file: Path, *, after: int = 0, kinds: Collection[str] | None = None) -> Iterator[Event]:
    """Events with a seq above `after` in order; `kinds` narrows them cheaply. A missing file has none."""
    tail = JournalTail(file, after=after, kinds=kinds)
    try:
        while batch := tail.poll():
            yield from batch
    finally:
        tail.close()


def newest_events(file: Path, limit: int = 64 * 1024) -> list[Event]:
    """The whole events within the last `limit` bytes, in order; [] when the file can't be read."""
    try:
        size = file.stat().st_size
    except OSError:
        return []
    tail = JournalTail(file, offset=max(0, size - limit))
    try:
        return tail.poll(limit)
    finally:
        tail.close()


def _last_seq(fd: int, size: int) -> tuple[int, int]:
    """Highest seq that may be in use, and the length of the torn tail in bytes (0 when the file ends whole)."""
    start, torn, block = size, 0, b""
    while True:
        begin = max(0, start - _CHUNK)
        block = os.pread(fd, start - begin, begin) + block
        start = begin
        lines = block.split(b"\n")
        torn = len(lines[-1])
        whole = lines[:-1] if start == 0 else lines[1:-1]
        bad = 1 if torn else 0
        for line in reversed(whole):
            record = decode_line(line)
            event = Event.from_record(record) if record is not None else None
            if event is not None:
                return event.seq + bad, torn
            bad += 1
        if start == 0:
            return bad, torn


def _failed(file: Path, error: OSError) -> UnavailableError:
    full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    cause = "The disk is full" if full else f"{os.strerror(error.errno or 0)}"
    return UnavailableError(
        "DISK_FULL" if full else "JOURNAL_NOT_WRITABLE",
        f"{cause}: the run's record {file} can't be written.",
        "Free some space on that disk." if full else "Check that disk and its permissions.",
    )
