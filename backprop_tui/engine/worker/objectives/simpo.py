"""Simple preference optimisation (Meng et al. 2024, arXiv 2405.14734): the mean log-probability of the better answer leads that
of the worse one by a margin; no reference."""

from __future__ import annotations

from typing import Any

from torch.nn.functional import logsigmoid

from backprop_tui.engine.worker.objectives.judging import Judged
from backprop_tui.engine.worker.objectives.likelihoods import answer_logps, halves, pair_figures
from backprop_tui.engine.worker.objectives.pairs import PairObjective, PairTrainer


class SimpoTrainer(PairTrainer):
    """Rewards are β times the mean log-probability of an answer's tokens."""

    def judge(self, model: Any, inputs: dict[str, Any]) -> Judged:
        """-log σ(better reward - worse reward - γ) (equation 6), with imitation beside it where asked for."""
        task = self._task
        sums, lengths = answer_logps(model, inputs)
        means = sums / lengths
        better, worse = halves(task.simpo_beta * means)
        losses = -logsigmoid(better - worse - task.simpo_gamma)
        if task.nll_weight:
            losses = losses - task.nll_weight * halves(means)[0]
        return Judged(losses, pair_figures(better, worse, halves(sums)))


class Simpo(PairObjective):
    """SimPO."""

    trainer_type = SimpoTrainer


OBJECTIVE = Simpo()
