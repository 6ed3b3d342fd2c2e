"""SLAO's mathematics: single LoRA continual learning, orthogonal initialisation, continual merging (arXiv 2512.23017).

An adapter adds `B A` to a weight: A is (rank, inputs), B is (outputs, rank). After the i-th run the delivered pair is

    A_merge = A_ft                      B_merge = B_merge + λ(i) (B_ft - B_merge),     λ(i) = 1 / √i

and the next run starts from the last *fine-tuned* pair, not the merged one: A from the orthonormal rows of A_ft, B as it is.
Adaptive and per-layer scaling are not in the paper; both are off unless asked for.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Literal

import torch

from backprop_tui.protocol.errors import RunFailed, UsageError

Scaling = Literal["sqrt", "linear", "log", "constant"]
Tensors = Mapping[str, torch.Tensor]
_LAYER = re.compile(r"(?:^|\.)(?:layers|h|blocks?)\.(\d+)\.")


def scale(i: int, scaling: Scaling = "sqrt", *, floor: float = 0.1, constant: float = 0.5) -> float:
    """λ(i): the share of the i-th run in B_merge, from `floor` to 1; the first run is taken whole.

    Args:
        i: 1, 2, 3 ... counts the merges accepted, this one included.
        scaling: sqrt 1/√i (the paper's), linear 1/i, log 1/ln(i+1), constant.
        floor: never less, so that late runs are still learnt.
        constant: what `constant` gives.

    Raises:
        ValueError: i is below 1.
    """
    if i < 1:
        raise ValueError("runs are counted from 1")
    if i == 1:
        return 1.0
    raw = {"sqrt": 1 / math.sqrt(i), "linear": 1 / i, "log": 1 / math.log(i + 1), "constant": constant}[scaling]
    return clamp(raw, floor)


def clamp(value: float, floor: float) -> float:
    """A scale kept between `floor` and 1."""
    return min(1.0, max(floor, value))


def orthonormal_rows(a: torch.Tensor) -> torch.Tensor:
    """Rows of unit length at right angles that span the rows of `a`: Qᵀ of QR(aᵀ), its signs fixed by diag(R).

    Householder reflections give an orthonormal Q also where rows of `a` depend on each other; only the sign of such a row,
    whose diagonal is 0, is not given by `a`, and sign(0) is +1 so that no row is lost. In float32 on the CPU, since
    half precision has no QR and a GPU's differs from card to card.

    Args:
        a: (rank, inputs), rank at most inputs.

    Returns:
        The same shape, number format and device.

    Raises:
        UsageError: MERGE_RANK, the rank is above the inputs.
        RunFailed: MERGE_NOT_FINITE.
    """
    rank, inputs = a.shape
    if rank > inputs:
        raise UsageError(
            "MERGE_RANK",
            f"An adapter of rank {rank} on a layer with {inputs} inputs has no {rank} rows at right angles.",
            "Choose a lower rank, or leave that layer out of the target layers.",
        )
    wide = a.detach().to("cpu", torch.float32)
    if not bool(torch.isfinite(wide).all()):
        raise RunFailed("MERGE_NOT_FINITE", "An adapter to start from is not finite.", "Lower the learning rate.")
    largest = wide.abs().max()
    # Q does not depend on the size of `a`, and squares of very large or small values would leave float32.
    q, r = torch.linalg.qr((wide / largest if largest > 0 else wide).T)
    signs = torch.where(torch.diagonal(r) < 0, -1.0, 1.0)
    return (q * signs).T.contiguous().to(a.device, a.dtype)


def overlap(first: Tensors, second: Tensors) -> float | None:
    """Cosine between the updates `B A` of two adapters, all layers together; None where one of them is zero.

    Taken from the products, because A and B alone change with the basis while `B A` does not. Nothing of the size of a
    weight is made: ⟨B₁A₁, B₂A₂⟩ is the sum over (B₁ᵀB₂) ∘ (A₁A₂ᵀ).
    """

    def inner(one: Tensors, other: Tensors) -> float:
        total = 0.0
        for a_name, b_name in pairs(one):
            a, b = one[a_name].double(), one[b_name].double()
            c, d = other[a_name].double(), other[b_name].double()
            total += float(((b.T @ d) * (a @ c.T)).sum())
        return total

    sizes = inner(first, first) * inner(second, second)
    if not sizes > 0:
        return None
    return max(-1.0, min(1.0, inner(first, second) / math.sqrt(sizes)))


def pairs(tensors: Tensors) -> list[tuple[str, str]]:
    """Names of the factors A and B of every adapted layer."""
    return [(name, name.replace(".lora_A.", ".lora_B.")) for name in tensors if ".lora_A." in name]


def is_b(name: str) -> bool:
    """Whether a tensor is a factor B; everything else (A, DoRA's magnitudes) is replaced by a merge."""
    return ".lora_B." in name


def adapted(value: float, cosine: float | None, floor: float) -> float:
    """λ times 0.5 to 1.5, by how far the run's update points where the merged one does: runs that pull against what is
    merged already count less. An option without evidence in the paper."""
    return value if cosine is None else clamp(value * (1.0 + 0.5 * cosine), floor)


def by_layer(name: str, layers: int) -> float:
    """What λ is multiplied with in a layer: 0.6 in the first, rising evenly to 1.4 in the last, 1 on average.

    Early layers hold what tasks share. Names without a layer's number count as the middle.
    """
    found = _LAYER.search(name)
    if found is None or layers < 2:
        return 1.0
    return 0.6 + 0.8 * min(int(found.group(1)), layers - 1) / (layers - 1)


def layer_count(names: Mapping[str, object]) -> int:
    """Layers the names speak of."""
    found = [int(match.group(1)) for name in names if (match := _LAYER.search(name))]
    return max(found, default=-1) + 1


def merged_b(before: torch.Tensor, tuned: torch.Tensor, share: float) -> torch.Tensor:
    """B_merge + λ (B_ft - B_merge) in float32; exactly B_ft where λ is 1."""
    if share == 1.0:
        return tuned.clone()
    return torch.lerp(before.float(), tuned.float(), share).to(before.dtype)


def check_finite(tensors: Tensors, what: str) -> None:
    """Refuse tensors that hold NaN or infinity.

    Raises:
        RunFailed: MERGE_NOT_FINITE, naming the first.
    """
    for name, tensor in tensors.items():
        if not bool(torch.isfinite(tensor).all()):
            raise RunFailed(
                "MERGE_NOT_FINITE",
                f"{what} holds values that are no numbers, in {name}; the merged adapter is as it was.",
                "Resume from the last checkpoint with a lower learning rate.",
                {"tensor": name},
            )
