"""How likely a model finds answers: log-probabilities of the learnt tokens, without a table of the whole vocabulary."""

from __future__ import annotations

from typing import Any

import torch
from trl.trainer.utils import add_fused_lm_head

from backprop_tui.engine.worker.rows import IGNORED


def with_fused_head(model: Any) -> None:
    """Let the model give log-probabilities of labels in pieces of the vocabulary; a second time changes nothing.

    Args:
        model: a causal language model, with adapters or without.
    """
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    if not getattr(base, "backprop_fused_head", False):
        add_fused_lm_head(base)
        base.backprop_fused_head = True


def token_logps(model: Any, ids: torch.Tensor, mask: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Log-probability of every learnt token, 0 elsewhere.

    Args:
        model: prepared by `with_fused_head`.
        ids: shape (rows, longest), padded on the right.
        mask: 1 where there is no padding; the same shape.
        labels: `IGNORED` where nothing is learnt; the same shape.

    Returns:
        Shape (rows, longest - 1), float32, in nats.
    """
    found = model(input_ids=ids, attention_mask=mask, labels=labels, fused_lm_head=True, use_cache=False).log_probs
    logps: torch.Tensor = found.float()
    return logps


def answer_logps(model: Any, inputs: dict[str, Any]) -> tuple[torch.Tensor, torch.Tensor]:
    """Of each row of a batch the summed log-probability of its learnt tokens, and how many they are; both of shape (rows,)."""
    labels = inputs["labels"]
    sums = token_logps(model, inputs["input_ids"], inputs["attention_mask"], labels).sum(-1)
    return sums, (labels[:, 1:] != IGNORED).sum(-1).clamp(min=1)


def halves(values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """A batch of pairs has all better answers first, then all worse ones in the same order."""
    better, worse = values.chunk(2)
    return better, worse


def pair_figures(
    better: torch.Tensor, worse: torch.Tensor, logps: tuple[torch.Tensor, torch.Tensor] | None = None
) -> dict[str, torch.Tensor]:
    """What is told of every objective that learns from pairs.

    Args:
        better: rewards of the better answers, shape (pairs,).
        worse: rewards of the worse ones.
        logps: summed log-probabilities of the two, shape (pairs,).
    """
    better, worse = better.detach(), worse.detach()
    figures = {
        "rewards/chosen": better,
        "rewards/rejected": worse,
        "rewards/margin": better - worse,
        "rewards/accuracy": (better > worse).float(),
    }
    if logps is not None:
        figures |= {"logps/chosen": logps[0].detach(), "logps/rejected": logps[1].detach()}
    return figures
