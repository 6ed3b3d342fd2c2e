"""Measuring, saving, stopping."""

from __future__ import annotations

from typing import Literal

from backprop_tui.protocol.parts.base import Part, setting


class RunPart(Part):
    """Measuring, saving, stopping."""

    eval_every: float = setting(
        0.1,
        "eval every",
        "steps between evaluations; below 1 a share of the run, 0 only at the end",
        unit="steps",
        ge=0.0,
    )
    save_every: float = setting(
        0.1,
        "save every",
        "steps between checkpoints; below 1 a share of the run, 0 only at the end",
        unit="steps",
        ge=0.0,
    )
    keep: int = setting(
        3, "keep", "newest checkpoints kept; the best one is kept as well", unit="checkpoints", ge=1, le=1000
    )
    max_checkpoint_gb: float = setting(
        0.0,
        "checkpoint cap",
        "what a run's checkpoints may hold together; oldest go first, newest, best and pinned stay; 0 is no cap",
        unit="GB",
        advanced=True,
        ge=0.0,
    )
    deliver: Literal["best", "last"] = setting("last", "deliver", "which checkpoint is the result", advanced=True)
    early_stopping: int = setting(
        0,
        "early stopping",
        "stop after this many evaluations without a better one; 0 is off",
        unit="evals",
        advanced=True,
        ge=0,
    )
    samples: int = setting(
        3,
        "samples",
        "answers generated from held-out prompts at each evaluation",
        advanced=True,
        when="objective!=reward",
        ge=0,
        le=512,
    )
    sample_tokens: int = setting(
        96,
        "sample length",
        "longest generated answer",
        unit="tokens",
        advanced=True,
        when="samples!=0",
        ge=1,
        le=8192,
    )
