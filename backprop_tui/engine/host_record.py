"""The run's record as the host keeps it: the journal, what it says of the run so far, and what to do when the disk refuses."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from collections.abc import Callable
from typing import Any

from backprop_tui.engine import host_faults
from backprop_tui.engine.failpoint import hit
from backprop_tui.protocol import events as ev
from backprop_tui.protocol.errors import BackpropError
from backprop_tui.protocol.events import Event
from backprop_tui.protocol.view import RunView
from backprop_tui.store import checkpoints
from backprop_tui.store.journal import JournalWriter
from backprop_tui.store.layout import RunDir
from backprop_tui.store.summary import load_summary


class Record:
    """The only writer of one run's journal. Everything but a sync happens on the event loop.

    Args:
        run: the run directory.
        sync: seconds within which events reach the disk that need not be there at once.
        hand_out: called with each event that was written.
        on_broken: called once, when the disk has refused an event and the fault has been said as well as could be.

    Attributes:
        view: the fold of all that is written.
        attempt: the number that events are stamped with.
        broken: whether the disk has refused an event.
    """

    def __init__(
        self, run: RunDir, *, sync: float, hand_out: Callable[[Event], None], on_broken: Callable[[], None]
    ) -> None:
        self.view = RunView()
        self.attempt = 0
        self.broken = False
        self._run = run
        self._sync_within = sync
        self._hand_out = hand_out
        self._on_broken = on_broken
        self._begun = False
        self._timer: asyncio.TimerHandle | None = None
        self._syncing: asyncio.Future[None] | None = None

    @property
    def seq(self) -> int:
        """The newest event's number."""
        return self._journal.seq

    def open(self) -> None:
        """Go on from what is written; an engine that died without a word and checkpoints nobody told of are noted.

        Raises:
            BackpropError: the journal can't be written.
        """
        self._loop = asyncio.get_running_loop()
        self._journal = JournalWriter(self._run.journal_file)
        self.view = load_summary(self._run).view
        self.attempt = self.view.attempt
        if self.view.attempt and self.view.state.live:
            self.append(ev.FAULT, dict(host_faults.engine_lost(self.view, self._run.short_id)))
        self.take_stock()

    def begin(self, attempt: int) -> None:
        """A worker has been started: stamp with this number, and from here on survive a disk that refuses."""
        self._begun = True
        self.attempt = attempt

    def append(self, kind: str, data: dict[str, Any]) -> bool:
        """Journal one event and hand it out; False when the disk refused it.

        Raises:
            BackpropError: the disk refused it before any worker was started.
            OSError: likewise.
        """
        try:
            hit("host.journal")
            event = self._journal.append(kind, data, attempt=self.attempt)
        except (BackpropError, OSError) as error:
            if not self._begun:
                raise
            self._break(error)
            return False
        self.view.apply([event])
        self._hand_out(event)
        if kind not in ev.DURABLE and self._timer is None:
            self._timer = self._loop.call_later(self._sync_within, self._sync)
        return True

    def take_stock(self) -> None:
        """Bring the journal's list of checkpoints in line with the disk: a worker without a host saved on its own."""
        checkpoints.sweep(self._run)
        there = {info.step: info for info in checkpoints.list_checkpoints(self._run) if info.problem is None}
        for step in [step for step in self.view.checkpoints if step not in there]:
            self.append(ev.CHECKPOINT_REMOVED, {"step": step})
        for step, info in there.items():
            if step not in self.view.checkpoints:
                path = info.path.relative_to(self._run.path).as_posix()
                size, why = info.bytes, "host_lost"
                self.append(
                    ev.CHECKPOINT,
                    {"step": step, "path": path, "bytes": size, "seconds": None, "reason": why, "best": False},
                )

    async def settle(self) -> None:
        """Begin no other sync and wait for the one that is under way: the file must not be closed under it."""
        if self._timer is not None:
            self._timer.cancel()
        if self._syncing is not None:
            await self._syncing

    def close(self) -> None:
        """Close the journal; after `settle`."""
        with contextlib.suppress(BackpropError):
            self._journal.close()

    def _break(self, error: BackpropError | OSError) -> None:
        if self.broken:
            return
        self.broken = True
        self._journal.release_reserve()
        # host.log is mostly on the same disk.
        with contextlib.suppress(OSError):
            sys.stderr.write(f"{time.strftime('%F %T')} {error}\n")
        words = error.to_dict() if isinstance(error, BackpropError) else _disk_words(error)
        following = host_faults.next_step(self.view, self._run.short_id)
        words["next"] = f"{words['next']} Then {following[0].lower()}{following[1:]}"
        self.append(ev.FAULT, {**words, "step": self.view.step})
        self._on_broken()

    def _sync(self) -> None:
        self._timer = None
        self._syncing = self._loop.run_in_executor(None, self._sync_now)

    def _sync_now(self) -> None:
        try:
            self._journal.sync()
        except BackpropError as error:
            self._loop.call_soon_threadsafe(self._break, error)


def _disk_words(error: OSError) -> dict[str, Any]:
    return {"code": "DISK_FULL", "cause": f"{error.strerror}: the run's record can't be written.", "next": ""}
