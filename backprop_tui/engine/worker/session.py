"""One attempt at training, from reading the spec to the last event. The order of things is here and nowhere else."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import MutableMapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backprop_tui.data.models import DEMO
from backprop_tui.data.versions.fingerprint import short_id, stale_pins
from backprop_tui.data.versions.identify import with_id
from backprop_tui.engine.worker.channel import EventSink, Inbox, Phase, Rewind, StoppedEarly, StoppedSpoilt
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
from backprop_tui.engine.worker.libraries import leave_out
from backprop_tui.engine.worker.logs import forwarded_logs, quieten_libraries
from backprop_tui.engine.worker.pieces import adjusted, rows_per_pass
from backprop_tui.engine.worker.progress import Progress, read_state
from backprop_tui.engine.worker.schedule import Schedule, make_schedule
from backprop_tui.protocol import events as ev
from backprop_tui.protocol.changes import Changes
from backprop_tui.protocol.commands import CommandName
from backprop_tui.protocol.errors import UnavailableError
from backprop_tui.protocol.fields import validate_spec
from backprop_tui.protocol.spec import RunSpec
from backprop_tui.protocol.text import safe_text
from backprop_tui.store.layout import RunDir
from backprop_tui.store.lineage import origin_of, parent_of

if TYPE_CHECKING:
    from backprop_tui.engine.worker.dataset import RunData
    from backprop_tui.engine.worker.distributed_choice import Sharing
    from backprop_tui.engine.worker.loading import Loaded
    from backprop_tui.engine.worker.precision import Precision
    from backprop_tui.engine.worker.probe import Probe


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
            self._import(phase, spec)
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
        sharing = self._sharing(spec, data)
        with self.sink.phase("load", "weights") as phase:
            loaded, precision = self._load(spec, directory, phase, resume, shared_out=sharing == "fsdp2")
        self._tell_resumed(spec, precision, before)
        self._go_on()
        self._run(spec, data, loaded, precision, resume)

    def _meet(self, spec: RunSpec) -> None:
        """Find the run's other processes; from here on all of them know the same."""
        here = world()
        if here.alone:
            return
        with self.sink.phase("load", f"meeting {here.size} processes"):
            here.meet(cpu=spec.model.device == "cpu", patience=spec.devices.peer_wait_s)
        self.inbox = AgreedInbox(self.inbox, here)
        self.resume, self.changes = here.from_first((self.resume, self.changes))

    def _import(self, phase: Phase, spec: RunSpec) -> None:
        """Import the heavy libraries one by one, so that people see why it takes seconds."""
        if self.own_process:
            leave_out(spec)
        phase.progress(0, 3, "libraries", "importing torch")
        import torch  # noqa: F401

        phase.progress(1, 3, "libraries", "importing transformers")
        import transformers  # noqa: F401

        quieten_libraries()
        phase.progress(2, 3, "libraries", "importing trl and peft")
        import backprop_tui.engine.worker.trainer  # noqa: F401

        phase.progress(3, 3, "libraries", "model files")

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

    def _load(
        self, spec: RunSpec, directory: Path, phase: Phase, resume: Path | None, *, shared_out: bool = False
    ) -> tuple[Loaded, Precision]:
        from backprop_tui.engine.worker.loading import adapt_model, load_model, load_tokenizer, use_threads
        from backprop_tui.engine.worker.methods import find_method
        from backprop_tui.engine.worker.precision import choose_precision
        from backprop_tui.engine.worker.warm_start import has_adapter, load_adapter

        method = find_method(spec.model.method)
        origin = None if self.resume else origin_of(self.run)
        precision = replace(choose_precision(spec), shared_out=shared_out)
        phase.progress(0, 2, "parts", "weights")
        tokenizer = load_tokenizer(directory)
        whole = origin is not None and not has_adapter(origin)
        model = load_model(spec, origin if whole and origin else directory, method, precision)
        phase.progress(1, 2, "parts", "adapter" if spec.model.method != "full" else "weights")
        from_hub = spec.model.base != DEMO and not Path(spec.model.base).expanduser().is_dir()
        source = spec.model.base if from_hub else str(directory)
        loaded = adapt_model(model, tokenizer, spec, method, source, resume or (None if whole else origin))
        if origin is not None and not whole:
            load_adapter(loaded.model, origin)
        use_threads(precision, loaded.parameters)
        phase.progress(2, 2, "parts")
        return loaded, precision

    def _run(self, spec: RunSpec, data: RunData, loaded: Loaded, precision: Precision, resume: Path | None) -> None:
        from backprop_tui.engine.worker.conductor import Conductor
        from backprop_tui.engine.worker.environment import describe
        from backprop_tui.engine.worker.ground import Ground
        from backprop_tui.engine.worker.loading import declared_stops
        from backprop_tui.engine.worker.measuring import Examiner
        from backprop_tui.engine.worker.objectives import find_objective
        from backprop_tui.engine.worker.saving import Saver
        from backprop_tui.engine.worker.trainer import make_trainer

        assert self.progress is not None
        objective = find_objective(spec.task.objective)
        measured_together = self.changes.batch.eval_batch_size if self.changes.batch else spec.optim.batch_size
        batch_size = 1 if data.sequences.packed else spec.optim.batch_size
        schedule = make_schedule(spec, len(data.sequences), batch_size, world().size)
        stop_ids = sorted({*data.stop_ids, *declared_stops(loaded.model)})
        examiner = Examiner(
            self.sink,
            self.inbox,
            self.progress,
            objective=objective,
            sequences=data.held_sequences,
            prompts=data.prompts,
            stop_ids=stop_ids,
            batch_size=measured_together,
            answer_tokens=spec.run.sample_tokens,
            precision=precision,
            tokenizer=loaded.tokenizer,
        )
        if spec.multi.multi != "off":
            from backprop_tui.engine.worker.multi.begin import put_together

            runs = put_together(self, data, loaded, precision, examiner, resume)
            self.sink.send(ev.PLAN, **plan_payload(spec, data, runs.schedule, loaded, precision, batch_size))
            self._end(runs.train(resume), runs.schedule)
            return
        origin = None if resume else origin_of(self.run)
        held = data.held_sequences
        keepsakes = objective.prepare(
            Ground(
                self.sink,
                self.inbox,
                spec,
                loaded,
                precision,
                data.sequences,
                held,
                measured_together,
                resume,
                origin,
                self.run.path,
            )
        )
        saver = Saver(
            self.run,
            self.sink,
            self.progress,
            keep=spec.run.keep,
            tokenizer=loaded.tokenizer,
            fingerprint=data.fingerprint,
            environment=describe(spec, precision),
            most_bytes=round(spec.run.max_checkpoint_gb * 1e9) or None,
        )
        sharing: Sharing = "" if world().alone else "fsdp2" if precision.shared_out else "ddp"
        conductor = Conductor(spec, self.sink, self.inbox, self.progress, schedule, examiner, saver, self.changes.rates)
        probe = self._probe(spec, data, precision, batch_size)
        payload = plan_payload(spec, data, schedule, loaded, precision, batch_size)
        if sharing:
            payload |= {"processes": world().size, "machines": world().nodes, "parallel": sharing}
            conductor.sharing = sharing
        self.sink.send(ev.PLAN, **payload, memory=probe.plan.to_dict() if probe.plan is not None else None)
        if resume is None or self.changes.batch is not None:
            conductor.probe = probe
        trainer = make_trainer(
            spec, loaded, data.sequences, schedule, precision, batch_size, self.run.checkpoints, conductor
        )
        trainer.rows_per_pass = rows_per_pass(spec, self.changes.batch)
        trainer.keepsakes = keepsakes
        trainer.stop_ids = stop_ids
        parent = parent_of(self.run)
        if parent is not None and parent.kept == "optimizer" and self.progress.step == parent.step:
            trainer.rate_factor = parent.rate
        if self.progress.step < schedule.total_steps:
            trainer.train(resume_from_checkpoint=str(resume) if resume is not None else None)
        self._end(conductor.ended_by, schedule)

    def _sharing(self, spec: RunSpec, data: RunData) -> Sharing:
        """Whether each process will hold all weights or a share of them."""
        from backprop_tui.engine.worker.distributed_choice import choose_sharing
        from backprop_tui.engine.worker.precision import choose_precision
        from backprop_tui.engine.worker.probe import expected

        if world().alone:
            return ""
        assert self.directory is not None
        precision = choose_precision(spec)
        batch_size = 1 if data.sequences.packed else spec.optim.batch_size
        _, plan = expected(spec, self.directory, data.sequences, batch_size, precision)
        return choose_sharing(spec, precision, None if plan is None else plan.peak)

    def _probe(self, spec: RunSpec, data: RunData, precision: Precision, batch_size: int) -> Probe:
        from backprop_tui.engine.worker.probe import Probe, expected

        assert self.directory is not None
        if words := (self.run.read_launched() or {}).get("micro_batch"):
            self.sink.log("info", "worker", safe_text(words, limit=300))
        rows = self.changes.batch.eval_batch_size if self.changes.batch else spec.optim.batch_size
        setup, plan = expected(spec, self.directory, data.sequences, batch_size, precision)
        return Probe(self.sink, data.sequences, data.held_sequences, batch_size, rows, setup, plan)

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


