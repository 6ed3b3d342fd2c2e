"""Which devices are free, and which entry of the queue gets them.

A device is free while no live run of ours holds it; other people's processes are the plan's business, not the queue's. The
CPU counts as one device: on a machine without GPUs runs follow one another.
"""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from backprop_tui.engine.worker_command import devices
from backprop_tui.protocol.errors import DataError
from backprop_tui.store import locks
from backprop_tui.store.layout import RunDir, list_runs
from backprop_tui.store.queue import Queued

#: The CPU as a device.
CPU = -1
#: Seconds in which the engine of a run that has just been made takes its lock.
_BEGINS_WITHIN = 30.0


@dataclass(frozen=True, slots=True)
class Wish:
    """What an entry wants: `count` devices out of `pool`; with `now` also such as are taken."""

    id: str
    pool: tuple[int, ...]
    count: int
    now: bool = False


def place(wishes: Iterable[Wish], free: Collection[int]) -> list[tuple[str, tuple[int, ...]]]:
    """Who begins now, and on what; pure.

    Whoever can't be served keeps what it could use from those behind it, so that small runs never starve a large one; what it
    could not use goes to the next that can.

    Args:
        wishes: in the order of the queue.
        free: devices nobody holds.
    """
    left, kept = set(free), set[int]()
    begun: list[tuple[str, tuple[int, ...]]] = []
    for wish in wishes:
        usable = [device for device in wish.pool if device in left and (wish.now or device not in kept)]
        if len(usable) < wish.count:
            if not wish.now:
                kept.update(wish.pool)
                continue
            usable += [device for device in wish.pool if device not in usable]
        given = tuple(sorted(usable[: wish.count]))
        left.difference_update(given)
        begun.append((wish.id, given))
    return begun


def wish_of(entry: Queued, gpus: Sequence[int]) -> Wish:
    """What an entry wants on a machine with these GPUs."""
    if not gpus or _on_cpu(entry.spec):
        return Wish(entry.id, (CPU,), 1, entry.now)
    if entry.gpus:
        return Wish(entry.id, tuple(entry.gpus), len(entry.gpus), entry.now)
    wanted = devices(entry.spec) or len(gpus)
    return Wish(entry.id, tuple(gpus), min(wanted, len(gpus)), entry.now)


def machine_gpus(environment: Mapping[str, str] = os.environ) -> tuple[int, ...]:
    """Indices of the GPUs the queue may give away: all the driver lists, or those CUDA_VISIBLE_DEVICES names by number."""
    from backprop_tui.hardware.gpu import read_gpus

    listed = tuple(int(reading["index"]) for reading in read_gpus()[0])
    named = environment.get("CUDA_VISIBLE_DEVICES")
    if named is None:
        return listed
    if named_by_number(environment):
        words = [word.strip() for word in named.split(",")]
        return tuple(index for index in listed if str(index) in words)
    # Names such as GPU-8f… or MIG-… can't be told from here: what they stand for is one device, and stays as it is named.
    return listed[:1] if named.strip() and not named.strip().startswith("-") else ()


def named_by_number(environment: Mapping[str, str]) -> bool:
    """Whether devices may be chosen by their index: nobody named any, or by nothing but numbers."""
    named = environment.get("CUDA_VISIBLE_DEVICES")
    return named is None or all(word.strip().isdecimal() for word in named.split(","))


def taken(gpus: Sequence[int], runs: Iterable[RunDir] | None = None) -> set[int]:
    """Devices that live runs hold, whoever started them.

    Args:
        gpus: of this machine.
        runs: which to look at; None is all the person's own.
    """
    held: set[int] = set()
    for run in list_runs() if runs is None else runs:
        if alive(run) or _beginning(run):
            held |= _held_by(run, gpus)
    return held


def alive(run: RunDir) -> bool:
    """Whether an engine or a worker still works on a run."""
    return locks.is_held(run.lock_file) or locks.is_held(run.worker_lock)


def _beginning(run: RunDir) -> bool:
    """Whether somebody has just made a run whose engine does not hold its lock yet."""
    if run.journal_file.exists():
        return False
    stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime(time.time() - _BEGINS_WITHIN))
    return run.id[:15] >= stamp


def _held_by(run: RunDir, gpus: Sequence[int]) -> set[int]:
    if not gpus:
        return {CPU}
    try:
        spec, queued = run.read_spec(), run.read_queued()
    except DataError:
        return set(gpus)
    given = (queued or {}).get("gpus")
    if isinstance(given, list) and given:
        return {device for device in given if isinstance(device, int)}
    if _on_cpu(spec):
        return {CPU}
    from backprop_tui.store.summary import load_summary

    view = load_summary(run).view
    if view.plan.get("device") == "cpu":
        return {CPU}
    if view.run_gpus:
        return set(view.run_gpus)
    # Nobody has seen its memory yet: PyTorch takes the first ones in sight.
    return set(gpus[: devices(spec) or len(gpus)])


def _on_cpu(spec: Mapping[str, Any]) -> bool:
    model = spec.get("model")
    return isinstance(model, Mapping) and model.get("device") == "cpu"
