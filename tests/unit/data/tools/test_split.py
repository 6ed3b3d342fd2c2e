"""Held-out rows: disjoint by content and group, decided by what rows say and not by where they stand."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backprop_tui.data.tools.split import split_rows
from tests.unit.data.tools.rows import KEYS

GROUPED = st.lists(st.tuples(st.integers(0, 30), st.sampled_from((None, "", "a", "b", "c", 1, 2, 2.0))), max_size=40)
SHARES = st.floats(0.001, 0.999)


def sides(keys: list[bytes], held: list[int]) -> tuple[Counter[bytes], Counter[bytes]]:
    chosen = set(held)
    return (
        Counter(key for place, key in enumerate(keys) if place in chosen),
        Counter(key for place, key in enumerate(keys) if place not in chosen),
    )


@given(KEYS, SHARES, st.integers(0, 5), st.randoms(use_true_random=False))
def test_permuting_rows_gives_the_same_contents_on_each_side(
    keys: list[bytes], share: float, seed: int, chance: random.Random
) -> None:
    held = split_rows(keys, share, seed)
    mixed = keys[:]
    chance.shuffle(mixed)
    assert sides(mixed, split_rows(mixed, share, seed)) == sides(keys, held)
    assert held == sorted(set(held)) == split_rows(keys, share, seed)
    one, other = sides(keys, held)
    assert not one.keys() & other.keys()


@given(GROUPED, SHARES, st.integers(0, 5), st.randoms(use_true_random=False))
def test_whole_groups_whatever_the_order(
    rows: list[tuple[int, Any]], share: float, seed: int, chance: random.Random
) -> None:
    def held_of(order: list[tuple[int, Any]]) -> tuple[Counter[Any], set[Any], set[Any]]:
        held = set(split_rows([b"%d" % key for key, _ in order], share, seed, [group for _, group in order]))
        out = [row for place, row in enumerate(order) if place in held]
        rest = [row for place, row in enumerate(order) if place not in held]
        assert not {key for key, _ in out} & {key for key, _ in rest}
        assert not {group for _, group in out if group not in (None, "")} & {group for _, group in rest}
        return Counter(out), set(out), set(rest)

    mixed = rows[:]
    chance.shuffle(mixed)
    assert held_of(rows)[0] == held_of(mixed)[0]


@given(KEYS, SHARES, st.integers(0, 5))
def test_the_number_is_as_near_as_one_more_unit_gets(keys: list[bytes], share: float, seed: int) -> None:
    held = split_rows(keys, share, seed)
    sizes = Counter(keys)
    if len(sizes) < 2:
        assert held == []
        return
    assert 0 < len(held) < len(keys)
    out = {keys[place] for place in held}
    target = share * len(keys)
    for key, size in sizes.items():
        if key not in out and len(held) + size < len(keys):
            assert abs(len(held) + size - target) >= abs(len(held) - target) or len(out) == 1


@pytest.mark.parametrize(("rows", "share", "expected"), [(1000, 0.02, 20), (10, 0.02, 1), (3, 0.99, 2), (7, 0.5, 3)])
def test_single_rows_give_the_number_asked_for(rows: int, share: float, expected: int) -> None:
    assert len(split_rows([b"%d" % row for row in range(rows)], share, 42)) == expected


def test_nothing_to_split() -> None:
    assert split_rows([], 0.5, 1) == []
    assert split_rows([b"a"], 0.5, 1) == []
    assert split_rows([b"a", b"a", b"a"], 0.5, 1) == []
    assert split_rows([b"a", b"b"], 0.0, 1) == []
    assert split_rows([b"a", b"b"], float("nan"), 1) == []
    assert split_rows([b"a", b"b"], 0.5, 1, ["one", "one"]) == []


def test_a_content_ties_its_groups_together() -> None:
    keys = [b"1", b"2", b"2", b"3", b"4", b"5"]
    groups = ["a", "a", "b", "b", "c", "c"]
    for seed in range(20):
        assert split_rows(keys, 0.4, seed, groups) in ([0, 1, 2, 3], [4, 5])


def test_seeds_differ_and_added_rows_leave_the_others_where_they_were() -> None:
    keys = [b"%d" % row for row in range(400)]
    first = split_rows(keys, 0.1, 1)
    assert first != split_rows(keys, 0.1, 2)
    again = split_rows([*keys, *(b"new %d" % row for row in range(40))], 0.1, 1)
    assert len(set(first) - set(again)) <= 8
    groups = [str(row % 20) for row in range(400)]
    held = {groups[place] for place in split_rows(keys, 0.1, 1, groups)}
    grown = [*groups, *sorted(held)]
    again = split_rows([*keys, *(b"new %d" % row for row in range(len(held)))], 0.1, 1, grown)
    assert {grown[place] for place in again} == held


def test_groups_by_value() -> None:
    """Numbers are equal by value, text never equals a number, and lists may be groups."""
    keys = [b"%d" % row for row in range(6)]
    for seed in range(10):
        held = set(split_rows(keys, 0.3, seed, [1, 1.0, "1", "1", [1], [1]]))
        assert held in ({0, 1}, {2, 3}, {4, 5})
