"""The runner of the queue: a detached process that starts what waits as devices become free, and leaves when nothing does.

It holds `runner.lock` for life, so there is never a second one. All it knows is in the files of the queue: killed at any
moment, the next one goes on where it was. Before it leaves it makes sure, under the queue's lock, that nothing was added.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from backprop_tui.engine.failpoint import hit
from backprop_tui.launch import slots
from backprop_tui.launch.queueing import has_work, runner_environment
from backprop_tui.protocol.errors import EXIT_OK, BackpropError, TryAgainError
from backprop_tui.protocol.states import RunState
from backprop_tui.protocol.text import safe_text
from backprop_tui.store import locks
from backprop_tui.store.layout import RunDir, list_runs
from backprop_tui.store.locks import RunLock
from backprop_tui.store.queue import Queue, Queued, QueueState
from backprop_tui.store.summary import load_summary
from backprop_tui.store.sweeps import list_sweeps, write_sweep

STARTER_COMMAND = (sys.executable, "-P", "-m", "backprop_tui.launch.queue_start")
ASKER_COMMAND = (sys.executable, "-P", "-m", "backprop_tui.launch.sweep_ask")
#: Least seconds between two looks, and the share of time that looking may take.
_LOOK, _LOOK_SHARE = 0.4, 0.05
#: Starts of one entry that may end without a word before it is given up.
_TRIES = 2


@dataclass(slots=True)
class _Child:
    process: subprocess.Popen[bytes]
    name: str


class Runner:
    """One life of the runner. The caller holds its lock.

    Args:
        queue: what it works on.
        starter: command line that starts an entry; its id is appended.
        asker: command line that adds the next trial of a sweep; its name is appended.
        gpus: indices of the machine's GPUs.
    """

    def __init__(
        self,
        queue: Queue,
        *,
        starter: Sequence[str] = STARTER_COMMAND,
        asker: Sequence[str] = ASKER_COMMAND,
        gpus: Sequence[int] = (),
    ) -> None:
        self.queue = queue
        self.gpus = tuple(gpus)
        self._starter = tuple(starter)
        self._asker = tuple(asker)
        self._starting: list[_Child] = []
        self._asking: list[_Child] = []

    def serve(self, lock: RunLock) -> None:
        """Look, begin what can begin, wait; until nothing is left. `lock` is given back under the queue's own."""
        # Whoever takes the queue's directory away takes the runner's reason with it.
        while self.queue.runner_lock.exists():
            began = time.monotonic()
            try:
                if self._look(lock):
                    return
            except (BackpropError, OSError) as error:
                # A full disk or a busy lock: nothing is lost by trying again.
                sys.stderr.write(f"{time.strftime('%F %T')} {error}\n")
            time.sleep(max(_LOOK, (time.monotonic() - began) / _LOOK_SHARE))

    def _look(self, lock: RunLock) -> bool:
        """One look; whether the runner has nothing left to do, and has given its lock back."""
        self._reap()
        with self.queue.edit():
            self._settle()
            self._begin()
            # Asked with the lock held: whoever adds afterwards finds the runner's lock free, and starts the next one.
            if self._starting or self._asking or has_work(self.queue):
                return False
            lock.release()
            return True

    # -- entries ------------------------------------------------------------------------------------------------------

    def _settle(self) -> None:
        """Bring entries in line with what became of their starts and runs."""
        for entry in self.queue.entries():
            if entry.state is QueueState.STARTING and not locks.is_held(self.queue.start_lock(entry.id)):
                # Its starter is gone: it would have said otherwise.
                now = self.queue.get(entry.id)
                if now is not None and now.state is QueueState.STARTING:
                    self._recover(now)
            elif entry.state is QueueState.RUNNING:
                self._follow(entry)

    def _follow(self, entry: Queued) -> None:
        run = _run_called(entry.run)
        if run is not None and slots.alive(run):
            return
        self.queue.drop(entry.id)
        state = load_summary(run).state if run is not None else None
        if state in (RunState.FAILED, RunState.CRASHED) and _hold_on_failure():
            self._hold(f"Run {run.short_id if run else ''} {state.value}.")

    def _recover(self, entry: Queued) -> None:
        """An entry whose start ended without a word: its run may be there, or half of it, or nothing."""
        run = _run_of(entry)
        if run is not None and (slots.alive(run) or run.journal_file.exists()):
            self.queue.put(replace(entry, state=QueueState.RUNNING, run=run.id))
            return
        if run is not None:
            from backprop_tui.launch.start import discard

            discard(run)
        if entry.tries + 1 < _TRIES:
            self.queue.put(replace(entry, state=QueueState.WAITING, given=[], tries=entry.tries + 1))
            return
        problem = TryAgainError(
            "QUEUE_START_LOST",
            f"Its start ended without a word, {_TRIES} times.",
            f"{safe_text(self.queue.runner_log)} may say why; `backprop queue now {entry.short_id}` tries again.",
        )
        self.queue.put(replace(entry, state=QueueState.FAILED, given=[], tries=0, problem=problem.to_dict()))

    def _begin(self) -> None:
        """Give free devices away and start who got some."""
        entries = self.queue.entries()
        self._hold_after_failed(entries)
        held = self.queue.held() is not None
        waiting = [e for e in entries if e.state is QueueState.WAITING and (e.now or not held)]
        if waiting:
            pool = set(self.gpus) | {slots.CPU}
            free = pool - slots.taken(self.gpus)
            for entry in entries:
                if entry.state in (QueueState.STARTING, QueueState.RUNNING):
                    free -= set(entry.given)
            known = {entry.id: entry for entry in waiting}
            for entry_id, given in slots.place([slots.wish_of(entry, self.gpus) for entry in waiting], free):
                self._start(replace(known[entry_id], state=QueueState.STARTING, given=list(given)))
        if not held:
            self._ask(entries)

    def _start(self, entry: Queued) -> None:
        try:
            lock = RunLock(self.queue.start_lock(entry.id)).acquire()
        except TryAgainError:
            # A starter of an earlier life is still at it; the entry is as it leaves it.
            return
        try:
            self.queue.put(entry)
            hit("queue.start")
            process = subprocess.Popen(
                [*self._starter, entry.id],
                stdin=subprocess.DEVNULL,
                env=runner_environment(entry.given),
                # Whoever inherits it holds the lock: as long as the starter lives, no other runner starts this entry.
                pass_fds=(lock.fd,),
                start_new_session=True,
            )
            hit("queue.started")
        finally:
            lock.release()
        self._starting.append(_Child(process, entry.id))

    def _hold_after_failed(self, entries: Sequence[Queued]) -> None:
        fresh = {child.name for child in self._starting if child.process.poll() is not None}
        failed = [entry for entry in entries if entry.id in fresh and entry.state is QueueState.FAILED]
        self._starting = [child for child in self._starting if child.name not in fresh]
        if failed and _hold_on_failure():
            self._hold(f"{safe_text(failed[0].name, limit=60)} could not start.")

    def _hold(self, why: str) -> None:
        if self.queue.held() is None:
            self.queue.hold_within(f"{why} The setting queue_on_failure is hold.")

    # -- sweeps -------------------------------------------------------------------------------------------------------

    def _ask(self, entries: Sequence[Queued]) -> None:
        """Have the next trial asked for where a sweep has fewer out than it may."""
        asking = {child.name for child in self._asking}
        out: dict[str, int] = {}
        for entry in entries:
            if entry.sweep and entry.state is not QueueState.FAILED:
                name = str(entry.sweep.get("sweep"))
                out[name] = out.get(name, 0) + 1
        for sweep in list_sweeps(self.queue.root):
            if sweep.asking and sweep.name not in asking and out.get(sweep.name, 0) < sweep.parallel:
                process = subprocess.Popen([*self._asker, sweep.name], stdin=subprocess.DEVNULL, start_new_session=True)
                self._asking.append(_Child(process, sweep.name))

    def _reap(self) -> None:
        for child in [child for child in self._asking if child.process.poll() is not None]:
            self._asking.remove(child)
            if child.process.returncode != EXIT_OK:
                self._give_up(child.name, child.process.returncode)

    def _give_up(self, name: str, code: int) -> None:
        """A sweep whose next trial can't be asked for must not keep the runner for ever."""
        with self.queue.edit():
            for sweep in list_sweeps(self.queue.root):
                if sweep.name == name and sweep.problem is None:
                    write_sweep(replace(sweep, problem=_asker_lost(self.queue, code)), self.queue.root)


