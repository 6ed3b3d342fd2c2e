"""A sketch tells exactly which rows two datasets don't share, or that it can't."""

from __future__ import annotations

import hashlib
import random

from hypothesis import example, given, settings
from hypothesis import strategies as st

from backprop_tui.data.versions.sketch import _TABLES as TABLES
from backprop_tui.data.versions.sketch import _cells as cells_of
from backprop_tui.data.versions.sketch import items_of, sketch_of, unshared


def keys(numbers: list[int]) -> list[bytes]:
    return [hashlib.blake2b(str(number).encode(), digest_size=16).digest() for number in numbers]


@given(
    st.lists(st.integers(0, 400), max_size=300),
    st.lists(st.integers(401, 440), max_size=20),
    st.integers(0, 20),
    st.randoms(use_true_random=False),
)
@settings(max_examples=60, deadline=None)
@example([191, 200], [], 2, random.Random(0))
def test_what_was_added_and_removed_is_counted_exactly(
    common: list[int], added: list[int], removed: int, chance: random.Random
) -> None:
    before = keys(common)
    after = keys(common[removed:] + added)
    chance.shuffle(after)
    found = unshared(sketch_of(before), sketch_of(after))
    if found is None:
        # Two rows that share a cell in each table hide each other; it happens to one pair of 262,144.
        apart = items_of(keys(common[:removed] + added))
        places = set(zip(*(cells_of(apart, table).tolist() for table in range(TABLES)), strict=True))
        assert len(places) < len(apart)
        return
    assert len(found.first) == min(removed, len(common))
    assert len(found.second) == len(added)
    assert found.second <= set(map(int, items_of(after)))


@given(st.lists(st.integers(0, 5), max_size=40), st.randoms(use_true_random=False))
@settings(max_examples=60, deadline=None)
def test_the_order_of_rows_does_not_matter_and_repeats_do(numbers: list[int], chance: random.Random) -> None:
    moved = numbers[:]
    chance.shuffle(moved)
    assert sketch_of(keys(numbers)) == sketch_of(keys(moved))
    assert sorted(items_of(keys(numbers))) == sorted(items_of(keys(moved)))
    assert len(set(map(int, items_of(keys(numbers))))) == len(numbers)
    assert sketch_of(keys([*numbers, 0])) != sketch_of(keys(numbers))


def test_too_many_differing_rows_are_said_to_be_too_many() -> None:
    assert unshared(sketch_of(keys([*range(3000)])), sketch_of(keys([*range(3000, 6000)]))) is None
    hundred = unshared(sketch_of(keys([*range(3000)])), sketch_of(keys([*range(100, 3000)])))
    assert hundred is not None
    assert len(hundred.first) == 100


def test_what_is_no_sketch_tells_nothing() -> None:
    good = sketch_of(keys([1]))
    for bad in (None, 7, "", "AAAA", "é" * 4096, good[:-4], "!" + good[1:]):
        assert unshared(bad, good) is None
        assert unshared(good, bad) is None


def test_sketches_never_change_between_releases() -> None:
    """Frozen on purpose: they are compared with those of runs long past."""
    digest = hashlib.sha256(sketch_of(keys([*range(50), 7, 7])).encode()).hexdigest()
    assert digest[:16] == "166ac5b659ed8c9c"
