"""Advice: small arithmetic, a reason with its source, and a word where a choice will surprise."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backprop_tui.config.advice import RANKS, Sizes, advise, cautions, rank_advice, rate_advice
from backprop_tui.config.presets import load_presets, preset_spec
from backprop_tui.protocol.fields import with_overrides
from backprop_tui.protocol.spec import RunSpec

#: Adapter weights per unit of rank of Qwen2.5 shapes with all linear layers, in millions (7B, 1.5B).
SEVEN_B = Sizes(width=3584, family="qwen2", parameters=7_600_000_000, per_rank=2_523_136)
SMALL = Sizes(width=1536, family="qwen2", parameters=1_540_000_000, per_rank=1_154_048)


def spec(**overrides: Any) -> RunSpec:
    return with_overrides(RunSpec(), overrides)


@pytest.mark.parametrize(
    ("sizes", "learnt", "rank"),
    [
        (SEVEN_B, 20_000_000, 64),
        (SEVEN_B, 200_000_000, 128),
        (SEVEN_B, 500_000_000, 256),
        (SEVEN_B, 5_000_000_000, 256),
        (SMALL, 20_000_000, 64),
        (SMALL, 100_000_000, 128),
        (SMALL, 500_000_000, 128),
    ],
)
def test_the_rank_has_as_many_weights_as_there_are_tokens_to_learn(sizes: Sizes, learnt: int, rank: int) -> None:
    from dataclasses import replace

    found = rank_advice(replace(sizes, learnt=learnt))
    assert found.value == rank
    assert "Tinker" in found.words
    assert ("would learn more" in found.words) == (rank * (sizes.per_rank or 0) < learnt)


@given(st.integers(1, 10**7), st.integers(0, 10**12), st.integers(10**6, 10**12))
def test_the_smallest_rank_that_is_enough_is_taken(per_rank: int, learnt: int, parameters: int) -> None:
    found = int(rank_advice(Sizes(parameters=parameters, per_rank=per_rank, learnt=learnt)).value)
    offered = [rank for rank in RANKS if parameters >= 3 * 10**9 or rank <= 128]
    assert found in offered
    smaller = [rank for rank in offered if rank < found]
    assert all(rank * per_rank < learnt for rank in smaller)
    assert found * per_rank >= learnt or found == offered[-1]


def test_what_is_not_known_is_said_and_never_guessed() -> None:
    assert rank_advice(Sizes()).value == 64
    assert "not known" in rank_advice(Sizes()).words
    assert "not known" in rank_advice(SEVEN_B).words
    assert "not known" in rate_advice("lora", Sizes()).words


def test_the_rate_follows_the_width_and_full_fine_tuning_takes_a_tenth() -> None:
    assert rate_advice("lora", SEVEN_B).value == pytest.approx(4.8e-4)
    assert "3,584 wide" in rate_advice("lora", SEVEN_B).words
    assert rate_advice("full", SEVEN_B).value == pytest.approx(2e-5)
    short = rate_advice("lora", Sizes(width=3584, family="qwen2", steps=40)).words
    assert "half more" in short
    assert "half more" not in rate_advice("lora", Sizes(width=3584, family="qwen2", steps=400)).words


def test_choices_that_surprise_get_a_sentence() -> None:
    assert cautions(spec(rank=16, learning_rate=4.8e-4), SEVEN_B) == []
    assert "--max-lora-rank 32" in cautions(spec(rank=32, learning_rate=4.8e-4), SEVEN_B)[0]
    pissa = " ".join(cautions(spec(rank=16, adapter_start="pissa", learning_rate=4.8e-4), SEVEN_B))
    assert "--max-lora-rank 32" in pissa
    assert "lower learning rate" in pissa
    assert "10 times the advised 4.8e-4" in cautions(spec(rank=8, learning_rate=4.8e-3), SEVEN_B)[0]
    assert "far below" in cautions(spec(rank=8, learning_rate=2e-5), SEVEN_B)[0]
    assert "scales this adapter by 8.0" in cautions(spec(rank=16, rslora=True, learning_rate=4.8e-4), SEVEN_B)[0]
    assert cautions(spec(method="full", learning_rate=2e-5, rank=64), SEVEN_B) == []


def test_no_advice_for_what_has_no_effect() -> None:
    assert [one.key for one in advise(spec(method="full"), SEVEN_B)] == ["learning_rate"]
    assert [one.key for one in advise(spec(), SEVEN_B)] == ["learning_rate", "rank"]
    assert [one.key for one in advise(spec(objective="dpo"), SEVEN_B)] == ["rank"]


def test_the_quality_preset_follows_the_rows() -> None:
    from dataclasses import replace

    assert preset_spec("quality").lora.rank == 64
    assert preset_spec("quality", sizes=replace(SEVEN_B, learnt=200_000_000)).lora.rank == 128
    assert preset_spec("quality", sizes=replace(SEVEN_B, learnt=10**9), overrides={"rank": 8}).lora.rank == 8
    assert preset_spec("quality").lora.alpha == 32, "alpha stays, so the rate may stay"


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("classic-fast", (8, 16, 2, 4, 5e-4, 5.0, 50, 500, 3, 0.0)),
        ("classic-balanced", (16, 32, 2, 8, 2e-4, 10.0, 100, 1000, 5, 0.0)),
        ("classic-quality", (32, 64, 4, 8, 1e-4, 20.0, 200, 2000, 10, 0.1)),
    ],
)
def test_the_classic_presets_hold_what_they_held(name: str, values: tuple[Any, ...]) -> None:
    made = preset_spec(name)
    optim = made.optim
    assert (
        made.lora.rank, made.lora.alpha, optim.batch_size, optim.accumulation, optim.learning_rate, optim.warmup,
        optim.steps, made.data.max_rows, made.multi.runs, made.multi.replay,
    ) == values  # fmt: skip
    assert (made.model.method, made.model.quantization, optim.optimizer) == ("qlora", "nf4", "adamw_bnb_8bit")


def test_every_bundled_preset_says_where_its_values_are_from_and_sets_nothing_twice() -> None:
    for name, preset in load_presets().items():
        assert name == "demo" or preset.source, name
