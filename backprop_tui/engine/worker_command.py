"""What the host starts for an attempt: the worker itself, or torchrun's agent, which starts a worker for each device."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from backprop_tui.protocol.codec import number

#: One process: it trains and speaks with the host.
ALONE = (sys.executable, "-P", "-m", "backprop_tui.engine.worker")
#: Several: torchrun in a process of its own, and the first of its workers speaks with the host.
TOGETHER = (sys.executable, "-P", "-m", "backprop_tui.engine.worker.distributed_agent")

#: Host of a meeting point that stands for the first machine of a Slurm job, which nobody knows before the job starts; and where
#: the job's processes find its name.
JOBS_FIRST, JOBS_FIRST_VARIABLE = "slurm", "BACKPROP_FIRST_MACHINE"


def worker_command(spec: Mapping[str, Any]) -> tuple[str, ...]:
    """The command line for a run.json as it stands; the run directory is to be appended."""
    return ALONE if (devices(spec), nodes(spec)) == (1, 1) else TOGETHER


def devices(spec: Mapping[str, Any]) -> int:
    """Processes on each machine; 0 is one for every GPU in sight."""
    return _count(spec, "devices", least=0)


def nodes(spec: Mapping[str, Any]) -> int:
    """Machines."""
    return _count(spec, "nodes", least=1)


def lost_retries(spec: Mapping[str, Any]) -> int:
    """How often a run goes on after a process or a machine was lost."""
    return _count(spec, "lost_retries", least=0, otherwise=3)


def _count(spec: Mapping[str, Any], name: str, *, least: int, otherwise: int = 1) -> int:
    part = spec.get("devices")
    value = number(part.get(name)) if isinstance(part, Mapping) else None
    return otherwise if value is None or not least <= value < 1 << 31 else int(value)
