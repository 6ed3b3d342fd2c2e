"""Whether what is trained is still made of numbers: a checkpoint with NaN in it would outlive the mistake."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import torch
from torch.distributed.tensor import DTensor

if TYPE_CHECKING:
    from backprop_tui.engine.worker.trainer import StepTrainer


def what_is_not(trainer: StepTrainer) -> str:
    """ "weights" or "optimiser" when one of their values is NaN or infinite, "" when all are numbers.

    One flag per tensor is computed where the tensor lies and looked at together, so a GPU is waited for once.
    """
    weights = (tensor for tensor in trainer.model.parameters() if tensor.requires_grad)
    if not _all_finite(weights):
        return "weights"
    states = trainer.optimizer.state.values() if trainer.optimizer is not None else ()
    moments = (value for state in states for value in state.values() if isinstance(value, torch.Tensor))
    return "" if _all_finite(moments) else "optimiser"


def _all_finite(tensors: Iterator[Any]) -> bool:
    # Of a tensor that is shared out each process looks at its own part.
    parts = (tensor.to_local() if isinstance(tensor, DTensor) else tensor for tensor in tensors)
    flags = [torch.isfinite(part.detach()).all() for part in parts if part.is_floating_point() and part.numel()]
    by_device: dict[torch.device, list[torch.Tensor]] = {}
    for flag in flags:
        by_device.setdefault(flag.device, []).append(flag)
    return all(bool(torch.stack(group).all()) for group in by_device.values())
