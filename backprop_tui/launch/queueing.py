"""Putting runs into the queue, and having a runner at work on it."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from backprop_tui.config.view_only import refuse_if_view_only, view_only
from backprop_tui.launch.start import engine_environment
from backprop_tui.protocol.errors import BackpropError, UnavailableError, UsageError
from backprop_tui.store import locks
from backprop_tui.store.queue import Queue, Queued, QueueState, fresh

if TYPE_CHECKING:
    from backprop_tui.protocol.spec import RunSpec

RUNNER_COMMAND = (sys.executable, "-P", "-m", "backprop_tui.launch.queue_runner")
#: A runner holds its lock within a fraction of a second.
_AT_WORK_WITHIN = 20.0


def enqueue(
    spec: RunSpec,
    *,
    trusted: Collection[str] = (),
    gpus: Sequence[int] = (),
    first: bool = False,
    queue: Queue | None = None,
) -> Queued:
    """Check a run as a launch does, and put it into the queue; what is wrong is said here, not when its turn comes.

    Args:
        spec: what is to be run.
        trusted: as `start_run` takes it.
        gpus: indices it must run on; empty is any free one.
        first: before those that wait already.
        queue: None is the person's own.

    Raises:
        UsageError: QUEUE_GPU, QUEUE_NODES; REWARD_NOT_CONFIRMED.
        BackpropError: what preflight found wrong; nothing was put anywhere.
    """
    refuse_if_view_only()
    entry = prepared(spec, trusted=trusted, gpus=gpus)
    return (queue or Queue()).add([entry], first=first)[0]


def prepared(spec: RunSpec, *, trusted: Collection[str] = (), gpus: Sequence[int] = ()) -> Queued:
    """The entry of a run that was checked, not yet in the queue. Arguments and errors are those of `enqueue`."""
    from backprop_tui.launch import rewards
    from backprop_tui.launch.preflight import check_and_record
    from backprop_tui.launch.safety import unattended

    check_wishes(spec, gpus)
    # Those behind it would wait for as long as it waits for a person.
    spec = unattended(spec)
    resolved, launched = check_and_record(spec)
    rewarded = rewards.confirmed(resolved, trusted)
    if spec.optim.micro_batch == "auto":
        # What fits is a matter of the device and the moment, so it is chosen when the run begins.
        resolved = resolved.model_copy(update={"optim": spec.in_force.optim})
        launched.pop("micro_batch", None)
    words = resolved.model_dump(mode="json")
    file = None if rewarded is None else rewarded.file
    hashes = sorted({*trusted, *(() if file is None else (file.sha256,))})
    return fresh(resolved.title, words, launched=launched, trusted=hashes, gpus=list(gpus))


def check_wishes(spec: RunSpec, gpus: Sequence[int]) -> None:
    """Refuse GPUs that are not there or don't fit the run, and runs that a queue of one machine can't start.

    Raises:
        UsageError: QUEUE_GPU, QUEUE_NODES.
    """
    from backprop_tui.launch.slots import machine_gpus

    if spec.devices.nodes > 1:
        raise UsageError(
            "QUEUE_NODES",
            f"The run wants {spec.devices.nodes} machines, and the queue is one machine's.",
            "Start it without --queue, or as a job of Slurm with --slurm.",
        )
    if not gpus:
        return
    there = machine_gpus()
    if absent := [index for index in gpus if index not in there]:
        known = ", ".join(map(str, there)) or "none"
        raise UsageError("QUEUE_GPU", f"There is no GPU {absent[0]}; this machine has {known}.", "Leave --gpu out.")
    if spec.devices.devices not in (0, len(gpus)):
        raise UsageError(
            "QUEUE_GPU",
            f"{len(gpus)} GPUs are named and the run takes {spec.devices.devices}.",
            f"Add --set devices={len(gpus)}.",
        )


def ensure_runner(queue: Queue | None = None, command: Sequence[str] = RUNNER_COMMAND) -> bool:
    """Have a runner at work, detached from this process, its terminal and its session; True when one is.

    Two that do this at the same moment start two, of which one leaves at once. A runner that found nothing to do has left
    again, which counts as one.

    Raises:
        UnavailableError: QUEUE_RUNNER, it can't be started.
    """
    refuse_if_view_only()
    queue = queue or Queue()
    if locks.is_held(queue.runner_lock):
        return True
    process = _spawn(queue, command)
    deadline = time.monotonic() + _AT_WORK_WITHIN
    while time.monotonic() < deadline:
        code = process.poll()
        if code is not None and code != 0:
            break
        if code == 0 or locks.is_held(queue.runner_lock):
            return True
        time.sleep(0.02)
    raise UnavailableError(
        "QUEUE_RUNNER", "The queue's runner did not begin.", f"What it said is in {queue.runner_log}; try again."
    )


def look_after(queue: Queue | None = None, command: Sequence[str] = RUNNER_COMMAND) -> None:
    """Bring back a runner that was lost while something waits for it, as after a crash or a reboot; never raises."""
    queue = queue or Queue()
    if view_only() or not queue.root.exists() or locks.is_held(queue.runner_lock):
        return
    if has_work(queue):
        with contextlib.suppress(BackpropError, OSError):
            ensure_runner(queue, command)


def has_work(queue: Queue) -> bool:
    """Whether a runner would find something to do."""
    from backprop_tui.store.sweeps import list_sweeps

    held = queue.held() is not None
    for entry in queue.entries():
        if entry.state in (QueueState.STARTING, QueueState.RUNNING):
            return True
        if entry.state is QueueState.WAITING and (entry.now or not held):
            return True
    return not held and any(sweep.asking for sweep in list_sweeps(queue.root))


def runner_environment(given: Sequence[int], environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """What the start of an entry gets: the runner's own environment, and in sight only the devices it was given."""
    from backprop_tui.launch.slots import CPU, named_by_number

    words = dict(environment)
    if given and CPU not in given and named_by_number(environment):
        # NVML counts by PCI bus; CUDA does only when told to.
        words |= {"CUDA_VISIBLE_DEVICES": ",".join(map(str, given)), "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}
    return words


def queued_words(entry: Queued) -> dict[str, Any]:
    """What a run's run.json notes of the entry it was."""
    return {"entry": entry.id, "gpus": list(entry.given), **(entry.sweep or {})}


def _spawn(queue: Queue, command: Sequence[str]) -> subprocess.Popen[bytes]:
    try:
        queue.root.mkdir(parents=True, exist_ok=True, mode=0o700)
        log = os.open(queue.runner_log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            return subprocess.Popen(
                list(command),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=queue.root,
                env=engine_environment(os.environ),
                start_new_session=True,
                umask=0o077,
            )
        finally:
            os.close(log)
    except OSError as error:
        raise UnavailableError(
            "QUEUE_RUNNER", f"The queue's runner can't be started: {error.strerror}.", "Check the data directory."
        ) from None
