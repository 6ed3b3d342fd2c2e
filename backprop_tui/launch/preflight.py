"""Everything that can be found wrong with a run before anything expensive, each as one line with a code.

Nothing is written and no model is loaded. What only the worker can know (a hub download, what PyTorch sees) is left to it.
"""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backprop_tui.config import paths
from backprop_tui.protocol.errors import DataError, UnavailableError
from backprop_tui.protocol.text import safe_text

if TYPE_CHECKING:
    from backprop_tui.protocol.spec import DataPart, RunSpec

DEMO = "demo"
#: Room for the journal, logs and tokenizer files, in bytes.
_FLOOR = 64 << 20
_NAME_LIMIT = 120

Progress = Callable[[int, int | None], None]


def check(spec: RunSpec, *, on_progress: Progress | None = None) -> RunSpec:
    """Refuse a run that can't work; otherwise return it resolved: named, with absolute paths.

    Args:
        spec: what is to be run.
        on_progress: told (rows, total) while the data is read; total is None while it is unknown.

    Raises:
        UnavailableError: EXTRA_MISSING, RUNS_DIR_NOT_WRITABLE, DISK_SPACE.
        DataError: what is wrong with the data or the model directory.
        UsageError: the model's name is neither a path nor a hub id.
    """
    return _checked(spec, on_progress)[0]


def check_and_record(spec: RunSpec, *, on_progress: Progress | None = None) -> tuple[RunSpec, dict[str, Any]]:
    """As `check`, noting beside it what the data is; hashing the files goes on while their rows are read.

    `micro_batch=auto` becomes plain numbers here, so that run.json holds what is run; how is in `record["micro_batch"]`.

    Returns:
        The resolved spec, and what `data.versions.launched.check_launched` compares with; JSON-ready.

    Raises:
        BackpropError: as `check`; DATA_CHANGED when a file changes meanwhile; DEVICES_TOO_MANY for this machine.
    """
    from backprop_tui.data.versions.launched import launch_state, record_launch
    from backprop_tui.launch.devices import check_devices

    check_devices(spec)
    over = threading.Event()
    states: list[object] = []
    noted: list[Future[dict[str, Any]]] = []
    with ThreadPoolExecutor(1, thread_name_prefix="hash") as beside:

        def note(part: DataPart) -> None:
            states.append(launch_state(part))
            noted.append(beside.submit(record_launch, part, cancelled=over.is_set))

        try:
            resolved, rows = _checked(spec, on_progress, note)
            record = noted[0].result()
        finally:
            over.set()
    if launch_state(resolved.data) != states[0]:
        raise DataError(
            "DATA_CHANGED",
            f"{safe_text(resolved.data.path)} changed while it was read.",
            "Start again once it is complete.",
        )
    record["train"]["rows"] = rows
    from backprop_tui.launch.plan.auto import choose_batch

    resolved, words = choose_batch(resolved)
    if words:
        record["micro_batch"] = words
    return resolved, record


def _checked(
    spec: RunSpec, on_progress: Progress | None, on_data: Callable[[DataPart], None] | None = None
) -> tuple[RunSpec, int]:
    """The resolved spec and the rows of its training data; `on_data` is told the data settings before rows are read."""
    from backprop_tui.data import training_set
    from backprop_tui.data.models import resolve_model
    from backprop_tui.protocol.spec import ROWS_OF

    _check_packages(spec)
    _check_rewards(spec)
    _check_runs_dir()
    # Whether a chat template is needed depends on the rows; reading them says so.
    model_dir = resolve_model(spec.model.base, spec.model.revision, need_template=False)
    resolved = _resolved(spec.in_force)
    if on_data is not None:
        on_data(resolved.data)
    facts = training_set.check(
        resolved.data, model_dir, purpose=ROWS_OF[resolved.task.objective], on_progress=on_progress
    )
    _check_disk(spec, model_dir)
    return resolved, int(facts["rows"])


def _check_packages(spec: RunSpec) -> None:
    from backprop_tui.hardware.extras import require
    from backprop_tui.launch.variants import check_variants

    require("train")
    check_variants(spec)


def _check_rewards(spec: RunSpec) -> None:
    if spec.task.objective == "grpo":
        from backprop_tui.launch.rewards import find_rewards

        find_rewards(spec)


def _check_runs_dir() -> None:
    place = paths.runs_dir()
    existing = _existing(place)
    if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
        raise UnavailableError(
            "RUNS_DIR_NOT_WRITABLE",
            f"{safe_text(place)} can't be written.",
            "Make it writable, or set BACKPROP_DATA_DIR to another place.",
        )


def _check_disk(spec: RunSpec, model_dir: Path | None) -> None:
    from backprop_tui.launch.estimate import estimate, read_shapes

    shapes = read_shapes(model_dir) if model_dir is not None else None
    one = estimate(spec, None, shapes).checkpoint_bytes
    # The newest ones, the best one, and the one being written.
    needed = _FLOOR + (one or 0) * (spec.run.keep + 2)
    place = paths.runs_dir()
    free = shutil.disk_usage(_existing(place)).free
    if free < needed:
        raise UnavailableError(
            "DISK_SPACE",
            f"The run needs about {needed / 1e9:.1f} GB for its checkpoints and {safe_text(place)} has {free / 1e9:.1f} GB.",
            "Free some space, keep fewer checkpoints, or set BACKPROP_DATA_DIR to a roomier disk.",
            {"needed": needed, "free": free},
        )


def _resolved(spec: RunSpec) -> RunSpec:
    from backprop_tui.data.finding.places import resolve
    from backprop_tui.data.versions.launched import lasting_words
    from backprop_tui.launch.safety import resolved_limits

    base = Path(spec.model.base).expanduser()
    model = spec.model
    if spec.model.base != DEMO and base.is_dir():
        model = model.model_copy(update={"base": str(base.absolute())})
    held_out = spec.data.eval_path
    data = spec.data.model_copy(
        update={
            "path": lasting_words(resolve(spec.data.path)),
            "eval_path": lasting_words(resolve(held_out)) if held_out else None,
        }
    )
    grpo = spec.grpo
    if grpo.reward_file.strip():
        grpo = grpo.model_copy(update={"reward_file": str(Path(grpo.reward_file.strip()).expanduser().absolute())})
    recovery = spec.recovery
    if recovery.baseline:
        recovery = recovery.model_copy(update={"baseline": _baseline(recovery.baseline)})
    return spec.model_copy(
        update={
            "name": spec.title[:_NAME_LIMIT],
            "model": model,
            "data": data,
            "grpo": grpo,
            "recovery": recovery,
            "safety": resolved_limits(spec.safety),
        }
    )


def _baseline(wanted: str) -> str:
    """The full id of the run that is compared with; one without evaluations is refused."""
    from backprop_tui.engine.baseline import read_baseline
    from backprop_tui.store.layout import find_run

    read_baseline(wanted)
    return find_run(wanted).id


def _existing(place: Path) -> Path:
    while not place.exists() and place != place.parent:
        place = place.parent
    return place
