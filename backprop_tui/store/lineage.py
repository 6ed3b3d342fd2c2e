"""Forks: what a run began with, and the copy of it that the run holds itself, so that deleting the parent breaks nothing."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from backprop_tui.protocol.errors import DataError
from backprop_tui.store import checkpoints
from backprop_tui.store.checkpoints import CheckpointInfo, read_manifest
from backprop_tui.store.layout import RunDir, list_runs

Kept = Literal["weights", "optimizer"]

#: Beginnings of file names that serve going on exactly and nothing else: a fresh optimiser has no use for them.
_STATE_FILES = ("optimizer", "scheduler", "scaler", "rng_state", "trainer_state.json", "state.json", "training_args")


@dataclass(frozen=True, slots=True)
class Parent:
    """What a fork came from.

    Attributes:
        run: the parent's id; it may be gone. step: of the checkpoint.
        kept: `weights` begins anew with its weights; `optimizer` goes on at that step with its optimiser and its place in the
            data.
        rate: the child's learning rate as a multiple of the parent's.
    """

    run: str
    step: int
    kept: Kept
    rate: float = 1.0

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready; `from_dict` reads it back."""
        return asdict(self)

    @classmethod
    def from_dict(cls, words: Mapping[str, Any] | None) -> Parent | None:
        """What `to_dict` wrote; None for anything else."""
        try:
            run, step, rate = (
                str((words or {})["run"]),
                int((words or {})["step"]),
                float((words or {}).get("rate", 1.0)),
            )
        except (KeyError, TypeError, ValueError):
            return None
        kept: Kept = "optimizer" if (words or {}).get("kept") == "optimizer" else "weights"
        return cls(run, step, kept, rate)


def parent_of(run: RunDir) -> Parent | None:
    """What a run is a fork of; None when it is none, or its run.json can't be read."""
    try:
        return Parent.from_dict(run.read_parent())
    except DataError:
        return None


def children_of(run: RunDir) -> list[RunDir]:
    """The runs beside this one that are forks of it, oldest first."""
    found = [(other, parent_of(other)) for other in list_runs(run.path.parent)]
    return [other for other, parent in reversed(found) if parent is not None and parent.run == run.id]


def origin_of(run: RunDir) -> Path | None:
    """The checkpoint whose weights a fork begins with at step 0; None for other runs.

    Raises:
        DataError: ORIGIN_DAMAGED, it is not as it was written.
    """
    parent = parent_of(run)
    if parent is None or parent.kept != "weights":
        return None
    place = run.origin / run.checkpoint(parent.step).name
    problem = checkpoints.verify(place) if not run.origin.is_symlink() else f"{run.origin.name} is a symbolic link."
    if problem is not None:
        raise DataError(
            "ORIGIN_DAMAGED",
            f"The weights that run {run.short_id} began with can't be used: {problem}",
            f"Fork {parent.run} again.",
        )
    return place


def adopt(child: RunDir, source: CheckpointInfo, kept: Kept) -> Path:
    """Give a fork its own copy of a checkpoint: hard links where the file system has them, else copies.

    A published file is never written again, so sharing its bytes is safe. Every byte is compared with the parent's manifest.

    Args:
        child: the fork.
        source: the parent's checkpoint.
        kept: `optimizer` puts everything among the child's checkpoints, `weights` the model's files into its `origin`.

    Returns:
        The directory of the copy.

    Raises:
        DataError: CHECKPOINT_INVALID, the checkpoint is damaged, or went away meanwhile.
        OSError: the disk is full or broken.
    """
    manifest = read_manifest(source.path)
    if manifest is None:
        raise _invalid(f"{source.path.name} has no readable manifest.")
    wanted = {name: facts for name, facts in manifest["files"].items() if kept == "optimizer" or not _is_state(name)}
    home = child.checkpoints if kept == "optimizer" else child.origin
    home.mkdir(mode=0o700, exist_ok=True)
    staged = checkpoints.staging(child, source.step)
    try:
        for name in wanted:
            _place(source.path, name, staged)
        final = home / source.path.name
        checkpoints.publish(
            staged, final, step=source.step, fingerprint=manifest.get("fingerprint") or {}, check=_same_as(wanted)
        )
    except (FileNotFoundError, NotADirectoryError) as error:
        shutil.rmtree(staged, ignore_errors=True)
        raise _invalid(f"{source.path.name} went away while it was copied ({error.strerror}).") from None
    except BaseException:
        shutil.rmtree(staged, ignore_errors=True)
        raise
    return final


def _same_as(wanted: Mapping[str, Mapping[str, Any]]) -> Callable[[str, str], None]:
    def check(name: str, digest: str) -> None:
        if wanted[name].get("sha256") != digest:
            raise _invalid(f"{name} is damaged: its SHA-256 differs.")

    return check


def _place(source: Path, name: str, staged: Path) -> None:
    parts = Path(name).parts
    if Path(name).is_absolute() or ".." in parts:
        raise _invalid("Its manifest names a file outside of it.")
    here, there = source, staged
    for part in parts[:-1]:
        here, there = here / part, there / part
        if here.is_symlink():
            raise _invalid(f"{name} lies behind a symbolic link.")
        there.mkdir(mode=0o700, exist_ok=True)
    file, target = here / parts[-1], there / parts[-1]
    if file.is_symlink():
        raise _invalid(f"{name} is a symbolic link.")
    try:
        os.link(file, target, follow_symlinks=False)
    except FileNotFoundError:
        raise
    except OSError:
        # Another file system, or one without hard links.
        shutil.copyfile(file, target, follow_symlinks=False)


def _is_state(name: str) -> bool:
    return name.rpartition("/")[2].startswith(_STATE_FILES)


def _invalid(cause: str) -> DataError:
    return DataError("CHECKPOINT_INVALID", cause, "Choose another step; `backprop show` lists them.")
