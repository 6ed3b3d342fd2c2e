"""What a token costs in arithmetic, from the shape alone; the formula is that of `engine.worker.flops`."""

from __future__ import annotations

from collections.abc import Sequence

from backprop_tui.launch.plan.decoder import Adaptation
from backprop_tui.launch.plan.shape import ModelShape


def flops_per_token(
    shape: ModelShape, adapt: Adaptation, trained: int, lengths: Sequence[int], learnt: Sequence[int]
) -> float | None:
    """Floating-point operations per real token of a training step, None without rows.

    With N the weights of the layers, V·H of the head, P of the adapters, f the learnt share and A = 4·context·heads·head
    size·layers: 4N + 4fVH + 6P + 3A over a frozen base, 6N + 6fVH + 3A where everything is trained.
    """
    tokens = sum(lengths)
    if not tokens:
        return None
    context = sum(length * length for length in lengths) / (2 * tokens)
    attention = 4 * context * shape.heads * shape.head_size * shape.layers
    head = sum(learnt) / tokens * shape.vocabulary * shape.hidden
    factor, adapters = (6, 0) if adapt.everything else (4, trained)
    return factor * (shape.linear + head) + 6 * adapters + 3 * attention
