"""Kahneman-Tversky optimisation (Ethayarajh et al. 2024, arXiv 2402.01306): single answers, each marked wanted or not, gain or
lose against a point of reference that an estimate of the KL divergence sets.

The divergence is estimated from answers to other prompts: each row's prompt with the answer of the row before it in the
data, so that what the reference finds of it can be noted once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from backprop_tui.engine.worker.ground import Ground
from backprop_tui.engine.worker.objectives import Head
from backprop_tui.engine.worker.objectives.judging import Judged, JudgingTrainer
from backprop_tui.engine.worker.objectives.likelihoods import answer_logps, with_fused_head
from backprop_tui.engine.worker.objectives.reference import fill_reference
from backprop_tui.engine.worker.recipe import Recipe
from backprop_tui.engine.worker.rows import IGNORED, Batches, Collator, RowStore, Sequences
from backprop_tui.protocol.spec import RunSpec, TaskPart

#: Keys of a batch for the mismatched rows, before those of `Collator`.
_OTHER = "other_"
#: How far the weights may be from the advice before it is given.
_TOLERATED = 1.25


class MarkedCollator(Collator):
    """Rows with `wanted`, shape (rows,); the same prompts with other answers, their keys beginning with `other_`; and what the
    reference finds of both, `reference` and `other_reference`."""

    def batch(self, numbers: Sequence[int]) -> dict[str, Any]:
        """The tensors of these rows; TOKENS and LEARNT count the rows themselves."""
        notes = self._sequences.store.notes
        places = list(numbers)
        batch = super().batch(places)
        batch |= {f"{_OTHER}{name}": value for name, value in self.others(places).items() if torch.is_tensor(value)}
        batch["wanted"] = torch.from_numpy(notes["wanted"][places])
        for name in ("reference", f"{_OTHER}reference"):
            if name in notes:
                batch[name] = torch.from_numpy(notes[name][places])
        return batch

    def others(self, numbers: Sequence[int]) -> dict[str, Any]:
        """The tensors of the mismatched rows of these rows."""
        store = RowStore.of([self._mismatched(number) for number in numbers])
        return Collator(Sequences.plain(store), self._pad_id).batch(range(len(store)))

    def _mismatched(self, number: int) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        """A row's prompt with the answer of the row before it, not longer than the longest row of all."""
        store = self._sequences.store
        ids, labels = store.row(number)
        other_ids, other_labels = store.row(number - 1 if number else len(store) - 1)
        prompt, answer = int((labels != IGNORED).argmax()), int((other_labels != IGNORED).argmax())
        most = int(store.lengths.max())
        masked = np.full(prompt, IGNORED, dtype=labels.dtype)
        return (
            np.concatenate([ids[:prompt], other_ids[answer:]])[:most],
            np.concatenate([masked, other_labels[answer:]])[:most],
        )


class KtoTrainer(JudgingTrainer):
    """Judges answers one by one."""

    renderings = 1

    def __init__(self, task: TaskPart, *args: Any, **options: Any) -> None:
        self._task = task
        with_fused_head(options["model"])
        super().__init__(*args, **options)

    def batches(self, sequences: Sequences) -> Batches:
        """Marked answers."""
        return MarkedCollator(sequences, self.pad_id)

    def judge(self, model: Any, inputs: dict[str, Any]) -> Judged:
        """λ_D (1 - σ(β (r - z))) of wanted answers and λ_U (1 - σ(β (z - r))) of others (section 4)."""
        task = self._task
        with torch.no_grad():
            others = {name.removeprefix(_OTHER): value for name, value in inputs.items() if name.startswith(_OTHER)}
            drift = (answer_logps(model, others)[0] - others["reference"]).mean()
            if self.accelerator.num_processes > 1:
                drift = self.accelerator.reduce(drift, reduction="mean")
            zero = drift.clamp(min=0.0)
        sums, _ = answer_logps(model, inputs)
        ratios, wanted = sums - inputs["reference"], inputs["wanted"]
        gains = torch.where(wanted, ratios - zero, zero - ratios)
        weights = torch.where(wanted, task.desirable_weight, task.undesirable_weight)
        losses = weights * (1 - torch.sigmoid(task.beta * gains))
        rewards = task.beta * ratios.detach()
        figures = {
            "rewards/chosen": rewards[wanted],
            "rewards/rejected": rewards[~wanted],
            "logps/chosen": sums.detach()[wanted],
            "logps/rejected": sums.detach()[~wanted],
            "kl": zero.reshape(1),
        }
        return Judged(losses, figures)

    def derived(self, figures: dict[str, float]) -> dict[str, float]:
        """The distance of the mean rewards beside them: answers come one by one, so no pair has a margin of its own."""
        if "rewards/chosen" in figures and "rewards/rejected" in figures:
            figures["rewards/margin"] = figures["rewards/chosen"] - figures["rewards/rejected"]
        return figures


def unbalanced(task: TaskPart, wanted: np.ndarray[Any, Any]) -> str:
    """What to say where the weights do not make up for how rare wanted or unwanted answers are; "" where they do.

    The paper advises wanted weight times number to be 1 to 4/3 of the same of unwanted ones (section 4).

    Args:
        task: the weights.
        wanted: of each row whether it is wanted.
    """
    good = int(wanted.sum())
    bad = len(wanted) - good
    if not good or not bad:
        kind = "unwanted" if good else "wanted"
        return (
            f"KTO_ONE_KIND: there is no {kind} answer among {len(wanted):,} rows, so nothing tells better from worse."
        )
    share = task.desirable_weight * good / max(task.undesirable_weight * bad, 1e-12)
    if 1 / _TOLERATED <= share <= 4 / 3 * _TOLERATED:
        return ""
    advised = task.undesirable_weight * bad / good
    return (
        f"KTO_UNBALANCED: {good:,} wanted answers against {bad:,} unwanted ones; a wanted weight of "
        f"{advised:.2g} to {advised * 4 / 3:.2g} would make up for it."
    )


class Kto:
    """KTO."""

    head: Head = "words"
    answers = True
    per_token = False

    def sequences(self, store: RowStore, spec: RunSpec, *, training: bool) -> Sequences:
        """Answer by answer."""
        return Sequences.plain(store)

    def prepare(self, ground: Ground) -> dict[str, bytes]:
        """Note what the weights the run begins from find of every answer, and of every answer under another prompt."""
        if words := unbalanced(ground.spec.task, ground.train.store.notes["wanted"]):
            ground.sink.log("warn", "worker", words)
        return fill_reference(
            ground,
            {
                "reference": lambda sequences, pad: Collator(sequences, pad).batch,
                f"{_OTHER}reference": lambda sequences, pad: MarkedCollator(sequences, pad).others,
            },
        )

    def trainer(self, recipe: Recipe) -> KtoTrainer:
        """One that judges by the run's settings."""
        from transformers import TrainingArguments

        return KtoTrainer(recipe.spec.task, **recipe.options(TrainingArguments))

    def worth(self, figures: dict[str, float]) -> float:
        """The loss."""
        return figures["loss"]


OBJECTIVE = Kto()
