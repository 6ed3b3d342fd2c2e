"""Putting rows together into sequences, and what that would save."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

#: Unfinished packs a row may still join; more fills better, fewer keeps rows near their shuffled place.
_OPEN_PACKS = 64
#: Rows looked at for a forecast.
_SAMPLE = 20_000


def pack_rows(
    lengths: Sequence[int] | np.ndarray[Any, Any], capacity: int, most_rows: int, seed: int, *, in_order: bool = False
) -> list[list[int]]:
    """Put rows together into sequences of at most `capacity` tokens and `most_rows` rows; every row is in exactly one.

    `most_rows` is the micro-batch: a packed sequence takes the place of a padded batch, so packing saves the padding
    and leaves the number of rows per optimiser step as it was asked for. Rows join in shuffled order, first fit, so a
    sequence is not made of equally long rows. A row longer than `capacity` gets a sequence of its own, uncut.

    Args:
        lengths: tokens of each row.
        capacity: tokens of a sequence.
        most_rows: rows of a sequence.
        seed: of the shuffle.
        in_order: rows are not shuffled and only neighbours share a sequence, so that a curriculum stays one.

    Returns:
        Row indices of each sequence. The same arguments give the same packs.
    """
    import numpy as np

    order = np.arange(len(lengths)) if in_order else np.random.default_rng(seed).permutation(len(lengths))
    most_open = 1 if in_order else _OPEN_PACKS
    done: list[list[int]] = []
    open_packs: list[tuple[list[int], int]] = []
    for index in order.tolist():
        length = int(lengths[index])
        for place, (pack, used) in enumerate(open_packs):
            if used + length <= capacity:
                pack.append(index)
                if len(pack) == most_rows:
                    done.append(pack)
                    del open_packs[place]
                else:
                    open_packs[place] = (pack, used + length)
                break
        else:
            if most_rows == 1 or (length >= capacity and not in_order):
                done.append([index])
                continue
            open_packs.append(([index], length))
            if len(open_packs) > most_open:
                done.append(open_packs.pop(0)[0])
    return done + [pack for pack, _ in open_packs]


@dataclass(frozen=True, slots=True)
class PackingForecast:
    """What packing would do with these rows and this micro-batch.

    Args:
        rows_per_sequence: rows that share a sequence, on average. padding: share of the places of ordinary batches, rows
            drawn in shuffled order, that hold no token; packed sequences have none.
    """

    rows_per_sequence: float
    padding: float


def forecast(lengths: Sequence[int], capacity: int, batch_size: int, seed: int = 42) -> PackingForecast | None:
    """Forecast packing from row lengths in tokens, cut at `capacity`; None when there is nothing to pack.

    Of many rows an evenly spaced sample is looked at.
    """
    import numpy as np

    step = -(-len(lengths) // _SAMPLE)
    sizes = np.minimum(np.asarray(lengths[:: max(1, step)], dtype=np.int64), capacity)
    if not len(sizes):
        return None
    packs = pack_rows(sizes, capacity, batch_size, seed)
    real = int(sizes.sum())
    shuffled = sizes[np.random.default_rng(seed).permutation(len(sizes))]
    batches = [shuffled[at : at + batch_size] for at in range(0, len(shuffled), batch_size)]
    places = sum(int(batch.max()) * len(batch) for batch in batches)
    return PackingForecast(len(sizes) / len(packs), 1 - real / places)
