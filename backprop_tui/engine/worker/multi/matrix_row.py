"""One row of the task × run matrix: held-out losses of the model as it is, task by task."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from backprop_tui.engine.worker.channel import EventSink
from backprop_tui.engine.worker.measuring import undisturbed
from backprop_tui.engine.worker.multi.tasks import Task
from backprop_tui.engine.worker.rows import Collator, RowStore, Sequences
from backprop_tui.engine.worker.trainer import StepTrainer


@dataclass(frozen=True, slots=True)
class Measured:
    """Losses by task, None where a task holds nothing out; `mean` over all learnt tokens that are held out."""

    losses: list[float | None]
    mean: float | None


class TaskExaminer:
    """Measures every task's held-out rows.

    Args:
        held_out: all held-out rows; tasks name places in it. batch_size: rows per forward pass.
        stopped: asked between batches.
    """

    def __init__(
        self,
        sink: EventSink,
        held_out: RowStore,
        tasks: Sequence[Task],
        *,
        batch_size: int,
        pad_id: int,
        stopped: Callable[[], bool],
    ) -> None:
        self._sink = sink
        self._stores = [held_out.take(task.held) for task in tasks]
        self._batch_size = batch_size
        self._pad_id = pad_id
        self._stopped = stopped

    @property
    def rows(self) -> int:
        """Held-out rows of all tasks."""
        return sum(len(store) for store in self._stores)

    def measure(self, trainer: StepTrainer) -> Measured | None:
        """The row of the model as it is, in nats per learnt token; None when a stop came between."""
        starts = [(store, start) for store in self._stores for start in range(0, len(store), self._batch_size)]
        sums = {id(store): 0.0 for store in self._stores}
        orders = {id(store): np.argsort(-store.lengths, kind="stable").tolist() for store in self._stores}
        collators = {id(store): Collator(Sequences.plain(store), self._pad_id) for store in self._stores}
        if starts:
            with self._sink.phase("eval", "every task") as phase, undisturbed(trainer.model):
                for done, (store, start) in enumerate(starts):
                    if self._stopped():
                        return None
                    phase.progress(done, len(starts), "batches")
                    places = orders[id(store)][start : start + self._batch_size]
                    sums[id(store)] += trainer.summed_loss(collators[id(store)].batch(places))
        learnt = sum(store.trained_tokens for store in self._stores)
        losses = [sums[id(store)] / store.trained_tokens if store.trained_tokens else None for store in self._stores]
        return Measured(losses, sum(sums.values()) / learnt if learnt else None)
