"""The runs of a multi-run laid out before the first begins: rows, learning rate and steps of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from backprop_tui.data.looking.packing import pack_rows
from backprop_tui.engine.worker.dataset import RunData
from backprop_tui.engine.worker.multi.tasks import Task, datasets, rate_of, replayed, windows
from backprop_tui.engine.worker.rows import Sequences
from backprop_tui.engine.worker.schedule import Schedule, make_schedule
from backprop_tui.protocol.spec import RunSpec


@dataclass(frozen=True, slots=True)
class Stage:
    """One run.

    Attributes:
        number: from 1. task: its rows. replayed: rows of earlier runs among what it draws from.
        spec: the whole spec with this run's learning rate and seed.
        schedule: its steps counted from 1. begun: global steps done before it.
    """

    number: int
    task: Task
    replayed: int
    spec: RunSpec
    sequences: Sequences
    schedule: Schedule
    batch_size: int
    begun: int

    @property
    def ends(self) -> int:
        """Global step of its last step."""
        return self.begun + self.schedule.total_steps

    @property
    def global_schedule(self) -> Schedule:
        """Its schedule in global steps; what is due counts through the whole multi-run."""
        return replace(self.schedule, total_steps=self.ends)


def tasks_of(spec: RunSpec, data: RunData) -> list[Task]:
    """The tasks of a multi-run.

    Raises:
        DataError: MULTI_TOO_FEW_ROWS, MULTI_ONE_DATASET, MULTI_EMPTY_DATASET.
    """
    if spec.multi.multi == "windows":
        return windows(spec.multi, len(data.train), len(data.held_out))
    return datasets(data.sources, data.train_sources, data.held_sources, len(data.held_out))


def lay_out(spec: RunSpec, data: RunData, tasks: Sequence[Task]) -> list[Stage]:
    """Every run with its rows and steps; the same spec and data give the same."""
    stages: list[Stage] = []
    begun = 0
    for run, task in enumerate(tasks):
        again = replayed(tasks, run, spec.multi, spec.optim.seed)
        rate = rate_of(spec.multi, spec.optim.learning_rate, run, len(tasks))
        optim = spec.optim.model_copy(update={"learning_rate": rate, "seed": (spec.optim.seed + run) % 2**31})
        own = spec.model_copy(update={"optim": optim})
        sequences = _sequences(own, data, (*task.train, *again))
        batch_size = 1 if sequences.packed else spec.optim.batch_size
        schedule = make_schedule(own, len(sequences), batch_size)
        stages.append(Stage(run + 1, task, len(again), own, sequences, schedule, batch_size, begun))
        begun += schedule.total_steps
    return stages


def _sequences(spec: RunSpec, data: RunData, rows: Sequence[int]) -> Sequences:
    if not spec.data.packing:
        return Sequences(data.train, [[row] for row in rows], packed=False)
    packs = pack_rows(
        data.train.lengths[list(rows)],
        spec.data.max_length,
        spec.optim.batch_size,
        spec.optim.seed,
        in_order=spec.data.order != "shuffled",
    )
    return Sequences(data.train, [[rows[place] for place in pack] for pack in packs], packed=True)
