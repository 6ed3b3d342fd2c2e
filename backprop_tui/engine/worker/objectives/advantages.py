"""From rewards to what each answer is learnt with: sums over functions, advantages within groups, shares of the loss."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from backprop_tui.protocol.parts.grpo import PolicyLoss, RewardScale

#: As in DeepSeekMath's code and TRL: keeps groups of nearly equal rewards from being blown up.
_EPSILON = 1e-4


def summed(per_function: Sequence[Sequence[float | None]], weights: Sequence[float]) -> torch.Tensor:
    """The reward of each answer, shape (answers,): the weighted sum over the functions that apply; NaN where none does.

    Args:
        per_function: for each function what it gave each answer, None where it does not apply.
        weights: of the functions.
    """
    values = torch.tensor([[float("nan") if one is None else one for one in row] for row in per_function])
    total = (values * torch.tensor(weights)[:, None]).nansum(dim=0)
    total[values.isnan().all(dim=0)] = float("nan")
    return total


def spread(values: torch.Tensor, dim: int | None = None) -> torch.Tensor:
    """Standard deviation of a sample (n - 1) without the NaN; 0 of a single value, NaN of none."""
    known = ~values.isnan()
    count = known.sum() if dim is None else known.sum(dim, keepdim=True)
    mean = values.nanmean() if dim is None else values.nanmean(dim, keepdim=True)
    squares = (values - mean).square().nan_to_num(0.0) * known
    total = squares.sum() if dim is None else squares.sum(dim, keepdim=True)
    return torch.where(count > 0, (total / (count - 1).clamp(min=1)).sqrt(), float("nan"))


def advantages_of(rewards: torch.Tensor, generations: int, scale: RewardScale) -> tuple[torch.Tensor, float]:
    """How much better each answer is than its group's mean (Shao et al. 2024, arXiv 2402.03300, section 4.1.2).

    Args:
        rewards: shape (answers,), answers to one prompt after each other; NaN is left out of its group.
        generations: answers per prompt.
        scale: what the distance is divided by.

    Returns:
        Shape (answers,), 0 where the reward is NaN; and the share of groups whose rewards are all the same, from which
        nothing is learnt.
    """
    groups = rewards.view(-1, generations)
    centred = groups - groups.nanmean(dim=1, keepdim=True)
    within = spread(groups, dim=1)
    if scale == "group":
        centred = centred / (within + _EPSILON)
    elif scale == "batch":
        centred = centred / (spread(rewards) + _EPSILON)
    flat = (within.isnan() | (within < 1e-8)).float().mean()
    return centred.flatten().nan_to_num(0.0), float(flat)


def shares_of(lengths: Sequence[int], loss: PolicyLoss, most_tokens: int) -> torch.Tensor:
    """By what the summed token losses of each answer are multiplied, shape (answers,), so that their sum is the step's loss.

    Args:
        lengths: learnt tokens of all answers of the step.
        loss: dapo, the mean over all tokens; grpo, the mean over answers of each one's mean; dr_grpo, over all places.
        most_tokens: where answers are cut.
    """
    tokens = torch.tensor(lengths, dtype=torch.float32).clamp(min=1)
    if loss == "dapo":
        return torch.full_like(tokens, 1.0) / tokens.sum()
    if loss == "grpo":
        return 1.0 / (tokens * len(tokens))
    return torch.full_like(tokens, 1.0 / (len(tokens) * most_tokens))


def policy_losses(
    logps: torch.Tensor,
    old: torch.Tensor | None,
    advantages: torch.Tensor,
    epsilon: float,
) -> tuple[torch.Tensor, torch.Tensor]:
    """The clipped loss of each token, and whether clipping stopped it; both of the shape of `logps`.

    Args:
        logps: log-probabilities of the tokens, shape (answers, places), in the graph.
        old: the same under the weights that drew them; None where those are the present ones.
        advantages: shape (answers,).
        epsilon: half the width of the interval ratios may move in.
    """
    ratio = torch.exp(logps - (logps.detach() if old is None else old))
    gained = advantages[:, None]
    held = ratio.clamp(1 - epsilon, 1 + epsilon)
    clipped = ((ratio < 1 - epsilon) & (gained < 0)) | ((ratio > 1 + epsilon) & (gained > 0))
    return -torch.min(ratio * gained, held * gained), clipped


def drift(logps: torch.Tensor, reference: torch.Tensor) -> torch.Tensor:
    """The unbiased, never negative estimate of the KL divergence from the reference per token (Schulman's k3; equation 4)."""
    behind: Any = reference - logps
    found: torch.Tensor = torch.exp(behind) - behind - 1
    return found
