"""Counts what PyTorch allocates on the CPU, byte by byte: every `[memory]` event of its own allocator, in order.

The profiler reports each allocation and each release of the CPU allocator, temporaries inside kernels included, which a
look at live tensors would miss. What was there before (weights mapped from a file) is counted once, by its storages.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch


@dataclass(frozen=True, slots=True)
class Allocated:
    """What a piece of work held. `before` are the bytes of the tensors that were there at its start; `peak` is the highest
    sum of these and everything allocated since; `curve` that sum after each change, in bytes."""

    before: int
    peak: int
    curve: list[int]


def storage_bytes(tensors: Iterable[torch.Tensor]) -> int:
    """Bytes of the distinct storages behind tensors: tied weights count once."""
    sizes = {tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes() for tensor in tensors}
    return sum(sizes.values())


def count_allocations(work: Callable[[], Any], before: int = 0) -> Allocated:
    """Do `work` on this thread and follow the allocator's balance.

    Args:
        work: what is measured.
        before: bytes that are held already and stay.
    """
    with torch.profiler.profile(
        activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True, acc_events=True
    ) as profile:
        work()
    results = profile.profiler.kineto_results
    changes = [(event.start_ns(), event.nbytes()) for event in results.events() if event.name() == "[memory]"]
    changes.sort(key=lambda change: change[0])
    held, curve = before, [before]
    for _, size in changes:
        held += size
        curve.append(held)
    return Allocated(before, max(curve), curve)