def main(
    *,
    starter: Sequence[str] = STARTER_COMMAND,
    asker: Sequence[str] = ASKER_COMMAND,
    gpus: Sequence[int] | None = None,
) -> int:
    """Be the runner, unless there is one."""
    os.umask(0o077)
    for signum in (signal.SIGHUP, signal.SIGPIPE):
        signal.signal(signum, signal.SIG_IGN)
    queue = Queue()
    try:
        lock = RunLock(queue.runner_lock).acquire()
    except TryAgainError:
        return EXIT_OK
    try:
        runner = Runner(queue, starter=starter, asker=asker, gpus=slots.machine_gpus() if gpus is None else gpus)
        runner.serve(lock)
    finally:
        lock.release()
    return EXIT_OK


def _asker_lost(queue: Queue, code: int) -> dict[str, object]:
    return TryAgainError(
        "SWEEP_ASK_LOST",
        f"The search for the next trial ended with code {code}.",
        f"{safe_text(queue.runner_log)} may say why; `backprop sweep resume` goes on.",
    ).to_dict()


def _hold_on_failure() -> bool:
    from backprop_tui.config.settings import load_settings

    try:
        return load_settings().queue_on_failure == "hold"
    except BackpropError:
        # Settings that can't be read must not stop what was asked for.
        return False


def _run_called(run_id: str | None) -> RunDir | None:
    from backprop_tui.config import paths

    run = RunDir(paths.runs_dir() / run_id) if run_id else None
    return run if run is not None and run.path.is_dir() else None


def _run_of(entry: Queued) -> RunDir | None:
    """The run that notes this entry."""
    stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime(entry.added))
    for run in list_runs():
        if run.id[:15] < stamp:
            break
        try:
            queued = run.read_queued()
        except BackpropError:
            continue
        if queued and queued.get("entry") == entry.id:
            return run
    return None


if __name__ == "__main__":
    sys.exit(main())
