"""What can be refused before anything expensive starts: one line, a code, a next step, nothing left behind."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from backprop_tui.config import paths
from backprop_tui.protocol.errors import UnavailableError
from backprop_tui.protocol.spec import RunSpec
from backprop_tui.protocol.text import safe_text

#: Told how far the reading of the data is: rows done, rows in all or None.
Progress = Callable[[int, int | None], None]

#: Room for the journal, the logs and a checkpoint's small files, in bytes.
_SLACK = 64 << 20
_QUANTISED = frozenset({"adamw_bnb_8bit", "paged_adamw_8bit"})


def check(spec: RunSpec, *, on_progress: Progress | None = None) -> RunSpec:
    """Make sure that a run can begin, and settle what is still open in its spec.

    Reads all rows of the data (no tokenising but of a few), never loads weights.

    Returns:
        The spec with its name filled in and its paths absolute, so that it means the same from any directory.

    Raises:
        UnavailableError: EXTRA_MISSING, RUNS_DIR_NOT_WRITABLE or DISK_FULL.
        DataError, UsageError: what is wrong with the data, the model directory or their names.
    """
    from backprop_tui.data import training_set
    from backprop_tui.data.models import resolve_model
    from backprop_tui.hardware.extras import require

    require("train")
    _check_quantisation(spec)
    settled = settle(spec)
    model_dir = resolve_model(settled.model.base, settled.model.revision)
    training_set.check(settled.data, model_dir, on_progress=on_progress)
    _check_place(paths.runs_dir(), _needed(settled, model_dir))
    return settled


def settle(spec: RunSpec) -> RunSpec:
    """The spec with a name and absolute paths. `demo` and hub ids stay as they are."""
    model = spec.model
    if model.base != "demo" and Path(model.base).expanduser().is_dir():
        model = model.model_copy(update={"base": _absolute(model.base)})
    data = spec.data
    if data.path != "demo":
        data = data.model_copy(update={"path": _absolute(data.path)})
    if data.eval_path is not None:
        data = data.model_copy(update={"eval_path": _absolute(data.eval_path)})
    return spec.model_copy(update={"name": spec.title, "model": model, "data": data})


def _check_quantisation(spec: RunSpec) -> None:
    from backprop_tui.hardware.extras import installed_version

    wants = "qlora" if spec.model.method == "qlora" else spec.optim.optimizer
    if (wants == "qlora" or wants in _QUANTISED) and installed_version("bitsandbytes") is None:
        raise UnavailableError(
            "EXTRA_MISSING",
            f"{wants} needs bitsandbytes, not installed for {sys.executable}.",
            "Run `pip install bitsandbytes`, or choose method lora and optimiser adamw_torch.",
            {"missing": ["bitsandbytes"]},
        )


def _needed(spec: RunSpec, model_dir: Path | None) -> int:
    """Bytes the checkpoints of a run take at their most: those kept, the best one and the one being written."""
    from backprop_tui.launch.estimate import estimate, read_shapes

    shapes = read_shapes(model_dir) if model_dir is not None else None
    each = estimate(spec, None, shapes).checkpoint_bytes or 0
    return each * (spec.run.keep + 2) + _SLACK


def _check_place(place: Path, needed: int) -> None:
    existing = place
    while not existing.exists() and existing != existing.parent:
        existing = existing.parent
    if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
        raise UnavailableError(
            "RUNS_DIR_NOT_WRITABLE",
            f"{safe_text(existing)} can't be written.",
            "Make it writable, or set BACKPROP_DATA_DIR to another place.",
        )
    free = shutil.disk_usage(existing).free
    if free < needed:
        raise UnavailableError(
            "DISK_FULL",
            f"The run's checkpoints need up to {needed / 1e9:.1f} GB and {free / 1e9:.1f} GB are free in {safe_text(existing)}.",
            "Free some space, keep fewer checkpoints with `--set keep=1`, or set BACKPROP_DATA_DIR to another disk.",
            {"needed": needed, "free": free},
        )


def _absolute(path: str) -> str:
    return str(Path(path).expanduser().absolute())
