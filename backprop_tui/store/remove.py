"""Deleting a run: by id, only what is ours, only what is directly in the runs' directory, and never a live one."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import stat
from pathlib import Path

from backprop_tui.config import paths
from backprop_tui.config.view_only import refuse_if_view_only
from backprop_tui.protocol.errors import DataError, TryAgainError
from backprop_tui.store.columns import forget_columns
from backprop_tui.store.layout import RunDir, is_run_id, sync_dir
from backprop_tui.store.locks import RunLock
from backprop_tui.store.summary import forget_summary

_TRASH = re.compile(r"^\.trash-\d{8}-\d{6}-[0-9a-z]{4}-[0-9a-f]{8}$")
_DIR_FLAGS = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_NOFOLLOW", 0) | os.O_CLOEXEC


def delete_run(run: RunDir, root: Path | None = None) -> None:
    """Delete a run with its checkpoints and artifacts.

    The directory is renamed to `.trash-…` first, so an interrupted deletion never leaves half a run in the list; the next
    deletion finishes it.

    Raises:
        TryAgainError: the run is live (RUN_HELD).
        DataError: RUN_NOT_OURS, it is a symlink, lies elsewhere, or has no run.json of ours.
        OSError: it could not be deleted.
    """
    refuse_if_view_only()
    root = root or paths.runs_dir()
    _check(run, root)
    parent = os.open(root, os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | os.O_CLOEXEC)
    try:
        with RunLock(run.lock_file).acquire():
            _refuse_busy_worker(run)
            trash = f".trash-{run.id}-{secrets.token_hex(4)}"
            os.rename(run.id, trash, src_dir_fd=parent, dst_dir_fd=parent)
        sync_dir(root)
        forget_summary(run.id)
        forget_columns(run.id)
        for name in os.listdir(parent):
            if _TRASH.match(name) and stat.S_ISDIR(os.lstat(name, dir_fd=parent).st_mode):
                shutil.rmtree(name, dir_fd=parent)
    finally:
        os.close(parent)


def _check(run: RunDir, root: Path) -> None:
    ours = is_run_id(run.id) and run.path.parent.absolute() == root.absolute()
    try:
        place = os.open(run.path, _DIR_FLAGS) if ours else -1
    except OSError:
        place = -1
    try:
        if place < 0 or not stat.S_ISREG(os.stat("run.json", dir_fd=place, follow_symlinks=False).st_mode):
            raise _not_ours(run)
    except OSError:
        raise _not_ours(run) from None
    finally:
        if place >= 0:
            os.close(place)


def _not_ours(run: RunDir) -> DataError:
    return DataError(
        "RUN_NOT_OURS",
        f"{run.path} is not a run of ours; nothing was deleted.",
        "Remove it by hand if you are sure.",
    )


def _refuse_busy_worker(run: RunDir) -> None:
    try:
        RunLock(run.worker_lock).acquire(patience=0).release()
    except TryAgainError:
        raise TryAgainError(
            "RUN_HELD", f"The worker of run {run.short_id} is still saving.", "Try again in a moment."
        ) from None
