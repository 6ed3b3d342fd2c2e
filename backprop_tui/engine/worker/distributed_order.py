"""The order in which several processes draw sequences: that of a process alone, then fillers until all have equally many.

The libraries would draw some rows a second time at the end of each epoch. A filler is a token from which nothing is learnt.
"""

from __future__ import annotations

from collections.abc import Iterator


def fillers(sequences: int, round_of: int) -> int:
    """How many fillers an epoch takes.

    Args:
        sequences: what is drawn in an epoch.
        round_of: how many all processes draw at a time.
    """
    return -sequences % round_of


class FilledOrder:
    """Numbers of sequences, then those of the fillers: a sampler for `DataLoader`.

    Args:
        sequences: how many there are; their numbers are 0 to `sequences - 1`, and those of fillers follow.
        filled: how many fillers come after them.
        seed: of the order; None draws them as they stand.
    """

    def __init__(self, sequences: int, filled: int, seed: int | None) -> None:
        from accelerate.data_loader import SeedableRandomSampler

        self._all = sequences + filled
        self._fillers = range(sequences, self._all)
        # What accelerate makes of the order of a process alone, so that both are the same.
        self._order = range(sequences) if seed is None else SeedableRandomSampler(range(sequences), data_seed=seed)

    def __iter__(self) -> Iterator[int]:
        yield from self._order
        yield from self._fillers

    def __len__(self) -> int:
        return self._all

    def set_epoch(self, epoch: int) -> None:
        """Every epoch has an order of its own."""
        if hasattr(self._order, "set_epoch"):
            self._order.set_epoch(epoch)
