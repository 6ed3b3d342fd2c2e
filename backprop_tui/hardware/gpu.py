"""NVIDIA GPUs through NVML. A sensor that fails gives None and a reason for its value only; nothing NVML raises gets out."""

from __future__ import annotations

import importlib
import threading
import time
from collections.abc import Callable, Collection
from typing import Any

from backprop_tui.hardware.card import Card, lost
from backprop_tui.protocol.readings import GpuReading
from backprop_tui.protocol.text import safe_text

NO_DRIVER = "no NVIDIA driver"
_ELSEWHERE = "the driver numbers processes as outside this container"
_GONE = "the driver does not list this GPU any more"


class GpuReader:
    """Keeps NVML open between readings. Thread-safe; a driver that comes back is found again at the next reading.

    Args:
        clock: seconds, for what is asked less often than the rest.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._lock = threading.Lock()
        self._open = False
        self._clock = clock
        self._cards: list[Card] = []

    def read(self, run_pids: Collection[int] = ()) -> tuple[list[GpuReading], str | None]:
        """One reading per GPU, in NVML's order; without any, an empty list and the reason in words.

        Args:
            run_pids: processes of the run, whose memory is told apart.
        """
        nvml = _nvml()
        if nvml is None:
            return [], "the package nvidia-ml-py is not installed"
        with self._lock:
            try:
                if not self._open:
                    nvml.nvmlInit()
                    self._open = True
                count = int(nvml.nvmlDeviceGetCount())
            except Exception as error:
                self._forget(nvml)
                return [], _reason(nvml, error)
            now = self._clock()
            self._cards += [Card(index) for index in range(len(self._cards), count)]
            # A GPU the driver stopped listing stays in the list with every value unknown: it must not look as if it
            # had never existed.
            readings = [
                card.read(nvml, now, run_pids) if card.index < count else lost(card.index, _GONE)
                for card in self._cards
            ]
        if run_pids:
            _check_numbers(readings)
        return readings, None if readings else "no NVIDIA GPU"

    def driver_version(self) -> str | None:
        """The driver's version such as "560.35.03", None when there is no driver or it does not say."""
        nvml = _nvml()
        if nvml is None:
            return None
        with self._lock:
            try:
                if not self._open:
                    nvml.nvmlInit()
                    self._open = True
                return safe_text(nvml.nvmlSystemGetDriverVersion(), limit=40)
            except Exception:
                self._forget(nvml)
                return None

    def close(self) -> None:
        """Let go of NVML; the next reading opens it again."""
        nvml = _nvml()
        with self._lock:
            if nvml is not None:
                self._forget(nvml)

    def _forget(self, nvml: Any) -> None:
        for card in self._cards:
            card.forget()
        if self._open:
            self._open = False
            try:
                nvml.nvmlShutdown()
            except Exception:
                pass


def _check_numbers(readings: list[GpuReading]) -> None:
    """Take back "holds nothing" where the processes are numbered as outside this container: nobody can tell then."""
    listed = [process for reading in readings for process in reading.get("processes") or ()]
    if any(process["ours"] for process in listed) or not any(process["name"] is None for process in listed):
        return
    for reading in readings:
        if reading["run_memory"] == 0 and reading.get("processes"):
            reading["run_memory"] = None
            reading["unknown"] = {**reading["unknown"], "run_memory": _ELSEWHERE}


_reader = GpuReader()


def read_gpus(run_pids: Collection[int] = ()) -> tuple[list[GpuReading], str | None]:
    """One reading per GPU: percent, bytes, degrees Celsius, watts, MHz; or ([], "no NVIDIA driver")."""
    return _reader.read(run_pids)


def driver_version() -> str | None:
    """The NVIDIA driver's version, None without one."""
    return _reader.driver_version()


def _nvml() -> Any:
    try:
        return importlib.import_module("pynvml")
    except Exception:
        return None


def _reason(nvml: Any, error: Exception) -> str:
    value = getattr(error, "value", None)
    if value in (nvml.NVML_ERROR_LIBRARY_NOT_FOUND, nvml.NVML_ERROR_DRIVER_NOT_LOADED):
        return NO_DRIVER
    if value == nvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH:
        return "the NVIDIA driver was updated: reboot to use the GPU"
    if value == nvml.NVML_ERROR_NO_PERMISSION:
        return "no permission to ask the NVIDIA driver"
    return f"the NVIDIA driver does not answer ({safe_text(error, limit=60)})"
