"""The probe: the longest micro-batch goes forward and backward before the first step, so that memory that does not suffice
is known in the first minute, beside what the plan expected.

It leaves nothing behind: its gradients are dropped and the random numbers given back, so curves are what they would have
been without it. An evaluation batch is tried as well. On a GPU the allocator says what was reserved; on the CPU nobody does.
"""

from __future__ import annotations

import dataclasses
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from backprop_tui.engine.failpoint import hit
from backprop_tui.engine.worker import randomness
from backprop_tui.engine.worker.channel import EventSink
from backprop_tui.engine.worker.distributed import world
from backprop_tui.engine.worker.faults import is_out_of_memory
from backprop_tui.engine.worker.rows import Sequences
from backprop_tui.launch.plan.memory import MemoryPlan, Setup, plan_memory
from backprop_tui.launch.plan.setup import setup_of
from backprop_tui.launch.plan.shape import read_shape
from backprop_tui.protocol import events as ev
from backprop_tui.protocol.spec import RunSpec

if TYPE_CHECKING:
    from backprop_tui.engine.worker.precision import Precision
    from backprop_tui.engine.worker.trainer import StepTrainer

#: After this step of an attempt gradients and optimiser state have been there together.
_SETTLED = 2


class ProbeRanOut(MemoryError):
    """Memory did not suffice for the longest rows; `cause` is the sentence for people."""

    def __init__(self, cause: str) -> None:
        super().__init__(cause)
        self.cause = cause


def expected(
    spec: RunSpec, directory: Path, sequences: Sequences, batch_size: int, precision: Precision
) -> tuple[Setup | None, MemoryPlan | None]:
    """What the plan says of the rows as they are drawn; None where the model's shape can't be said.

    Args:
        spec: the settings.
        directory: of the base.
        sequences: what is drawn.
        batch_size: sequences per micro-batch.
        precision: device and number formats.
    """
    shape, _ = read_shape(directory)
    if shape is None:
        return None, None
    gpu = precision.device.type == "cuda"
    longest = largest(sequences, batch_size)
    lengths, learnt = sequences.store.lengths, sequences.store.learnt_lengths
    # The plan takes a pair as one, as long as its longer half, and knows that both go through the model.
    groups = [sequences.packs[number] for number in longest]
    if sequences.packed:
        groups = [[row] for pack in groups for row in pack]
    whole, taught = (
        [int(max(lengths[list(rows)])) for rows in groups],
        [int(learnt[list(rows)].sum()) for rows in groups],
    )
    setup = setup_of(spec, shape, whole, taught, gpu=gpu, batch_size=len(groups), processes=world().size)
    if not sequences.packed and batch_size > 1 and lengths.min() < lengths.max():
        # Elsewhere rows as long as these are drawn with shorter ones, and padding brings a mask.
        padded = dataclasses.replace(setup.batch, masked=True, mask_rows=setup.batch.rows)
        setup = dataclasses.replace(setup, batch=padded)
    numbers = dataclasses.replace(
        setup.numbers,
        weights=precision.weights.itemsize,
        autocast=None if precision.autocast is None else precision.autocast.itemsize,
    )
    setup = dataclasses.replace(setup, numbers=numbers)
    return setup, plan_memory(setup)


def largest(sequences: Sequences, batch_size: int) -> list[int]:
    """Numbers of the longest sequences, as many as a micro-batch takes."""
    lengths = sequences.store.lengths
    counts = np.fromiter((len(pack) for pack in sequences.packs), dtype=np.int64, count=len(sequences.packs))
    rows = np.fromiter((row for pack in sequences.packs for row in pack), dtype=np.int64, count=int(counts.sum()))
    totals = np.add.reduceat(lengths[rows], np.cumsum(counts) - counts)
    return [int(number) for number in np.argsort(-totals, kind="stable")[:batch_size]]


@dataclass(slots=True)
class Probe:
    """The probe of one attempt.

    Attributes:
        sequences, held_out: what is trained and measured on; `held_out` may be None.
        batch_size, eval_batch_size: sequences per pass.
        setup, plan: what was expected; None where the model's shape can't be said.
    """

    sink: EventSink
    sequences: Sequences
    held_out: Sequences | None
    batch_size: int
    eval_batch_size: int
    setup: Setup | None
    plan: MemoryPlan | None
    steps: int = 0

    def run(self, trainer: StepTrainer) -> None:
        """Pass the longest rows through the model and forget it.

        Raises:
            ProbeRanOut: memory did not suffice.
        """
        numbers = largest(self.sequences, self.batch_size)
        state = randomness.keep()
        counted = getattr(trainer, "_total_train_tokens", None)
        started = time.perf_counter()
        if torch.cuda.is_available():
            torch.cuda.reset_peak_memory_stats()
        with self.sink.phase("probe", "the longest rows") as phase:
            try:
                batch = trainer.batches(self.sequences).batch(numbers)
                places = batch["input_ids"].shape if "input_ids" in batch else None
                trainer.rehearse(batch)
                hit("worker.probe")
                phase.progress(1, 2, "batches")
                if self.held_out is not None:
                    self._measure(trainer)
                phase.progress(2, 2, "batches")
            except BaseException as error:
                if not is_out_of_memory(error):
                    raise
                raise ProbeRanOut(self._words(numbers)) from error
            finally:
                trainer.model.zero_grad(set_to_none=True)
                if trainer.optimizer is not None:
                    # Where weights are shared out, the model shows whole ones after a measurement, and these are the parts.
                    trainer.optimizer.zero_grad(set_to_none=True)
                trainer.extras()
                if counted is not None:
                    trainer._total_train_tokens = counted
                randomness.give_back(state)
        first = None if self.setup is None else dataclasses.replace(self.setup, accumulation=1, state_bytes=0.0)
        self._tell("probe", None if first is None else plan_memory(first).peak, places, started)

    def step_done(self) -> None:
        """Tell the measured peak once a whole step's memory has been taken."""
        self.steps += 1
        if self.steps == _SETTLED and torch.cuda.is_available():
            self._tell("step", None if self.plan is None else self.plan.peak, None, None)

    def _measure(self, trainer: StepTrainer) -> None:
        assert self.held_out is not None
        training = trainer.model.training
        trainer.model.eval()
        try:
            numbers = largest(self.held_out, self.eval_batch_size)
            trainer.measure(trainer.batches(self.held_out).batch(numbers))
        finally:
            trainer.model.train(training)

    def _tell(self, stage: str, planned: int | None, places: Any, started: float | None) -> None:
        measured = int(torch.cuda.max_memory_reserved()) if torch.cuda.is_available() else None
        self.sink.send(
            ev.PROBE,
            stage=stage,
            expected=planned,
            measured=measured,
            **({} if places is None else {"rows": int(places[0]), "longest": int(places[1])}),
            **({} if started is None else {"seconds": round(time.perf_counter() - started, 4)}),
        )

    def _words(self, numbers: list[int]) -> str:
        lengths = self.sequences.store.lengths
        longest = max(int(lengths[list(self.sequences.packs[number])].sum()) for number in numbers)
        said = "" if self.plan is None else f" The plan expected {self.plan.peak / 1e9:.2f} GB of tensors."
        rows = "row has" if len(numbers) == 1 else f"{len(numbers)} rows have"
        return f"Memory ran out at the probe, before step 1: the longest {rows} up to {longest:,} tokens.{said}"
