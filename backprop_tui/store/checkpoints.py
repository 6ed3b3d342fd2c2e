"""Checkpoints on disk: published whole or not at all, verified by size and SHA-256, found and removed by step.

A checkpoint is written to a staging directory, sealed with MANIFEST.json and renamed into place; times of files are
never consulted, because clocks step.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import shutil
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backprop_tui.protocol.errors import DataError, RunFailed
from backprop_tui.store.layout import RunDir, checkpoint_step, sync_dir, write_atomic

MANIFEST = "MANIFEST.json"
_FORMAT = 1
_TEMPORARY = re.compile(r"^\.(tmp|trash)-step-\d{6,}-[0-9a-f]{8}$")
_DIR_FLAGS = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_NOFOLLOW", 0) | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class CheckpointInfo:
    """One checkpoint directory. `bytes` is None when unknown; `problem` is a sentence, None when nothing is wrong."""

    step: int
    path: Path
    bytes: int | None
    problem: str | None


def staging(run: RunDir, step: int) -> Path:
    """A fresh private directory to write a checkpoint into before `publish`."""
    run.checkpoints.mkdir(mode=0o700, exist_ok=True)
    place = run.checkpoints / f".tmp-step-{step:06d}-{secrets.token_hex(4)}"
    place.mkdir(mode=0o700)
    return place


def publish(
    tmp: Path,
    final: Path,
    *,
    step: int,
    fingerprint: dict[str, Any],
    observe: Callable[[str], None] = lambda point: None,
    check: Callable[[str, str], None] = lambda name, digest: None,
) -> int:
    """Seal `tmp` with a manifest, make it durable and rename it to `final`, replacing an earlier one of that step.

    Args:
        tmp: directory made by `staging`, holding everything but the manifest.
        final: `run.checkpoint(step)`.
        step: the optimiser step it was taken after.
        fingerprint: of the data it was trained on; JSON-ready.
        observe: called with "file" after each file is sealed and with "rename" before the rename.
        check: called with each file's name and SHA-256; what it raises stops the publishing.

    Returns:
        The checkpoint's size in bytes.

    Raises:
        RunFailed: something in `tmp` is neither a file nor a directory.
        OSError: the disk is full or broken; `final` is then untouched.
    """
    files: dict[str, dict[str, Any]] = {}
    total = 0
    for path, name in _walk(tmp):
        size, digest = _seal(path)
        check(name, digest)
        files[name] = {"bytes": size, "sha256": digest}
        total += size
        observe("file")
    manifest = {"format": _FORMAT, "step": step, "fingerprint": fingerprint, "files": files}
    content = json.dumps(manifest, indent=1, sort_keys=True).encode()
    write_atomic(tmp / MANIFEST, content)
    for place in {path.parent for path, _ in _walk(tmp)}:
        sync_dir(place)
    observe("rename")
    _replace_dir(tmp, final, step)
    sync_dir(final.parent)
    return total + len(content)


def read_manifest(place: Path) -> dict[str, Any] | None:
    """The manifest of a checkpoint, or None when it is missing, damaged or of another format."""
    try:
        words = json.loads((place / MANIFEST).read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(words, dict) or words.get("format") != _FORMAT or not isinstance(words.get("files"), dict):
        return None
    return words


def verify(place: Path, *, deep: bool = True) -> str | None:
    """What is wrong with a checkpoint as a sentence, or None. `deep` reads and hashes every byte (about 1 s per GiB)."""
    manifest = read_manifest(place)
    if manifest is None:
        return f"{place.name} has no readable {MANIFEST}: it was never completed, or is damaged."
    if checkpoint_step(place.name) != manifest.get("step"):
        return f"{place.name} holds the checkpoint of another step."
    listed = manifest["files"]
    try:
        present = {name: path for path, name in _walk(place) if name != MANIFEST}
    except (OSError, RunFailed):
        return f"{place.name} holds something that is neither a file nor a directory."
    for name in sorted(listed.keys() | present.keys()):
        facts, path = listed.get(name), present.get(name)
        if path is None:
            return f"{name} is missing from {place.name}."
        if not isinstance(facts, dict):
            return f"{name} does not belong to {place.name}."
        problem = _compare(path, facts, deep)
        if problem:
            return f"{name} of {place.name} {problem}."
    return None


def list_checkpoints(run: RunDir, *, deep: bool = False) -> list[CheckpointInfo]:
    """Checkpoints by ascending step, checked by size only unless `deep`. Symlinks and foreign names are passed over."""
    found = []
    try:
        with os.scandir(run.checkpoints) as entries:
            names = [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
    except OSError:
        return []
    for name in names:
        step = checkpoint_step(name)
        if step is not None:
            path = run.checkpoints / name
            found.append(CheckpointInfo(step, path, _size(path), verify(path, deep=deep)))
    return sorted(found, key=lambda info: info.step)


def newest_valid(run: RunDir, *, upto: int | None = None) -> CheckpointInfo | None:
    """The checkpoint of the highest step (at most `upto`) whose every byte is as written."""
    for info in reversed(list_checkpoints(run)):
        if (upto is None or info.step <= upto) and info.problem is None and verify(info.path) is None:
            return info
    return None


def remove_checkpoint(run: RunDir, step: int) -> None:
    """Delete the checkpoint of one step and nothing else; symlinks are refused, never followed.

    Raises:
        DataError: there is no such checkpoint.
        OSError: it could not be deleted.
    """
    name = run.checkpoint(step).name
    try:
        parent = os.open(run.checkpoints, _DIR_FLAGS)
    except OSError:
        parent = -1
    try:
        if parent < 0 or not _is_real_dir(name, parent):
            raise DataError(
                "CHECKPOINT_UNKNOWN",
                f"Run {run.short_id} has no checkpoint of step {step}.",
                f"`backprop show {run.short_id}` lists them.",
            )
        trash = f".trash-{name}-{secrets.token_hex(4)}"
        os.rename(name, trash, src_dir_fd=parent, dst_dir_fd=parent)
        shutil.rmtree(trash, dir_fd=parent)
    finally:
        if parent >= 0:
            os.close(parent)


def sweep(run: RunDir) -> None:
    """Delete what a crash left half written or half deleted; call it only while holding the run's lock."""
    try:
        parent = os.open(run.checkpoints, _DIR_FLAGS)
    except OSError:
        return
    try:
        for name in os.listdir(parent):
            if _TEMPORARY.match(name) and _is_real_dir(name, parent):
                shutil.rmtree(name, dir_fd=parent, ignore_errors=True)
    finally:
        os.close(parent)


