"""Content keys and near duplicates: nothing that differs is called the same, and every process says so."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backprop_tui.data.formats.conversation import (
    Conversation,
    Message,
    Normalised,
    PlainText,
    Preference,
    PromptOnly,
    ToolCall,
    Unpaired,
)
from backprop_tui.data.tools.content import KEY_SIZE, content_key
from backprop_tui.data.tools.duplicates import LONGEST_EXACT, ExactDuplicates, NearDuplicates
from backprop_tui.protocol.errors import UsageError
from tests.unit.data.tools.rows import KEYS, ROWS, chat

WORDS = [
    "".join(random.Random(number).choices("abcdefghijklmnopqrstuvwxyz", k=3 + number % 7)) for number in range(900)
]


def text(seed: int, words: int = 250) -> str:
    return " ".join(random.Random(seed).choices(WORDS, k=words))


def jaccard(one: str, other: str) -> float:
    """By the definition, over runs of five characters."""
    one, other = (" ".join(each.lower().split()) for each in (one, other))
    first, second = ({each[place : place + 5] for place in range(len(each) - 4)} for each in (one, other))
    return len(first & second) / len(first | second)


@given(ROWS, ROWS)
@settings(max_examples=400)
def test_equal_keys_mean_equal_rows(one: Normalised, other: Normalised) -> None:
    assert len(content_key(one)) == KEY_SIZE
    same = type(one) is type(other) and msgspec.json.encode(one, order="sorted") == msgspec.json.encode(
        other, order="sorted"
    )
    assert (content_key(one) == content_key(other)) == same


@given(ROWS)
def test_a_row_keeps_its_key_across_a_process_border(row: Normalised) -> None:
    assert content_key(msgspec.json.decode(msgspec.json.encode(row), type=Normalised)) == content_key(row)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (chat("ab", "c"), chat("a", "bc")),
        (chat("a", "b", "c"), chat("a", "b\n", "c")),
        (
            Conversation((Message("user", "auser"), Message("user", "b"))),
            Conversation((Message("user", "a"), Message("user", "userb"))),
        ),
        (
            PromptOnly((Message("user", "auser"), Message("user", "b"))),
            PromptOnly((Message("user", "a"), Message("user", "userb"))),
        ),
        (PlainText("user"), Conversation((Message("user", ""),))),
        (Conversation((Message("user", "a", name="b"),)), Conversation((Message("user", "a", tool_call_id="b"),))),
        (
            Conversation((Message("assistant", "", tool_calls=(ToolCall("f", {"a": 1}),)),)),
            Conversation((Message("assistant", "", tool_calls=(ToolCall("f", '{"a":1}'),)),)),
        ),
        (
            Preference((Message("user", "q"),), (Message("assistant", "a"),), (Message("assistant", "b"),)),
            Preference((Message("user", "q"),), (Message("assistant", "b"),), (Message("assistant", "a"),)),
        ),
        (
            Unpaired((Message("user", "q"),), (Message("assistant", "a"),), True),
            Unpaired((Message("user", "q"),), (Message("assistant", "a"),), False),
        ),
        (PromptOnly((Message("user", "q"),), {"answer": 4}), PromptOnly((Message("user", "q"),), {"answer": "4"})),
        (PlainText("m1,0"), PlainText("m1,0 ")),
    ],
)
def test_small_differences_count(one: Normalised, other: Normalised) -> None:
    assert content_key(one) != content_key(other)


def test_the_order_of_keys_does_not_count() -> None:
    one = PromptOnly((Message("user", "q"),), {"a": 1, "b": 2})
    assert content_key(one) == content_key(PromptOnly((Message("user", "q"),), {"b": 2, "a": 1}))


def test_keys_are_those_of_the_first_version() -> None:
    """A fingerprint stored by an earlier version has to stay comparable."""
    assert content_key(chat("What is 2 + 2?", "It is 4.", system="é")).hex() == "677b3fcc588f17fcc4c8cc6ed659f9e3"
    assert content_key(PlainText("")).hex() == "95d0b18110fb6c38cdcbd240431b7bf5"


@given(KEYS, st.randoms(use_true_random=False))
def test_contents_kept_do_not_depend_on_order(keys: list[bytes], chance: random.Random) -> None:
    def kept(order: list[bytes]) -> list[bytes]:
        seen = ExactDuplicates()
        return sorted(key for key in order if seen.add(key) is None)

    mixed = keys[:]
    chance.shuffle(mixed)
    assert kept(keys) == kept(mixed) == sorted(set(keys))


def test_the_first_row_is_named() -> None:
    seen = ExactDuplicates()
    assert [seen.add(key) for key in (b"a", b"b", b"a", b"a", b"b")] == [None, None, 0, 0, 1]


@pytest.mark.parametrize("threshold", [0.6, 0.75, 0.9, 0.95])
def test_the_threshold_means_the_exact_similarity(threshold: float) -> None:
    """Pairs on both sides of the threshold, many of them just beside it."""
    wrong: list[tuple[float, bool]] = []
    beyond = below = 0
    for number in range(250):
        chance = random.Random(number)
        words = text(number).split()
        changed = words[:]
        for place in chance.sample(range(len(words)), chance.randint(0, int(180 * (1.05 - threshold)))):
            changed[place] = chance.choice(WORDS)
        one, other = " ".join(words), " ".join(changed)
        near = NearDuplicates(threshold)
        assert near.add(one) is None
        found = near.add(other) == 0
        expected = jaccard(one, other)
        beyond += expected >= threshold
        below += expected < threshold
        if found != (expected >= threshold):
            wrong.append((expected, found))
    assert beyond > 20
    assert below > 20
    assert not wrong


def test_case_and_white_space_do_not_count_and_short_texts_are_compared_whole() -> None:
    near = NearDuplicates()
    rows = ["", "Ab", "  ab ", "abc", "Hello  World,\nagain", "hello world, AGAIN", "", "\u4f60\u597d", "\u4f60\u597d"]
    assert [near.add(row) for row in rows] == [None, None, 1, None, None, 4, 0, None, 7]


def test_a_family_keeps_its_first_and_those_only_near_to_what_was_dropped() -> None:
    words = text(1, 120).split()

    def changed(count: int) -> str:
        return " ".join([f"other{place}" if place < count else word for place, word in enumerate(words)])

    rows = [changed(0), changed(5), changed(10), changed(5)]
    assert jaccard(rows[0], rows[1]) >= 0.9 > jaccard(rows[0], rows[2])
    assert jaccard(rows[1], rows[2]) >= 0.9
    near = NearDuplicates()
    assert [near.add(row) for row in rows] == [None, 0, None, 0]


def test_scripts_without_spaces() -> None:
    one = "".join(chr(0x4E00 + place * 37 % 2000) for place in range(300))
    near = NearDuplicates()
    assert near.add(one) is None
    assert near.add(one[:150] + "\u3002" + one[150:]) == 0
    assert near.add(one[::-1]) is None


def test_long_texts_are_compared_by_a_sample() -> None:
    one = text(5, 9_000)
    assert len(one) > 2 * LONGEST_EXACT
    near = NearDuplicates()
    assert near.add(one) is None
    assert near.add(one + " and one more sentence at the end") == 0
    assert near.add(" ".join(one.split()[: len(one.split()) // 2])) is None
    halves = one[: len(one) // 2] + text(6, 4_500)
    assert near.add(halves) is None


def test_a_large_family_below_the_threshold_costs_no_more_than_its_bound() -> None:
    """Each row shares most bands with hundreds of others; only a bounded number is looked at."""
    head = text(7, 160)
    near = NearDuplicates()
    assert all(near.add(f"{head} {text(number, 40)}") is None for number in range(1000, 1400))
    assert max(len(held) for held in near._buckets.values() if isinstance(held, list)) <= 64
    assert near.add(f"{head} {text(1100, 40)}".upper()) == 100


def test_the_same_in_every_process() -> None:
    program = (
        "import json, random\n"
        "from tests.unit.data.tools.test_duplicates import decisions\n"
        "print(json.dumps(decisions()))"
    )
    answers = []
    for seed in ("0", "1", "77"):
        done = subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        )
        answers.append(json.loads(done.stdout))
    assert answers[0] == answers[1] == answers[2] == decisions()
    assert any(answer is not None for answer in answers[0])


def decisions() -> list[int | None]:
    near = NearDuplicates(0.7, seed=11)
    chance = random.Random(4)
    rows = [text(number % 40, 60) for number in range(120)]
    rows = [" ".join(word for word in row.split() if chance.random() > 0.04) for row in rows]
    return [near.add(row) for row in rows]


@pytest.mark.parametrize("threshold", [0.0, -1.0, 1.01, float("nan")])
def test_a_threshold_that_is_none(threshold: float) -> None:
    with pytest.raises(UsageError) as error:
        NearDuplicates(threshold)
    assert error.value.code == "NEAR_THRESHOLD_INVALID"


def test_a_threshold_of_one_is_equality_of_runs() -> None:
    near = NearDuplicates(1.0)
    assert [near.add(row) for row in (text(1), text(1) + " x", text(1))] == [None, None, 0]
