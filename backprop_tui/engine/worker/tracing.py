"""Fingerprints of what the model is fed, for proofs: with BACKPROP_TRACE_BATCHES set, `step` events carry them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from typing import Any

VARIABLE = "BACKPROP_TRACE_BATCHES"


def traced(batches: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """SHA-256 of the input ids of each micro-batch (all tensors whose name ends so, by name, with their shapes).

    Empty unless the variable is set: on a GPU it would wait for a copy of every batch.
    """
    return tuple(_digest(batch) for batch in batches) if os.environ.get(VARIABLE) else ()


def _digest(batch: Mapping[str, Any]) -> str:
    digest = hashlib.sha256()
    for name in sorted(name for name in batch if name.endswith("input_ids")):
        ids = batch[name].detach().cpu().numpy()
        digest.update(f"{name} {ids.shape} {ids.dtype}".encode())
        digest.update(ids.tobytes())
    return digest.hexdigest()
