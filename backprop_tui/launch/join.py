"""A further machine takes part in a run: torchrun's agent is started here whenever the run has an attempt, until it ends.

The machines share the run's directory, and its journal says how the run stands: locks need not work between machines.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable
from typing import Any

from backprop_tui.engine.worker_command import TOGETHER, nodes
from backprop_tui.launch.start import engine_environment
from backprop_tui.protocol.errors import UsageError
from backprop_tui.protocol.states import RunState
from backprop_tui.store.layout import RunDir
from backprop_tui.store.summary import load_summary

#: Seconds between two looks at the journal.
_LOOK = 0.5
#: Seconds a machine's processes get to end once the run has.
_GRACE = 30.0


def join_run(run: RunDir, node: int, *, tell: Callable[[str], None] = lambda words: None) -> RunState:
    """Take part until the run has ended; returns how.

    Args:
        run: in the directory that all machines share.
        node: this machine's number, from 1 up; the one that started the run is 0.
        tell: hears a sentence whenever something changes.

    Raises:
        UsageError: RUN_NOT_SHARED, NODE_UNKNOWN, RUN_OVER.
    """
    spec = run.read_spec()
    together = nodes(spec)
    if together == 1:
        raise UsageError(
            "RUN_NOT_SHARED", f"Run {run.short_id} trains on one machine.", "Start it with --set nodes=2 or more."
        )
    if not 1 <= node < together:
        raise UsageError(
            "NODE_UNKNOWN", f"A run on {together} machines has no machine {node}.", f"Choose 1 to {together - 1}."
        )
    state = load_summary(run).view.state
    if not state.live:
        raise UsageError("RUN_OVER", f"Run {run.short_id} is {state.value}.", "Resume it on its first machine.")
    tell(f"Machine {node} joins run {run.short_id}.")
    while (state := _take_part(run, node)).live:
        tell(f"Machine {node} joins once more.")
    tell(f"Run {run.short_id} is {state.value}.")
    return state


def _take_part(run: RunDir, node: int) -> RunState:
    """Run the agent until it ends or the run has; how the run stands then."""
    environment: dict[str, Any] = engine_environment(os.environ)
    with (run.path / f"node-{node}.log").open("ab") as log:
        agent = subprocess.Popen(
            [*TOGETHER, str(run.path), str(node)],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=run.path, env=environment, process_group=0,
        )  # fmt: skip
    try:
        while agent.poll() is None:
            state = load_summary(run).view.state
            if not state.live:
                break
            with contextlib.suppress(subprocess.TimeoutExpired):
                agent.wait(_LOOK)
        with contextlib.suppress(subprocess.TimeoutExpired):
            agent.wait(_GRACE)
    finally:
        with contextlib.suppress(OSError):
            os.killpg(agent.pid, signal.SIGTERM if agent.poll() is None else signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            agent.wait(_GRACE)
    # The host writes the end a moment after the last process is gone.
    deadline = time.monotonic() + _LOOK * 4
    while (state := load_summary(run).view.state).live and time.monotonic() < deadline:
        time.sleep(_LOOK)
    return state
