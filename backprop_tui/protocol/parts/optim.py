"""How the weights move."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator

from backprop_tui.protocol.parts.base import Part, setting

Schedule = Literal["cosine", "linear", "constant", "cosine_restarts", "polynomial", "inverse_sqrt", "wsd"]
Optimizer = Literal[
    "adamw_torch", "adamw_bnb_8bit", "paged_adamw_8bit", "paged_adamw_32bit", "adafactor", "sgd", "adagrad", "rmsprop",
    "lion_32bit", "lion_8bit", "paged_lion_32bit", "paged_lion_8bit", "ademamix", "ademamix_8bit",
    "paged_ademamix_32bit", "paged_ademamix_8bit", "adamw_torch_8bit", "adamw_torch_4bit", "stable_adamw",
]  # fmt: skip
Checkpointing = Literal["off", "every-4th", "every-2nd", "full", "offload"]

#: Optimisers that keep two moving averages, and those that have an epsilon as well.
_WITH_BETAS = (
    "optimizer=adamw_torch|adamw_bnb_8bit|paged_adamw_8bit|paged_adamw_32bit|lion_32bit|lion_8bit|paged_lion_32bit"
    "|paged_lion_8bit|ademamix|ademamix_8bit|paged_ademamix_32bit|paged_ademamix_8bit|adamw_torch_8bit"
    "|adamw_torch_4bit|stable_adamw"
)
_WITH_EPSILON = (
    "optimizer=adamw_torch|adamw_bnb_8bit|paged_adamw_8bit|paged_adamw_32bit|ademamix|ademamix_8bit"
    "|paged_ademamix_32bit|paged_ademamix_8bit|adamw_torch_8bit|adamw_torch_4bit|stable_adamw"
)


#: Words for a level of recomputation beside its names: a yes or no stands for all layers or none.
_LEVELS: dict[str, Checkpointing] = {"on": "full", "true": "full", "yes": "full", "false": "off", "no": "off"}


def _level(value: Any) -> Any:
    words = str(value).lower() if isinstance(value, (bool, str)) else value
    return _LEVELS.get(words, value) if isinstance(words, str) else value


class OptimPart(Part):
    """How the weights move."""

    learning_rate: float = setting(
        2e-4,
        "learning rate",
        "size of each weight update. Too high: loss jumps or goes NaN. Too low: it barely moves.",
        alias="lr",
        gt=0.0,
        le=1.0,
    )
    schedule: Schedule = setting("cosine", "schedule", "how the learning rate falls over the run")
    min_lr_ratio: float = setting(
        0.1,
        "final lr share",
        "the schedule ends at this share of the learning rate",
        advanced=True,
        when="schedule=cosine|polynomial|wsd",
        ge=0.0,
        le=1.0,
    )
    restarts: int = setting(
        3,
        "lr cycles",
        "how often the cosine falls from the full rate to zero",
        advanced=True,
        when="schedule=cosine_restarts",
        ge=1,
        le=1000,
    )
    lr_power: float = setting(
        2.0,
        "lr power",
        "exponent of the polynomial; 1 is a straight line, more falls faster",
        advanced=True,
        when="schedule=polynomial",
        gt=0.0,
        le=10.0,
    )
    decay_share: float = setting(
        0.2,
        "decay share",
        "last part of the run in which the rate falls; before it the rate stands",
        advanced=True,
        when="schedule=wsd",
        gt=0.0,
        le=1.0,
    )
    warmup: float = setting(0.03, "warm-up", "steps of rising learning rate; below 1 a share of the run", ge=0.0)
    epochs: float = setting(1.0, "epochs", "passes over the data", when="steps=0", gt=0.0, le=1000.0)
    steps: int = setting(0, "steps", "stop after this many optimiser steps; 0 goes by epochs", alias="max_steps", ge=0)
    batch_size: int = setting(4, "batch / device", "rows per forward pass (micro-batch)", unit="rows", ge=1, le=4096)
    accumulation: int = setting(4, "accumulation", "micro-batches per optimiser step", ge=1, le=4096)
    micro_batch: Literal["fixed", "auto"] = setting(
        "fixed",
        "micro-batch",
        "auto splits batch x accumulation anew: the largest power of two that fits the memory; as many rows a step",
        advanced=True,
    )
    weight_decay: float = setting(
        0.01, "weight decay", "pull of all trained weights towards zero", advanced=True, ge=0.0, le=1.0
    )
    max_grad_norm: float = setting(
        1.0, "gradient clip", "gradients are scaled down to this norm; 0 is off", advanced=True, ge=0.0
    )
    optimizer: Optimizer = setting(
        "adamw_torch", "optimiser", "8-bit and paged ones save memory in full fine-tuning", advanced=True
    )
    beta1: float = setting(
        0.9, "beta 1", "memory of the optimiser for gradients", advanced=True, when=_WITH_BETAS, ge=0.0, lt=1.0
    )
    beta2: float = setting(
        0.999,
        "beta 2",
        "memory for their squares (Lion: for its momentum)",
        advanced=True,
        when=_WITH_BETAS,
        ge=0.0,
        lt=1.0,
    )
    epsilon: float = setting(
        1e-8, "epsilon", "keeps the division by small squares finite", advanced=True, when=_WITH_EPSILON, gt=0.0, le=0.1
    )
    neftune: float = setting(
        0.0,
        "NEFTune noise",
        "noise on the embeddings while training (arXiv 2310.05914, 5 to 15); 0 is off",
        advanced=True,
        ge=0.0,
        le=100.0,
    )
    gradient_checkpointing: Annotated[Checkpointing, BeforeValidator(_level)] = setting(
        "full",
        "recomputation",
        "gradient checkpointing: full recomputes every layer (less memory, about a fifth slower), offload keeps them "
        "in host memory",
        advanced=True,
        words=_LEVELS,
    )
    seed: int = setting(42, "seed", "the same seed, data and versions give the same run", ge=0, lt=2**31)
