"""Rows to measure on, held out so that nothing learnt is measured."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from backprop_tui.data.tools.ranks import rank
from backprop_tui.data.tools.texts import canonical


def split_rows(keys: Sequence[bytes], share: float, seed: int, groups: Sequence[Any] | None = None) -> list[int]:
    """Places of the rows to hold out, ascending.

    Promises:

    - Rows of the same content are on the same side, and so are rows of the same group. A content that occurs in two
      groups ties these groups together.
    - The sides depend on seed, contents and groups alone: permuting the rows gives the same contents on each side.
    - At least one row is held out and at least one is left, wherever there are two rows that may be apart. Where all
      rows belong together nothing is held out. A share of 0 holds nothing out.
    - The number held out is as near to `share` times the rows as units (contents or groups, taken in an order drawn
      from the seed) get: no single further unit would bring it nearer, except the last one that must be left.

    Args:
        keys: content keys of the rows.
        share: part of the rows to hold out, 0 to 1.
        seed: the run's seed.
        groups: one value per row, of any type; None, NaN and empty text mean that the row belongs to no group. Whole
            floats equal integers; text never equals a number. None in place of the list means no groups.
    """
    if not keys or not share > 0:
        return []
    units = _units(keys, seed, None if groups is None else [_label(value) for value in groups])
    target = min(share, 1.0) * len(keys)
    held: list[int] = []
    for _, places in units:
        nearer = abs(len(held) + len(places) - target) < abs(len(held) - target)
        if nearer and len(held) + len(places) < len(keys):
            held += places
    if not held and len(units) > 1:
        held = list(min(units, key=lambda unit: (len(unit[1]), unit[0]))[1])
    return sorted(held)


def _units(keys: Sequence[bytes], seed: int, labels: list[bytes | None] | None) -> list[tuple[int, list[int]]]:
    """What has to stay together: (drawn number, places), lowest number first.

    A group draws by its own name, so that rows added to it leave it on its side.
    """
    if labels is None:
        contents: dict[bytes, list[int]] = defaultdict(list)
        for place, key in enumerate(keys):
            contents[key].append(place)
        return sorted((rank("split", seed, key), places) for key, places in contents.items())
    names = [b"g" + label if label is not None else b"c" + key for key, label in zip(keys, labels, strict=True)]
    parent = {name: name for name in names}

    def root(name: bytes) -> bytes:
        while parent[name] != name:
            parent[name] = name = parent[parent[name]]
        return name

    first: dict[bytes, bytes] = {}
    for key, name in zip(keys, names, strict=True):
        parent[root(name)] = root(first.setdefault(key, name))
    drawn: dict[bytes, int] = {}
    for name in parent:
        mine = rank("split", seed, name[1:] if name[:1] == b"c" else name)
        top = root(name)
        drawn[top] = min(mine, drawn.get(top, mine))
    members: dict[bytes, list[int]] = defaultdict(list)
    for place, name in enumerate(names):
        members[root(name)].append(place)
    return sorted((drawn[top], places) for top, places in members.items())


def _label(value: Any) -> bytes | None:
    """A group's value as bytes; None for a row without a group."""
    if value is None or value == "":
        return None
    if isinstance(value, float):
        if math.isnan(value):
            return None
        value = int(value) if value.is_integer() else value
    return canonical(value).encode("utf-8", "surrogatepass")
