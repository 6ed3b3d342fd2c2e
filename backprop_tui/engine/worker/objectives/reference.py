"""What the weights a run begins from find of its answers, worked out once and kept in every checkpoint.

Nothing needs a second model then: neither adapters, whose base would do, nor full fine-tuning, whose base is soon gone. An
attempt that goes on compares with exactly the same numbers, and so does a fork that learns from the same rows.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from backprop_tui.engine.worker.channel import StoppedEarly
from backprop_tui.engine.worker.ground import Ground
from backprop_tui.engine.worker.objectives.likelihoods import answer_logps, with_fused_head
from backprop_tui.engine.worker.rows import LEARNT, TOKENS, Sequences
from backprop_tui.protocol.errors import DataError

#: Makes, of sequences and a padding id, what turns places in their store into a batch.
MakeBatch = Callable[[Sequences, int], Callable[[Sequence[int]], dict[str, Any]]]
Arrays = dict[str, np.ndarray[Any, Any]]

FILE = "reference.npz"
_KEY = "key"


def fill_reference(ground: Ground, kinds: Mapping[str, MakeBatch]) -> dict[str, bytes]:
    """Note summed log-probabilities of the learnt tokens with the rows, under the name of each kind.

    Args:
        ground: the attempt.
        kinds: which batches to look at; one number a row of the store each.

    Returns:
        The file that goes into every checkpoint.

    Raises:
        DataError: REFERENCE_MISSING, the run goes on from a checkpoint without it.
        StoppedEarly: a stop came first.
    """
    parts = {"train": ground.train, **({"held": ground.held_out} if ground.held_out is not None else {})}
    key = _key(parts, kinds)
    before = ground.resume or ground.origin
    arrays = _read(before / FILE, key) if before is not None else None
    if arrays is None:
        if ground.resume is not None:
            raise DataError(
                "REFERENCE_MISSING",
                f"{ground.resume.name} does not hold what the weights the run began from found of these rows.",
                "Resume from an earlier checkpoint, or start a new run.",
            )
        arrays = _worked_out(ground, parts, kinds)
    for part, sequences in parts.items():
        for kind in kinds:
            sequences.store.notes[kind] = arrays[f"{part}.{kind}"]
    content = io.BytesIO()
    named: dict[str, Any] = {_KEY: np.array(key), **arrays}
    np.savez(content, **named)
    return {FILE: content.getvalue()}


def _worked_out(ground: Ground, parts: Mapping[str, Sequences], kinds: Mapping[str, MakeBatch]) -> Arrays:
    with_fused_head(ground.loaded.model)
    arrays = {f"{part}.{kind}": np.zeros(len(rows.store), np.float32) for part, rows in parts.items() for kind in kinds}
    total, done = sum(map(len, arrays.values())), 0
    with ground.sink.phase("load", "reference") as phase, _looking(ground):
        for part, sequences in parts.items():
            for kind, make in kinds.items():
                found = arrays[f"{part}.{kind}"]
                batch_of = make(sequences, int(ground.loaded.tokenizer.pad_token_id))
                # Longest first: less padding, and memory that does not suffice is known at the first batch.
                order = np.argsort(-sequences.store.lengths, kind="stable")
                for start in range(0, len(order), ground.batch_size):
                    if ground.inbox.stop_asked():
                        raise StoppedEarly
                    phase.progress(done, total, "rows")
                    rows = order[start : start + ground.batch_size]
                    found[rows] = _logps(ground, batch_of(rows.tolist()))
                    done += len(rows)
    return arrays


def _logps(ground: Ground, batch: dict[str, Any]) -> np.ndarray[Any, Any]:
    model = ground.loaded.model
    inputs = {name: value.to(model.device) for name, value in batch.items() if name not in (TOKENS, LEARNT)}
    found: np.ndarray[Any, Any] = answer_logps(model, inputs)[0].cpu().numpy()
    return found


@contextlib.contextmanager
def _looking(ground: Ground) -> Iterator[None]:
    """Without dropout and without a graph, in the number format of training."""
    model, precision = ground.loaded.model, ground.precision
    training = model.training
    model.eval()
    maths: Any = contextlib.nullcontext()
    if precision.autocast is not None:
        maths = torch.autocast(precision.device.type, dtype=precision.autocast)
    try:
        with torch.no_grad(), maths:
            yield
    finally:
        model.train(training)


def _key(parts: Mapping[str, Sequences], kinds: Mapping[str, MakeBatch]) -> str:
    """Equal for equal rows in equal order, looked at in the same ways."""
    digest = hashlib.sha256(" ".join(sorted(kinds)).encode())
    for part, sequences in parts.items():
        digest.update(f" {part} {len(sequences.store)} ".encode())
        digest.update(sequences.store.digest())
    return digest.hexdigest()


def _read(file: Path, key: str) -> Arrays | None:
    """The numbers of a file, None when there is none or it is about other rows."""
    try:
        with np.load(file, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):
        return None
    return arrays if str(arrays.pop(_KEY, "")) == key else None
