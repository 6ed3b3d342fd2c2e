"""Pinned checkpoints: steps a person wants to keep, whatever retention, size caps and pruning would do.

They lie in the run directory as `pins.json`, so that a copied run keeps them, and are read anew at each retention: a pin set
while the run trains holds from the next save on.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable

from backprop_tui.config.view_only import refuse_if_view_only
from backprop_tui.protocol.errors import DataError, UnavailableError
from backprop_tui.protocol.text import safe_text
from backprop_tui.store.checkpoints import MANIFEST, list_checkpoints
from backprop_tui.store.layout import RunDir, write_atomic
from backprop_tui.store.notes import alone

_FORMAT = 1
#: A file larger than this, in bytes, is not one of ours.
_MOST_BYTES = 1 << 20


def read_pins(run: RunDir) -> frozenset[int] | None:
    """The pinned steps; None when the file is damaged, so that nobody can say which they are."""
    try:
        fd = os.open(run.pins_file, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | getattr(os, "O_NOFOLLOW", 0))
    except FileNotFoundError:
        return frozenset()
    except OSError:
        return None
    try:
        with os.fdopen(fd, "rb") as file:
            words = json.loads(file.read(_MOST_BYTES))
        steps = words["steps"]
        if words["format"] != _FORMAT or not all(type(step) is int and step >= 0 for step in steps):
            return None
        return frozenset(steps)
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def pin(run: RunDir, step: int) -> frozenset[int]:
    """Keep the checkpoint of a step for good; returns all pinned steps.

    Raises:
        DataError: CHECKPOINT_UNKNOWN, there is none of that step. RUN_PINS_UNREADABLE.
        TryAgainError: somebody else keeps writing. UnavailableError: RUN_PINS_NOT_WRITABLE.
    """

    def with_it(steps: frozenset[int]) -> frozenset[int]:
        place = run.checkpoint(step)
        if run.checkpoints.is_symlink() or place.is_symlink() or not (place / MANIFEST).is_file():
            raise unknown_step(run, step)
        return steps | {step}

    return _change(run, with_it)


def unpin(run: RunDir, step: int) -> frozenset[int]:
    """Let retention have the checkpoint of a step again; returns the steps still pinned.

    Raises:
        DataError: NOT_PINNED. RUN_PINS_UNREADABLE.
        TryAgainError: somebody else keeps writing. UnavailableError: RUN_PINS_NOT_WRITABLE.
    """

    def without(steps: frozenset[int]) -> frozenset[int]:
        if step not in steps:
            raise DataError(
                "NOT_PINNED",
                f"The checkpoint of step {step:,} of run {run.short_id} is not pinned.",
                "`backprop show` names those that are.",
            )
        return steps - {step}

    return _change(run, without)


def unknown_step(run: RunDir, step: int) -> DataError:
    """The error that names the steps there are."""
    there = ", ".join(f"{info.step:,}" for info in list_checkpoints(run)[-8:])
    return DataError(
        "CHECKPOINT_UNKNOWN",
        f"Run {run.short_id} has no checkpoint of step {step:,}.",
        f"It has those of step {there}." if there else "It has none yet.",
    )


def _change(run: RunDir, change: Callable[[frozenset[int]], frozenset[int]]) -> frozenset[int]:
    refuse_if_view_only()
    try:
        with alone(run.pins_lock):
            before = read_pins(run)
            if before is None:
                raise DataError(
                    "RUN_PINS_UNREADABLE",
                    f"{safe_text(run.pins_file)} is damaged; until it is mended no checkpoint of the run is removed.",
                    "Mend it, or move it away and pin again.",
                )
            after = change(before)
            if after != before:
                words = {"format": _FORMAT, "steps": sorted(after)}
                write_atomic(run.pins_file, json.dumps(words).encode())
            return after
    except OSError as error:
        raise UnavailableError(
            "RUN_PINS_NOT_WRITABLE",
            f"{safe_text(run.pins_file)} can't be written: {error.strerror}.",
            "Check the run's directory; what was pinned before still is.",
        ) from None
