"""What happens when something goes wrong, and what is watched for."""

from __future__ import annotations

from typing import Literal

from backprop_tui.protocol.parts.base import Part, setting

NanAction = Literal["auto", "pause", "stop"]


class RecoveryPart(Part):
    """What happens when something goes wrong, and what is watched for."""

    oom_retries: int = setting(
        3,
        "memory retries",
        "how often a run whose memory ran out goes on with half the micro-batch and the same effective batch; 0 is never",
        unit="times",
        advanced=True,
        ge=0,
        le=20,
    )
    preempt_grace_s: float = setting(
        30.0,
        "stop grace",
        "a stop waits for the step's end if that fits into this time; else the step is left and done again on resume",
        unit="s",
        advanced=True,
        ge=1.0,
        le=86_400.0,
    )
    nan_action: NanAction = setting(
        "auto",
        "on no number",
        "a loss or weights that are no number pause the run, or end it as failed; auto pauses where somebody may look",
        advanced=True,
    )
    watch_curves: bool = setting(
        True,
        "watch curves",
        "tell of spikes, divergence, plateaus, overfitting, dead gradients and lost speed",
        advanced=True,
    )
    baseline: str = setting(
        "",
        "baseline run",
        "an earlier run; an evaluation that is worse than its at the same step is told",
        advanced=True,
    )
