"""Putting a multi-run together from what an attempt has read and loaded."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from backprop_tui.engine.worker.conductor import Conductor
from backprop_tui.engine.worker.multi.loop import MultiRun
from backprop_tui.engine.worker.multi.matrix_row import TaskExaminer
from backprop_tui.engine.worker.multi.merger import Merger
from backprop_tui.engine.worker.multi.record import Record
from backprop_tui.engine.worker.multi.stages import Stage, lay_out, tasks_of
from backprop_tui.engine.worker.multi.watching import MERGED, RunSaver
from backprop_tui.engine.worker.pieces import rows_per_pass
from backprop_tui.engine.worker.recipe import make_trainer
from backprop_tui.engine.worker.trainer import StepTrainer

if TYPE_CHECKING:
    from backprop_tui.engine.worker.dataset import RunData
    from backprop_tui.engine.worker.loading import Loaded
    from backprop_tui.engine.worker.measuring import Examiner
    from backprop_tui.engine.worker.precision import Precision
    from backprop_tui.engine.worker.probe import Probe
    from backprop_tui.engine.worker.session import Session
    from backprop_tui.engine.worker.trainer import Observer


def put_together(
    session: Session,
    data: RunData,
    loaded: Loaded,
    precision: Precision,
    examiner: Examiner,
    resume: Path | None,
    probe: Probe | None,
) -> MultiRun:
    """The multi-run of an attempt, its merger and record read back when it resumes.

    `probe` tries the longest rows of all runs before the first step of the run that comes first.

    Raises:
        DataError: the tasks can't be cut from the data, or the checkpoint's merger is damaged or another's.
    """
    spec, progress, sink = session.spec, session.progress, session.sink
    assert spec is not None
    assert progress is not None
    tasks = tasks_of(spec, data)
    stages = lay_out(spec, data, tasks)
    merger, record = Merger(spec.multi, spec.optim.seed), Record()
    if resume is not None:
        merger.load(resume / MERGED)
        record = Record.load(resume / MERGED)
    saver = RunSaver.of_attempt(session, data, loaded, precision, merger=merger, record=record)
    untried = [] if probe is None else [probe]

    def conduct(stage: Stage, observed: Examiner) -> Conductor:
        conductor = Conductor(
            stage.spec,
            sink,
            session.inbox,
            progress,
            stage.global_schedule,
            observed,
            saver,
            session.changes.rates,
        )
        conductor.probe = untried.pop() if untried else None
        return conductor

    def trainer_of(stage: Stage, observer: Observer) -> StepTrainer:
        trainer = make_trainer(
            stage.spec,
            loaded,
            stage.sequences,
            stage.schedule,
            precision,
            stage.batch_size,
            session.run.checkpoints,
            observer,
        )
        trainer.rows_per_pass = rows_per_pass(stage.spec, session.changes.batch)
        return trainer

    return MultiRun(
        spec,
        sink,
        session.inbox,
        progress,
        stages=stages,
        loaded=loaded,
        examiner=examiner,
        tasks=TaskExaminer(
            sink,
            data.held_out,
            tasks,
            batch_size=examiner.batch_size,
            pad_id=loaded.tokenizer.pad_token_id,
            stopped=session.inbox.stop_asked,
        ),
        merger=merger,
        record=record,
        saver=saver,
        make_trainer=trainer_of,
        make_conductor=conduct,
    )
