"""How many rows, how often, and in which order: samples, weights of mixed sources, shuffling."""

from __future__ import annotations

import math
from collections.abc import Sequence

from backprop_tui.data.tools.ranks import numbered, ordered
from backprop_tui.protocol.errors import UsageError

#: Most times a source can be repeated.
MAX_WEIGHT = 1000.0


def sample_rows(
    keys: Sequence[bytes], *, count: int | None = None, share: float | None = None, seed: int = 0
) -> list[int]:
    """Places of a random sample, ascending. The sample of a smaller size is part of that of a larger one.

    Depends on seed and contents alone: permuting the rows gives the same contents.

    Args:
        keys: content keys of the rows.
        count: rows wanted; more than there are gives all. None goes by `share`.
        share: part of the rows, 0 to 1, rounded to whole rows. None without `count` gives all rows.
        seed: the run's seed.

    Raises:
        UsageError: SAMPLE_INVALID, a negative count, a share outside 0 to 1, or both given.
    """
    if count is not None and share is not None:
        raise _invalid("A sample has a count or a share, not both.", "Leave one of them out.")
    if share is not None:
        if not 0 <= share <= 1:
            raise _invalid(f"The share {share:g} is not between 0 and 1.", "Give a share such as 0.1, or a count.")
        count = math.floor(share * len(keys) + 0.5)
    if count is None or count >= len(keys):
        return list(range(len(keys)))
    if count < 0:
        raise _invalid(f"{count} rows can't be drawn.", "Give a count of 0 or more.")
    return sorted(ordered("sample", seed, keys)[:count])


def weighted_counts(rows: Sequence[int], weights: Sequence[float]) -> list[int]:
    """Rows each source contributes: its rows times its weight, rounded half up.

    Args:
        rows: rows of each source.
        weights: one per source; 1 takes a source once, 2 twice, 0.5 half of it.

    Raises:
        UsageError: WEIGHT_INVALID, a weight that is negative, not finite or above `MAX_WEIGHT`.
    """
    pairs = list(zip(rows, weights, strict=True))
    return [whole * number + extra for number, weight in pairs for whole, extra in [_parts(number, weight)]]


def repeat_plan(keys: Sequence[bytes], weight: float, seed: int, *, source: int = 0) -> list[tuple[int, int]]:
    """How often each row of a source is taken: (place, times), in row order, rows that are not taken left out.

    A weight of 0.5 takes half of the rows once, 2 takes each twice, 1.5 takes each once and half of them twice. Which
    half depends on seed, source and contents alone.

    Args:
        keys: content keys of the rows.
        weight: what the number of rows is multiplied by.
        seed: the run's seed.
        source: the source's place in the mixture, so that a file named twice does not give the same half twice.

    Raises:
        UsageError: WEIGHT_INVALID, as `weighted_counts`.
    """
    whole, extra = _parts(len(keys), weight)
    once_more = set(ordered(f"weight {source}", seed, keys)[:extra]) if extra else set()
    plan = ((place, whole + (place in once_more)) for place in range(len(keys)))
    return [(place, times) for place, times in plan if times]


def mixture(sources: Sequence[Sequence[bytes]], weights: Sequence[float], seed: int) -> list[tuple[int, int]]:
    """`repeat_plan` over several sources; places count on from one source to the next.

    Args:
        sources: content keys of the rows, source by source.
        weights: one per source.
        seed: the run's seed.

    Raises:
        UsageError: WEIGHT_INVALID, as `weighted_counts`.
    """
    plan: list[tuple[int, int]] = []
    before = 0
    for source, (keys, weight) in enumerate(zip(sources, weights, strict=True)):
        plan += ((before + place, times) for place, times in repeat_plan(keys, weight, seed, source=source))
        before += len(keys)
    return plan


def shuffle_order(rows: int | Sequence[bytes], seed: int) -> list[int]:
    """Places in a shuffled order.

    Args:
        rows: how many rows there are, or their content keys; with keys the order of contents does not depend on the
            order of the rows.
        seed: the run's seed.
    """
    return ordered("shuffle", seed, numbered(rows) if isinstance(rows, int) else rows)


def _parts(rows: int, weight: float) -> tuple[int, int]:
    """Times every row is taken, and rows that are taken once more."""
    if not 0 <= weight <= MAX_WEIGHT:
        raise UsageError(
            "WEIGHT_INVALID",
            f"The weight {weight:g} is not between 0 and {MAX_WEIGHT:g}.",
            "Write a weight such as 0.5 for half of the rows or 2 for each row twice.",
            {"weight": str(weight)},
        )
    whole = math.floor(weight)
    return whole, math.floor((weight - whole) * rows + 0.5)


def _invalid(cause: str, next_step: str) -> UsageError:
    return UsageError("SAMPLE_INVALID", cause, next_step)
