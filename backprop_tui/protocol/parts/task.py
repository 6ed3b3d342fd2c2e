"""What is learnt from the rows: by imitation, by preference, or to judge."""

from __future__ import annotations

from typing import Literal

from backprop_tui.protocol.parts.base import Part, setting

Objective = Literal["sft", "dpo", "kto", "orpo", "simpo", "reward", "grpo"]
DpoLoss = Literal["sigmoid", "ipo", "hinge", "robust"]
#: As `data.formats.Purpose`, which this room can't see.
Rows = Literal["sft", "preference", "unpaired", "prompt"]

#: The kind of rows each objective learns from.
ROWS_OF: dict[str, Rows] = {
    "sft": "sft",
    "dpo": "preference",
    "kto": "unpaired",
    "orpo": "preference",
    "simpo": "preference",
    "reward": "preference",
    "grpo": "prompt",
}


class TaskPart(Part):
    """What is learnt. Which weights move, and how, is said elsewhere and goes with every objective."""

    objective: Objective = setting(
        "sft",
        "objective",
        "sft imitates; dpo, orpo, simpo take pairs, kto marked answers, grpo rewards; reward learns to score",
    )
    beta: float = setting(
        0.1,
        "beta",
        "how strongly the model is held to its start; smaller lets it go further (Rafailov et al. 2023, arXiv 2305.18290)",
        when="objective=dpo|kto",
        gt=0.0,
        le=100.0,
    )
    dpo_loss: DpoLoss = setting(
        "sigmoid",
        "pair loss",
        "sigmoid is DPO; ipo (arXiv 2310.12036) overfits less, hinge is SLiC, robust (arXiv 2403.00409) bears wrong labels",
        advanced=True,
        when="objective=dpo",
    )
    label_smoothing: float = setting(
        0.0,
        "label smoothing",
        "share of pairs that may be the wrong way round",
        advanced=True,
        when="dpo_loss=sigmoid|robust",
        ge=0.0,
        lt=0.5,
    )
    nll_weight: float = setting(
        0.0,
        "imitation weight",
        "adds this much of the loss of imitating the better answer, which keeps it likely (arXiv 2404.19733)",
        advanced=True,
        when="objective=dpo|simpo",
        ge=0.0,
        le=100.0,
    )
    desirable_weight: float = setting(
        1.0,
        "wanted weight",
        "weight of wanted answers; where they are rare, weigh them more (Ethayarajh et al. 2024, arXiv 2402.01306)",
        when="objective=kto",
        ge=0.0,
        le=100.0,
    )
    undesirable_weight: float = setting(
        1.0, "unwanted weight", "weight of unwanted answers", when="objective=kto", ge=0.0, le=100.0
    )
    odds_weight: float = setting(
        0.1,
        "odds weight",
        "weight λ of the odds ratio beside imitation (Hong et al. 2024, arXiv 2403.07691)",
        when="objective=orpo",
        gt=0.0,
        le=100.0,
    )
    simpo_beta: float = setting(
        2.0,
        "SimPO beta",
        "scale of the mean log-probability as a reward (Meng et al. 2024, arXiv 2405.14734)",
        when="objective=simpo",
        gt=0.0,
        le=100.0,
    )
    simpo_gamma: float = setting(
        1.0,
        "SimPO margin",
        "by how much the better answer's reward should lead; about half of SimPO beta",
        when="objective=simpo",
        ge=0.0,
        le=100.0,
    )
    center_rewards: float = setting(
        0.0,
        "centre scores",
        "pulls the mean score towards zero, 0.01 is usual (Eisenstein et al. 2023, arXiv 2312.09244)",
        advanced=True,
        when="objective=reward",
        ge=0.0,
        le=10.0,
    )
