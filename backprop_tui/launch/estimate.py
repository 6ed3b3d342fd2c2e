"""What can honestly be said of a run before it starts. Memory and time are not guessed: they are measured while it runs."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from backprop_tui.protocol.spec import RunSpec

#: Longest safetensors header read, in bytes; real ones stay far below.
_HEADER_LIMIT = 100_000_000
_NOT_LINEAR = ("embed", "wte", "wpe", "norm", "conv1d.", "lm_head", "router")
#: Bytes of optimiser state per trained parameter, by optimiser (two moments in float32, or in 8 bits).
_STATE_BYTES = {"adamw_torch": 8.0, "adamw_bnb_8bit": 2.0, "paged_adamw_8bit": 2.0, "adafactor": 0.1, "sgd": 0.0}

Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class Estimate:
    """Counts, or None where the facts are missing. `checkpoint_bytes` is approximate."""

    train_rows: int | None = None
    eval_rows: int | None = None
    steps_per_epoch: int | None = None
    steps: int | None = None
    parameters: int | None = None
    trained_parameters: int | None = None
    checkpoint_bytes: int | None = None


def estimate(spec: RunSpec, rows: int | None, shapes: Shapes | None) -> Estimate:
    """Fold spec, usable rows and the model's tensor shapes into counts."""
    train = evaluated = per_epoch = None
    if rows is not None:
        rows = min(rows, spec.data.max_rows) if spec.data.max_rows else rows
        evaluated = None if has_eval_file(spec) else eval_rows(rows, spec.data.eval_split)
        train = rows - (evaluated or 0)
        if not spec.data.packing and train > 0:
            per_epoch = math.ceil(math.ceil(train / spec.optim.batch_size) / spec.optim.accumulation)
    steps = spec.optim.steps or (math.ceil(per_epoch * spec.optim.epochs) if per_epoch is not None else None)
    whole = sum(math.prod(shape) for shape in shapes.values()) if shapes else None
    if spec.model.method == "full":
        trained = whole
    else:
        trained = adapter_parameters(shapes, spec.lora.rank, spec.lora.targets) if shapes else None
    saved = None
    if trained is not None:
        saved = int(trained * (4 + _STATE_BYTES.get(spec.optim.optimizer, 8.0)))
    return Estimate(train, evaluated, per_epoch, steps, whole, trained, saved)


def has_eval_file(spec: RunSpec) -> bool:
    """Whether the held-out rows come from a file of their own; the demo's do."""
    from backprop_tui.data.finding.places import BUNDLED

    return spec.data.eval_path is not None or (spec.data.path in BUNDLED and spec.data.eval_split > 0)


def eval_rows(rows: int, split: float) -> int:
    """Rows held out: the rounded share, at least one where a share is asked for and rows allow it."""
    if split <= 0 or rows < 2:
        return 0
    return min(rows - 1, max(1, round(rows * split)))


def adapter_parameters(shapes: Shapes, rank: int, targets: str) -> int:
    """Weights of an adapter: rank · (in + out) for each adapted linear layer."""
    wanted = None if targets == "all-linear" else {name.strip() for name in targets.split(",") if name.strip()}
    total = 0
    for name, shape in shapes.items():
        if len(shape) != 2 or not name.endswith(".weight"):
            continue
        module = name.removesuffix(".weight")
        if wanted is not None:
            if module.rsplit(".", 1)[-1] not in wanted:
                continue
        elif any(word in module for word in _NOT_LINEAR):
            continue
        total += rank * (shape[0] + shape[1])
    return total


def read_shapes(model_dir: Path) -> Shapes | None:
    """Tensor shapes from the headers of a directory's safetensors files; None when there are none or they are damaged."""
    files = sorted(model_dir.glob("*.safetensors"))
    shapes: dict[str, tuple[int, ...]] = {}
    try:
        for file in files:
            with file.open("rb") as stream:
                (length,) = struct.unpack("<Q", stream.read(8))
                if length > _HEADER_LIMIT:
                    return None
                words = json.loads(stream.read(length))
            for name, entry in words.items():
                if name != "__metadata__":
                    shapes[name] = tuple(int(number) for number in entry["shape"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError, struct.error):
        return None
    return shapes or None
