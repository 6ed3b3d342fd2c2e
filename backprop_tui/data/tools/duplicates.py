"""Rows that are there already: the same content, or nearly the same text.

Near duplicates are found in three steps. MinHash (rensa) writes each text as 128 numbers; locality-sensitive hashing finds
earlier texts that share a band of them; the exact Jaccard similarity of the texts decides. Text is compared in lower case,
runs of white space as one space, by its runs of five characters. Runs of characters rather than of words, because they
need no word borders (Chinese, Japanese, Thai, code), a wrong letter costs five runs and not three words, and short
questions keep enough of them to compare: two texts of 40 words that differ in one share 0.93 of their 5-grams of
characters and 0.85 of their 3-grams of words (of 20 words 0.86 and 0.71).
"""

from __future__ import annotations

import hashlib
from collections import Counter
from typing import TYPE_CHECKING, Any

from backprop_tui.protocol.errors import UsageError

if TYPE_CHECKING:
    import numpy as np

#: Characters of a normalised text that are kept for the exact comparison; of longer texts a sample of runs is kept.
LONGEST_EXACT = 16_384
#: Runs kept of a longer text: a similarity of 0.9 is then known to within 0.01 (two standard errors).
SAMPLED_RUNS = 4_096
#: Chance that a pair just at the threshold is looked at; closer pairs are looked at more surely still.
LEAST_RECALL = 0.999
_RUN = 5
_MOST_PER_BAND = 64
_MOST_COMPARED = 16
# Odd numbers with well mixed bits: the golden ratio's and the primes of xxHash.
_WEIGHTS = (0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9, 0x27D4EB2F165667C5, 0xD6E8FEB86659FD93)


class ExactDuplicates:
    """Finds rows whose content occurred before. About 200 bytes per different content.

    Which row of a content is kept is the first; which contents are kept does not depend on the order of the rows.
    """

    def __init__(self) -> None:
        self._first: dict[bytes, int] = {}
        self._rows = 0

    def add(self, key: bytes) -> int | None:
        """Number (from 0) of the earlier row with this content key; None when it is the first."""
        number = self._rows
        self._rows += 1
        first = self._first.setdefault(key, number)
        return None if first == number else first


class NearDuplicates:
    """Finds rows whose text is nearly that of an earlier row that was kept.

    Promises, for a threshold t:

    - A row that is reported is similar to the kept row it is reported for: their Jaccard similarity is at least t. It is
      exact up to `LONGEST_EXACT` characters, beyond that estimated from `SAMPLED_RUNS` runs.
    - Texts that differ only in case and white space are always found.
    - A pair just at the threshold is found with a chance of `LEAST_RECALL` or more. The exception are families of more
      than 64 rows that share most of their text (a long template) without being near: in them pairs may be missed.
    - The same rows in the same order give the same answer in every process, on every machine. Which rows are kept does
      depend on their order: the first of a family stays, and rows near to it go, while rows only near to those stay.

    Memory per kept row: its normalised text up to `LONGEST_EXACT` characters (one byte each for Latin text, two or four
    for others) or 16 KiB, and about 3 kB for the index. Rows that are reported cost nothing.

    Args:
        threshold: least Jaccard similarity of near duplicates, above 0 up to 1.
        permutations: length of a MinHash signature; more makes the search sharper and slower.
        seed: of the permutations; it changes which pairs are looked at, not how similar they are.

    Raises:
        UsageError: NEAR_THRESHOLD_INVALID.
    """

    def __init__(self, threshold: float = 0.9, permutations: int = 128, seed: int = 1) -> None:
        if not 0 < threshold <= 1:
            raise UsageError(
                "NEAR_THRESHOLD_INVALID",
                f"The similarity {threshold:g} is not above 0 and at most 1.",
                "Give a similarity such as 0.9.",
            )
        import numpy as np

        self.threshold = threshold
        self._permutations = max(16, permutations)
        self._seed = seed
        self._width = _band_width(threshold, self._permutations)
        self._bands = self._permutations // self._width
        salt = hashlib.blake2b(b"bands", digest_size=64).digest()
        mixing = np.random.Generator(np.random.PCG64(int.from_bytes(salt[:16], "big")))
        self._mixing = mixing.integers(0, 2**64, self._width, np.uint64, endpoint=False) | np.uint64(1)
        self._apart = mixing.integers(0, 2**64, self._bands, np.uint64, endpoint=False)
        self._rows = 0
        self._same: dict[bytes, int] = {}
        self._buckets: dict[int, int | list[int]] = {}
        self._kept: dict[int, tuple[str | np.ndarray[Any, Any], int]] = {}

    def add(self, text: str) -> int | None:
        """Number (from 0, in the order of `add`) of a kept row that `text` is near to; None when there is none.

        Of several the one that shares most bands is given, then the earliest.

        Args:
            text: the row's text, such as `texts.row_text` gives; of any length.
        """
        number = self._rows
        self._rows += 1
        normal = " ".join(text.lower().split())
        digest = hashlib.blake2b(normal.encode("utf-8", "surrogatepass"), digest_size=16).digest()
        first = self._same.get(digest)
        if first is not None:
            return first
        if len(normal) >= _RUN:
            runs = _runs(normal)
            distinct = _sorted_set(runs)
            keys = self._keys(runs)
            for earlier in self._candidates(keys):
                if self._near(earlier, distinct):
                    return earlier
            self._keep(number, normal, distinct, keys)
        self._same[digest] = number
        return None

    def _keys(self, runs: np.ndarray[Any, Any]) -> list[int]:
        """One number per band of the text's signature."""
        import numpy as np
        from rensa import RMinHash

        rows = RMinHash.digest_matrix_from_flat_token_hashes(
            runs.astype(np.uint64), [0, len(runs)], self._permutations, self._seed
        ).to_rows()
        signature = np.array(rows[0][: self._bands * self._width], np.uint64).reshape(self._bands, self._width)
        keys: list[int] = ((signature * self._mixing).sum(1) ^ self._apart).tolist()
        return keys

    def _candidates(self, keys: list[int]) -> list[int]:
        """Kept rows that share a band, those sharing most first, a bounded number."""
        shared: Counter[int] = Counter()
        for key in keys:
            held = self._buckets.get(key)
            if isinstance(held, int):
                shared[held] += 1
            elif held is not None:
                shared.update(held)
        return sorted(shared, key=lambda number: (-shared[number], number))[:_MOST_COMPARED]

    def _near(self, earlier: int, distinct: np.ndarray[Any, Any]) -> bool:
        kept, size = self._kept[earlier]
        mine = len(distinct)
        # Sets this different in size can't share enough, which spares reading the earlier text again.
        if min(size, mine) < self.threshold * max(size, mine):
            return False
        theirs = _sorted_set(_runs(kept)) if isinstance(kept, str) else kept
        return _similarity(theirs, distinct, sampled=len(theirs) < size) >= self.threshold

    def _keep(self, number: int, normal: str, distinct: np.ndarray[Any, Any], keys: list[int]) -> None:
        kept = normal if len(normal) <= LONGEST_EXACT else distinct[:SAMPLED_RUNS].copy()
        self._kept[number] = (kept, len(distinct))
        for key in keys:
            held = self._buckets.get(key)
            if held is None:
                self._buckets[key] = number
            elif isinstance(held, int):
                self._buckets[key] = [held, number]
            elif len(held) < _MOST_PER_BAND:
                held.append(number)


