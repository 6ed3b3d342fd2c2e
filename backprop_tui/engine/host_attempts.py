"""The workers of one host's life, one after another: started, heard, ended, and where that helps started anew.

At most one lives. A worker that ran out of memory, or that was asked to go back to its last checkpoint, says so (`retry`)
and ends; the next one goes on from the newest sound checkpoint, in a fresh process with a fresh allocator. Nothing else is
started anew without being asked for.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from backprop_tui.engine import host_faults, host_retry
from backprop_tui.engine.host_telemetry import Telemetry
from backprop_tui.engine.host_timings import Timings
from backprop_tui.engine.host_worker import WorkerProcess
from backprop_tui.protocol import events as ev
from backprop_tui.protocol.changes import VARIABLE, BatchSizes, Changes
from backprop_tui.protocol.errors import BackpropError, UnavailableError
from backprop_tui.protocol.states import RunState
from backprop_tui.protocol.view import RunView
from backprop_tui.store import resuming
from backprop_tui.store.layout import RunDir, checkpoint_step
from backprop_tui.store.locks import RunLock

#: How long the helpers of a worker that ended may hold its lock, in seconds.
_RELEASED_WITHIN = 10.0


class Owner(Protocol):
    """The host, as far as its workers need it."""

    run: RunDir

    @property
    def view(self) -> RunView:
        """What is on record of the run."""

    def record(self, kind: str, data: dict[str, Any]) -> bool:
        """Journal one event."""

    def take_stock(self) -> None:
        """Bring the journal's list of checkpoints in line with the disk."""

    def on_worker(self, message: dict[str, Any]) -> None:
        """A message of the worker."""

    def on_garbage(self, words: str) -> None:
        """Something that is none."""

    def on_reading(self, reading: dict[str, Any]) -> None:
        """A reading of the sensors."""

    def on_attempt(self, attempt: int) -> None:
        """An attempt has begun; what it says is stamped with this number."""

    def on_over(self) -> None:
        """The last worker is gone and the journal has its end."""


