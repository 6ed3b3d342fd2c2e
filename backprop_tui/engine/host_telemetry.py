"""Reads the sensors on a thread of its own: a driver that hangs costs the readings, never the run."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any


class Telemetry:
    """Samples GPUs and the machine every `interval` seconds until `stop`.

    Args:
        place: directory whose disk is watched.
        worker_pid: process whose memory is watched.
        interval: seconds between readings.
        on_reading: called on the event loop with a `TelemetryPayload`.
        on_failure: called on the event loop, once, with a sentence, when the sensors can't be read at all.
    """

    def __init__(
        self,
        place: Path,
        worker_pid: int,
        interval: float,
        on_reading: Callable[[dict[str, Any]], None],
        on_failure: Callable[[str], None],
    ) -> None:
        self._place = place
        self._worker_pid = worker_pid
        self._interval = interval
        self._on_reading = on_reading
        self._on_failure = on_failure
        self._loop = asyncio.get_running_loop()
        self._stopped = threading.Event()

    def start(self) -> None:
        """Begin; the first reading comes at once."""
        threading.Thread(target=self._sample, name="telemetry", daemon=True).start()

    def stop(self) -> None:
        """No more readings."""
        self._stopped.set()

    def _sample(self) -> None:
        try:
            from backprop_tui.hardware.gpu import read_gpus
            from backprop_tui.hardware.host import HostSampler

            sampler = HostSampler(self._place)
            while not self._stopped.is_set():
                gpus, reason = read_gpus()
                reading = {"gpus": gpus, "gpu_reason": reason, "host": sampler.read(self._worker_pid)}
                self._tell(self._on_reading, reading)
                self._stopped.wait(self._interval)
        except Exception as error:
            self._tell(self._on_failure, f"The sensors can't be read: {type(error).__name__}: {error}")

    def _tell(self, callback: Callable[..., None], *args: object) -> None:
        # The loop is closed when the host is already gone.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(callback, *args)
