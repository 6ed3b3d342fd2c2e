"""What the conductor of one run is handed in a multi-run: global steps, and measuring and saving that know of the merge."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from backprop_tui.engine.worker.conductor import Conductor
from backprop_tui.engine.worker.measuring import Examiner
from backprop_tui.engine.worker.multi.adapter import wearing
from backprop_tui.engine.worker.multi.merger import Merger
from backprop_tui.engine.worker.multi.record import Record
from backprop_tui.engine.worker.progress import Progress
from backprop_tui.engine.worker.saving import Reason, Saver, save_weights
from backprop_tui.engine.worker.trainer import StepFigures, StepTrainer

#: Below a checkpoint's directory: the merger's state, and the run in training.
MERGED, TRAINING = "merger", "training"


class GlobalSteps:
    """The trainer's observer: each run's trainer counts from 1, the journal counts through all runs."""

    def __init__(self, conductor: Conductor, begun: int) -> None:
        self._conductor = conductor
        self._begun = begun

    def train_begin(self, trainer: StepTrainer) -> None:
        """Nothing to translate."""
        self._conductor.train_begin(trainer)

    def step_end(self, trainer: StepTrainer, figures: StepFigures) -> bool:
        """The same step, counted globally."""
        return self._conductor.step_end(trainer, replace(figures, step=figures.step + self._begun))

    def pass_end(self, trainer: StepTrainer) -> bool:
        """Nothing to translate."""
        return self._conductor.pass_end(trainer)


class RunExaminer:
    """Measures inside a run without making the weights in training a candidate for the best: what is delivered is merged.

    Args:
        examiner: does the measuring. ends: global step after which the merged adapter is measured instead.
        on_base: called with the trainer while the base is untouched.
    """

    def __init__(
        self, examiner: Examiner, progress: Progress, ends: int, on_base: Callable[[StepTrainer], None]
    ) -> None:
        self._examiner = examiner
        self._progress = progress
        self._ends = ends
        self._on_base = on_base

    @property
    def able(self) -> bool:
        """Whether there is anything to measure on."""
        return self._examiner.able

    def measure(self, trainer: StepTrainer, source: Literal["base", "tuned"]) -> bool | None:
        """As `Examiner.measure`; never the best."""
        if source == "base":
            self._on_base(trainer)
        elif self._progress.step == self._ends:
            return None
        progress = self._progress
        kept = progress.best_loss, progress.best_step, progress.evals_without_better
        progress.best_loss = -math.inf
        try:
            return self._examiner.measure(trainer, source)
        finally:
            progress.best_loss, progress.best_step, progress.evals_without_better = kept


class RunSaver(Saver):
    """Checkpoints whose weights are always what would be delivered: the merged adapter, once there is one.

    Inside a run the adapter in training and the trainer's state lie in `training/`, merger and record in `merger/`.
    At a run's last step nothing is saved before the merge is done: a kill repeats the merge from the checkpoint before,
    so that it counts exactly once.

    Attributes:
        newest: the newest checkpoint of this attempt, relative to the run directory; "" before the first.
    """

    def __init__(self, *args: Any, merger: Merger, record: Record, **options: Any) -> None:
        super().__init__(*args, **options)
        self._merger = merger
        self._record = record
        self.newest = ""

    def save(self, trainer: StepTrainer, reason: Reason) -> str:
        """Save the present step; at a run's end wait for the merge."""
        if reason == "end" and self._record.training:
            return ""
        self.newest = super().save(trainer, reason)
        return self.newest

    def save_merged(self, trainer: StepTrainer, reason: Reason) -> str:
        """Save between two runs, also over a checkpoint that was taken at the same step before the merge."""
        self._progress.checkpoint_step = None
        return self.save(trainer, reason)

    def fill(self, trainer: StepTrainer, staged: Path, gathered: object = None) -> None:
        """Delivered weights and tokenizer on top; training and merger below."""
        if self._merger.runs:
            with wearing(trainer.model, self._merger.merged):
                save_weights(trainer, staged)
        else:
            save_weights(trainer, staged)
        self._tokenizer.save_pretrained(staged)
        for name in (TRAINING, MERGED):
            (staged / name).mkdir()
        save_weights(trainer, staged / TRAINING)
        trainer.save_training_state(staged / TRAINING)
        self._merger.save(staged / MERGED)
        self._record.save(staged / MERGED)
