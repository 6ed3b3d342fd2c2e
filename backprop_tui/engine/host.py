"""The engine host: supervises one run's worker, is the only writer of its journal, and serves the pipe.

It imports neither torch nor textual nor pydantic, so it answers while the worker is still importing, and it outlives the
worker to say what became of it. It holds the run's lock for life: "running" means that lock is held.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import signal
import socket
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from backprop_tui import __version__
from backprop_tui.engine import host_retry
from backprop_tui.engine.baseline import baseline_name, read_baseline
from backprop_tui.engine.host_attempts import Attempts
from backprop_tui.engine.host_record import Record
from backprop_tui.engine.host_safety import Safety
from backprop_tui.engine.host_server import PipeServer, bind_socket
from backprop_tui.engine.host_timings import Timings
from backprop_tui.engine.watch_curves import CurveWatch
from backprop_tui.engine.worker_command import worker_command as command_of
from backprop_tui.protocol import events as ev
from backprop_tui.protocol.commands import ACCEPTED_IN, Command, CommandName, Reply, ReplyStatus
from backprop_tui.protocol.errors import EXIT_FAILED, EXIT_OK, DataError, UsageError
from backprop_tui.protocol.states import RunState
from backprop_tui.protocol.text import safe_text
from backprop_tui.protocol.view import RunView
from backprop_tui.store.journal import read_events
from backprop_tui.store.layout import RunDir, checkpoint_step
from backprop_tui.store.locks import Identity, RunLock

#: What a worker may say; the other kinds are the host's own words.
_FROM_WORKER = frozenset(
    {ev.RESUME, ev.STATE, ev.PHASE, ev.PLAN, ev.PROBE, ev.STEP, ev.EVAL, ev.SAMPLE, ev.STAGE, ev.MERGE, ev.MATRIX}
    | {ev.CHECKPOINT, ev.CHECKPOINT_REMOVED, ev.LOG, ev.FAULT, ev.ALERT, ev.COMMAND_DONE, ev.RETRY, ev.END}
)


class Host:
    """One run's supervisor for as long as attempts at it follow one another. The caller holds the run's lock.

    Args:
        run: the run directory.
        resume: checkpoint to go on from, relative to the run directory; None starts from step 0.
        rate: the learning rate from there on (`learning_rate`), or what it is multiplied by (`lr_factor`).
        worker_command: what to spawn; the run directory is appended. None goes by the run's own settings.
        timings: waiting times.
        memory_kills: how many processes the kernel has killed for lack of memory so far; None where nobody counts.
    """

    def __init__(
        self,
        run: RunDir,
        *,
        resume: str | None = None,
        rate: Mapping[str, float] | None = None,
        worker_command: Sequence[str] | None = None,
        timings: Timings | None = None,
        memory_kills: Callable[[], int | None] = host_retry.memory_kills,
    ) -> None:
        self.run = run
        self.run_id = run.id
        self.journal_file = run.journal_file
        self._resume = resume
        self._rate = rate
        self._spec = _spec_of(run)
        self._timings = (timings or Timings()).for_run(self._spec)
        self._record = Record(
            run,
            sync=self._timings.sync,
            hand_out=lambda event: self._server.broadcast(event),
            on_broken=self._on_broken,
        )
        command = worker_command or command_of(self._spec)
        self._attempts = Attempts(self, command, self._timings, self._spec, memory_kills)
        self._watch = CurveWatch(self._spec)
        self._safety = Safety(self, self._spec, visible=os.environ.get("CUDA_VISIBLE_DEVICES"))
        self._commands: set[str] = set()
        self._signalled = False

    @property
    def seq(self) -> int:
        """The newest event's number."""
        return self._record.seq

    @property
    def view(self) -> RunView:
        """What is on record of the run."""
        return self._record.view

    async def serve(self, ready: Callable[[], None]) -> int:
        """Run to the end; returns the process's exit code.

        Raises:
            BackpropError: it could not begin. Nothing was started then.
        """
        self._loop = asyncio.get_running_loop()
        self._done = asyncio.Event()
        worker_lock = RunLock(self.run.worker_lock).acquire()
        sock = bind_socket(self.run.short_id)
        path = Path(sock.getsockname())
        try:
            identity = Identity.current(str(path))
            identity.write(self.run.identity_file)
            self._server = PipeServer(self, identity.nonce)
            await self._server.listen(sock)
            self._record.open()
            taken = read_events(self.run.journal_file, kinds={ev.COMMAND})
            self._commands = {str(event.data.get("id")) for event in taken}
            for signum in (signal.SIGTERM, signal.SIGINT):
                self._loop.add_signal_handler(signum, self._on_signal)
            self._begin(worker_lock)
            ready()
            await self._attend()
        finally:
            _unlink(path)
        return EXIT_FAILED if self._record.broken else EXIT_OK

    def record(self, kind: str, data: dict[str, Any]) -> bool:
        """Journal one event and hand it to the clients; False when the disk refused it."""
        return self._record.append(kind, data)

    def take_stock(self) -> None:
        """Bring the journal's list of checkpoints in line with the disk."""
        self._record.take_stock()

    def on_command(self, message: dict[str, Any]) -> Reply:
        """Check, journal and carry out a client's command; the answer is on disk before it is given."""
        identity = str(message.get("id", ""))[:64]
        try:
            command = Command.from_message(message)
        except UsageError as error:
            return Reply(identity, ReplyStatus.REFUSED, error.code, error.cause, error.next_step)
        if command.id in self._commands:
            return Reply(identity, ReplyStatus.DUPLICATE)
        refusal = self._refusal(command)
        if refusal is not None:
            return Reply(identity, ReplyStatus.REFUSED, *refusal)
        if not self.record(ev.COMMAND, {"id": command.id, "name": command.name.value, "args": command.args}):
            return Reply(
                identity,
                ReplyStatus.REFUSED,
                "JOURNAL_NOT_WRITABLE",
                "The command can't be put on record, so it was not carried out.",
                "Free some space on the run's disk.",
            )
        self._commands.add(command.id)
        self._carry_out(command)
        return Reply(identity, ReplyStatus.ACCEPTED)

    def _begin(self, worker_lock: RunLock) -> None:
        if self.view.started is None:
            name = self._spec.get("name") or ""
            words = {"run": self.run.id, "name": name, "version": __version__, "host": socket.gethostname()}
            self.record(ev.RUN, words)
        if self._rate:
            # The worker answers it once it has applied it; told here already, no later attempt can miss it.
            step = checkpoint_step(Path(self._resume).name) if self._resume else 0
            asked = {"id": f"resume-{secrets.token_hex(8)}", "name": CommandName.SET.value}
            self.record(ev.COMMAND, {**asked, "args": {**self._rate, "from_step": step}})
        self._attempts.begin(worker_lock, self._resume)
        if wanted := baseline_name(self._spec):
            try:
                name, points = read_baseline(wanted)
            except UsageError as error:
                self.on_garbage(f"{error.cause} Nothing is compared with it.")
            else:
                self._watch = CurveWatch(self._spec, points, name)

    def on_attempt(self, attempt: int) -> None:
        """A worker has been started; from here on its events bear this number."""
        self._record.begin(attempt)
        self._watch.take(ev.ATTEMPT, {"attempt": attempt})
        self._safety.on_attempt(self._attempts.pid)

    async def _attend(self) -> None:
        self._attempts.watch()
        while not await self._over_within(self._timings.telemetry):
            self._safety.look()
        self._attempts.close()
        await self._record.settle()
        await self._server.close(self._timings.linger)
        self._record.close()
        self._attempts.join(2.0)

    async def _over_within(self, seconds: float) -> bool:
        """Whether the last worker is gone, after waiting so long at most."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._done.wait(), seconds)
        return self._done.is_set()

    def _refusal(self, command: Command) -> tuple[str, str, str] | None:
        state, over = self.view.state, self._attempts.over
        if not over and state in ACCEPTED_IN[command.name]:
            return None
        fits = [name.value for name, states in ACCEPTED_IN.items() if state in states and not over]
        hint = f"It accepts {', '.join(fits)}." if fits else "It accepts no commands any more."
        return "COMMAND_NOT_NOW", f"A run that is {state.value} can't take the command {command.name.value}.", hint

    def _carry_out(self, command: Command) -> None:
        self._safety.on_command(command.name)
        self._attempts.send(command.to_message())
        early = self.view.state is RunState.STARTING
        if command.name is CommandName.STOP:
            self._attempts.await_stop(self._timings.stop)
        elif command.name is CommandName.ABORT:
            early = self.view.state is not RunState.STOPPING
            self._attempts.abort()
        if early and command.name in (CommandName.STOP, CommandName.ABORT):
            # The worker may be importing for a while yet; people should see at once that they were heard.
            self.record(ev.STATE, {"state": RunState.STOPPING.value, "reason": f"Asked to {command.name.value}."})

    def _on_signal(self) -> None:
        if self._attempts.over:
            return
        if self._signalled:
            self._attempts.end_now()
            return
        self._signalled = True
        words = {"id": f"signal-{secrets.token_hex(8)}", "name": CommandName.STOP.value, "args": {}}
        self.record(ev.COMMAND, words)
        self._attempts.send(words)
        if not self._attempts.aborting:
            self._attempts.await_stop(self._timings.shutdown)

    def on_worker(self, message: dict[str, Any]) -> None:
        """Journal what the worker says."""
        kind = message.pop("k", None)
        if self._attempts.over:
            return
        if not isinstance(kind, str) or kind not in _FROM_WORKER:
            self.on_garbage(f"The worker sent an event of the unknown kind {safe_text(kind, limit=40)}.")
            return
        self._attempts.heard(message, kind)
        if self._record.broken and kind not in ev.DURABLE:
            return
        self.record(kind, message)
        self._safety.on_worker(kind, message)
        for alert in self._watch.take(kind, message):
            self.record(ev.ALERT, alert)

    def on_garbage(self, words: str) -> None:
        """Note what was passed over."""
        self.record(ev.LOG, {"level": "warn", "source": "host", "message": words})

    def on_reading(self, reading: dict[str, Any]) -> None:
        """Journal a reading of the sensors."""
        if not self._attempts.over and not self._record.broken:
            # How long the raw logs were at this moment: what puts their lines, which carry no time, between the events.
            logs = {"worker": _size(self.run.worker_log), "host": _size(self.run.host_log)}
            self.record(ev.TELEMETRY, {**reading, "logs": logs})
            self._safety.on_reading(reading)

    def tell_worker(self, words: dict[str, Any]) -> None:
        """Hand the worker a command that is on record."""
        self._attempts.send(words)
        if words["name"] == CommandName.STOP.value:
            self._attempts.await_stop(self._timings.stop)

    def end_worker(self) -> None:
        """End the worker at once, saved or not."""
        self._attempts.end_now()

    def on_over(self) -> None:
        """The last worker is gone."""
        self._done.set()

    def _on_broken(self) -> None:
        """A run that can't be recorded is stopped; its disk may still have room for a checkpoint."""
        self._attempts.send({"id": f"host-{secrets.token_hex(8)}", "name": CommandName.STOP.value, "args": {}})
        self._attempts.await_stop(self._timings.shutdown)


def _spec_of(run: RunDir) -> dict[str, Any]:
    """run.json as it stands; empty when it can't be read, which the worker then says."""
    try:
        return run.read_spec()
    except DataError:
        return {}


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:
        return 0


def _unlink(path: Path) -> None:
    path.unlink(missing_ok=True)
