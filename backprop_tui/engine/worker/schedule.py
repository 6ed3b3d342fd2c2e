"""How many steps a run has, and at which of them something is due. Pure arithmetic, the same the trainer does."""

from __future__ import annotations

import math
from dataclasses import dataclass

from backprop_tui.protocol.spec import RunSpec


@dataclass(frozen=True, slots=True)
class Schedule:
    """The steps of a run.

    Attributes:
        batches: micro-batches per epoch, of each process. steps_per_epoch: optimiser steps per epoch (the last may be shorter).
        total_steps: optimiser steps of the whole run. epochs: passes over the data this amounts to.
        warmup_steps: steps of rising learning rate.
        eval_every, save_every: steps between two; 0 means only at the end.
    """

    batches: int
    steps_per_epoch: int
    total_steps: int
    epochs: float
    warmup_steps: int
    eval_every: int
    save_every: int

    def eval_due(self, step: int) -> bool:
        """Whether the held-out rows are measured after this step."""
        return step == self.total_steps or bool(self.eval_every and step % self.eval_every == 0)

    def save_due(self, step: int) -> bool:
        """Whether a checkpoint is scheduled after this step."""
        return step == self.total_steps or bool(self.save_every and step % self.save_every == 0)


def make_schedule(spec: RunSpec, sequences: int, batch_size: int, processes: int = 1) -> Schedule:
    """Lay out a run.

    Args:
        spec: epochs or steps, accumulation, warm-up and the "every" settings are read.
        sequences: rows of the training set, or packed sequences.
        batch_size: sequences per micro-batch.
        processes: how many share out each step's micro-batches.
    """
    optim = spec.optim
    batches = math.ceil(math.ceil(sequences / batch_size) / processes)
    reuse = spec.grpo.answer_reuse if spec.task.objective == "grpo" else 1
    per_epoch = max(1, math.ceil(batches / optim.accumulation)) * reuse
    total = optim.steps or math.ceil(optim.epochs * per_epoch)
    warmup = math.ceil(optim.warmup * total) if optim.warmup < 1 else int(optim.warmup)
    return Schedule(
        batches=batches,
        steps_per_epoch=per_epoch,
        total_steps=total,
        epochs=total / per_epoch,
        warmup_steps=min(warmup, total),
        eval_every=_every(spec.run.eval_every, total),
        save_every=_every(spec.run.save_every, total),
    )


def _every(value: float, total: int) -> int:
    """Steps between two occurrences of an "every" setting: a share of the run below 1, else a count; 0 stays 0."""
    if value <= 0:
        return 0
    return max(1, round(value * total)) if value < 1 else int(value)
