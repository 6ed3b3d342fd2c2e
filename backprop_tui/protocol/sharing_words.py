"""How several processes share out a run, as people read it: from the plan's `processes`, `machines` and `parallel`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from backprop_tui.protocol.codec import number

_HOW = {
    "ddp": "each with all weights (DDP)",
    "fsdp2": "each with a share of the weights (FSDP2)",
    "zero2": "each with all weights and a share of the optimiser (ZeRO-2)",
}


def sharing_words(plan: Mapping[str, Any]) -> str:
    """`2 processes on 2 machines, each with all weights (DDP)`; empty for a process alone."""
    processes, machines = number(plan.get("processes")), number(plan.get("machines"))
    if processes is None or not 2 <= processes < 1 << 31:
        return ""
    where = f" on {machines:.0f} machines" if machines is not None and 1 < machines < 1 << 31 else ""
    how = _HOW.get(str(plan.get("parallel")), "")
    return f"{processes:.0f} processes{where}{f', {how}' if how else ''}"
