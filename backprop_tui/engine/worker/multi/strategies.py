"""Where a run starts from and how it joins the merged adapter, by the name of the strategy.

`slao` is the paper's; `random-init` and `from-merged` change only its start (the paper's ablations), `linear` only its merge
("merge both"), `sequential` merges nothing. `ties` (arXiv 2306.01708) and `dare` (arXiv 2311.03099) are PEFT's own functions
over runs that all start from the same adapter; they keep every run's tensors.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import torch

from backprop_tui.engine.worker.multi.slao import (
    adapted,
    by_layer,
    clamp,
    is_b,
    layer_count,
    merged_b,
    orthonormal_rows,
    overlap,
    scale,
)  # fmt: skip
from backprop_tui.protocol.parts.multi import MultiPart

Adapter = dict[str, torch.Tensor]
#: Share of values kept: TIES trims the lowest fifth, DARE drops half.
_TIES_DENSITY, _DARE_DENSITY = 0.8, 0.5


@dataclass(slots=True)
class Memory:
    """What a strategy keeps from run to run; every tensor float32 on the CPU.

    Attributes:
        merged: what is delivered. last: the last fine-tuned adapter. first: where the first run started.
        tuned: all fine-tuned adapters, for strategies that need them. accepted: merges so far.
    """

    merged: Adapter = field(default_factory=dict)
    last: Adapter = field(default_factory=dict)
    first: Adapter = field(default_factory=dict)
    tuned: list[Adapter] = field(default_factory=list)
    accepted: int = 0


@dataclass(frozen=True, slots=True)
class Merge:
    """A merge worked out and not yet accepted. `share` is λ on average, None where there is none; `drift` as in
    `MultiPart.gate_drift`, None for the first run."""

    after: Memory
    share: float | None
    drift: float | None


Start = Callable[[Memory, int], Adapter]
Join = Callable[[Memory, Adapter, MultiPart, int], tuple[Adapter, float | None]]


@dataclass(frozen=True, slots=True)
class Strategy:
    """Start and merge of one strategy. `keeps_all`: every fine-tuned adapter is remembered."""

    start: Start
    join: Join
    keeps_all: bool = False


def _from_last(memory: Memory, seed: int) -> Adapter:
    return dict(memory.last)


def _orthonormal(memory: Memory, seed: int) -> Adapter:
    return {name: orthonormal_rows(value) if ".lora_A." in name else value for name, value in memory.last.items()}


def _orthonormal_from_merged(memory: Memory, seed: int) -> Adapter:
    return {name: orthonormal_rows(value) if ".lora_A." in name else value for name, value in memory.merged.items()}


def _from_first(memory: Memory, seed: int) -> Adapter:
    return dict(memory.first)


def _random(memory: Memory, seed: int) -> Adapter:
    """As PEFT starts an adapter: A uniform with a = √5 (Kaiming), B zero, the rest as at the first start."""
    generator = torch.Generator().manual_seed(seed)
    start = {}
    for name, value in memory.first.items():
        if ".lora_A." in name:
            bound = 1 / math.sqrt(value.shape[1])
            start[name] = torch.empty_like(value).uniform_(-bound, bound, generator=generator)
        else:
            start[name] = torch.zeros_like(value) if is_b(name) else value
    return start


def _replace(memory: Memory, tuned: Adapter, part: MultiPart, seed: int) -> tuple[Adapter, float | None]:
    return tuned, None


def _b_only(memory: Memory, tuned: Adapter, part: MultiPart, seed: int) -> tuple[Adapter, float | None]:
    return _blended(memory, tuned, part, is_b)


def _both(memory: Memory, tuned: Adapter, part: MultiPart, seed: int) -> tuple[Adapter, float | None]:
    return _blended(memory, tuned, part, lambda name: True)


def _blended(
    memory: Memory, tuned: Adapter, part: MultiPart, blends: Callable[[str], bool]
) -> tuple[Adapter, float | None]:
    if not memory.accepted:
        return tuned, 1.0
    share = scale(memory.accepted + 1, part.scaling, floor=part.scale_floor, constant=part.scale_constant)
    if part.adaptive_scale:
        share = adapted(share, overlap(memory.merged, tuned), part.scale_floor)
    layers = layer_count(tuned) if part.layer_scale else 0
    merged = {}
    for name, value in tuned.items():
        if blends(name):
            local = clamp(share * by_layer(name, layers), part.scale_floor)
            merged[name] = merged_b(memory.merged[name], value, local)
        else:
            merged[name] = value
    return merged, share


def _ties(memory: Memory, tuned: Adapter, part: MultiPart, seed: int) -> tuple[Adapter, float | None]:
    from peft.utils.merge_utils import ties

    return _from_differences(memory, tuned, lambda values: ties(values, torch.ones(len(values)), _TIES_DENSITY)), None


def _dare(memory: Memory, tuned: Adapter, part: MultiPart, seed: int) -> tuple[Adapter, float | None]:
    from peft.utils.merge_utils import dare_linear

    def merge(values: list[torch.Tensor]) -> torch.Tensor:
        return dare_linear(values, torch.full((len(values),), 1 / len(values)), _DARE_DENSITY)

    # PEFT draws from the global generator, which belongs to training.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return _from_differences(memory, tuned, merge), None


def _from_differences(memory: Memory, tuned: Adapter, merge: Callable[[list[torch.Tensor]], torch.Tensor]) -> Adapter:
    """The common start plus the merged differences from it; the first run as it is."""
    runs = [*memory.tuned, tuned]
    if len(runs) == 1:
        return tuned
    return {name: start + merge([run[name] - start for run in runs]) for name, start in memory.first.items()}


STRATEGIES: dict[str, Strategy] = {
    "slao": Strategy(_orthonormal, _b_only),
    "random-init": Strategy(_random, _b_only),
    "from-merged": Strategy(_orthonormal_from_merged, _b_only),
    "sequential": Strategy(_from_last, _replace),
    "linear": Strategy(_from_last, _both),
    "ties": Strategy(_from_first, _ties, keeps_all=True),
    "dare": Strategy(_from_first, _dare, keeps_all=True),
}
