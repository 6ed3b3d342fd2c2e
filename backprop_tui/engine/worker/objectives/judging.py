"""A trainer whose loss is a mean over what is judged, pairs or answers, whatever the micro-batches they come in.

The mean is taken over all items of an optimiser step, so that a short last micro-batch weighs no more than its items, and
other micro-batches of the same step give the same gradient.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any

import torch

from backprop_tui.engine.worker.trainer import StepTrainer, Tally


@dataclass(frozen=True, slots=True)
class Judged:
    """What was found in one batch.

    Attributes:
        losses: shape (items,), float32, in the graph.
        figures: by name, values of shape (n,) out of the graph, of which the mean is told; n may be 0.
    """

    losses: torch.Tensor
    figures: dict[str, torch.Tensor]


class JudgingTrainer(StepTrainer):
    """Transformers' own trainer with the loss of `judge`.

    Attributes:
        renderings: rows of a batch that make up one item.
    """

    renderings = 2

    def __init__(self, *args: Any, **options: Any) -> None:
        self._sums: dict[str, torch.Tensor] = {}
        super().__init__(*args, **options)
        # The loss is divided by the items of the whole step here, so the trainer must not divide it again.
        self.model_accepts_loss_kwargs = True

    @abstractmethod
    def judge(self, model: Any, inputs: dict[str, Any]) -> Judged:
        """Losses and figures of a batch on the device."""

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """The batch's share of the step's mean loss; with several processes scaled up, for they average their gradients."""
        judged = self.judge(model, inputs)
        for name, values in judged.figures.items():
            sums = torch.stack([values.float().sum(), values.new_tensor(values.numel(), dtype=torch.float32)])
            self._sums[name] = self._sums[name] + sums if name in self._sums else sums
        loss = judged.losses.sum() / (judged.losses.numel() if num_items_in_batch is None else num_items_in_batch)
        if num_items_in_batch is not None and self.args.average_tokens_across_devices:
            loss = loss * self.accelerator.num_processes
        return (loss, {}) if return_outputs else loss

    def _get_num_items_in_batch(self, batch_samples: list[dict[str, Any]], device: torch.device) -> torch.Tensor:
        items = torch.tensor(sum(len(batch["input_ids"]) // self.renderings for batch in batch_samples), device=device)
        if self.args.average_tokens_across_devices and self.accelerator.num_processes > 1:
            items = self.accelerator.gather(items).sum()
        return items

    def tally(self, inputs: dict[str, Any]) -> Tally:
        """Sums over the batch's items, each figure over the values it has."""
        judged = self.judge(self.model, inputs)
        found = {"loss": judged.losses, **judged.figures}
        return {name: (float(values.float().sum()), float(values.numel())) for name, values in found.items()}

    def extras(self) -> dict[str, float]:
        """The mean of each figure over the step, over all processes; one that had no value is left out."""
        if not self._sums:
            return {}
        names, sums = list(self._sums), torch.stack(list(self._sums.values()))
        self._sums = {}
        if self.accelerator.num_processes > 1:
            sums = self.accelerator.reduce(sums, reduction="sum")
        pairs = zip(names, sums.double().tolist(), strict=True)
        return self.derived({name: total / count for name, (total, count) in pairs if count})
