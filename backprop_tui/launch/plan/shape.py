"""A model's shape from its config.json and the headers of its weights; nothing is loaded."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backprop_tui.data.rendering.template import read_config
from backprop_tui.launch.estimate import Shapes, read_shapes

#: Families whose layers are what `decoder` describes.
KNOWN = frozenset({
    "llama", "mistral", "qwen2", "qwen3", "smollm3", "phi3", "gemma", "gemma2", "gemma3_text", "olmo2", "granite",
})  # fmt: skip
_EXPERTS = ("num_experts", "num_local_experts", "n_routed_experts")


@dataclass(frozen=True, slots=True)
class ModelShape:
    """What a decoder is made of, in elements.

    Attributes:
        family: `model_type`. exact: whether its layers are those described here; else figures are rough.
        parameters: all weights, as stored. tied: whether the head is the embedding.
        linear: weights of linear layers, which are the ones quantised. sizes: (in, out) of a layer's linear layers by name.
    """

    family: str
    exact: bool
    hidden: int
    inner: int
    layers: int
    heads: int
    kv_heads: int
    head_size: int
    vocabulary: int
    context: int | None
    tied: bool
    attention_bias: bool
    output_bias: bool
    mlp_bias: bool
    qk_norm: bool
    parameters: int
    linear: int

    @property
    def sizes(self) -> dict[str, tuple[int, int]]:
        """(in, out) of a layer's linear layers, by the name targets are given in."""
        wide, narrow = self.heads * self.head_size, self.kv_heads * self.head_size
        return {
            "q_proj": (self.hidden, wide), "k_proj": (self.hidden, narrow), "v_proj": (self.hidden, narrow),
            "o_proj": (wide, self.hidden), "gate_proj": (self.hidden, self.inner), "up_proj": (self.hidden, self.inner),
            "down_proj": (self.inner, self.hidden),
        }  # fmt: skip


def read_shape(directory: Path) -> tuple[ModelShape | None, str]:
    """The shape of the model in a directory, or None and why it can't be said.

    Raises:
        DataError: config.json is not a JSON object.
    """
    return shape_of(read_config(directory, "config.json"), read_shapes(directory))


def shape_of(config: Mapping[str, Any], stored: Shapes | None) -> tuple[ModelShape | None, str]:
    """The shape, or None and why not.

    Args:
        config: config.json.
        stored: shapes of the stored tensors by name; None where no weights are here yet.
    """
    inner_words = config.get("text_config")
    words = {**config, **inner_words} if isinstance(inner_words, dict) else dict(config)
    if any(isinstance(words.get(name), int) and words[name] > 1 for name in _EXPERTS):
        return None, "a mixture of experts uses other weights for each token"
    hidden, layers = _whole(words, "hidden_size", "n_embd"), _whole(words, "num_hidden_layers", "n_layer")
    heads, vocabulary = _whole(words, "num_attention_heads", "n_head"), _whole(words, "vocab_size")
    if not (hidden and layers and heads and vocabulary):
        return None, "config.json does not say the model's shape"
    family = str(words.get("model_type") or "")
    kv_heads = _whole(words, "num_key_value_heads") or heads
    head_size = _whole(words, "head_dim") or hidden // heads
    wide = _whole(words, "intermediate_size", "n_inner") or 4 * hidden
    biases = stored is not None and any(name.endswith("q_proj.bias") for name in stored)
    tied = "lm_head.weight" not in stored if stored else bool(words.get("tie_word_embeddings", False))
    linear = layers * (hidden * head_size * (2 * heads + 2 * kv_heads) + 3 * hidden * wide)
    counted = sum(math.prod(shape) for shape in stored.values()) if stored else None
    attention_bias = biases or bool(words.get("attention_bias")) or family == "qwen2"
    guess = linear + vocabulary * hidden * (1 if tied else 2) + hidden * (2 * layers + 1)
    guess += layers * head_size * (heads + 2 * kv_heads) if attention_bias else 0
    return ModelShape(
        family=family,
        exact=family in KNOWN,
        hidden=hidden,
        inner=wide,
        layers=layers,
        heads=heads,
        kv_heads=kv_heads,
        head_size=head_size,
        vocabulary=vocabulary,
        context=_whole(words, "max_position_embeddings", "n_positions"),
        tied=tied,
        attention_bias=attention_bias,
        output_bias=bool(words.get("attention_bias")) and family != "qwen2",
        mlp_bias=bool(words.get("mlp_bias")),
        qk_norm=family in ("qwen3", "gemma3_text", "olmo2"),
        parameters=counted or guess,
        linear=linear,
    ), ""


def _whole(words: Mapping[str, Any], *names: str) -> int | None:
    for name in names:
        value = words.get(name)
        if isinstance(value, int) and not isinstance(value, bool) and value > 0:
            return value
    return None