def _band_width(threshold: float, permutations: int) -> int:
    """The widest band, so the fewest texts looked at in vain, that still finds a pair at the threshold."""
    for width in range(permutations, 1, -1):
        if 1 - (1 - threshold**width) ** (permutations // width) >= LEAST_RECALL:
            return width
    return 1


def _runs(normal: str) -> np.ndarray[Any, Any]:
    """Hashes of all runs of five characters, in order; shape (characters - 4,), uint32.

    Multiply-add with fixed odd weights, upper half kept: two different runs agree with a chance of 2**-32.
    """
    import numpy as np

    if normal.isascii():
        codes = np.frombuffer(normal.encode("ascii"), np.uint8).astype(np.uint64)
    else:
        codes = np.frombuffer(normal.encode("utf-32-le", "surrogatepass"), np.uint32).astype(np.uint64)
    count = len(codes) - _RUN + 1
    total = codes[:count] * np.uint64(_WEIGHTS[0])
    for offset in range(1, _RUN):
        total += codes[offset : count + offset] * np.uint64(_WEIGHTS[offset])
    hashes: np.ndarray[Any, Any] = (total >> np.uint64(32)).astype(np.uint32)
    return hashes


def _sorted_set(hashes: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    # np.unique does the same ten times slower, because it also serves other types.
    import numpy as np

    hashes = np.sort(hashes)
    fresh = np.empty(len(hashes), np.bool_)
    fresh[0] = True
    np.not_equal(hashes[1:], hashes[:-1], out=fresh[1:])
    unique: np.ndarray[Any, Any] = hashes[fresh]
    return unique


def _similarity(one: np.ndarray[Any, Any], other: np.ndarray[Any, Any], *, sampled: bool) -> float:
    """Jaccard similarity of two sorted sets; of samples, that among the lowest hashes of the union."""
    import numpy as np

    if sampled:
        one, other = one[:SAMPLED_RUNS], other[:SAMPLED_RUNS]
        border = np.union1d(one, other)[:SAMPLED_RUNS][-1]
        one, other = one[one <= border], other[other <= border]
    both = np.sort(np.concatenate((one, other)))
    common = int(np.count_nonzero(both[1:] == both[:-1]))
    return common / (len(one) + len(other) - common)
