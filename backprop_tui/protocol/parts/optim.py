"""How the weights move."""

from __future__ import annotations

from typing import Literal

from backprop_tui.protocol.parts.base import Part, setting

Schedule = Literal["cosine", "linear", "constant"]
Optimizer = Literal["adamw_torch", "adamw_bnb_8bit", "paged_adamw_8bit", "adafactor", "sgd"]


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
        0.1, "final lr share", "the cosine ends at this share of the learning rate", advanced=True, ge=0.0, le=1.0
    )
    warmup: float = setting(0.03, "warm-up", "steps of rising learning rate; below 1 a share of the run", ge=0.0)
    epochs: float = setting(1.0, "epochs", "passes over the data", gt=0.0, le=1000.0)
    steps: int = setting(0, "steps", "stop after this many optimiser steps; 0 goes by epochs", alias="max_steps", ge=0)
    batch_size: int = setting(4, "batch / device", "rows per forward pass (micro-batch)", unit="rows", ge=1, le=4096)
    accumulation: int = setting(4, "accumulation", "micro-batches per optimiser step", ge=1, le=4096)
    weight_decay: float = setting(
        0.01, "weight decay", "pull of all trained weights towards zero", advanced=True, ge=0.0, le=1.0
    )
    max_grad_norm: float = setting(
        1.0, "gradient clip", "gradients are scaled down to this norm; 0 is off", advanced=True, ge=0.0
    )
    optimizer: Optimizer = setting(
        "adamw_torch", "optimiser", "8-bit and paged ones save memory in full fine-tuning", advanced=True
    )
    gradient_checkpointing: bool = setting(
        True, "gradient checkpointing", "recompute activations: less memory, about a fifth slower", advanced=True
    )
    seed: int = setting(42, "seed", "the same seed, data and versions give the same run", ge=0, lt=2**31)
