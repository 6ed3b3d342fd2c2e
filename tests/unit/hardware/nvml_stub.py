"""libnvidia-ml as ctypes sees it: pynvml's own functions and structures run on top of these C-like ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pynvml
import pytest

#: What NVML writes into an unsigned field it has no value for.
NO_VALUE = 0xFFFF_FFFF


@dataclass
class Gpu:
    """One simulated device.

    `errors` maps a call, or `handle`, to the NVML error code it gives; `odd` maps a call to what ctypes would raise.
    `blank` names calls that succeed and write NVML's word for "not available". `processes` are (pid, bytes).
    """

    name: bytes = b"NVIDIA H100"
    temperature: int = 40
    memory: tuple[int, int] = (10 << 30, 80 << 30)
    power: int = 350_500
    throttle: int = 0
    processes: list[tuple[int, int | None]] = field(default_factory=list)
    graphics: list[tuple[int, int | None]] = field(default_factory=list)
    errors: dict[str, int] = field(default_factory=dict)
    odd: dict[str, Exception] = field(default_factory=dict)
    blank: set[str] = field(default_factory=set)


#: Calls that write one unsigned number, and the value they write.
_NUMBERS: dict[str, Callable[[Gpu], int]] = {
    "nvmlDeviceGetTemperature": lambda gpu: gpu.temperature,
    "nvmlDeviceGetPowerUsage": lambda gpu: gpu.power,
    "nvmlDeviceGetEnforcedPowerLimit": lambda gpu: 700_000,
    "nvmlDeviceGetFanSpeed": lambda gpu: 30,
    "nvmlDeviceGetCurrentClocksEventReasons": lambda gpu: gpu.throttle,
    "nvmlDeviceGetCurrentClocksThrottleReasons": lambda gpu: gpu.throttle,
    "nvmlDeviceGetCurrPcieLinkGeneration": lambda gpu: 4,
    "nvmlDeviceGetMaxPcieLinkGeneration": lambda gpu: 5,
    "nvmlDeviceGetCurrPcieLinkWidth": lambda gpu: 16,
    "nvmlDeviceGetMaxPcieLinkWidth": lambda gpu: 16,
}
_THRESHOLDS = {
    pynvml.NVML_TEMPERATURE_THRESHOLD_SHUTDOWN: 98,
    pynvml.NVML_TEMPERATURE_THRESHOLD_SLOWDOWN: 95,
    pynvml.NVML_TEMPERATURE_THRESHOLD_GPU_MAX: 87,
}
_CLOCKS = {pynvml.NVML_CLOCK_SM: 1980, pynvml.NVML_CLOCK_MEM: 2619}
_ECC = {pynvml.NVML_MEMORY_ERROR_TYPE_CORRECTED: 3, pynvml.NVML_MEMORY_ERROR_TYPE_UNCORRECTED: 0}


class Library:
    """The object `ctypes.CDLL` would have returned.

    Attributes:
        gpus: the devices; taking one out makes it vanish.
        calls: names of all calls made.
        lacks: functions this version of the library does not export.
    """

    def __init__(self, gpus: list[Gpu], init: Callable[[], int] = lambda: 0, lacks: set[str] | None = None) -> None:
        self.gpus, self.init, self.opened = gpus, init, 0
        self.calls: list[str] = []
        self.lacks = lacks or set()
        self.faults: dict[str, int | Exception] = {}
        self._at = 0

    def __getattr__(self, name: str) -> Callable[..., int]:
        if not name.startswith("nvml") or name in self.lacks:
            raise AttributeError(name)
        return lambda *args: self._call(name, *args)

    def _call(self, exact: str, *args: Any) -> int:
        name = exact.removesuffix("_v2").removesuffix("_v3")
        self.calls.append(exact)
        if name in self.faults:
            fault = self.faults[name]
            if isinstance(fault, Exception):
                raise fault
            return fault
        if name == "nvmlInitWithFlags":
            code = self.init()
            self.opened += code == 0
            return code
        if name == "nvmlShutdown":
            return 0
        if name == "nvmlSystemGetDriverVersion":
            args[0].value = b"560.35.03"
            return 0
        if name == "nvmlDeviceGetCount":
            args[0]._obj.value = len(self.gpus)
            return 0
        if name == "nvmlDeviceGetHandleByIndex":
            index, handle = args[0].value, args[1]._obj
            if index >= len(self.gpus):
                return int(pynvml.NVML_ERROR_INVALID_ARGUMENT)
            if "handle" in self.gpus[index].errors:
                return self.gpus[index].errors["handle"]
            self._at = index
            assert handle is not None
            return 0
        return self._ask(self.gpus[self._at], name, args)

    def _ask(self, gpu: Gpu, name: str, args: tuple[Any, ...]) -> int:
        if name in gpu.odd:
            raise gpu.odd[name]
        if name in gpu.errors:
            return gpu.errors[name]
        if name in _NUMBERS:
            args[-1]._obj.value = NO_VALUE if name in gpu.blank else _NUMBERS[name](gpu)
            return 0
        blank = NO_VALUE if name in gpu.blank else None
        match name:
            case "nvmlDeviceGetName":
                args[1].value = gpu.name
            case "nvmlDeviceGetTemperatureV":
                args[1]._obj.temperature = gpu.temperature
            case "nvmlDeviceGetTemperatureThreshold":
                args[2]._obj.value = blank or _THRESHOLDS[args[1].value]
            case "nvmlDeviceGetMarginTemperature":
                args[1]._obj.marginTemperature = 95 - gpu.temperature
            case "nvmlDeviceGetUtilizationRates":
                args[1]._obj.gpu = blank or 97
            case "nvmlDeviceGetMemoryInfo":
                args[1]._obj.used, args[1]._obj.total = (0, 0) if blank else gpu.memory
            case "nvmlDeviceGetClockInfo" | "nvmlDeviceGetMaxClockInfo":
                args[2]._obj.value = blank or _CLOCKS[args[1].value]
            case "nvmlDeviceGetTotalEccErrors":
                args[3]._obj.value = blank or _ECC[args[1].value]
            case "nvmlDeviceGetComputeRunningProcesses":
                return _list(gpu.processes, args)
            case "nvmlDeviceGetGraphicsRunningProcesses":
                return _list(gpu.graphics, args)
            case _:
                return int(pynvml.NVML_ERROR_FUNCTION_NOT_FOUND)
        return 0


def _list(processes: list[tuple[int, int | None]], args: tuple[Any, ...]) -> int:
    """NVML's two calls: the number first, then the filled array."""
    count, array = args[1]._obj, args[2]
    if array is None:
        count.value = len(processes)
        return int(pynvml.NVML_ERROR_INSUFFICIENT_SIZE) if processes else 0
    assert count.value >= len(processes)
    count.value = len(processes)
    for entry, (pid, memory) in zip(array, processes, strict=False):
        entry.pid = pid
        entry.usedGpuMemory = pynvml.NVML_VALUE_NOT_AVAILABLE_ulonglong.value if memory is None else memory
    return 0


def install(monkeypatch: pytest.MonkeyPatch, library: Library) -> None:
    """Put the library where pynvml keeps the loaded one."""
    monkeypatch.setattr(pynvml, "nvmlLib", library)
    monkeypatch.setattr(pynvml, "_nvmlGetFunctionPointer_cache", {})
