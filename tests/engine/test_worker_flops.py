"""The arithmetic a token costs, against the formula worked out by hand on real models."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

from backprop_tui.engine.worker.flops import flops_per_token

pytestmark = pytest.mark.train

H, MLP, L, HEADS, V = 32, 64, 2, 4, 100
BODY = L * (4 * H * H + 3 * H * MLP)


def llama() -> LlamaForCausalLM:
    return LlamaForCausalLM(
        LlamaConfig(
            hidden_size=H, intermediate_size=MLP, num_hidden_layers=L, num_attention_heads=HEADS, num_key_value_heads=HEADS,
            vocab_size=V, tie_word_embeddings=False,
        )
    )  # fmt: skip


def attention(lengths: list[int]) -> float:
    context = sum(n * n for n in lengths) / (2 * sum(lengths))
    return 4 * context * H * L


def test_everything_trained_costs_six_per_weight() -> None:
    lengths = [10, 30]
    cost, why = flops_per_token(llama(), trains_all=True, lengths=lengths, learnt_share=0.5)
    assert why == ""
    assert cost == pytest.approx(6 * BODY + 6 * 0.5 * V * H + 3 * attention(lengths))


def test_adapters_spare_the_gradient_of_the_base() -> None:
    rank = 4
    model = get_peft_model(llama(), LoraConfig(r=rank, target_modules="all-linear", task_type="CAUSAL_LM"))
    adapters = L * (4 * 2 * rank * H + 3 * rank * (H + MLP))
    cost, _ = flops_per_token(model, trains_all=False, lengths=[20], learnt_share=1.0)
    assert cost == pytest.approx(4 * BODY + 4 * V * H + 6 * adapters + 3 * attention([20]))


def test_convolutions_of_old_models_count_too() -> None:
    model = GPT2LMHeadModel(GPT2Config(n_embd=H, n_layer=L, n_head=HEADS, vocab_size=V))
    cost, _ = flops_per_token(model, trains_all=True, lengths=[8], learnt_share=1.0)
    assert cost == pytest.approx(6 * L * 12 * H * H + 6 * V * H + 3 * attention([8]))


def test_experts_and_unknown_shapes_are_not_guessed() -> None:
    model = llama()
    model.config.num_experts = 8
    assert flops_per_token(model, trains_all=True, lengths=[8], learnt_share=1.0)[0] is None
    bare = torch.nn.Linear(2, 2)
    bare.config = SimpleNamespace()  # type: ignore[assignment]
    cost, why = flops_per_token(bare, trains_all=True, lengths=[8], learnt_share=1.0)
    assert (cost, "shape" in why) == (None, True)


@pytest.mark.parametrize(
    ("hidden", "mlp", "layers", "heads", "kept", "giga"),
    [(896, 4864, 24, 14, 2, 2.09), (1536, 8960, 28, 12, 2, 6.42), (3584, 18944, 28, 28, 4, 28.83)],
)
def test_published_shapes_come_out_as_derived(
    hidden: int, mlp: int, layers: int, heads: int, kept: int, giga: float
) -> None:
    vocabulary = 152_064 if hidden == 3584 else 151_936
    config = LlamaConfig(
        hidden_size=hidden, intermediate_size=mlp, num_hidden_layers=layers, num_attention_heads=heads,
        num_key_value_heads=kept, vocab_size=vocabulary,
    )  # fmt: skip
    with torch.device("meta"):
        model = get_peft_model(
            LlamaForCausalLM(config), LoraConfig(r=16, target_modules="all-linear", task_type="CAUSAL_LM")
        )
    # Rows of 512 tokens have a mean causal context of 256.
    cost, _ = flops_per_token(model, trains_all=False, lengths=[512], learnt_share=1.0)
    assert cost == pytest.approx(giga * 1e9, rel=0.005)
