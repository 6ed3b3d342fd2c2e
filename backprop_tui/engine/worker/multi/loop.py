"""The loop over the runs of a multi-run: train, merge behind the gates, measure the merged adapter, save, go on.

The merge is worked out in memory and becomes durable with the checkpoint that follows it. Whatever dies in between goes on
from the checkpoint before and works the same merge out again, so that every run is merged exactly once.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

from backprop_tui.engine.failpoint import hit
from backprop_tui.engine.worker.channel import EventSink, Inbox
from backprop_tui.engine.worker.conductor import Conductor
from backprop_tui.engine.worker.loading import Loaded
from backprop_tui.engine.worker.measuring import Examiner
from backprop_tui.engine.worker.multi.adapter import adapter_of, put_adapter, read_adapter, wearing
from backprop_tui.engine.worker.multi.gates import refusal
from backprop_tui.engine.worker.multi.matrix_row import Measured, TaskExaminer
from backprop_tui.engine.worker.multi.merger import Merger
from backprop_tui.engine.worker.multi.record import Record
from backprop_tui.engine.worker.multi.stages import Stage
from backprop_tui.engine.worker.multi.watching import TRAINING, GlobalSteps, RunExaminer, RunSaver
from backprop_tui.engine.worker.progress import Progress
from backprop_tui.engine.worker.schedule import Schedule
from backprop_tui.engine.worker.trainer import StepTrainer
from backprop_tui.protocol import events as ev
from backprop_tui.protocol.commands import CommandName
from backprop_tui.protocol.spec import RunSpec
from backprop_tui.protocol.states import RunState

if TYPE_CHECKING:
    from backprop_tui.engine.worker.trainer import Observer

MakeTrainer = Callable[[Stage, "Observer"], StepTrainer]
MakeConductor = Callable[[Stage, Examiner], Conductor]


class MultiRun:
    """All runs of one attempt.

    Args:
        stages: every run, laid out. loaded: the model, its adapter untouched.
        examiner: measures all held-out rows and answers prompts. tasks: measures task by task.
        saver: shares `merger` and `record`.
        make_trainer, make_conductor: of one run, for the model as it is then.
    """

    def __init__(
        self,
        spec: RunSpec,
        sink: EventSink,
        inbox: Inbox,
        progress: Progress,
        *,
        stages: list[Stage],
        loaded: Loaded,
        examiner: Examiner,
        tasks: TaskExaminer,
        merger: Merger,
        record: Record,
        saver: RunSaver,
        make_trainer: MakeTrainer,
        make_conductor: MakeConductor,
    ) -> None:
        self._spec = spec
        self._sink = sink
        self._inbox = inbox
        self._progress = progress
        self._stages = stages
        self._model = loaded.model
        self._examiner = examiner
        self._tasks = tasks
        self._merger = merger
        self._record = record
        self._saver = saver
        self._make_trainer = make_trainer
        self._make_conductor = make_conductor

    @property
    def schedule(self) -> Schedule:
        """The whole multi-run as one schedule."""
        first, last = self._stages[0].schedule, self._stages[-1]
        return replace(first, total_steps=last.ends, epochs=sum(stage.schedule.epochs for stage in self._stages))

    def train(self, resume: Path | None) -> str:
        """Train every run that is left.

        Args:
            resume: checkpoint to go on from, whose merger and record are read; None begins afresh.

        Returns:
            Why it ended before the last run, as a sentence; empty when it did not.

        Raises:
            StoppedEarly: a stop came before the first step. RunFailed: training or a merge gave no numbers.
        """
        if resume is None:
            self._merger.begin(adapter_of(self._model))
        for stage in self._stages[self._record.run :]:
            inside = resume / TRAINING if resume is not None and self._record.training else None
            resume = None
            trainer, ended_by = self._train_one(stage, inside)
            if ended_by:
                return ended_by
            ended_by = self._finish(stage, trainer)
            if ended_by:
                return ended_by
        return ""

    def _train_one(self, stage: Stage, inside: Path | None) -> tuple[StepTrainer, str]:
        """Train one run, from its start or from a checkpoint inside it."""
        self._record.begun, self._record.training = stage.begun, True
        put_adapter(self._model, self._merger.start(stage.number))
        self._tell(stage, "begin")
        examiner = RunExaminer(self._examiner, self._progress, stage.ends, self._measure_base)
        conductor = self._make_conductor(stage, cast("Examiner", examiner))
        trainer = self._make_trainer(stage, GlobalSteps(conductor, stage.begun))
        if self._progress.step < stage.ends:
            trainer.train(resume_from_checkpoint=None if inside is None else str(inside))
        elif inside is not None:
            # It was stopped between its last step and the merge. What a checkpoint holds of a trainer has to exist; nothing
            # goes on from it, since the next run has a trainer of its own.
            read_adapter(self._model, inside)
            trainer.create_optimizer_and_scheduler(stage.schedule.total_steps)
        return trainer, conductor.ended_by

    def _finish(self, stage: Stage, trainer: StepTrainer) -> str:
        """Merge a trained run, measure, save; returns why the multi-run ends here, or ""."""
        hit("worker.merge.begin")
        tuned = adapter_of(self._model)
        merge = self._merger.propose(tuned, stage.number)
        with wearing(self._model, merge.after.merged):
            measured = self._tasks.measure(trainer)
        if measured is None:
            return self._stop(trainer)
        reason = refusal(self._spec.multi, merge.drift, self._record.rows, measured.losses, stage.number)
        if not reason:
            self._merger.accept(merge)
        hit("worker.merge.accepted")
        step = self._progress.step
        self._sink.send(
            ev.MERGE,
            index=stage.number,
            step=step,
            strategy=self._spec.multi.merge,
            share=merge.share,
            drift=merge.drift,
            accepted=not reason,
            reason=reason,
            merged=self._merger.runs,
        )
        self._tell(stage, "end")
        # Of a refused merge nothing was measured that is delivered: the row before still holds.
        losses = list(self._record.rows[-1]) if reason and self._record.rows else measured.losses
        self._record.rows.append(losses)
        self._send_row(stage.number, step, losses)
        better = not reason and self._judge(trainer, measured)
        self._record.without_better = 0 if better else self._record.without_better + 1
        self._record.run, self._record.training = stage.number, False
        last = stage is self._stages[-1]
        early = bool(self._spec.multi.patience) and self._record.without_better >= self._spec.multi.patience
        self._saver.save_merged(trainer, "end" if last or early else "schedule")
        if last:
            return ""
        if early:
            return (
                f"Stopped after run {stage.number} of {len(self._stages)}: {self._record.without_better} runs without a "
                f"better held-out loss; run {stage.number} is merged and kept."
            )
        return self._cool_down(stage)

    def _judge(self, trainer: StepTrainer, measured: Measured) -> bool:
        """Answer the prompts and send `eval` for the merged adapter; whether its loss is the best so far."""
        with wearing(self._model, self._merger.merged):
            best = self._examiner.measure(trainer, "tuned", measured.mean) if self._examiner.able else None
        return bool(best)

    def _measure_base(self, trainer: StepTrainer) -> None:
        measured = self._tasks.measure(trainer)
        if measured is not None:
            self._record.rows = [measured.losses]
            self._send_row(0, 0, measured.losses)

    def _send_row(self, index: int, step: int, losses: list[float | None]) -> None:
        names = [stage.task.name for stage in self._stages]
        self._sink.send(ev.MATRIX, index=index, step=step, tasks=names, losses=losses)

    def _tell(self, stage: Stage, status: str) -> None:
        self._sink.send(
            ev.STAGE,
            status=status,
            index=stage.number,
            of=len(self._stages),
            name=stage.task.name,
            rows=len(stage.task.train) + stage.replayed,
            replayed=stage.replayed,
            lr=stage.spec.optim.learning_rate,
            first_step=stage.begun + 1,
            last_step=stage.ends,
        )

    def _cool_down(self, stage: Stage) -> str:
        """Wait between two runs; a stop ends it, and any other command, which the next run then obeys."""
        seconds = self._spec.multi.cool_down
        if seconds and not self._inbox.stop_asked():
            until = time.monotonic() + seconds
            words = f"Cooling down for {seconds:g} s before run {stage.number + 1} of {len(self._stages)}."
            self._sink.state(RunState.RUNNING, words)
            self._inbox.wait(timeout=max(0.0, until - time.monotonic()))
        if self._inbox.stop_asked():
            self._sink.state(RunState.STOPPING, self._inbox.stop_reason)
            self._answer_stops(self._saver.newest)
            return self._inbox.stop_reason
        return ""

    def _stop(self, trainer: StepTrainer) -> str:
        """A stop between a run's last step and its merge: what was trained is kept, and the merge is done on resuming."""
        self._sink.state(RunState.STOPPING, self._inbox.stop_reason)
        self._answer_stops(self._saver.save(trainer, "host_lost" if self._inbox.host_lost else "stop"))
        return self._inbox.stop_reason

    def _answer_stops(self, path: str) -> None:
        for command in self._inbox.drain():
            if command.name is CommandName.STOP:
                self._sink.command_done(command, True, f"Saved as {path}.")
            else:
                self._sink.command_done(command, False, "The run was stopped.")
