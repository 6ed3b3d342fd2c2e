"""Queues of scripted runs, their runner, and what became of them."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from backprop_tui.store.layout import RunDir, list_runs
from backprop_tui.store.locks import is_held
from backprop_tui.store.queue import Queue, Queued, fresh
from tests.support.engines import events, eventually

RUNNER = (sys.executable, str(Path(__file__).with_name("scripted_runner.py")))


def waiting(name: str, *, gpus: list[int] | None = None, devices: int = 1, **script: Any) -> Queued:
    """An entry of a scripted run, put at the end of the queue."""
    spec = {
        "name": name,
        "model": {"base": "none", "method": "lora"},
        "devices": {"devices": devices},
        "script": script,
    }
    return Queue().add([fresh(name, spec, gpus=gpus or [])])[0]


def names() -> list[str]:
    """Names of what is in the queue, in order."""
    return [entry.name for entry in Queue().entries()]


def runs() -> dict[str, RunDir]:
    """Runs by name; fails where two have one name, which would be a run started twice."""
    found: dict[str, RunDir] = {}
    for run in list_runs():
        if not run.spec_file.exists():
            # It is just being made.
            continue
        name = str(run.read_spec()["name"])
        assert name not in found, f"{name} was started twice"
        found[name] = run
    return found


def running(name: str, timeout: float = 20.0) -> RunDir:
    """The run of a name, once its worker steps."""
    return eventually(
        lambda: (run := runs().get(name)) is not None and events(run, "step") and run, timeout, f"{name} runs"
    )


def emptied(timeout: float = 30.0) -> None:
    """Wait until the runner has left."""
    eventually(lambda: not is_held(Queue().runner_lock), timeout, "the runner leaves")


def spans(*wanted: str) -> list[tuple[float, float]]:
    """First and last moment of each run, by its journal."""
    return [(events(runs()[name])[0].wall, events(runs()[name])[-1].wall) for name in wanted]


def runner_pid() -> int:
    """The process that holds the runner's lock, by the kernel's list."""
    inode = os.stat(Queue().runner_lock).st_ino
    for line in Path("/proc/locks").read_text().splitlines():
        words = line.split()
        if words[1] == "FLOCK" and words[3] == "WRITE" and words[5].endswith(f":{inode}"):
            return int(words[4])
    raise AssertionError("no runner")


@contextlib.contextmanager
def no_runner_left() -> Iterator[None]:
    """End this test's runner, whatever the test did."""
    try:
        yield
    finally:
        if is_held(Queue().runner_lock):
            with contextlib.suppress(OSError, AssertionError):
                os.kill(runner_pid(), signal.SIGKILL)