class Attempts:
    """Runs attempts until one ends the run.

    Args:
        owner: the host. command: what to spawn; the run directory is appended. timings: waiting times.
        spec: run.json as it stands.
        memory_kills: how many processes the kernel has killed for lack of memory so far; None where nobody counts.

    Attributes:
        aborting: whether the run is being given up. over: whether the journal has the run's end.
    """

    def __init__(
        self,
        owner: Owner,
        command: Sequence[str],
        timings: Timings,
        spec: Mapping[str, Any],
        memory_kills: Callable[[], int | None],
    ) -> None:
        self._owner = owner
        self._command = command
        self._timings = timings
        self._spec = spec
        self._memory_kills = memory_kills
        self._kills_before: int | None = None
        self._worker: WorkerProcess | None = None
        self._telemetry: Telemetry | None = None
        self._waiting: list[dict[str, Any]] = []
        self._silence: float | None = None
        self._stopping = False
        self._retry: dict[str, Any] | None = None
        self._memory_retries = 0
        self._losses = 0
        self._between: asyncio.Task[None] | None = None
        self.aborting = False
        self.over = False

    @property
    def pid(self) -> int:
        """The present worker's process id, or its last one's."""
        return self._worker.pid if self._worker is not None else 0

    def begin(self, lock: RunLock, resume: str | None, batch: BatchSizes | None = None) -> None:
        """Start the next attempt; `lock` (worker.lock, held) passes over to it.

        Args:
            lock: released here also when it fails.
            resume: checkpoint to go on from, relative to the run directory; None starts from step 0.
            batch: sizes from this attempt on; None keeps those in force.

        Raises:
            UnavailableError: WORKER_NOT_STARTED.
        """
        owner, view = self._owner, self._owner.view
        attempt = view.attempt + 1
        changes = replace(view.changes, batch=batch or view.changes.batch)
        self._kills_before = self._memory_kills()
        self._worker = WorkerProcess(
            owner.run, on_message=owner.on_worker, on_garbage=owner.on_garbage, on_exit=self._on_exit
        )
        try:
            environment = worker_environment(os.environ, attempt, resume, changes)
            self._worker.start([*self._command, str(owner.run.path)], environment, lock)
        except OSError as error:
            raise UnavailableError(
                "WORKER_NOT_STARTED", f"The training process can't be started: {error.strerror}.", "Try again."
            ) from None
        owner.on_attempt(attempt)
        step = checkpoint_step(Path(resume).name) if resume else None
        words: dict[str, Any] = {"attempt": attempt, "pid": self._worker.pid, "resume_step": step}
        if changes.batch is not None:
            words["batch"] = changes.batch.to_dict()
        owner.record(ev.ATTEMPT, words)
        owner.record(ev.STATE, {"state": RunState.STARTING.value, "reason": ""})
        for message in self._waiting:
            self._worker.send(message)
        self._waiting.clear()

    def watch(self) -> None:
        """Read the sensors of the present worker from now on."""
        self.close()
        assert self._worker is not None
        owner = self._owner
        self._telemetry = Telemetry(
            owner.run.path, self._worker.pid, self._timings.telemetry, owner.on_reading, owner.on_garbage
        )
        self._telemetry.start()

    def close(self) -> None:
        """No more readings."""
        if self._telemetry is not None:
            self._telemetry.stop()
            self._telemetry = None

    def join(self, timeout: float) -> None:
        """Wait until the last worker's helpers are gone as well."""
        if self._worker is not None:
            self._worker.join(timeout)

    def send(self, message: dict[str, Any]) -> None:
        """Hand the worker a command; between two attempts the next one gets it."""
        if self._between is not None:
            self._waiting.append(message)
        elif self._worker is not None:
            self._worker.send(message)

    def await_stop(self, silence: float) -> None:
        """It was asked to stop: end it when it stays silent for so many seconds."""
        self._stopping = True
        self._silence = silence if self._silence is None else min(silence, self._silence)
        self._end_after(self._silence)

    def abort(self) -> None:
        """It was told to give up: end it shortly, whatever it says."""
        self.aborting = self._stopping = True
        self._silence = None
        self._end_after(self._timings.abort)

    def end_now(self) -> None:
        """End it at once."""
        self._stopping = True
        self._silence = None
        self._end_after(0.0)

    def heard(self, message: Mapping[str, Any], kind: str) -> None:
        """Something came from the worker."""
        if self._silence is not None and not self.aborting:
            self._end_after(self._silence)
        if kind == ev.RETRY:
            self._retry = dict(message)
        if kind == ev.END:
            self.over = True
        if kind in (ev.RETRY, ev.END):
            self._end_after(self._timings.exit)

    def _end_after(self, seconds: float) -> None:
        if self._worker is not None and self._between is None:
            self._worker.end_by((seconds, signal.SIGTERM), (seconds + self._timings.kill, signal.SIGKILL))

    def _on_exit(self, code: int) -> None:
        if self.over:
            self._owner.on_over()
            return
        why = self._retry or self._killed_for_memory(code)
        self._retry = None
        if why is not None and not self._stopping:
            self._between = asyncio.get_running_loop().create_task(self._again(why))
            return
        self._explain(code, why)

    def _killed_for_memory(self, code: int) -> dict[str, Any] | None:
        """The same words a worker would have found, where the kernel says that it ended a process for its memory."""
        assert self._worker is not None
        now = self._memory_kills()
        counted = now is not None and self._kills_before is not None and now > self._kills_before
        if code != -signal.SIGKILL or self._worker.signalled or not counted:
            return None
        view = self._owner.view
        if not view.plan or view.phase in ("load", "tokenise"):
            return None
        measuring = view.phase in ("eval", "sample")
        return {
            "why": "eval_memory" if measuring else "memory",
            "step": view.step,
            "fault": dict(host_faults.describe_exit(code, view, self._owner.run.short_id, self._owner.run.worker_log)),
        }

    async def _again(self, why: dict[str, Any]) -> None:
        """Start the next attempt, or say why there is none."""
        owner, run = self._owner, self._owner.run
        loop = asyncio.get_running_loop()
        try:
            assert self._worker is not None
            await loop.run_in_executor(None, self._worker.join, _RELEASED_WITHIN)
            decision = host_retry.decide(why, owner.view, self._spec, self._memory_retries, self._losses)
            if decision.fault is not None:
                owner.record(ev.FAULT, decision.fault)
                self._finish("failed", str(decision.fault.get("cause", "")))
                return
            owner.take_stock()
            newest = (await loop.run_in_executor(None, resuming.find_candidate, run)).info
            if self._stopping:
                for asked in self._waiting:
                    ended = asked["name"] in ("stop", "abort")
                    detail = "Ended between two attempts." if ended else "The run has ended."
                    done = {"id": asked["id"], "name": asked["name"], "ok": ended, "detail": detail}
                    owner.record(ev.COMMAND_DONE, done)
                self._finish("aborted" if self.aborting else "stopped", "Asked to stop between two attempts.")
                return
            resume = None if newest is None else newest.path.relative_to(run.path).as_posix()
            self._memory_retries += decision.batch is not None
            self._losses += decision.code == "PROCESS_LOST"
            if decision.told:
                owner.record(ev.ALERT, decision.alert(None if newest is None else newest.step))
            free = RunLock(run.worker_lock)
            lock = await loop.run_in_executor(None, lambda: free.acquire(patience=_RELEASED_WITHIN))
            self._between = None
            self.begin(lock, resume, decision.batch)
            self.watch()
        except (BackpropError, OSError) as error:
            words = error.to_dict() if isinstance(error, BackpropError) else {
                "code": "ATTEMPT_NOT_STARTED", "cause": f"No other attempt could be started: {error.strerror}.",
            }  # fmt: skip
            owner.record(ev.FAULT, {"next": host_faults.next_step(owner.view, run.short_id), **words})
            self._finish("failed", str(words["cause"]))

    def _explain(self, code: int, why: Mapping[str, Any] | None) -> None:
        owner, view, short_id = self._owner, self._owner.view, self._owner.run.short_id
        assert self._worker is not None
        if self.aborting:
            self._finish("aborted", "Aborted as asked.")
            return
        if why is not None and why.get("why") == "rewind":
            self._finish("stopped", "Asked to stop before another attempt began.")
            return
        if why is not None and why.get("fault"):
            owner.record(ev.FAULT, dict(why["fault"]))
        elif view.fault is None:
            if self._worker.signalled:
                fault = host_faults.stop_timed_out(self._silence, view, short_id)
            else:
                fault = host_faults.describe_exit(code, view, short_id, owner.run.worker_log)
            owner.record(ev.FAULT, dict(fault))
        self._finish("failed", str((view.fault or {}).get("cause", "")))

    def _finish(self, outcome: str, reason: str) -> None:
        view, run = self._owner.view, self._owner.run
        newest = max(view.checkpoints, default=None)
        left = None if newest is None else run.checkpoint(newest).relative_to(run.path).as_posix()
        self._owner.record(ev.END, {"outcome": outcome, "step": view.step, "reason": reason, "checkpoint": left})
        self.over = True
        self._owner.on_over()


def worker_environment(
    environment: Mapping[str, str], attempt: int, resume: str | None, changes: Changes
) -> dict[str, str]:
    """What a worker is told besides its run directory and its pipes."""
    told = {name: value for name, value in environment.items() if name not in ("BACKPROP_RESUME", VARIABLE)}
    told["BACKPROP_ATTEMPT"] = str(attempt)
    if resume is not None:
        told["BACKPROP_RESUME"] = resume
    if changes.batch is not None or changes.rates:
        told[VARIABLE] = changes.to_variable()
    return told
