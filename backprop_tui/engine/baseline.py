"""The evaluations of an earlier run, which this one is compared with while it trains."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from backprop_tui.protocol import events as ev
from backprop_tui.protocol.codec import number
from backprop_tui.protocol.errors import UsageError
from backprop_tui.store.journal import read_events
from backprop_tui.store.layout import RunDir, find_run

Points = list[tuple[int, float]]


def baseline_name(spec: Mapping[str, Any]) -> str:
    """The run a run.json names as its baseline; empty without one."""
    recovery = spec.get("recovery")
    return str(recovery.get("baseline") or "") if isinstance(recovery, Mapping) else ""


def read_baseline(wanted: str) -> tuple[str, Points]:
    """What the run is called, and its eval losses by step; a step measured again counts as it was last.

    Raises:
        UsageError: there is no such run, or it has no evaluation.
    """
    run = find_run(wanted)
    points = eval_curve(run)
    if not points:
        raise UsageError(
            "BASELINE_WITHOUT_EVALS",
            f"Run {run.short_id} has no evaluation to compare with.",
            "Choose a run with held-out rows, or leave baseline empty.",
        )
    return f"run {run.short_id}", points


def eval_curve(run: RunDir) -> Points:
    """A run's eval losses by step, ascending."""
    losses: dict[int, float] = {}
    for event in read_events(run.journal_file, kinds={ev.EVAL}):
        step, loss = number(event.data.get("step")), number(event.data.get("loss"))
        if step is not None and loss is not None and math.isfinite(loss) and 0 <= step < 1 << 53:
            losses[int(step)] = loss
    return sorted(losses.items())
