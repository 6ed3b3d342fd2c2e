"""Smaller micro-batches than a run was launched with, after memory ran out; every optimiser step keeps exactly its rows.

Rows that are drawn one by one are drawn in smaller groups, more of them per step: the new size divides the effective batch,
and the order of rows does not depend on it. A packed sequence is taken apart between its rows instead, because other packs
would be another order. The loss is normalised by the tokens of the whole step, so its sum over the pieces is the same.
"""

from __future__ import annotations

import itertools
from typing import Any

from backprop_tui.protocol.changes import BatchSizes
from backprop_tui.protocol.spec import RunSpec


def adjusted(spec: RunSpec, batch: BatchSizes | None) -> RunSpec:
    """The spec with the sizes in force; a packed run's stay, for its packs are made by them."""
    if batch is None or spec.data.packing:
        return spec
    sizes = {"batch_size": batch.batch_size, "accumulation": batch.accumulation}
    return spec.model_copy(update={"optim": spec.optim.model_copy(update=sizes)})


def rows_per_pass(spec: RunSpec, batch: BatchSizes | None) -> int:
    """Most rows of a packed sequence in one pass; 0 where sequences stay whole."""
    return batch.batch_size if batch is not None and spec.data.packing else 0


def split_pack(batch: dict[str, Any], rows: int) -> list[dict[str, Any]]:
    """Take packed sequences apart into ones of at most `rows` rows.

    Args:
        batch: `input_ids`, `position_ids`, `labels`, each of shape (1, tokens); positions are 0 where a row begins.
        rows: rows of a piece.

    Returns:
        Batches of shape (1, tokens of the piece), in order; without positions the batch itself.
    """
    positions = batch.get("position_ids")
    if positions is None or positions.shape[0] != 1:
        return [batch]
    starts = positions[0].eq(0).nonzero().flatten().tolist()
    bounds = [*starts[::rows], positions.shape[1]]
    return [{name: tensor[:, start:end] for name, tensor in batch.items()} for start, end in itertools.pairwise(bounds)]


def with_nothing_learnt(batch: dict[str, Any]) -> dict[str, Any]:
    """The batch with labels that count nowhere: its gradient is zero."""
    return {**batch, "labels": batch["labels"].new_full(batch["labels"].shape, -100)}
