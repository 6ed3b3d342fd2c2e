"""One NVIDIA GPU: every sensor asked on its own, so that one that fails costs only its own value, and says why."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any, cast

from backprop_tui.hardware.gpu_processes import ProcessNames, list_processes
from backprop_tui.protocol.readings import GpuProcess, GpuReading
from backprop_tui.protocol.text import safe_text

#: What NVML writes into an unsigned field it has no value for, by the field's width.
_NOT_AVAILABLE = (0xFFFF_FFFF, 0xFFFF_FFFF_FFFF_FFFF)
#: Seconds between two looks at what hardly ever changes, and at the list of processes.
_FACTS_EVERY = 30.0
_PROCESSES_EVERY = 10.0
#: Bits of NVML's clock event reasons; being idle is none that holds anybody back.
_THROTTLES = (
    ("SwThermalSlowdown", "heat"),
    ("HwThermalSlowdown", "heat_hardware"),
    ("SwPowerCap", "power_cap"),
    ("HwPowerBrakeSlowdown", "power_brake"),
    ("HwSlowdown", "hardware"),
    ("SyncBoost", "sync_boost"),
    ("DisplayClockSetting", "display"),
    ("ApplicationsClocksSetting", "set_clocks"),
)
_MEASURED = (
    "temperature", "utilisation", "memory_used", "run_memory", "power", "fan", "clock", "memory_clock", "throttle",
)  # fmt: skip
NOT_SUPPORTED = "not supported by this GPU"


class Card:
    """Reads one GPU again and again, facts less often than sensors.

    Args:
        index: its place in NVML's list.
    """

    def __init__(self, index: int) -> None:
        self.index = index
        self._names = ProcessNames()
        self.forget()

    def forget(self) -> None:
        """Another driver may say otherwise: ask everything anew."""
        self._facts: dict[str, Any] = {}
        self._facts_at = self._processes_at = float("-inf")
        self._processes: list[GpuProcess] | None = None
        self._whys: dict[str, str] = {}
        self._pids: frozenset[int] = frozenset()

    def read(self, nvml: Any, now: float, run_pids: Collection[int]) -> GpuReading:
        """One reading. `now` is a clock's seconds; `run_pids` are the processes whose memory counts as the run's."""
        ask = _Asker(nvml)
        handle = ask.value("", lambda: nvml.nvmlDeviceGetHandleByIndex(self.index))
        if handle is None:
            self.forget()
            return lost(self.index, ask.unknown.get("", "it does not answer"))
        if now - self._facts_at >= _FACTS_EVERY:
            self._facts_at = now
            self._facts, self._whys = _facts(nvml, handle)
        pids = frozenset(run_pids)
        if now - self._processes_at >= _PROCESSES_EVERY or pids != self._pids:
            self._processes_at, self._pids = now, pids
            self._look_at_processes(nvml, handle)
        reading = _sensors(nvml, handle, ask)
        reading |= {key: value for key, value in self._facts.items() if key != "margin"}
        if reading["slowdown"] is None and reading["temperature"] is not None and self._facts["margin"] is not None:
            # Cards that don't give the threshold say how far they are from it.
            reading["slowdown"] = self._facts["slowdown"] = reading["temperature"] + self._facts["margin"]
        whys = {**self._whys, **ask.unknown}
        listed = self._processes
        held = None if listed is None else sum(process["memory"] or 0 for process in listed if process["ours"])
        reading["run_memory"] = held
        reading["processes"] = None if listed is None else listed[:_LISTED]
        reading["others"] = max(0, len(listed or ()) - _LISTED)
        reading["unknown"] = {key: why for key, why in whys.items() if key in reading and reading[key] is None}
        return cast("GpuReading", {"index": self.index, **reading})

    def _look_at_processes(self, nvml: Any, handle: Any) -> None:
        self._whys.pop("processes", None)
        self._whys.pop("run_memory", None)
        try:
            self._processes = list_processes(nvml, handle, self._pids, self._names)
        except Exception as error:
            self._processes = None
            self._whys["processes"] = self._whys["run_memory"] = why(nvml, error)


#: Processes told of each GPU; the rest is counted.
_LISTED = 6


def lost(index: int, reason: str) -> GpuReading:
    """The reading of a GPU that does not answer: it stays in the list, and nothing is known of it."""
    return cast("GpuReading", {"index": index, **dict.fromkeys(_MEASURED), "unknown": {"": reason}})


def why(nvml: Any, error: Exception) -> str:
    """An error of NVML in words people can use."""
    value = getattr(error, "value", None)
    if value in (nvml.NVML_ERROR_NOT_SUPPORTED, nvml.NVML_ERROR_FUNCTION_NOT_FOUND):
        return NOT_SUPPORTED if value == nvml.NVML_ERROR_NOT_SUPPORTED else "not known to this driver"
    if value == nvml.NVML_ERROR_GPU_IS_LOST:
        return "the GPU is lost (fallen off the bus): the machine must be restarted"
    if value == nvml.NVML_ERROR_RESET_REQUIRED:
        return "the GPU must be reset"
    if value == nvml.NVML_ERROR_NO_PERMISSION:
        return "no permission to ask"
    if value == nvml.NVML_ERROR_TIMEOUT:
        return "the driver took too long"
    if "Mismatch" in type(error).__name__:
        return "not known to this driver"
    return f"the driver failed ({safe_text(error, limit=60) or type(error).__name__})"


class _Asker:
    """Asks question after question and remembers why an answer is missing."""

    def __init__(self, nvml: Any) -> None:
        self._nvml = nvml
        self.unknown: dict[str, str] = {}

    def value(self, key: str, question: Callable[[], Any], *others: Callable[[], Any]) -> Any:
        """The first answer that comes, None when all of them fail; `unknown` then has the reason of the first."""
        for place, asked in enumerate((question, *others)):
            try:
                return asked()
            except Exception as error:
                if place == 0:
                    self.unknown[key] = why(self._nvml, error)
        return None

    def number(self, key: str, question: Callable[[], Any], *others: Callable[[], Any], scale: float = 1.0) -> Any:
        """A number times `scale`; NVML's word for "not available" is None."""
        value = self.value(key, question, *others)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, (int, float)) or value in _NOT_AVAILABLE or value < 0:
            self.unknown[key] = "the driver has no value"
            return None
        return round(value * scale, 1) if scale != 1.0 else value


