"""Whether a machine has the GPUs a run asks for, told before anything is started.

A driver that does not answer is no proof that there are none: then the worker, which sees what PyTorch sees, has the last word.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from backprop_tui.protocol.errors import UnavailableError

if TYPE_CHECKING:
    from backprop_tui.protocol.spec import RunSpec


def check_devices(spec: RunSpec, environment: Mapping[str, str] = os.environ) -> None:
    """Refuse a run that wants more GPUs than this machine lets it use.

    Raises:
        UnavailableError: DEVICES_TOO_MANY.
    """
    if spec.devices.devices < 2 or spec.model.device == "cpu":
        return
    from backprop_tui.hardware.gpu import read_gpus

    refusal = too_many(spec, len(read_gpus()[0]), environment)
    if refusal is not None:
        raise refusal


def too_many(spec: RunSpec, listed: int, environment: Mapping[str, str] = os.environ) -> UnavailableError | None:
    """The refusal of a run that wants too many, None where there are enough or nobody can say.

    Args:
        spec: what is to be run.
        listed: GPUs the driver lists.
        environment: CUDA_VISIBLE_DEVICES there leaves only some of them.
    """
    there, wanted = usable(listed, environment), spec.devices.devices
    if spec.model.device == "cpu" or not there or wanted <= there:
        return None
    return UnavailableError(
        "DEVICES_TOO_MANY",
        f"The run wants {wanted} GPUs on each machine, and {there} can be used on this one.",
        f"Set devices to {there} or fewer; `--slurm` submits a run for machines that have more.",
    )


def usable(listed: int, environment: Mapping[str, str]) -> int:
    """GPUs a process can use: those listed, or as many of them as CUDA_VISIBLE_DEVICES names before its first -1."""
    named = environment.get("CUDA_VISIBLE_DEVICES")
    if named is None:
        return listed
    count = 0
    for name in named.split(","):
        if not name.strip() or name.strip().startswith("-"):
            break
        count += 1
    return min(listed, count)
