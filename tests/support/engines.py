"""Starting scripted runs and waiting for what they do."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from backprop_tui.launch.start import launch_engine
from backprop_tui.protocol.events import Event
from backprop_tui.store.journal import read_events
from backprop_tui.store.layout import RunDir, create_run, list_runs
from backprop_tui.store.locks import Identity, is_alive, is_held, signal_engine

T = TypeVar("T")
ENGINE = (sys.executable, str(Path(__file__).with_name("scripted_host.py")))


def scripted(**script: Any) -> RunDir:
    """A run directory whose worker follows the script; nothing is started."""
    return create_run({"name": "scripted", "model": {"base": "none", "method": "lora"}, "script": script})


def started(**script: Any) -> RunDir:
    """The same, with its engine running."""
    run = scripted(**script)
    launch_engine(run, engine=ENGINE)
    return run


def events(run: RunDir, *kinds: str) -> list[Event]:
    """The journal so far, narrowed to kinds if any are given."""
    return [event for event in read_events(run.journal_file) if not kinds or event.kind in kinds]


def eventually(look: Callable[[], T], timeout: float = 20.0, what: str = "") -> T:
    """The first truthy answer; fails when there is none in time."""
    deadline = time.monotonic() + timeout
    while True:
        answer = look()
        if answer:
            return answer
        assert time.monotonic() < deadline, f"never happened: {what or look}"
        time.sleep(0.01)


def over(run: RunDir, timeout: float = 20.0) -> list[Event]:
    """Wait until nobody holds the run; the whole journal."""
    eventually(lambda: not is_held(run.lock_file) and not is_held(run.worker_lock), timeout, f"end of {run.id}")
    return events(run)


def at_step(run: RunDir, step: int, timeout: float = 20.0) -> None:
    """Wait until the journal shows a step."""
    eventually(lambda: any(e.data["step"] >= step for e in events(run, "step")), timeout, f"step {step}")


def identity(run: RunDir) -> Identity:
    """Who runs it."""
    found = Identity.read(run.identity_file)
    assert found is not None
    return found


def worker_pid(run: RunDir) -> int:
    """The newest worker's process id."""
    return int(events(run, "attempt")[-1].data["pid"])


@contextlib.contextmanager
def no_engine_left() -> Iterator[None]:
    """End every engine and worker of this test's runs, whatever the test did."""
    try:
        yield
    finally:
        for run in list_runs():
            who = Identity.read(run.identity_file)
            workers = {int(event.data["pid"]) for event in events(run, "attempt")}
            if who is not None and is_alive(who):
                signal_engine(who, signal.SIGKILL)
            if is_held(run.worker_lock):
                for pid in workers:
                    with contextlib.suppress(OSError):
                        os.killpg(pid, signal.SIGKILL)
