"""Odds-ratio preference optimisation (Hong et al. 2024, arXiv 2403.07691): imitate the better answer, and raise its odds over
those of the worse one; no reference."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch.nn.functional import logsigmoid

from backprop_tui.engine.worker.objectives.judging import Judged
from backprop_tui.engine.worker.objectives.likelihoods import answer_logps, halves, pair_figures
from backprop_tui.engine.worker.objectives.pairs import PairObjective, PairTrainer

#: An answer found certain would have infinite odds.
_ALMOST_CERTAIN = -1e-7


class OrpoTrainer(PairTrainer):
    """Log-probabilities are means over the answer's tokens, as the paper defines P(y|x)."""

    def judge(self, model: Any, inputs: dict[str, Any]) -> Judged:
        """L_SFT + λ·L_OR for each pair (equations 6 and 7); L_SFT looks at the answer alone, as the rows' masks say."""
        weight = self._task.odds_weight
        sums, lengths = answer_logps(model, inputs)
        better, worse = halves(sums / lengths)
        odds = log_odds(better) - log_odds(worse)
        figures = pair_figures(weight * better, weight * worse, halves(sums))
        figures |= {"log_odds": odds.detach(), "nll": -better.detach()}
        return Judged(-better - weight * logsigmoid(odds), figures)


def log_odds(logps: torch.Tensor) -> torch.Tensor:
    """log(p / (1 - p)) of log-probabilities; exact near p = 0 and p = 1."""
    logps = logps.clamp(max=_ALMOST_CERTAIN)
    near_one = logps > -math.log(2)
    # The branch that is not taken must not give a gradient without a number either.
    rest = torch.where(
        near_one,
        torch.log(-torch.expm1(torch.where(near_one, logps, -1.0))),
        torch.log1p(-torch.exp(torch.where(near_one, -1.0, logps))),
    )
    return logps - rest


class Orpo(PairObjective):
    """ORPO."""

    trainer_type = OrpoTrainer


OBJECTIVE = Orpo()
