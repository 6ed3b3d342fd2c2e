"""One attempt at training, from reading the spec to the last event. The order of things is here and nowhere else."""

from __future__ import annotations

import os
import sys
import traceback
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backprop_tui.data.versions.fingerprint import stale_pins
from backprop_tui.data.versions.identify import with_id
from backprop_tui.engine.worker.channel import EventSink, Inbox, Rewind, StoppedEarly, StoppedSpoilt
from backprop_tui.engine.worker.continuity import (
    check_after,
    check_before,
    check_resumable,
    check_same_data,
    tell_resumed,
)
from backprop_tui.engine.worker.distributed import is_forsaken, world
from backprop_tui.engine.worker.distributed_agent import leave_word
from backprop_tui.engine.worker.distributed_inbox import AgreedInbox
from backprop_tui.engine.worker.faults import fault_payload, memory_retry
from backprop_tui.engine.worker.libraries import import_libraries, leave_out, see_one_gpu
from backprop_tui.engine.worker.logs import forwarded_logs
from backprop_tui.engine.worker.pieces import adjusted
from backprop_tui.engine.worker.progress import Progress, read_state
from backprop_tui.engine.worker.schedule import Schedule
from backprop_tui.protocol import events as ev
from backprop_tui.protocol.changes import Changes
from backprop_tui.protocol.commands import CommandName
from backprop_tui.protocol.errors import UnavailableError
from backprop_tui.protocol.fields import validate_spec
from backprop_tui.protocol.spec import RunSpec
from backprop_tui.protocol.text import safe_text
from backprop_tui.store.layout import RunDir
from backprop_tui.store.lineage import origin_of

if TYPE_CHECKING:
    from backprop_tui.engine.worker.dataset import RunData
    from backprop_tui.engine.worker.precision import Precision


