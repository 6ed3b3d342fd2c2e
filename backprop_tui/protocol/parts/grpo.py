"""GRPO: what the model's own answers are rewarded for, and how it learns from the rewards."""

from __future__ import annotations

from typing import Literal

from backprop_tui.protocol.parts.base import Part, setting

PolicyLoss = Literal["dapo", "grpo", "dr_grpo"]
RewardScale = Literal["group", "batch", "none"]

#: Rewards that need no file, and what each is for.
BUILT_IN_REWARDS: dict[str, str] = {
    "exact_match": "1 where the answer is the column `answer`, blanks and case apart, else 0",
    "contains_answer": "1 where the column `answer` stands in the answer, case apart, else 0",
    "similarity": "0 to 1: how much of the column `answer` the answer has in common with it, character by character",
    "format_think": "1 where the answer is one `<think>` passage with words after it, else 0",
    "brevity": "1 for an empty answer, falling to 0 at 400 characters",
}
#: The reward where none is named and there is no file.
DEFAULT_REWARD = "similarity"
#: What stands between a name and its weight in `reward_functions`.
WEIGHT_SIGN = "*"
_WHEN = "objective=grpo"


class GrpoPart(Part):
    """Answers in groups, rewarded (Shao et al. 2024, arXiv 2402.03300)."""

    reward_functions: str = setting(
        "",
        "rewards",
        "names with commas, weights as in brevity*0.2; empty is every reward of the file, without a file similarity",
        when=_WHEN,
        max_length=500,
    )
    reward_file: str = setting(
        "",
        "reward file",
        "Python file with reward functions; it is shown and confirmed before it runs",
        when=_WHEN,
        max_length=4096,
    )
    generations: int = setting(
        8, "group size", "answers drawn of each prompt, which are compared with each other", when=_WHEN, ge=2, le=256
    )
    answer_length: int = setting(
        256, "answer length", "an answer is cut off there", unit="tokens", when=_WHEN, ge=1, le=131072
    )
    temperature: float = setting(
        1.0, "temperature", "how freely answers are drawn; 1 is the model's own spread", when=_WHEN, gt=0.0, le=10.0
    )
    kl_weight: float = setting(
        0.0,
        "KL weight",
        "holds the model to its base (DeepSeekMath took 0.04); full training then keeps a second model in memory",
        when=_WHEN,
        ge=0.0,
        le=10.0,
    )
    policy_loss: PolicyLoss = setting(
        "dapo",
        "policy loss",
        "dapo weighs every token alike (arXiv 2503.14476), grpo every answer, dr_grpo by answer length (arXiv 2503.20783)",
        advanced=True,
        when=_WHEN,
    )
    reward_scale: RewardScale = setting(
        "group",
        "reward scale",
        "rewards are divided by their spread in the group, in the batch (arXiv 2508.08221) or not (arXiv 2503.20783)",
        advanced=True,
        when=_WHEN,
    )
    answer_reuse: int = setting(
        1, "answer reuse", "optimiser steps taken with the same answers", advanced=True, when=_WHEN, ge=1, le=16
    )
    clip_epsilon: float = setting(
        0.2,
        "clip",
        "how far a token's probability may move in those steps before it stops counting",
        advanced=True,
        when="answer_reuse!=1",
        gt=0.0,
        lt=1.0,
    )
    reward_timeout: float = setting(
        60.0,
        "reward timeout",
        "a reward function that takes longer ends the run",
        unit="s",
        advanced=True,
        when=_WHEN,
        gt=0.0,
        le=86400.0,
    )
