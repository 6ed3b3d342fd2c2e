"""What a token costs in arithmetic: the model's own share, without recomputation, for the utilisation of the hardware.

Per real token, with N the parameters of linear layers, V·H those of the head, P those of adapters, f the share of tokens
whose loss counts, s̄ the mean causal context and A = 4·s̄·heads·head size·layers for attention:

    frozen base with adapters   4N + 4fVH + 6P + 3A    (no gradient of frozen weights)
    everything trained          6N + 6fVH + 3A
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch


def flops_per_token(
    model: Any, *, trains_all: bool, lengths: Sequence[int] | np.ndarray[Any, Any], learnt_share: float
) -> tuple[float | None, str]:
    """Floating-point operations per real token of a training step, or None and why it can't be said.

    Args:
        model: a causal language model of transformers, with adapters or without.
        trains_all: whether all weights are trained; else only adapters are.
        lengths: tokens of each row.
        learnt_share: tokens whose loss counts, as a share of all.
    """
    config = model.config
    names = ("num_experts", "num_local_experts", "n_routed_experts")
    if any((getattr(config, name, None) or 0) > 1 for name in names):
        return None, "a mixture of experts uses other weights for each token"
    layers, heads = getattr(config, "num_hidden_layers", None), getattr(config, "num_attention_heads", None)
    hidden = getattr(config, "hidden_size", None)
    if not (isinstance(layers, int) and isinstance(heads, int) and isinstance(hidden, int)):
        return None, "the model's configuration does not say its shape"
    body, head, adapters = _matrices(model)
    if not body:
        return None, "the model has no linear layers"
    size = getattr(config, "head_dim", None) or hidden // heads
    rows = np.asarray(lengths, dtype=np.float64)
    tokens = float(rows.sum())
    context = float((rows**2).sum()) / (2 * tokens) if tokens else 0.0
    attention = 4 * context * heads * size * layers
    weights = 6 if trains_all else 4
    return weights * (body + learnt_share * head) + 6 * adapters + 3 * attention, ""


def _matrices(model: Any) -> tuple[int, int, int]:
    """Elements of the linear layers' weights, of the head's, and of the adapters'."""
    output = model.get_output_embeddings()
    # A head with an adapter of its own is the layer under it.
    output = getattr(output, "base_layer", output)
    body = head = adapters = 0
    for name, module in model.named_modules():
        if isinstance(module, torch.nn.Linear):
            # By its shape: weights in four bits are stored in fewer elements than they stand for.
            count = module.in_features * module.out_features
        elif type(module).__name__ == "Conv1D":
            count = module.weight.numel()
        else:
            continue
        if module is output:
            head = count
        elif "lora_" in name:
            adapters += count
        else:
            body += count
    return body, head, adapters
