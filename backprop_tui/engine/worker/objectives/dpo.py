"""Direct preference optimisation (Rafailov et al. 2023, arXiv 2305.18290): the better answer gains on the worse, compared with
the weights the run began from."""

from __future__ import annotations

from typing import Any

import torch
from torch.nn.functional import logsigmoid, relu

from backprop_tui.engine.worker.ground import Ground
from backprop_tui.engine.worker.objectives.judging import Judged
from backprop_tui.engine.worker.objectives.likelihoods import answer_logps, halves, pair_figures
from backprop_tui.engine.worker.objectives.pairs import PairCollator, PairObjective, PairTrainer
from backprop_tui.engine.worker.objectives.reference import fill_reference
from backprop_tui.protocol.spec import TaskPart


class DpoTrainer(PairTrainer):
    """Compares log-probabilities with those noted of the reference."""

    def judge(self, model: Any, inputs: dict[str, Any]) -> Judged:
        """Loss and implicit rewards, β times the log-ratio to the reference (equation 5)."""
        task = self._task
        sums, lengths = answer_logps(model, inputs)
        better, worse = halves(sums - inputs["reference"])
        losses = pair_losses(task, better, worse, *halves(lengths))
        if task.nll_weight:
            losses = losses - task.nll_weight * halves(sums / lengths)[0]
        figures = pair_figures(task.beta * better, task.beta * worse, halves(sums))
        return Judged(losses, figures)


def pair_losses(
    task: TaskPart,
    better: torch.Tensor,
    worse: torch.Tensor,
    better_length: torch.Tensor,
    worse_length: torch.Tensor,
) -> torch.Tensor:
    """The loss of each pair.

    Args:
        task: which loss, β and label smoothing ε.
        better: log-ratios of policy to reference of the better answers, summed over their tokens; shape (pairs,).
        worse: the same of the worse answers.
        better_length: tokens of the better answers; shape (pairs,).
        worse_length: the same of the worse answers.
    """
    lead, wrong = task.beta * (better - worse), task.label_smoothing
    if task.dpo_loss == "ipo":
        # Per token, as its authors run it: a sum would grow with the length of the answers (equation 17).
        return (better / better_length - worse / worse_length - 1 / (2 * task.beta)) ** 2
    if task.dpo_loss == "hinge":
        return relu(1 - lead)
    if task.dpo_loss == "robust":
        return (wrong * logsigmoid(-lead) - (1 - wrong) * logsigmoid(lead)) / (1 - 2 * wrong)
    return -(1 - wrong) * logsigmoid(lead) - wrong * logsigmoid(-lead)


class Dpo(PairObjective):
    """DPO and the losses beside it."""

    trainer_type = DpoTrainer

    def prepare(self, ground: Ground) -> dict[str, bytes]:
        """Note what the weights the run begins from find of every answer."""
        return fill_reference(ground, {"reference": lambda sequences, pad: PairCollator(sequences, pad).rows})


OBJECTIVE = Dpo()