@dataclass(slots=True)
class Session:
    """An attempt.

    Attributes:
        run: the run's directory. sink, inbox: the two pipes.
        resume: checkpoint to go on from, relative to the run directory; None begins afresh.
        changes: what changed since the run was launched.
        forsaken: whether it ended because another of the run's processes was gone.
        own_process: whether nothing else will run in this process, now or later.
    """

    run: RunDir
    sink: EventSink
    inbox: Inbox
    resume: str | None = None
    spec: RunSpec | None = None
    progress: Progress | None = None
    changes: Changes = field(default_factory=Changes)
    directory: Path | None = None
    forsaken: bool = False
    own_process: bool = False

    def execute(self) -> bool:
        """Train, and tell how it ended. Never raises.

        Returns:
            Whether the run ended as it should (completed, or stopped when asked).
        """
        try:
            with forwarded_logs(self.sink):
                self._train()
            return True
        except StoppedEarly:
            self._end_before_training()
            return True
        except Rewind:
            self.sink.send(ev.RETRY, why="rewind", step=self.progress.step if self.progress else 0)
            return True
        except StoppedSpoilt:
            self.sink.end("stopped", self.progress.step if self.progress else 0, self.inbox.stop_reason, self._newest())
            return True
        except BaseException as error:
            traceback.print_exc(file=sys.stderr)
            self.forsaken = not world().alone and is_forsaken(error)
            if self.forsaken:
                # Whose end it was is told by the one that starts the processes.
                return False
            step = self.progress.step if self.progress else None
            fault = fault_payload(error, self.spec, step)
            if why := memory_retry(error, self.sink.struck):
                self._tell(ev.RETRY, why=why, step=step or 0, fault=fault)
                return False
            self._tell(ev.FAULT, **fault)
            self.sink.end("failed", step or 0, fault["cause"], self._newest())
            return False

    def _tell(self, kind: str, **words: Any) -> None:
        """Say why the attempt ends: to the host, or where another process speaks with it, to who started them all."""
        self.sink.send(kind, **words)
        if not world().first:
            leave_word(kind, **words)

    def end_aborted(self) -> None:
        """Tell that the run was given up as it stands; called from the thread that reads commands."""
        step = self.progress.step if self.progress else 0
        self.sink.end("aborted", step, "Aborted by request; nothing was saved.", self._newest())

    def _train(self) -> None:
        spec = read_spec(self.run)
        see_one_gpu(os.environ, spec)
        self._meet(spec)
        spec = self.spec = adjusted(spec, self.changes.batch)
        progress = self.progress = Progress()
        resume = self.run.path / self.resume if self.resume else None
        if resume is not None:
            check_resumable(resume)
            progress, before = read_state(resume)
            progress.checkpoint_step = progress.step
            self.progress = progress
        else:
            before = None
            check_before(self.run, spec.data)

        with self.sink.phase("load", "model files") as phase:
            if self.own_process:
                leave_out(spec)
            import_libraries(phase, spec.task.objective, own_process=self.own_process)
            from backprop_tui.engine.worker.hub import local_model

            directory = self.directory = world().one_per_machine_first(lambda: local_model(spec, phase))
        self._go_on()
        data = self._tokenise(spec, directory)
        if resume is not None:
            check_same_data(resume, data.fingerprint, spec.data)
        else:
            check_after(self.run, data.fingerprint)
        if spec.multi.multi != "off":
            from backprop_tui.engine.worker.multi.stages import tasks_of

            # Data too small for its runs is known now; the weights can be spared.
            tasks_of(spec, data)
        self._keep_fingerprint(data.fingerprint)
        self._go_on()
        from backprop_tui.engine.worker.assembly import assemble, load_parts, sharing_of

        sharing = sharing_of(spec, directory, data)
        with self.sink.phase("load", "weights") as phase:
            origin = None if self.resume else origin_of(self.run)
            loaded, precision = load_parts(spec, directory, phase, resume, origin, sharing=sharing)
        self._tell_resumed(spec, precision, before)
        self._go_on()
        training = assemble(self, data, loaded, precision, resume)
        self._end(training.run(), training.schedule)

    def _meet(self, spec: RunSpec) -> None:
        """Find the run's other processes; from here on all of them know the same."""
        here = world()
        if here.alone:
            return
        with self.sink.phase("load", f"meeting {here.size} processes"):
            here.meet(cpu=spec.model.device == "cpu", patience=spec.devices.peer_wait_s)
        self.inbox = AgreedInbox(self.inbox, here)
        self.resume, self.changes = here.from_first((self.resume, self.changes))

    def _tokenise(self, spec: RunSpec, directory: Path) -> RunData:
        from backprop_tui.engine.worker.dataset import load_data

        with self.sink.phase("tokenise") as phase:
            data = world().first_does(lambda: load_data(spec, directory, phase))
        if data.overlap:
            rows = "training row is" if data.overlap == 1 else "training rows are"
            words = f"DATA_OVERLAP: {data.overlap:,} {rows} held out as well, so the evaluation flatters the model."
            self.sink.log("warn", "worker", f"{words} `backprop data overlap` names them.")
        return data

    def _keep_fingerprint(self, fingerprint: dict[str, Any]) -> None:
        for problem in stale_pins(fingerprint):
            self.sink.log("warn", "worker", f"{problem.code}: {problem.cause} {problem.next_step}")
        try:
            if world().first:
                self.run.write_dataset(with_id(fingerprint))
        except OSError as error:
            raise UnavailableError(
                "RUN_NOT_WRITABLE",
                f"{safe_text(self.run.dataset_file)} can't be written: {error.strerror}.",
                "Free some space or mend its permissions, then resume.",
            ) from None

    def _end(self, ended_by: str, schedule: Schedule) -> None:
        assert self.progress is not None
        assert self.spec is not None
        step, result = self.progress.step, self._newest()
        self.sink.send(ev.PHASE, phase="train", status="end")
        for command in self.inbox.drain():
            late = command.name is CommandName.STOP
            self.sink.command_done(command, late, "The run had ended." if late else "The run has ended.")
        if self.inbox.stop_asked() and step < schedule.total_steps and ended_by == self.inbox.stop_reason:
            self.sink.end("stopped", step, ended_by, result)
            return
        best = self.progress.best_step
        if self.spec.run.deliver == "best" and best is not None and self.run.checkpoint(best).is_dir():
            result = self._relative(best)
        self.sink.end("completed", step, ended_by, result)

    def _end_before_training(self) -> None:
        for command in self.inbox.drain():
            stop = command.name is CommandName.STOP
            self.sink.command_done(command, stop, "Stopped before the first step." if stop else "The run was stopped.")
        step = self.progress.step if self.progress else 0
        self.sink.end("stopped", step, f"{self.inbox.stop_reason} No step had been taken.", self._newest())

    def _go_on(self) -> None:
        self.inbox.refresh()
        if self.inbox.stop_asked():
            raise StoppedEarly

    def _tell_resumed(self, spec: RunSpec, precision: Precision, before: dict[str, Any] | None) -> None:
        from backprop_tui.engine.worker.environment import describe, differences

        step = self.progress.step if self.progress else 0
        differing = [] if before is None else differences(before, describe(spec, precision))
        tell_resumed(self.run, self.sink, step if self.resume else None, differing)

    def _newest(self) -> str | None:
        step = self.progress.checkpoint_step if self.progress else None
        return self._relative(step) if step is not None else None

    def _relative(self, step: int) -> str:
        return self.run.checkpoint(step).relative_to(self.run.path).as_posix()


def read_spec(run: RunDir) -> RunSpec:
    """The run's spec.

    Raises:
        DataError, UsageError: run.json is not readable or not a spec.
    """
    words = run.read_spec()
    return validate_spec({key: value for key, value in words.items() if key in RunSpec.model_fields}).in_force
