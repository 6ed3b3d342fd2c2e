"""Names of reward functions with their weights, as people write them: `exact_match, brevity*0.2`."""

from __future__ import annotations

import math

from backprop_tui.protocol.errors import UsageError
from backprop_tui.protocol.parts.grpo import WEIGHT_SIGN
from backprop_tui.protocol.text import safe_text


def reward_weights(words: str) -> dict[str, float]:
    """Weights by name, in order; 1 where none is given.

    Raises:
        UsageError: REWARD_WEIGHT, a part is no name, a weight is no number or 0, or a name comes twice.
    """
    weights: dict[str, float] = {}
    for part in filter(None, (part.strip() for part in words.split(","))):
        name, sign, weight = (piece.strip() for piece in part.partition(WEIGHT_SIGN))
        try:
            value = float(weight) if sign else 1.0
        except ValueError:
            value = math.nan
        if not name.isidentifier() or not math.isfinite(value) or not value or name in weights:
            raise UsageError(
                "REWARD_WEIGHT",
                f"{safe_text(part, limit=80)!r} is no name of a reward with a weight, or comes twice.",
                f"Write names with commas between them, such as exact_match, brevity{WEIGHT_SIGN}0.2.",
            )
        weights[name] = value
    return weights
