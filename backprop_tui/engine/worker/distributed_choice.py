"""Whether each process of a run holds all weights or a share of them, decided once before they are loaded."""

from __future__ import annotations

from typing import Literal

import torch

from backprop_tui.engine.worker.distributed import world
from backprop_tui.engine.worker.precision import Precision
from backprop_tui.protocol.spec import RunSpec

Sharing = Literal["", "ddp", "fsdp2", "zero2"]
#: Share of a GPU's memory that the plan may fill before weights are shared out: the plan is within ±10 %.
_FILLED = 0.9


def choose_sharing(spec: RunSpec, precision: Precision, peak: int | None) -> Sharing:
    """How the processes share out the work; "" for a process alone.

    Args:
        spec: its `parallel` is obeyed, and makes sense there; auto takes ddp, and fsdp2 where a GPU has no room for everything.
        precision: the device.
        peak: bytes one device needs when it holds all weights; None where that can't be said.
    """
    if world().alone:
        return ""
    wanted = spec.devices.parallel
    if wanted == "auto":
        shareable = spec.model.method != "qlora" and spec.task.objective == "sft" and not _starts_from_weights(spec)
        wanted = "fsdp2" if shareable and _too_large(precision, peak) else "ddp"
    return wanted


def _starts_from_weights(spec: RunSpec) -> bool:
    return spec.model.method == "lora" and spec.lora.adapter_start == "pissa"


def _too_large(precision: Precision, peak: int | None) -> bool:
    """The largest GPU of all processes decides nothing, the smallest does; everybody must come to the same answer."""
    large = False
    if precision.device.type == "cuda" and peak is not None:
        large = peak > _FILLED * torch.cuda.mem_get_info(precision.device)[1]
    return bool(world().most(int(large))[0])
