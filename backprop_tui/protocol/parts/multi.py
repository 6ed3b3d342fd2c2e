"""Several runs, one after the other, merged into one adapter."""

from __future__ import annotations

from typing import Literal

from pydantic import model_validator

from backprop_tui.protocol.parts.base import Part, setting

Multi = Literal["off", "windows", "datasets"]
Strategy = Literal["slao", "sequential", "linear", "ties", "dare", "random-init", "from-merged"]
Scaling = Literal["sqrt", "linear", "log", "constant"]
Gate = Literal["off", "drift", "eval", "both"]

_ON = "multi=windows|datasets"
_SCALED = f"{_ON},merge=slao|linear|random-init|from-merged"


class MultiPart(Part):
    """Several runs, one after the other, merged into one adapter. `steps` and `epochs` count for each of them."""

    multi: Multi = setting(
        "off",
        "multi-run",
        "off, a run for each slice (windows) or each source of A + B (datasets)",
    )
    runs: int = setting(5, "runs", "slices the data is cut into, a run each", when="multi=windows", ge=2, le=100)
    run_rows: int = setting(
        0, "rows per run", "rows of a slice; 0 divides all rows evenly", unit="rows", when="multi=windows", ge=0
    )
    merge: Strategy = setting(
        "slao",
        "merge",
        "how a run joins the merged adapter; slao is arXiv 2512.23017, the others are there to compare with",
        when=_ON,
    )
    scaling: Scaling = setting(
        "sqrt",
        "merge scale",
        "share λ(i) of the i-th run: 1/√i, 1/i, 1/ln(i+1) or constant",
        advanced=True,
        when=_SCALED,
    )
    scale_floor: float = setting(
        0.1, "least scale", "λ is never below this", advanced=True, when=_SCALED, ge=0.0, le=1.0
    )
    scale_constant: float = setting(
        0.5,
        "constant scale",
        "λ of every run after the first",
        advanced=True,
        when="scaling=constant",
        ge=0.0,
        le=1.0,
    )
    adaptive_scale: bool = setting(
        False,
        "adaptive scale",
        "merge less of a run that pulls against what is merged, more of one that pulls along",
        advanced=True,
        when=_SCALED,
    )
    layer_scale: bool = setting(
        False,
        "scale by layer",
        "merge less in early layers, more in late ones, the same on average",
        advanced=True,
        when=_SCALED,
    )
    replay: float = setting(
        0.0, "replay", "share of a run's rows that come from earlier runs", when=_ON, ge=0.0, le=0.5
    )
    replay_from: Literal["recent", "random", "all"] = setting(
        "recent",
        "replay from",
        "the run before, any earlier row, or every earlier run in equal parts",
        advanced=True,
        when=f"{_ON},replay!=0",
    )
    lr_last: float = setting(
        0.0,
        "last run's lr",
        "learning rate of the last run, from that of the first; 0 keeps it",
        when=_ON,
        ge=0.0,
        le=1.0,
    )
    lr_across: Literal["linear", "cosine", "constant"] = setting(
        "linear",
        "lr across runs",
        "how the learning rate goes from the first run to the last",
        advanced=True,
        when=f"{_ON},lr_last!=0",
    )
    gate: Gate = setting(
        "off",
        "merge gate",
        "refuse a merge that drifts too far, that harms earlier runs, or either; the merged adapter then stays as it was",
        when=_ON,
    )
    gate_drift: float = setting(
        0.9,
        "drift gate",
        "largest drift, 1 minus the cosine between the run's update and the merged one",
        advanced=True,
        when="gate=drift|both",
        ge=0.0,
        le=2.0,
    )
    gate_eval: float = setting(
        0.1,
        "eval gate",
        "largest rise of the mean held-out loss of earlier runs, as a share",
        advanced=True,
        when="gate=eval|both",
        ge=0.0,
        le=100.0,
    )
    patience: int = setting(
        0,
        "patience",
        "stop after this many runs without a better held-out loss of the merged adapter; 0 is off",
        unit="runs",
        advanced=True,
        when=_ON,
        ge=0,
    )
    cool_down: float = setting(
        0.0, "cool-down", "pause between two runs", unit="s", advanced=True, when=_ON, ge=0.0, le=86_400.0
    )

    @model_validator(mode="after")
    def _replayable(self) -> MultiPart:
        if self.lr_across == "constant" and self.lr_last:
            raise ValueError("lr_last has no effect with lr_across=constant: leave one of them out")
        return self
