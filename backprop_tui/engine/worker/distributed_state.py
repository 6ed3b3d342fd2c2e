"""What a checkpoint of several processes holds beyond that of one: everybody's random numbers, and weights put together.

All processes take part in gathering; the first writes. Shared-out weights and optimiser states are put together again, so
that a checkpoint looks the same whoever wrote it, and can be gone on from by another number of processes.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backprop_tui.engine.worker import distributed_zero
from backprop_tui.engine.worker.distributed import world
from backprop_tui.engine.worker.distributed_shards import is_sharded, whole_optimizer, whole_weights
from backprop_tui.engine.worker.distributed_zero import is_zero

if TYPE_CHECKING:
    from backprop_tui.engine.worker.trainer import StepTrainer

#: How transformers names the random states of a process alone, and of one among several.
RANDOM, RANDOM_OF = "rng_state.pth", "rng_state_{}.pth"


@dataclass(frozen=True, slots=True)
class Gathered:
    """What the other processes contribute to a checkpoint.

    Attributes:
        randomness: the file of random states of each process, by rank; empty for a process alone.
        weights, optimizer: what is shared out, put together on the CPU of the first process; None where each process has all
            of it, and on the others.
    """

    randomness: tuple[bytes, ...] = ()
    weights: dict[str, Any] | None = None
    optimizer: dict[str, Any] | None = None

    def write_randomness(self, directory: Path) -> None:
        """Write everybody's random states, and the first one's once more for a process that goes on alone."""
        for rank, content in enumerate(self.randomness):
            (directory / RANDOM_OF.format(rank)).write_bytes(content)
        if self.randomness:
            (directory / RANDOM).write_bytes(self.randomness[0])


def gather(trainer: StepTrainer) -> Gathered:
    """Collect it; every process calls this at the same step."""
    here = world()
    if here.alone:
        return Gathered()
    with tempfile.TemporaryDirectory(prefix="backprop-") as place:
        trainer._save_rng_state(place)
        own = Path(place, RANDOM_OF.format(here.rank)).read_bytes()
    randomness = tuple(here.of_all(own))
    if is_zero(trainer):
        return Gathered(randomness, None, distributed_zero.whole_optimizer(trainer))
    if not is_sharded(trainer.model):
        return Gathered(randomness)
    return Gathered(randomness, whole_weights(trainer.model), whole_optimizer(trainer.optimizer))
