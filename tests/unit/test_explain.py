"""Which setting explains it: ranks, honest words, and nothing claimed of runs that can't carry it."""

from __future__ import annotations

import math
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from backprop_tui.store.differences import ABSENT, differing, groups
from backprop_tui.store.explain import Explanation, explain


def told(settings: list[dict[str, Any]], outcome: list[float | None], **words: Any) -> Explanation:
    return explain(differing(settings), outcome, **words)


def test_only_what_differs_is_listed_in_the_order_of_the_form() -> None:
    found = differing(
        [
            {"name": "a", "rank": 8, "learning_rate": 1e-4, "base": "demo", "packing": True, "odd": 1},
            {"name": "b", "rank": 16, "learning_rate": 1e-4, "base": "qwen", "packing": 1},
        ]
    )
    assert [(one.key, one.section) for one in found] == [
        ("base", "model"), ("rank", "adapter"), ("packing", "data"), ("odd", "other")
    ]  # fmt: skip
    assert found[-1].values == (1, ABSENT)
    assert groups(["a", "b", "a", None, ABSENT]) == (0, 1, 0, 2, 3)


def test_two_runs_explain_nothing() -> None:
    found = told([{"rank": 8, "seed": 1}, {"rank": 16, "seed": 2}], [1.0, 2.0])
    assert found.factors == ()
    assert found.sentence == "2 settings differ. Two runs explain nothing: any of it may be why, or chance."
    assert "3 runs are too few" in told([{"rank": 8}, {"rank": 16}, {"rank": 32}], [1, 2, 3]).sentence
    assert "fewer than two" in told([{"rank": 8}, {"rank": 16}], [1.0, None]).sentence.lower()


def test_a_number_that_orders_the_outcome_stands_out_and_noise_does_not() -> None:
    rng = random.Random(1)
    settings = [{"rank": rank, "seed": rng.randrange(1000)} for rank in (4, 8, 16, 32, 64, 128, 4, 8, 16, 32)]
    found = told(settings, [2.0 - math.log(run["rank"]) / 5 + rng.random() / 50 for run in settings])
    assert found.factors[0].keys == ("rank",)
    assert found.factors[0].direction == -1
    assert found.factors[0].best == 128
    assert found.factors[0].verdict == "stands out"
    assert "Not a proof" in found.sentence
    assert found.factors[1].verdict != "stands out"
    assert found.runs == 10


def test_four_runs_in_perfect_order_are_a_hint_at_most() -> None:
    found = told([{"rank": rank} for rank in (1, 2, 3, 4)], [4.0, 3.0, 2.0, 1.0])
    assert found.factors[0].strength == pytest.approx(1.0)
    assert found.factors[0].chance == pytest.approx(2 / 24)
    assert found.factors[0].verdict == "a hint"


def test_choices_go_by_the_spread_between_their_groups() -> None:
    settings = [{"schedule": name, "seed": at} for at, name in enumerate(["cosine", "linear", "constant"] * 4)]
    means = {"cosine": 1.0, "linear": 2.0, "constant": 3.0}
    found = told(settings, [means[str(run["schedule"])] + 0.01 * at for at, run in enumerate(settings)])
    assert found.factors[0].keys == ("schedule",)
    assert (found.factors[0].direction, found.factors[0].best) == (0, "cosine")
    assert found.factors[0].verdict == "stands out"


def test_a_sweet_spot_has_no_direction_but_is_found() -> None:
    rates = [1e-5, 1e-4, 1e-3] * 4
    found = told([{"learning_rate": rate} for rate in rates], [1.0 + at / 100 if rate == 1e-4 else 2.0 + at / 100
                 for at, rate in enumerate(rates)])  # fmt: skip
    assert found.factors[0].direction == 0
    assert found.factors[0].best == 1e-4
    assert found.factors[0].verdict == "stands out"


def test_settings_that_change_together_are_named_together() -> None:
    settings = [
        {"rank": rank, "alpha": 2 * rank, "optimizer": "sgd" if rank > 8 else "adamw_torch"} for rank in (8, 16) * 4
    ]
    found = told(settings, [float(run["rank"]) for run in settings])
    assert [factor.keys for factor in found.factors] == [("rank", "alpha", "optimizer")]
    assert "changed together" in found.sentence
    single = told([{"rank": rank, "warmup": 1 / rank} for rank in (1, 2, 3, 4, 5)], [1, 3, 2, 5, 4])
    assert [factor.keys for factor in single.factors] == [("rank", "warmup")]


def test_a_choice_of_its_own_for_each_run_says_nothing() -> None:
    found = told([{"base": name} for name in "abcde"], [1.0, 2, 3, 4, 5])
    assert found.factors == ()
    assert found.own == ("base",)


def test_what_is_not_a_number_is_the_worst_and_what_is_unknown_is_left_out() -> None:
    settings = [{"learning_rate": rate} for rate in (1e-4, 2e-4, 1e-3, 1e-2, 1e-1, 1.0)]
    found = told(settings, [1.0, 1.1, 1.2, math.nan, math.inf, None])
    assert (found.runs, found.missing) == (5, 1)
    assert found.factors[0].direction == 1
    up = told(settings, [0.9, 0.8, 0.7, 0.6, math.nan, None], low_is_good=False)
    assert up.factors[0].direction == -1
    assert up.factors[0].best == 1e-4


def test_many_useless_settings_are_paid_for() -> None:
    hits = 0
    for round_ in range(20):
        rng = random.Random(round_)
        settings = [{key: rng.random() for key in ("rank", "alpha", "dropout", "warmup", "weight_decay", "learning_rate",
                    "min_lr_ratio", "eval_split", "near_threshold", "max_grad_norm")} for _ in range(8)]  # fmt: skip
        found = told(settings, [rng.random() for _ in range(8)])
        hits += any(factor.verdict == "stands out" for factor in found.factors)
    assert hits <= 4, "one in twenty is promised; ten settings judged one by one would give about eight"


_VALUES = st.sampled_from([None, "", "a", True, False, 0, 1, 2.5, math.nan, 10**400, [1], {"x": 1}])


@hypothesis_settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.dictionaries(st.sampled_from(["rank", "seed", "odd", "base"]), _VALUES, max_size=4),
             st.one_of(st.none(), st.floats())), max_size=9),
    st.booleans(),
)  # fmt: skip
def test_anything_is_judged_without_an_accident(runs: list[tuple[dict[str, Any], float | None]], low: bool) -> None:
    found = told([leaves for leaves, _ in runs], [value for _, value in runs], low_is_good=low)
    assert found.sentence
    assert all(0 <= factor.strength <= 1 and 0 < factor.chance <= 1 for factor in found.factors)
    assert found.to_dict()["runs"] == found.runs
