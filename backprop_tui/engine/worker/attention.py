"""Attention over rows laid end to end: each row attends to itself alone, and no mask over the whole batch is built.

Registered with transformers as `backprop_varlen`. Where a batch carries the rows' bounds (`cu_seq_lens_q`), every row is
attended to by itself: with torch's variable-length kernel on a GPU that takes the number format and the head's width, else
row by row with scaled-dot-product attention. Batches without bounds (generating, measuring) go through the usual
attention with the usual mask.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch
from torch.nn import functional
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from backprop_tui.protocol.errors import UnavailableError
from backprop_tui.protocol.spec import RunSpec

NAME = "backprop_varlen"
#: Widest head and number formats of torch's variable-length kernel (flash attention).
_WIDEST_HEAD = 256
_FORMATS = (torch.float16, torch.bfloat16)


def attention_of(spec: RunSpec) -> str:
    """The name transformers is told; registers ours when it is asked for."""
    if not uses_rows(spec):
        return "sdpa" if spec.model.attention == "auto" else spec.model.attention
    AttentionInterface.register(NAME, attend)
    AttentionMaskInterface.register(NAME, mask)
    return NAME


def uses_rows(spec: RunSpec) -> bool:
    """Whether rows are attended to one by one."""
    return spec.model.attention == "varlen" or (spec.model.attention == "auto" and flattens(spec))


def flattens(spec: RunSpec) -> bool:
    """Whether the rows of a batch are laid end to end without being packed beforehand."""
    return spec.data.padding_free and not spec.data.packing


def check_attention(model: Any, spec: RunSpec) -> None:
    """Refuse a model that would not use the attention it was asked to use.

    Raises:
        UnavailableError: ATTENTION_UNAVAILABLE.
    """
    if not uses_rows(spec):
        return
    if getattr(model.config, "_attn_implementation", None) != NAME or getattr(model.config, "sliding_window", None):
        raise UnavailableError(
            "ATTENTION_UNAVAILABLE",
            f"{type(model).__name__} can't attend row by row: it has an attention of its own or a sliding window.",
            "Set padding_free to off and attention to auto.",
        )


def mask(*args: Any, **kwargs: Any) -> Any:
    """The mask of SDPA; an empty one for rows laid end to end, whose bounds `attend` is given instead."""
    end_to_end = kwargs.get("attention_mask") is None and not kwargs.get("allow_is_causal_skip", True)
    if end_to_end and kwargs.get("q_length") == kwargs.get("kv_length"):
        return torch.empty(0, dtype=torch.bool, device=kwargs.get("device"))
    return sdpa_mask(*args, **kwargs)


def attend(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    **options: Any,
) -> tuple[torch.Tensor, None]:
    """Attention as transformers calls it.

    Args:
        module: the attention layer.
        query: shape (batch, heads, tokens, width).
        key: the same with perhaps fewer heads.
        value: as `key`.
        attention_mask: empty for rows laid end to end.
        dropout: of attention weights; the row-wise kernels have none, and models we train use none.
        scaling: of the scores.
        options: `cu_seq_lens_q`, shape (rows + 1,) int32, and `max_length_q`, where rows are laid end to end in one line.

    Returns:
        Shape (batch, tokens, heads, width), and None for the weights.
    """
    bounds = options.get("cu_seq_lens_q")
    if bounds is None:
        if attention_mask is not None and not attention_mask.numel():
            # Without bounds every row would see those before it, and the loss would look fine.
            raise ValueError("rows were laid end to end without saying where they begin")
        return sdpa_attention_forward(  # type: ignore[no-any-return]
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **options
        )
    if query.is_cuda and query.dtype in _FORMATS and query.shape[-1] <= _WIDEST_HEAD:
        return _with_kernel(query, key, value, bounds, int(options["max_length_q"]), scaling), None
    return _row_by_row(query, key, value, bounds.tolist(), scaling), None


def _with_kernel(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    bounds: torch.Tensor,
    longest: int,
    scaling: float | None,
) -> torch.Tensor:
    from torch.nn.attention.varlen import varlen_attn

    # One line of tokens: (1, heads, tokens, width) → (tokens, heads, width).
    flat = [tensor[0].transpose(0, 1).contiguous() for tensor in (query, key, value)]
    grouped = query.shape[1] != key.shape[1]
    found = varlen_attn(*flat, bounds, bounds, longest, longest, scale=scaling, window_size=(-1, 0), enable_gqa=grouped)
    assert isinstance(found, torch.Tensor)
    return found.unsqueeze(0)


def _row_by_row(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, bounds: list[int], scaling: float | None
) -> torch.Tensor:
    grouped = query.shape[1] != key.shape[1]
    pieces = [
        functional.scaled_dot_product_attention(
            query[:, :, start:end], key[:, :, start:end], value[:, :, start:end],
            is_causal=True, scale=scaling, enable_gqa=grouped,
        )
        for start, end in pairwise(bounds)
    ]  # fmt: skip
    return torch.cat(pieces, dim=2).transpose(1, 2)
