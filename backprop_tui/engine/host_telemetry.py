"""Reads the sensors on threads of their own: a driver that hangs costs the GPU's readings, never the run or the rest."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from backprop_tui.protocol.readings import GpuReading
from backprop_tui.protocol.telemetry import FACTS, slimmed

#: Readings between two that repeat everything: who reads only the end of a journal has all of it within a minute.
_WHOLE_EVERY = 30
#: Intervals without an answer after which the driver counts as hanging.
_PATIENCE = 3


class Telemetry:
    """Samples GPUs and the machine every `interval` seconds until `stop`.

    Args:
        place: directory whose disk is watched.
        worker_pid: process whose memory is watched.
        interval: seconds between readings.
        on_reading: called on the event loop with a `readings.TelemetryPayload`.
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
        self._cards = _Cards(interval, self._stopped)

    def start(self) -> None:
        """Begin; the first reading comes at once."""
        threading.Thread(target=self._sample, name="telemetry", daemon=True).start()

    def stop(self) -> None:
        """No more readings."""
        self._stopped.set()
        self._cards.wake()

    def _sample(self) -> None:
        try:
            from backprop_tui.hardware.host import HostSampler

            sampler = HostSampler(self._place)
            slimmer = Slimmer()
            while not self._stopped.is_set():
                host = sampler.read(self._worker_pid)
                gpus, reason = self._cards.read(sampler.run_pids)
                reading = {"gpus": slimmer.slim(gpus), "gpu_reason": reason, "host": host}
                self._tell(self._on_reading, reading)
                self._stopped.wait(self._interval)
        except Exception as error:
            self._tell(self._on_failure, f"The sensors can't be read: {type(error).__name__}: {error}")

    def _tell(self, callback: Callable[..., None], *args: object) -> None:
        # The loop is closed when the host is already gone.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(callback, *args)


class Slimmer:
    """Leaves out of GPU readings what was said before; now and then, and after a silence, everything is said again."""

    def __init__(self) -> None:
        self._said: dict[int, dict[str, Any]] = {}
        self._readings = 0

    def slim(self, gpus: list[GpuReading]) -> list[dict[str, Any]]:
        """The readings as they are journalled."""
        if not gpus or self._readings % _WHOLE_EVERY == 0:
            self._said.clear()
        self._readings += 1
        slim = [slimmed(cast("dict[str, Any]", gpu), self._said) for gpu in gpus]
        for gpu in slim:
            facts = {key: value for key, value in gpu.items() if key in FACTS}
            self._said.setdefault(gpu["index"], {}).update(facts)
        return slim


class _Cards:
    """GPU readings by a thread that may hang in the driver without anybody waiting for it."""

    def __init__(self, interval: float, stopped: threading.Event) -> None:
        self._interval = interval
        self._stopped = stopped
        self._wanted = threading.Event()
        self._answered = threading.Event()
        self._pids: frozenset[int] = frozenset()
        self._answer: tuple[list[GpuReading], str | None] = [], None
        self._asked_at: float | None = None
        self._thread: threading.Thread | None = None

    def read(self, run_pids: frozenset[int]) -> tuple[list[GpuReading], str | None]:
        """The cards' readings; the reason why there are none while the driver keeps silent."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="gpu-sensors", daemon=True)
            self._thread.start()
        if self._asked_at is None:
            self._pids = run_pids
            self._asked_at = time.monotonic()
            self._answered.clear()
            self._wanted.set()
        # The first answer opens the driver, which takes a second or two on a machine with many cards.
        patience = self._interval * _PATIENCE - (time.monotonic() - self._asked_at)
        if self._answered.wait(max(0.0, patience)):
            self._asked_at = None
            return self._answer
        silent = time.monotonic() - self._asked_at
        return [], f"the NVIDIA driver has not answered for {silent:.0f} s"

    def wake(self) -> None:
        """Let the thread see that it is over."""
        self._wanted.set()

    def _work(self) -> None:
        from backprop_tui.hardware.gpu import read_gpus

        while True:
            self._wanted.wait()
            self._wanted.clear()
            if self._stopped.is_set():
                return
            try:
                self._answer = read_gpus(self._pids)
            except Exception as error:
                self._answer = [], f"the sensors failed ({type(error).__name__})"
            self._answered.set()