def _walk(place: Path) -> Iterator[tuple[Path, str]]:
    """Regular files below `place` with their names relative to it, in a stable order."""
    for directory, subdirs, names in os.walk(place, followlinks=False):
        subdirs.sort()
        for name in sorted([*names, *(d for d in subdirs if (Path(directory) / d).is_symlink())]):
            path = Path(directory) / name
            if not stat.S_ISREG(os.lstat(path).st_mode):
                raise RunFailed(
                    "CHECKPOINT_INVALID",
                    f"{path.name} in a checkpoint is not a regular file.",
                    "Look what puts it there, then resume.",
                )
            yield path, path.relative_to(place).as_posix()


def _seal(path: Path) -> tuple[int, str]:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        os.fsync(file.fileno())
        return os.fstat(file.fileno()).st_size, digest


def _compare(path: Path, facts: dict[str, Any], deep: bool) -> str | None:
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size != facts.get("bytes"):
                return f"has {size:,} bytes instead of {facts.get('bytes')}"
            if deep and hashlib.file_digest(file, "sha256").hexdigest() != facts.get("sha256"):
                return "is damaged: its SHA-256 differs"
    except OSError as error:
        return f"can't be read: {error.strerror}"
    return None


def _replace_dir(tmp: Path, final: Path, step: int) -> None:
    if os.path.lexists(final):
        trash = final.with_name(f".trash-step-{step:06d}-{secrets.token_hex(4)}")
        os.rename(final, trash)
        os.rename(tmp, final)
        if trash.is_symlink():
            trash.unlink()
        else:
            shutil.rmtree(trash, ignore_errors=True)
    else:
        os.rename(tmp, final)


def _is_real_dir(name: str, parent: int) -> bool:
    try:
        return stat.S_ISDIR(os.lstat(name, dir_fd=parent).st_mode)
    except OSError:
        return False


def _size(place: Path) -> int | None:
    manifest = read_manifest(place)
    if manifest is None:
        return None
    return sum(int(facts.get("bytes", 0)) for facts in manifest["files"].values() if isinstance(facts, dict))
