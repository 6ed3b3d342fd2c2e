"""A few kilobytes that stand for the rows of a dataset, from which the rows that two datasets don't share can be told.

Each row is put into one cell of each of three tables (an invertible Bloom lookup table, Eppstein et al. 2011, "What's the
difference?"). Cells of shared rows cancel when one sketch is taken from another; a cell left with one row names it, and
taking that row out of its other cells frees more. Up to about a hundred differing rows are found, among any number.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from backprop_tui.data.tools.content import KEY_SIZE

if TYPE_CHECKING:
    import numpy as np

    Items = np.ndarray[Any, np.dtype[np.uint64]]

_TABLES = 3
_CELLS = 64
_ALL = _TABLES * _CELLS
_WORD = (1 << 64) - 1
_GOLDEN = 0x9E3779B97F4A7C15
_MIX_1, _MIX_2 = 0xBF58476D1CE4E5B9, 0x94D049BB133111EB
_CHECK = 0xD1B54A32D192ED03


@dataclass(frozen=True, slots=True)
class Unshared:
    """Items that only the first dataset has, and those that only the second has."""

    first: frozenset[int]
    second: frozenset[int]


def items_of(keys: Sequence[bytes]) -> Items:
    """One number a row, in order: of its content, and of how many rows of the same content stand before it.

    Args:
        keys: content keys, 16 bytes each.

    Returns:
        uint64, shape (rows,). No number occurs twice, and the order of the rows changes no more than the order of the numbers.
    """
    import numpy as np

    numbers = np.frombuffer(b"".join(keys), dtype="<u8").reshape(-1, KEY_SIZE // 8)[:, 0].astype(np.uint64)
    order = np.argsort(numbers, kind="stable")
    ordered = numbers[order]
    places = np.arange(len(ordered), dtype=np.uint64)
    fresh = np.concatenate(([True], ordered[1:] != ordered[:-1]))[: len(ordered)]
    before = places - np.maximum.accumulate(np.where(fresh, places, np.uint64(0)))
    repeated = _mixed(ordered + before * np.uint64(_GOLDEN))
    items = np.empty_like(numbers)
    items[order] = np.where(before > 0, repeated, ordered)
    return items


def sketch_of(keys: Sequence[bytes]) -> str:
    """The sketch of rows with these content keys, whatever their order; ASCII text of about four thousand characters."""
    import numpy as np

    items = items_of(keys)
    counts, names, checks = np.zeros(_ALL, "<u4"), np.zeros(_ALL, "<u8"), np.zeros(_ALL, "<u4")
    check = _checks(items)
    for table in range(_TABLES):
        cells = _cells(items, table)
        counts += np.bincount(cells, minlength=_ALL).astype("<u4")
        np.bitwise_xor.at(names, cells, items)
        np.bitwise_xor.at(checks, cells, check)
    return base64.b64encode(counts.tobytes() + names.tobytes() + checks.tobytes()).decode("ascii")


def unshared(first: object, second: object) -> Unshared | None:
    """The items that two datasets don't share, from their sketches.

    Returns:
        None when there are too many to be told apart, or when a sketch is not one.
    """
    import numpy as np

    mine, theirs = _parsed(first), _parsed(second)
    if mine is None or theirs is None:
        return None
    counts = (mine[0] - theirs[0]).astype("<i4")
    names, checks = mine[1] ^ theirs[1], mine[2] ^ theirs[2]
    found: dict[int, set[int]] = {1: set(), -1: set()}
    for _ in range(_ALL):
        alone = [int(cell) for cell in np.flatnonzero(np.abs(counts) == 1)]
        before = len(found[1]) + len(found[-1])
        for cell in alone:
            side, item = int(counts[cell]), names[cell : cell + 1].astype(np.uint64)
            if abs(side) != 1 or _checks(item)[0] != checks[cell]:
                continue
            found[side].add(int(item[0]))
            for table in range(_TABLES):
                at = _cells(item, table)[0]
                counts[at] -= side
                names[at] ^= item[0]
                checks[at] ^= _checks(item)[0]
        if len(found[1]) + len(found[-1]) == before:
            break
    if counts.any() or names.any() or checks.any():
        return None
    return Unshared(frozenset(found[1]), frozenset(found[-1]))


def _parsed(text: object) -> tuple[Any, Any, Any] | None:
    import numpy as np

    if not isinstance(text, str):
        return None
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    if len(data) != _ALL * 16:
        return None
    return (
        np.frombuffer(data, "<u4", _ALL),
        np.frombuffer(data, "<u8", _ALL, _ALL * 4),
        np.frombuffer(data, "<u4", _ALL, _ALL * 12),
    )


def _cells(items: Items, table: int) -> Any:
    import numpy as np

    mixed = _mixed(items ^ np.uint64(_GOLDEN * (table + 1) & _WORD))
    return (mixed % np.uint64(_CELLS)).astype(np.int64) + table * _CELLS


def _checks(items: Items) -> Any:
    import numpy as np

    return (_mixed(items ^ np.uint64(_CHECK)) >> np.uint64(32)).astype("<u4")


def _mixed(numbers: Items) -> Items:
    """Numbers spread evenly (the finaliser of splitmix64); arithmetic wraps."""
    import numpy as np

    numbers = (numbers ^ (numbers >> np.uint64(30))) * np.uint64(_MIX_1)
    numbers = (numbers ^ (numbers >> np.uint64(27))) * np.uint64(_MIX_2)
    return numbers ^ (numbers >> np.uint64(31))
