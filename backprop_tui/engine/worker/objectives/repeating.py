"""An order in which each step's prompts come several times in a row, because several steps learn from the same answers."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch.utils.data import Sampler


class RepeatedBlocks(Sampler[int]):  # type: ignore[misc]
    """Places of rows, in blocks of one optimiser step that are repeated; the last block is filled up from the first rows.

    The order depends on the seed and the epoch alone, so that an attempt that goes on within an epoch draws on.

    Args:
        rows: how many there are.
        block: rows of one optimiser step.
        times: steps that learn from one block.
        seed: the run's.
        in_order: as they stand, in every epoch.
    """

    def __init__(self, rows: int, block: int, times: int, seed: int, *, in_order: bool) -> None:
        self._rows, self._block, self._times = rows, block, times
        self._seed, self._in_order = seed, in_order
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Which pass over the rows is next, from 0."""
        self._epoch = epoch

    def __len__(self) -> int:
        return -(-self._rows // self._block) * self._block * self._times

    def __iter__(self) -> Iterator[int]:
        order = list(range(self._rows))
        if not self._in_order:
            chance = torch.Generator().manual_seed(self._seed * 1_000_003 + self._epoch)
            order = torch.randperm(self._rows, generator=chance).tolist()
        for start in range(0, self._rows, self._block):
            block = [order[place % self._rows] for place in range(start, start + self._block)]
            for _ in range(self._times):
                yield from block
