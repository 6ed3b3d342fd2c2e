"""How long the host waits for what."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from backprop_tui.protocol.codec import number


@dataclass(frozen=True, slots=True)
class Timings:
    """Waiting times in seconds.

    Attributes:
        telemetry: between readings. sync: longest time a metric stays off the disk. linger: for clients to drain.
        abort: from an abort to SIGTERM. kill: from SIGTERM to SIGKILL.
        exit: from the worker's last word to SIGTERM.
        stop, shutdown: silence of a worker asked to stop, by a person or by a signal to the host, before SIGTERM.
    """

    telemetry: float = 2.0
    sync: float = 1.0
    linger: float = 2.0
    abort: float = 10.0
    kill: float = 10.0
    exit: float = 20.0
    stop: float = 900.0
    shutdown: float = 120.0

    def for_run(self, spec: Mapping[str, Any]) -> Timings:
        """With what a run.json says of its own: a worker that may take long to stop is given that long."""
        recovery = spec.get("recovery")
        grace = number(recovery.get("preempt_grace_s")) if isinstance(recovery, Mapping) else None
        if grace is None or grace != grace:
            return self
        return replace(self, shutdown=max(self.shutdown, grace), stop=max(self.stop, grace))
