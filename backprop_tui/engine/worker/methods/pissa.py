"""PiSSA: adapters that start as the largest singular values of the base (Meng et al. 2024, arXiv 2404.02948).

A layer W becomes W − s·B₀A₀ beside an adapter that begins as A₀, B₀ (s is the adapter's scaling). What is trained would
therefore mean nothing beside the original base, so a checkpoint holds the difference s·(BA − B₀A₀) as an ordinary adapter of
twice the rank, A′ = [A; A₀] and B′ = [B, −B₀], which any PEFT adds to the base as it was. Both halves stand in it bit by bit:
a resume takes A₀ and B₀ from there, and computes the same W − s·B₀A₀ as the first attempt.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from peft import get_peft_model_state_dict, set_peft_model_state_dict
from peft.tuners.lora import LoraLayer
from safetensors.torch import load_file, save_file

from backprop_tui.protocol.errors import DataError, UsageError
from backprop_tui.protocol.spec import RunSpec

_FILE = "adapter_model.safetensors"
_NAME = "default"
#: Where a model keeps the matrices its adapters began as, by the names they have in a checkpoint.
_START = "backprop_pissa_start"

Tensors = dict[str, torch.Tensor]


def wanted(spec: RunSpec) -> bool:
    """Whether a run's adapters start from the base's singular values."""
    return spec.lora.adapter_start == "pissa" and spec.model.method == "lora" and not spec.lora.dora


def begin(model: Any, checkpoint: Path | None) -> None:
    """Move the principal part of each adapted layer into its adapter.

    Args:
        model: a PEFT model whose adapters have just been made.
        checkpoint: where an earlier attempt saved what they began as; None decomposes the base.

    Raises:
        UsageError: PISSA_RANK, the rank is larger than a layer.
        DataError: CHECKPOINT_INVALID.
    """
    earlier = None if checkpoint is None else _halves(checkpoint)[1]
    start: Tensors = {}
    for name, layer in _layers(model):
        keys = [f"base_model.model.{name}.lora_{side}.weight" for side in "AB"]
        scaling = float(layer.scaling[_NAME])
        weight = layer.get_base_layer().weight
        base = weight.data.to(torch.float32)
        base = base.T if layer.fan_in_fan_out else base
        if earlier is None:
            first, second = _principal(base, int(layer.r[_NAME]), scaling, name)
        else:
            first, second = (_part(earlier, key, checkpoint).to(base.device) for key in keys)
        layer.lora_A[_NAME].weight.data = first.clone()
        layer.lora_B[_NAME].weight.data = second.clone()
        rest = base - scaling * (second @ first)
        weight.data = (rest.T if layer.fan_in_fan_out else rest).to(weight.dtype).contiguous()
        start[keys[0]], start[keys[1]] = first.cpu(), second.cpu()
    setattr(model, _START, start)


def save(model: Any, directory: Path) -> bool:
    """Write a PiSSA model as an ordinary adapter of twice the rank over the untouched base.

    Returns:
        False, and nothing written, for any other model.
    """
    start: Tensors | None = getattr(model, _START, None)
    if start is None:
        return False
    tensors: Tensors = {}
    for name, weights in get_peft_model_state_dict(model, save_embedding_layers=False).items():
        weights = weights.detach().cpu().to(torch.float32)
        if ".lora_A." in name:
            weights = torch.cat([weights, start[name]], dim=0)
        elif ".lora_B." in name:
            weights = torch.cat([weights, -start[name]], dim=1)
        tensors[name] = weights.contiguous()
    config = copy.deepcopy(model.peft_config[_NAME])
    # The scaling must stay: alpha / r, or alpha / √r.
    config.lora_alpha *= math.sqrt(2.0) if config.use_rslora else 2
    config.r *= 2
    config.inference_mode = True
    config.save_pretrained(directory)
    save_file(tensors, directory / _FILE, metadata={"format": "pt"})
    return True


def restore(model: Any, checkpoint: Path) -> bool:
    """Put the trained half of a checkpoint's adapter back where it was.

    Returns:
        False, and nothing changed, for a model that is not PiSSA.

    Raises:
        DataError: CHECKPOINT_INVALID.
    """
    if getattr(model, _START, None) is None:
        return False
    set_peft_model_state_dict(model, _halves(checkpoint)[0], adapter_name=_NAME)
    return True


def _layers(model: Any) -> Iterator[tuple[str, Any]]:
    for name, module in model.get_base_model().named_modules():
        if isinstance(module, LoraLayer) and _NAME in module.lora_A:
            yield name, module


def _principal(base: torch.Tensor, rank: int, scaling: float, name: str) -> tuple[torch.Tensor, torch.Tensor]:
    """A₀ of shape (rank, in) and B₀ of shape (out, rank) with s·B₀A₀ the best approximation of `base` of that rank."""
    if rank > min(base.shape):
        raise UsageError(
            "PISSA_RANK",
            f"{name} has {min(base.shape)} singular values and the adapter's rank is {rank}.",
            f"Set rank to {min(base.shape)} or less, or adapter_start to zero.",
        )
    left, values, right = torch.linalg.svd(base, full_matrices=False)
    roots = torch.sqrt(values[:rank] / scaling)
    # In the layout they have when they are read from a checkpoint: other strides take another path through the product.
    return (roots[:, None] * right[:rank]).contiguous(), (left[:, :rank] * roots).contiguous()


def _halves(checkpoint: Path) -> tuple[Tensors, Tensors]:
    """The trained matrices and those they began as, out of a converted adapter."""
    try:
        both = load_file(checkpoint / _FILE)
    except Exception as error:
        raise _damaged(checkpoint) from error
    trained: Tensors = {}
    start: Tensors = {}
    for name, weights in both.items():
        dimension = 0 if ".lora_A." in name else 1
        one, two = (half.contiguous() for half in torch.chunk(weights, 2, dim=dimension))
        trained[name], start[name] = one, two if dimension == 0 else -two
    return trained, start


def _part(tensors: Mapping[str, torch.Tensor], name: str, checkpoint: Path | None) -> torch.Tensor:
    found = tensors.get(name)
    if found is None:
        raise _damaged(checkpoint)
    return found


def _damaged(checkpoint: Path | None) -> DataError:
    where = checkpoint.name if checkpoint is not None else "The checkpoint"
    return DataError(
        "CHECKPOINT_INVALID",
        f"{where} holds no adapter that says what PiSSA began as.",
        "Resume from an earlier checkpoint, or start a new run.",
    )