def _sensors(nvml: Any, handle: Any, ask: _Asker) -> dict[str, Any]:
    memory = ask.value(
        "memory_used",
        # Version 2 leaves the driver's own reserve out of `used`, as nvidia-smi does; old drivers only know version 1.
        lambda: nvml.nvmlDeviceGetMemoryInfo(handle, nvml.nvmlMemory_v2),
        lambda: nvml.nvmlDeviceGetMemoryInfo(handle),
    )
    total = getattr(memory, "total", 0) or 0
    if not total:
        reason = "the driver has no value" if memory is not None else ask.unknown["memory_used"]
        ask.unknown["memory_used"] = ask.unknown["memory_total"] = reason
    held = ask.number(
        "throttle",
        lambda: nvml.nvmlDeviceGetCurrentClocksEventReasons(handle),
        lambda: nvml.nvmlDeviceGetCurrentClocksThrottleReasons(handle),
    )
    return {
        "temperature": ask.number(
            "temperature",
            lambda: nvml.nvmlDeviceGetTemperature(handle, nvml.NVML_TEMPERATURE_GPU),
            lambda: nvml.nvmlDeviceGetTemperatureV(handle, nvml.NVML_TEMPERATURE_GPU),
        ),
        "utilisation": ask.number("utilisation", lambda: nvml.nvmlDeviceGetUtilizationRates(handle).gpu),
        "memory_used": int(memory.used) if total else None,
        "memory_total": int(total) or None,
        "power": ask.number("power", lambda: nvml.nvmlDeviceGetPowerUsage(handle), scale=1e-3),
        "fan": ask.number("fan", lambda: nvml.nvmlDeviceGetFanSpeed(handle)),
        "clock": ask.number("clock", lambda: nvml.nvmlDeviceGetClockInfo(handle, nvml.NVML_CLOCK_SM)),
        "memory_clock": ask.number("memory_clock", lambda: nvml.nvmlDeviceGetClockInfo(handle, nvml.NVML_CLOCK_MEM)),
        "throttle": None if held is None else _held_down(nvml, int(held)),
    }


def _held_down(nvml: Any, bits: int) -> list[str]:
    return [key for name, key in _THROTTLES if bits & int(getattr(nvml, f"nvmlClocksEventReason{name}", 0))]


def _facts(nvml: Any, handle: Any) -> tuple[dict[str, Any], dict[str, str]]:
    ask = _Asker(nvml)

    def limit(key: str, which: str) -> Any:
        return ask.number(key, lambda: nvml.nvmlDeviceGetTemperatureThreshold(handle, getattr(nvml, which)))

    def errors(key: str, which: str) -> Any:
        kind, counter = getattr(nvml, which), nvml.NVML_VOLATILE_ECC
        return ask.number(key, lambda: nvml.nvmlDeviceGetTotalEccErrors(handle, kind, counter))

    name = ask.value("name", lambda: nvml.nvmlDeviceGetName(handle))
    return {
        "name": None if name is None else safe_text(name, limit=96),
        "power_limit": ask.number("power_limit", lambda: nvml.nvmlDeviceGetEnforcedPowerLimit(handle), scale=1e-3),
        "slowdown": limit("slowdown", "NVML_TEMPERATURE_THRESHOLD_SLOWDOWN"),
        "shutdown": limit("shutdown", "NVML_TEMPERATURE_THRESHOLD_SHUTDOWN"),
        "max_operating": limit("max_operating", "NVML_TEMPERATURE_THRESHOLD_GPU_MAX"),
        "margin": ask.number("margin", lambda: nvml.nvmlDeviceGetMarginTemperature(handle)),
        "clock_max": ask.number("clock_max", lambda: nvml.nvmlDeviceGetMaxClockInfo(handle, nvml.NVML_CLOCK_SM)),
        "memory_clock_max": ask.number(
            "memory_clock_max", lambda: nvml.nvmlDeviceGetMaxClockInfo(handle, nvml.NVML_CLOCK_MEM)
        ),
        "pcie_generation": ask.number("pcie_generation", lambda: nvml.nvmlDeviceGetCurrPcieLinkGeneration(handle)),
        "pcie_generation_max": ask.number(
            "pcie_generation_max", lambda: nvml.nvmlDeviceGetMaxPcieLinkGeneration(handle)
        ),
        "pcie_width": ask.number("pcie_width", lambda: nvml.nvmlDeviceGetCurrPcieLinkWidth(handle)),
        "pcie_width_max": ask.number("pcie_width_max", lambda: nvml.nvmlDeviceGetMaxPcieLinkWidth(handle)),
        "ecc_corrected": errors("ecc_corrected", "NVML_MEMORY_ERROR_TYPE_CORRECTED"),
        "ecc_uncorrected": errors("ecc_uncorrected", "NVML_MEMORY_ERROR_TYPE_UNCORRECTED"),
    }, ask.unknown
