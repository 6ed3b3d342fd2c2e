"""Batches of pairs, and what all objectives have in common that learn from them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from backprop_tui.engine.worker.ground import Ground
from backprop_tui.engine.worker.objectives import Head
from backprop_tui.engine.worker.objectives.judging import JudgingTrainer
from backprop_tui.engine.worker.objectives.likelihoods import with_fused_head
from backprop_tui.engine.worker.recipe import Recipe
from backprop_tui.engine.worker.rows import Batches, Collator, RowStore, Sequences
from backprop_tui.protocol.spec import RunSpec, TaskPart


class PairCollator(Collator):
    """Turns numbers of pairs into a batch of twice as many rows: all better answers, then all worse ones.

    `reference` is there where the store has it noted: shape (rows,), float32.
    """

    def batch(self, numbers: Sequence[int]) -> dict[str, Any]:
        """The tensors of these pairs; TOKENS and LEARNT count both answers, each with its prompt."""
        packs = [self._sequences.packs[number] for number in numbers]
        rows = [pack[0] for pack in packs] + [pack[1] for pack in packs]
        return self.rows(rows)

    def rows(self, rows: Sequence[int]) -> dict[str, Any]:
        """The tensors of these rows of the store."""
        store = self._sequences.store
        batch = Collator(Sequences.plain(store), self._pad_id).batch(rows)
        if "reference" in store.notes:
            batch["reference"] = torch.from_numpy(store.notes["reference"][list(rows)])
        return batch


def paired(store: RowStore) -> Sequences:
    """Every two rows of the store as one sequence, as `dataset` lays pairs out."""
    return Sequences(store, [[row, row + 1] for row in range(0, len(store), 2)], packed=False)


class PairTrainer(JudgingTrainer):
    """Judges pairs by the likelihood of their answers."""

    def __init__(self, task: TaskPart, *args: Any, **options: Any) -> None:
        self._task = task
        with_fused_head(options["model"])
        super().__init__(*args, **options)

    def batches(self, sequences: Sequences) -> Batches:
        """Pairs."""
        return PairCollator(sequences, self.pad_id)


class PairObjective:
    """Learns from pairs without a reference.

    Attributes:
        trainer_type: what judges them.
    """

    head: Head = "words"
    answers = True
    per_token = False
    trainer_type: type[PairTrainer]

    def sequences(self, store: RowStore, spec: RunSpec, *, training: bool) -> Sequences:
        """Pair by pair."""
        return paired(store)

    def prepare(self, ground: Ground) -> dict[str, bytes]:
        """Pairs need nothing beside themselves."""
        return {}

    def trainer(self, recipe: Recipe) -> PairTrainer:
        """One that judges by the run's settings."""
        from transformers import TrainingArguments

        return self.trainer_type(recipe.spec.task, **recipe.options(TrainingArguments))

    def worth(self, figures: dict[str, float]) -> float:
        """The loss."""
        return figures["loss"]
