"""Where a run computes: how many processes, on how many machines, and what they share out."""

from __future__ import annotations

from typing import Literal

from backprop_tui.protocol.parts.base import Part, setting

Parallel = Literal["auto", "ddp", "fsdp2", "zero2"]


class DevicesPart(Part):
    """How many processes train together. Each has a device of its own and draws its own share of every step's rows."""

    devices: int = setting(
        1,
        "devices",
        "processes on each machine, one GPU each (on a CPU that many processes); 0 takes every GPU in sight",
        unit="processes",
        ge=0,
        le=1024,
    )
    nodes: int = setting(
        1,
        "machines",
        "machines that train together; they share the run's directory, and each other one joins by `backprop join`",
        unit="machines",
        advanced=True,
        ge=1,
        le=4096,
    )
    rendezvous: str = setting(
        "",
        "meeting point",
        "host:port of the first machine, where the others find it; must be reachable from all of them",
        advanced=True,
        when="nodes!=1",
    )
    parallel: Parallel = setting(
        "auto",
        "sharing out",
        "ddp: each holds everything. zero2 (DeepSpeed): each holds a share of optimiser and gradients. fsdp2: of the weights "
        "too. auto takes ddp, or fsdp2 where that doesn't fit",
        advanced=True,
    )
    lost_retries: int = setting(
        3,
        "loss retries",
        "how often a run goes on from its last checkpoint after a process or a machine was lost; 0 is never",
        unit="times",
        advanced=True,
        ge=0,
        le=1000,
    )
    peer_wait_s: float = setting(
        1800.0,
        "wait for others",
        "how long a process waits for another's figures, or for a machine to join, before it counts as lost",
        unit="s",
        advanced=True,
        ge=5.0,
        le=604_800.0,
    )
