"""NVIDIA GPUs through NVML. A sensor that fails gives None for its value only; it never costs the other readings."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from backprop_tui.protocol.events import GpuReading
from backprop_tui.protocol.text import safe_text

#: What NVML writes into an unsigned field it has no value for.
_NOT_AVAILABLE = 0xFFFF_FFFF

NO_DRIVER = "no NVIDIA driver"


class GpuReader:
    """Keeps NVML open between readings. Thread-safe; a driver that comes back is found again at the next reading."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open = False

    def read(self) -> tuple[list[GpuReading], str | None]:
        """One reading per GPU, in NVML's order; without any, an empty list and the reason in words."""
        import pynvml

        with self._lock:
            try:
                if not self._open:
                    pynvml.nvmlInit()
                    self._open = True
                readings = [_read_one(pynvml, index) for index in range(pynvml.nvmlDeviceGetCount())]
            except pynvml.NVMLError as error:
                self._forget(pynvml)
                return [], _reason(pynvml, error)
        return readings, None if readings else "no NVIDIA GPU"

    def driver_version(self) -> str | None:
        """The driver's version such as "560.35.03", None when there is no driver or it does not say."""
        import pynvml

        with self._lock:
            try:
                if not self._open:
                    pynvml.nvmlInit()
                    self._open = True
                return safe_text(pynvml.nvmlSystemGetDriverVersion(), limit=40)
            except pynvml.NVMLError:
                self._forget(pynvml)
                return None

    def close(self) -> None:
        """Let go of NVML; the next reading opens it again."""
        import pynvml

        with self._lock:
            self._forget(pynvml)

    def _forget(self, nvml: Any) -> None:
        if self._open:
            self._open = False
            try:
                nvml.nvmlShutdown()
            except nvml.NVMLError:
                pass


_reader = GpuReader()


def read_gpus() -> tuple[list[GpuReading], str | None]:
    """One reading per GPU: percent, bytes, degrees Celsius, watts, MHz; or ([], "no NVIDIA driver")."""
    return _reader.read()


def driver_version() -> str | None:
    """The NVIDIA driver's version, None without one."""
    return _reader.driver_version()


def _read_one(nvml: Any, index: int) -> GpuReading:
    def ask(question: Callable[[], Any]) -> Any:
        try:
            return question()
        except nvml.NVMLError:
            return None

    reading = GpuReading(
        index=index,
        name=None,
        temperature=None,
        slowdown=None,
        utilisation=None,
        memory_used=None,
        memory_total=None,
        power=None,
        power_limit=None,
        fan=None,
        clock=None,
    )
    # A GPU that fell off the bus stays in the list with every value unknown: it must not look as if it never existed.
    handle = ask(lambda: nvml.nvmlDeviceGetHandleByIndex(index))
    if handle is None:
        return reading

    def measure(question: Callable[[], Any], scale: float = 1.0) -> float | None:
        value = ask(question)
        return None if value is None or value == _NOT_AVAILABLE else value * scale

    name = ask(lambda: nvml.nvmlDeviceGetName(handle))
    reading["name"] = None if name is None else safe_text(name, limit=96)
    reading["temperature"] = measure(lambda: nvml.nvmlDeviceGetTemperature(handle, nvml.NVML_TEMPERATURE_GPU))
    reading["slowdown"] = measure(
        lambda: nvml.nvmlDeviceGetTemperatureThreshold(handle, nvml.NVML_TEMPERATURE_THRESHOLD_SLOWDOWN)
    )
    reading["utilisation"] = measure(lambda: nvml.nvmlDeviceGetUtilizationRates(handle).gpu)
    # Version 2 leaves the driver's own reserve out of `used`, as nvidia-smi does; old drivers only know version 1.
    memory = ask(lambda: nvml.nvmlDeviceGetMemoryInfo(handle, nvml.nvmlMemory_v2)) or ask(
        lambda: nvml.nvmlDeviceGetMemoryInfo(handle)
    )
    if memory is not None and memory.total:
        reading["memory_used"], reading["memory_total"] = int(memory.used), int(memory.total)
    reading["power"] = measure(lambda: nvml.nvmlDeviceGetPowerUsage(handle), 1e-3)
    reading["power_limit"] = measure(lambda: nvml.nvmlDeviceGetEnforcedPowerLimit(handle), 1e-3)
    reading["fan"] = measure(lambda: nvml.nvmlDeviceGetFanSpeed(handle))
    reading["clock"] = measure(lambda: nvml.nvmlDeviceGetClockInfo(handle, nvml.NVML_CLOCK_SM))
    return reading


def _reason(nvml: Any, error: Exception) -> str:
    value = getattr(error, "value", None)
    if value in (nvml.NVML_ERROR_LIBRARY_NOT_FOUND, nvml.NVML_ERROR_DRIVER_NOT_LOADED):
        return NO_DRIVER
    if value == nvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH:
        return "the NVIDIA driver was updated: reboot to use the GPU"
    if value == nvml.NVML_ERROR_NO_PERMISSION:
        return "no permission to ask the NVIDIA driver"
    return f"the NVIDIA driver does not answer ({safe_text(error, limit=60)})"
