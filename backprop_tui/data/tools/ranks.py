"""Chance that can be repeated: every row draws a number from the seed and its own content, never from its place.

A generator of random numbers hands them out in the order of the rows, so one row more changes what all later rows get.
Here a row's number stays its own: files may be sorted, merged or extended, and the choices for the other rows hold. The
numbers come from BLAKE2b, so they are the same on every machine and in every version of Python.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

_SIZE = 8


def rank(purpose: str, seed: int, key: bytes) -> int:
    """A number below 2**64 for a key.

    Args:
        purpose: what it is drawn for; numbers for different purposes have nothing to do with each other.
        seed: the run's seed, any integer.
        key: what stands for the row, of any length.
    """
    return int.from_bytes(_base(purpose, seed, key).digest(), "big")


def ranks(purpose: str, seed: int, keys: Sequence[bytes]) -> list[int]:
    """A number below 2**64 for each row.

    The second row with the same content draws another number than the first. Permuting rows therefore permutes the
    numbers among rows of equal content at most: the contents that come first, second, third stay the same.

    Args:
        purpose: as in `rank`.
        seed: the run's seed.
        keys: content keys of the rows.
    """
    start = _base(purpose, seed)
    seen: dict[bytes, int] = {}
    drawn: list[int] = []
    for key in keys:
        earlier = seen.get(key, 0)
        seen[key] = earlier + 1
        state = start.copy()
        state.update(key)
        if earlier:
            state.update(b"\x00again:%d" % earlier)
        drawn.append(int.from_bytes(state.digest(), "big"))
    return drawn


def ordered(purpose: str, seed: int, keys: Sequence[bytes]) -> list[int]:
    """Places of the rows by their drawn numbers, lowest first."""
    drawn = ranks(purpose, seed, keys)
    return sorted(range(len(keys)), key=lambda place: (drawn[place], keys[place], place))


def numbered(count: int) -> list[bytes]:
    """Keys for rows of which only the place is known."""
    return [b"%d" % place for place in range(count)]


def _base(purpose: str, seed: int, key: bytes = b"") -> hashlib.blake2b:
    # The person tag keeps purposes apart without any chance that seed and key run into each other.
    start = hashlib.blake2b(digest_size=_SIZE, person=hashlib.blake2b(purpose.encode(), digest_size=16).digest())
    start.update(b"%d:" % seed)
    start.update(key)
    return start
