"""Putting the training of an attempt together from what has been read and loaded; a multi-run is in `multi.begin`.

Importing this imports torch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backprop_tui.data.models import DEMO
from backprop_tui.data.versions.fingerprint import short_id
from backprop_tui.engine.worker.conductor import Conductor
from backprop_tui.engine.worker.distributed import world
from backprop_tui.engine.worker.distributed_choice import Sharing, choose_sharing
from backprop_tui.engine.worker.flops import flops_per_token
from backprop_tui.engine.worker.ground import Ground
from backprop_tui.engine.worker.loading import (
    Loaded,
    adapt_model,
    declared_stops,
    load_model,
    load_tokenizer,
    use_threads,
)
from backprop_tui.engine.worker.measuring import Examiner
from backprop_tui.engine.worker.methods import find_method
from backprop_tui.engine.worker.objectives import find_objective
from backprop_tui.engine.worker.pieces import rows_per_pass
from backprop_tui.engine.worker.precision import Precision, choose_precision
from backprop_tui.engine.worker.probe import Probe, expected
from backprop_tui.engine.worker.recipe import make_trainer
from backprop_tui.engine.worker.saving import Saver
from backprop_tui.engine.worker.schedule import Schedule, make_schedule
from backprop_tui.engine.worker.warm_start import has_adapter, load_adapter
from backprop_tui.protocol import events as ev
from backprop_tui.protocol.spec import RunSpec
from backprop_tui.protocol.text import safe_text
from backprop_tui.store.lineage import origin_of, parent_of

if TYPE_CHECKING:
    from backprop_tui.engine.worker.channel import Phase
    from backprop_tui.engine.worker.dataset import RunData
    from backprop_tui.engine.worker.session import Session


@dataclass(frozen=True, slots=True)
class Training:
    """What is left to do: `run` trains and returns why it ended before its last step, "" when it did not."""

    run: Callable[[], str]
    schedule: Schedule


def sharing_of(spec: RunSpec, directory: Path, data: RunData) -> Sharing:
    """Whether each process will hold all weights or a share of them.

    Args:
        spec: the settings.
        directory: of the base.
        data: the rows.
    """
    if world().alone:
        return ""
    precision = choose_precision(spec)
    _, plan = expected(spec, directory, data.sequences, _batch_size(spec, data), precision)
    return choose_sharing(spec, precision, None if plan is None else plan.peak)


def load_parts(
    spec: RunSpec, directory: Path, phase: Phase, resume: Path | None, origin: Path | None, *, sharing: Sharing
) -> tuple[Loaded, Precision]:
    """Model, adapter and tokenizer.

    Args:
        spec: the settings.
        directory: of the base.
        phase: told how far it is.
        resume: checkpoint to go on from, None begins afresh.
        origin: checkpoint of another run whose weights are taken over.
        sharing: what the processes share out.
    """
    method = find_method(spec.model.method)
    precision = replace(choose_precision(spec), shared_out=sharing == "fsdp2", zero=sharing == "zero2")
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


def assemble(session: Session, data: RunData, loaded: Loaded, precision: Precision, resume: Path | None) -> Training:
    """Everything that takes part in the training of an attempt; tells the plan.

    Args:
        session: the attempt, whose spec and progress are known.
        data: the rows.
        loaded: the model.
        precision: device and number formats.
        resume: checkpoint to go on from; None begins afresh.
    """
    spec, progress, changes, sink = session.spec, session.progress, session.changes, session.sink
    assert spec is not None
    assert progress is not None
    objective, batch_size = find_objective(spec.task.objective), _batch_size(spec, data)
    measured_together = changes.batch.eval_batch_size if changes.batch else spec.optim.batch_size
    stop_ids = sorted({*data.stop_ids, *declared_stops(loaded.model)})
    examiner = Examiner(
        sink,
        session.inbox,
        progress,
        objective=objective,
        sequences=data.held_sequences,
        prompts=data.prompts,
        stop_ids=stop_ids,
        batch_size=measured_together,
        answer_tokens=spec.run.sample_tokens,
        precision=precision,
        tokenizer=loaded.tokenizer,
    )
    probe = _probe(session, spec, data, precision, batch_size, measured_together)
    memory = probe.plan.to_dict() if probe.plan is not None else None
    tried = probe if resume is None or changes.batch is not None else None
    if spec.multi.multi != "off":
        from backprop_tui.engine.worker.multi.begin import put_together

        runs = put_together(session, data, loaded, precision, examiner, resume, tried)
        sink.send(ev.PLAN, **_plan_payload(spec, data, runs.schedule, loaded, precision, batch_size), memory=memory)
        return Training(lambda: runs.train(resume), runs.schedule)
    schedule = make_schedule(spec, len(data.sequences), batch_size, world().size)
    ground = Ground(
        sink,
        session.inbox,
        spec,
        loaded,
        precision,
        data.sequences,
        data.held_sequences,
        measured_together,
        resume,
        None if resume else origin_of(session.run),
        session.run.path,
    )
    keepsakes = objective.prepare(ground)
    saver = Saver.of_attempt(session, data, loaded, precision)
    conductor = Conductor(spec, sink, session.inbox, progress, schedule, examiner, saver, changes.rates)
    payload = _plan_payload(spec, data, schedule, loaded, precision, batch_size)
    if not world().alone:
        conductor.sharing = "fsdp2" if precision.shared_out else "zero2" if precision.zero else "ddp"
        payload |= {"processes": world().size, "machines": world().nodes, "parallel": conductor.sharing}
    sink.send(ev.PLAN, **payload, memory=memory)
    conductor.probe = tried
    trainer = make_trainer(
        spec, loaded, data.sequences, schedule, precision, batch_size, session.run.checkpoints, conductor
    )
    trainer.rows_per_pass = rows_per_pass(spec, changes.batch)
    trainer.keepsakes = keepsakes
    trainer.stop_ids = stop_ids
    parent = parent_of(session.run)
    if parent is not None and parent.kept == "optimizer" and progress.step == parent.step:
        trainer.rate_factor = parent.rate

    def train() -> str:
        if progress.step < schedule.total_steps:
            trainer.train(resume_from_checkpoint=str(resume) if resume is not None else None)
        return conductor.ended_by

    return Training(train, schedule)


def _batch_size(spec: RunSpec, data: RunData) -> int:
    """Sequences per micro-batch: a packed one is as long as several rows."""
    return 1 if data.sequences.packed else spec.optim.batch_size


def _probe(
    session: Session, spec: RunSpec, data: RunData, precision: Precision, batch_size: int, measured_together: int
) -> Probe:
    assert session.directory is not None
    if words := (session.run.read_launched() or {}).get("micro_batch"):
        session.sink.log("info", "worker", safe_text(words, limit=300))
    setup, plan = expected(spec, session.directory, data.sequences, batch_size, precision)
    return Probe(session.sink, data.sequences, data.held_sequences, batch_size, measured_together, setup, plan)


def _plan_payload(
    spec: RunSpec, data: RunData, schedule: Schedule, loaded: Loaded, precision: Precision, batch_size: int
) -> dict[str, Any]:
    """What the worker is about to do."""
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