def see_one_gpu(environment: MutableMapping[str, str], spec: RunSpec) -> None:
    """Leave one GPU visible, or none for a CPU run; only works before torch is imported.

    With several in sight the trainer would wrap the model in DataParallel, which TRL refuses. Of several processes each has
    its own by its number.
    """
    if spec.model.device == "cpu":
        environment["CUDA_VISIBLE_DEVICES"] = ""
        return
    if not world().alone:
        return
    seen = environment.get("CUDA_VISIBLE_DEVICES")
    environment["CUDA_VISIBLE_DEVICES"] = "0" if seen is None else seen.split(",")[0].strip()


def plan_payload(
    spec: RunSpec, data: RunData, schedule: Schedule, loaded: Loaded, precision: Precision, batch_size: int
) -> dict[str, Any]:
    """What the worker is about to do."""
    from backprop_tui.engine.worker.flops import flops_per_token

    learnt = data.train.trained_tokens / max(1, data.train.tokens)
    cost, why = flops_per_token(
        loaded.model, trains_all=spec.model.method == "full", lengths=data.train.lengths, learnt_share=learnt
    )
    rows_per_sequence = data.rows / max(1, len(data.sequences))
    return {
        "total_steps": schedule.total_steps,
        "steps_per_epoch": schedule.steps_per_epoch,
        "epochs": schedule.epochs,
        "effective_batch": round(batch_size * spec.optim.accumulation * rows_per_sequence * world().size),
        "train_rows": data.rows,
        "eval_rows": data.held_rows,
        "dropped_rows": data.dropped,
        "train_tokens": data.train.tokens,
        "trained_tokens": data.train.trained_tokens,
        "truncated_rows": data.cut_rows,
        "dataset": short_id(data.fingerprint),
        "parameters": loaded.parameters,
        "trainable_parameters": loaded.trainable,
        "device": precision.device_words,
        "dtype": precision.words,
        "save_every": schedule.save_every,
        "eval_every": schedule.eval_every,
        "flops_per_token": cost,
        **({"flops_reason": why} if why else {}),
    }
