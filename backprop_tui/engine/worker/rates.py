"""Changes of the learning rate that a checkpoint does not hold yet, applied at the steps at which they were made."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from backprop_tui.protocol.changes import RateChange, not_held

if TYPE_CHECKING:
    from backprop_tui.engine.worker.progress import Progress
    from backprop_tui.engine.worker.trainer import StepTrainer


class RateBook:
    """The changes to come. An attempt that repeats steps repeats what was changed at them.

    Args:
        changes: all that the run has seen, oldest first.
        progress: of the checkpoint gone on from; its `rate_change` names the last change it holds.
    """

    def __init__(self, changes: Sequence[RateChange], progress: Progress) -> None:
        self._progress = progress
        self._waiting = not_held(changes, progress.rate_change, progress.step)

    def apply_due(self, trainer: StepTrainer, warmup_steps: int) -> list[RateChange]:
        """Apply what was changed up to the present step; returns it."""
        applied = []
        while self._waiting and self._waiting[0].step <= self._progress.step:
            change = self._waiting.pop(0)
            self.apply(trainer, change, warmup_steps)
            applied.append(change)
        return applied

    def apply(self, trainer: StepTrainer, change: RateChange, warmup_steps: int) -> float:
        """Apply one change now; later ones that waited belonged to steps that are not repeated any more.

        Returns:
            The rate the next step uses.
        """
        self._waiting = [waiting for waiting in self._waiting if waiting.step <= change.step]
        self._progress.rate_change = change.id
        if change.rate is not None:
            return trainer.set_learning_rate(change.rate, warmup_steps)
        return scale(trainer, change.factor or 1.0)


def scale(trainer: StepTrainer, factor: float) -> float:
    """Multiply the learning rate of every group, now and along the rest of the schedule; its shape stays.

    Returns:
        The first group's rate at the next step.
    """
    scheduler = trainer.lr_scheduler
    if hasattr(scheduler, "base_lrs"):
        scheduler.base_lrs = [base * factor for base in scheduler.base_lrs]
    for group in trainer.optimizer.param_groups:
        group["lr"] *= factor
        if "initial_lr" in group:
            group["initial_lr"] *= factor
    rates = [float(group["lr"]) for group in trainer.optimizer.param_groups]
    scheduler._last_lr = rates
    return rates[0]
