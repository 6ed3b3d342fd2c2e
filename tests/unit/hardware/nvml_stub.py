"""libnvidia-ml as ctypes sees it: pynvml's own functions and structures run on top of these C-like ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pynvml
import pytest


@dataclass
class Gpu:
    """One simulated device; a callable value is asked at each reading, an int below stands for an NVML error code."""

    name: bytes = b"NVIDIA H100"
    temperature: int = 40
    memory: tuple[int, int] = (10 << 30, 80 << 30)
    power: int = 350_500
    errors: dict[str, int] = field(default_factory=dict)


class Library:
    """The object `ctypes.CDLL` would have returned."""

    def __init__(self, gpus: list[Gpu], init: Callable[[], int] = lambda: 0) -> None:
        self.gpus, self.init, self.opened = gpus, init, 0

    def __getattr__(self, name: str) -> Callable[..., int]:
        if not name.startswith("nvml"):
            raise AttributeError(name)
        return lambda *args: self._call(name.removesuffix("_v2"), *args)

    def _call(self, name: str, *args: Any) -> int:
        if name == "nvmlInitWithFlags":
            code = self.init()
            self.opened += code == 0
            return code
        if name == "nvmlShutdown":
            return 0
        if name == "nvmlDeviceGetCount":
            args[0]._obj.value = len(self.gpus)
            return 0
        if name == "nvmlDeviceGetHandleByIndex":
            index, handle = args[0].value, args[1]._obj
            if "handle" in self.gpus[index].errors:
                return self.gpus[index].errors["handle"]
            self._at = index
            assert handle is not None
            return 0
        gpu = self.gpus[self._at]
        if name in gpu.errors:
            return gpu.errors[name]
        match name:
            case "nvmlDeviceGetName":
                args[1].value = gpu.name
            case "nvmlDeviceGetTemperature":
                args[2]._obj.value = gpu.temperature
            case "nvmlDeviceGetTemperatureThreshold":
                args[2]._obj.value = 95
            case "nvmlDeviceGetUtilizationRates":
                args[1]._obj.gpu = 97
            case "nvmlDeviceGetMemoryInfo":
                args[1]._obj.used, args[1]._obj.total = gpu.memory
            case "nvmlDeviceGetPowerUsage":
                args[1]._obj.value = gpu.power
            case "nvmlDeviceGetEnforcedPowerLimit":
                args[1]._obj.value = 700_000
            case "nvmlDeviceGetFanSpeed":
                args[1]._obj.value = 30
            case "nvmlDeviceGetClockInfo":
                args[2]._obj.value = 1980
            case _:
                return pynvml.NVML_ERROR_FUNCTION_NOT_FOUND
        return 0


def install(monkeypatch: pytest.MonkeyPatch, library: Library) -> None:
    """Put the library where pynvml keeps the loaded one."""
    monkeypatch.setattr(pynvml, "nvmlLib", library)
    monkeypatch.setattr(pynvml, "_nvmlGetFunctionPointer_cache", {})
