"""Samples, weights, shuffles, curricula and percentiles."""

from __future__ import annotations

import math
import random
import subprocess
import sys
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backprop_tui.data.formats.conversation import PlainText
from backprop_tui.data.tools.order import column_difficulties, curriculum_order, curriculum_parts, difficulty_of
from backprop_tui.data.tools.percentiles import keep_between
from backprop_tui.data.tools.ranks import rank, ranks
from backprop_tui.data.tools.sampling import mixture, repeat_plan, sample_rows, shuffle_order, weighted_counts
from backprop_tui.protocol.errors import DataError, UsageError
from tests.unit.data.tools.rows import KEYS, chat

SEEDS = st.integers(-3, 2**40)


def contents(keys: list[bytes], places: list[int]) -> Counter[bytes]:
    return Counter(keys[place] for place in places)


@given(KEYS, st.integers(0, 70), SEEDS, st.randoms(use_true_random=False))
def test_a_sample_depends_on_contents_and_seed(keys: list[bytes], count: int, seed: int, chance: random.Random) -> None:
    places = sample_rows(keys, count=count, seed=seed)
    assert len(places) == min(count, len(keys))
    assert places == sorted(set(places))
    mixed = keys[:]
    chance.shuffle(mixed)
    assert contents(mixed, sample_rows(mixed, count=count, seed=seed)) == contents(keys, places)
    assert set(sample_rows(keys, count=count // 2, seed=seed)) <= set(places)


def test_shares_and_mistakes() -> None:
    keys = [b"%d" % row for row in range(200)]
    assert sample_rows(keys) == list(range(200))
    assert len(sample_rows(keys, share=0.25, seed=1)) == 50
    assert sample_rows(keys, share=0.25, seed=1) != sample_rows(keys, share=0.25, seed=2)
    assert sample_rows([], share=0.5) == []
    for wrong in ({"count": -1}, {"share": 1.5}, {"share": float("nan")}, {"count": 1, "share": 0.5}):
        with pytest.raises(UsageError) as error:
            sample_rows(keys, **wrong)  # type: ignore[arg-type]
        assert error.value.code == "SAMPLE_INVALID"


@given(KEYS, st.floats(0, 4), SEEDS, st.randoms(use_true_random=False))
def test_a_weight_multiplies_the_rows(keys: list[bytes], weight: float, seed: int, chance: random.Random) -> None:
    plan = repeat_plan(keys, weight, seed)
    assert sum(times for _, times in plan) == weighted_counts([len(keys)], [weight])[0]
    assert abs(sum(times for _, times in plan) - weight * len(keys)) <= 0.5
    assert {times for _, times in plan} <= {math.floor(weight), math.floor(weight) + 1} - {0}
    mixed = keys[:]
    chance.shuffle(mixed)

    def taken(order: list[bytes]) -> Counter[bytes]:
        return sum((Counter({order[place]: times}) for place, times in repeat_plan(order, weight, seed)), Counter())

    assert taken(mixed) == taken(keys)


def test_weights_by_example() -> None:
    keys = [b"%d" % row for row in range(10)]
    assert len(repeat_plan(keys, 0.5, 1)) == 5
    assert repeat_plan(keys, 2, 1) == [(place, 2) for place in range(10)]
    assert Counter(times for _, times in repeat_plan(keys, 1.5, 1)) == {1: 5, 2: 5}
    assert repeat_plan(keys, 0, 1) == []
    assert weighted_counts([10, 7, 3], [0.5, 2, 1.5]) == [5, 14, 5]


def test_a_mixture_counts_on_and_halves_of_the_same_file_differ() -> None:
    keys = [b"%d" % row for row in range(40)]
    plan = mixture([keys, keys, []], [0.5, 0.5, 2], 3)
    first = {place for place, _ in plan if place < 40}
    second = {place - 40 for place, _ in plan if place >= 40}
    assert len(first) == len(second) == 20
    assert first != second
    with pytest.raises(ValueError, match="longer"):
        mixture([keys], [1, 1], 3)


@pytest.mark.parametrize("weight", [-0.1, float("nan"), float("inf"), 1001])
def test_a_weight_that_is_none(weight: float) -> None:
    with pytest.raises(UsageError) as error:
        repeat_plan([b"a"], weight, 1)
    assert error.value.code == "WEIGHT_INVALID"


@given(KEYS, SEEDS, st.randoms(use_true_random=False))
def test_a_shuffle_is_a_permutation_by_content(keys: list[bytes], seed: int, chance: random.Random) -> None:
    order = shuffle_order(keys, seed)
    assert sorted(order) == list(range(len(keys)))
    mixed = keys[:]
    chance.shuffle(mixed)
    assert [mixed[place] for place in shuffle_order(mixed, seed)] == [keys[place] for place in order]
    assert sorted(shuffle_order(len(keys), seed)) == list(range(len(keys)))


def test_draws_are_even_apart_by_purpose_and_those_of_the_first_version() -> None:
    drawn = ranks("test", 1, [b"%d" % row for row in range(4000)])
    assert abs(sum(drawn) / len(drawn) / 2**64 - 0.5) < 0.02
    assert rank("a", 1, b"k") != rank("b", 1, b"k")
    assert rank("a", 1, b"2k") != rank("a", 12, b"k")
    assert ranks("a", 1, [b"k", b"k"])[0] == rank("a", 1, b"k") != ranks("a", 1, [b"k", b"k"])[1]
    assert shuffle_order(8, 42) == [0, 7, 2, 6, 3, 1, 4, 5]


def test_the_same_in_every_process() -> None:
    program = "from backprop_tui.data.tools.sampling import shuffle_order\nprint(shuffle_order(50, 7))"
    for hashing in ("0", "5"):
        done = subprocess.run(
            [sys.executable, "-c", program],
            env={"PYTHONHASHSEED": hashing},
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        assert done.stdout.strip() == str(shuffle_order(50, 7))


@given(st.lists(st.integers(0, 5), max_size=40), SEEDS)
def test_a_curriculum_rises_and_draws_among_equals(difficulties: list[int], seed: int) -> None:
    order = curriculum_order(difficulties, seed)
    assert sorted(order) == list(range(len(difficulties)))
    assert [difficulties[place] for place in order] == sorted(difficulties)


def test_equal_difficulties_by_content() -> None:
    keys = [b"%d" % row for row in range(30)]
    order = [keys[place] for place in curriculum_order([1.0] * 30, 5, keys)]
    turned = keys[::-1]
    assert [turned[place] for place in curriculum_order([1.0] * 30, 5, turned)] == order
    assert order not in (keys, [keys[place] for place in curriculum_order([1.0] * 30, 6, keys)])


@given(st.integers(0, 300), st.integers(-1, 400))
def test_parts_are_equal_and_complete(rows: int, parts: int) -> None:
    cut = curriculum_parts(rows, parts)
    assert len(cut) == max(1, parts)
    assert [place for part in cut for place in part] == list(range(rows))
    assert max(map(len, cut)) - min(map(len, cut)) <= 1
    assert [len(part) for part in cut] == sorted((len(part) for part in cut), reverse=True)


def test_difficulties_by_text() -> None:
    assert difficulty_of(chat("abc", "de"), "length") == 6
    assert difficulty_of(PlainText(""), "words") == 0
    words = "one two One four"
    expected = 0.5 * 16 / 5000 + 0.25 * 3 / 4 + 0.25 * (13 / 4) / 10
    assert difficulty_of(PlainText(words), "words") == pytest.approx(expected)
    assert difficulty_of(PlainText("x" * 20_000), "words") == 1
    with pytest.raises(ValueError, match="level"):
        difficulty_of(PlainText(""), "level")


def test_difficulties_by_column() -> None:
    assert column_difficulties([1, 2.5, "3", float("inf")], "level") == [1.0, 2.5, 3.0, math.inf]
    values = [1, None, float("nan"), "hard", True, [], "", 10**400]
    with pytest.raises(DataError) as error:
        column_difficulties(values, "le\x1bvel")
    assert error.value.code == "DATA_DIFFICULTY_MISSING"
    assert error.value.cause == "The column 'le\u241bvel' has no number in rows 2, 3, 4, 5, 6 and 2 more."
    assert error.value.detail["count"] == 7


@given(
    st.lists(st.none() | st.just(math.nan) | st.floats(allow_nan=False), max_size=60),
    st.decimals(0, 50, places=1),
    st.booleans(),
)
def test_both_tails_lose_the_same(scores: list[float | None], tail: object, keep_unscored: bool) -> None:
    low = float(str(tail))
    kept = keep_between(scores, low, float(str(100 - tail)), keep_unscored=keep_unscored)  # type: ignore[operator]
    scored = [score for score in scores if score is not None and score == score]
    assert kept.below == kept.above
    assert kept.below <= low / 100 * len(scored) + 1e-9
    assert kept.unscored == len(scores) - len(scored)
    middle = sorted(scored)[kept.below : len(scored) - kept.above]
    assert sorted(scores[place] for place in kept.places if scores[place] in scored) == middle  # type: ignore[type-var]
    assert len(kept.places) == len(middle) + keep_unscored * kept.unscored
    assert (kept.low, kept.high) == ((middle[0], middle[-1]) if middle else (None, None))


def test_twenty_rows_lose_one_at_each_end() -> None:
    kept = keep_between([float(row) for row in range(20)], 5, 95)
    assert (kept.below, kept.above, kept.low, kept.high) == (1, 1, 1.0, 18.0)
    assert kept.places == list(range(1, 19))
    assert keep_between([float(row) for row in range(1000)], 2.3, 97.7).above == 23
    assert keep_between([], 5, 95).places == []
    assert keep_between([None, 3.0], 5, 95, keep_unscored=False).places == [1]
    assert kept.to_dict()["kept"] == 18
    for low, high in ((-1, 95), (60, 40), (5, 101), (math.nan, 95)):
        with pytest.raises(UsageError) as error:
            keep_between([1.0], low, high)
        assert error.value.code == "PERCENTILES_INVALID"
