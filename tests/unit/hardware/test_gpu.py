"""What a reading says of each card, and that a sensor which fails costs its own value only."""

from __future__ import annotations

import os

import pynvml
import pytest

from backprop_tui.hardware.gpu import NO_DRIVER, GpuReader
from tests.unit.hardware.nvml_stub import Gpu, Library, install


class Clock:
    """Seconds that pass when told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_readings_have_units_and_rise_with_the_sensors(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu = Gpu()
    install(monkeypatch, Library([gpu, Gpu(name=b"\x1b]0;evil\x07")]))
    reader = GpuReader()
    (first, second), reason = reader.read()
    assert reason is None
    assert first == {
        "index": 0,
        "temperature": 40,
        "utilisation": 97,
        "memory_used": 10 << 30,
        "memory_total": 80 << 30,
        "run_memory": 0,
        "power": 350.5,
        "fan": 30,
        "clock": 1980,
        "memory_clock": 2619,
        "throttle": [],
        "name": "NVIDIA H100",
        "power_limit": 700.0,
        "slowdown": 95,
        "shutdown": 98,
        "max_operating": 87,
        "clock_max": 1980,
        "memory_clock_max": 2619,
        "pcie_generation": 4,
        "pcie_generation_max": 5,
        "pcie_width": 16,
        "pcie_width_max": 16,
        "ecc_corrected": 3,
        "ecc_uncorrected": 0,
        "processes": [],
        "others": 0,
        "unknown": {},
    }
    assert second["name"] is not None
    assert "\x1b" not in second["name"]
    gpu.temperature = 91
    assert reader.read()[0][0]["temperature"] == 91


@pytest.mark.parametrize(
    ("call", "field"),
    [
        ("nvmlDeviceGetFanSpeed", "fan"),
        ("nvmlDeviceGetPowerUsage", "power"),
        ("nvmlDeviceGetUtilizationRates", "utilisation"),
        ("nvmlDeviceGetMemoryInfo", "memory_used"),
        ("nvmlDeviceGetTemperatureThreshold", "shutdown"),
        ("nvmlDeviceGetTotalEccErrors", "ecc_uncorrected"),
        ("nvmlDeviceGetCurrPcieLinkWidth", "pcie_width"),
        ("nvmlDeviceGetMaxClockInfo", "clock_max"),
    ],
)
def test_a_missing_sensor_is_unknown_with_its_reason_and_costs_no_other(
    monkeypatch: pytest.MonkeyPatch, call: str, field: str
) -> None:
    install(monkeypatch, Library([Gpu(errors={call: pynvml.NVML_ERROR_NOT_SUPPORTED})]))
    (reading,), _ = GpuReader().read()
    assert reading[field] is None  # type: ignore[literal-required]
    assert reading["unknown"][field] == "not supported by this GPU"
    assert reading["temperature"] == 40
    assert reading["clock"] == 1980


def test_what_nvml_writes_for_unknown_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = {"nvmlDeviceGetPowerUsage", "nvmlDeviceGetMemoryInfo", "nvmlDeviceGetTemperatureThreshold"}
    install(monkeypatch, Library([Gpu(blank={*calls, "nvmlDeviceGetMarginTemperature"})]))
    (reading,), _ = GpuReader().read()
    for field in ("power", "memory_total", "memory_used", "shutdown", "max_operating"):
        assert reading[field] is None  # type: ignore[literal-required]
        assert reading["unknown"][field] == "the driver has no value"


def test_a_card_that_names_no_threshold_says_how_far_it_is_from_it(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu = Gpu(temperature=60, errors={"nvmlDeviceGetTemperatureThreshold": pynvml.NVML_ERROR_NOT_SUPPORTED})
    install(monkeypatch, Library([gpu]))
    reader = GpuReader()
    (reading,), _ = reader.read()
    assert reading["slowdown"] == 95
    assert "slowdown" not in reading["unknown"]
    gpu.temperature = 61
    assert reader.read()[0][0]["slowdown"] == 95


def test_throttling_is_named_and_idling_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu = Gpu(throttle=pynvml.nvmlClocksEventReasonGpuIdle)
    install(monkeypatch, Library([gpu]))
    reader = GpuReader()
    assert reader.read()[0][0]["throttle"] == []
    gpu.throttle = pynvml.nvmlClocksEventReasonSwPowerCap | pynvml.nvmlClocksEventReasonHwThermalSlowdown
    assert reader.read()[0][0]["throttle"] == ["heat_hardware", "power_cap"]


def test_an_old_library_is_asked_in_its_own_words(monkeypatch: pytest.MonkeyPatch) -> None:
    lacks = {
        "nvmlDeviceGetCurrentClocksEventReasons", "nvmlDeviceGetComputeRunningProcesses_v3",
        "nvmlDeviceGetGraphicsRunningProcesses_v3", "nvmlDeviceGetMemoryInfo_v2", "nvmlDeviceGetMarginTemperature",
    }  # fmt: skip
    gpu = Gpu(throttle=pynvml.nvmlClocksThrottleReasonSwPowerCap, processes=[(os.getpid(), 5 << 30)])
    install(monkeypatch, Library([gpu], lacks=lacks))
    (reading,), _ = GpuReader().read([os.getpid()])
    assert reading["throttle"] == ["power_cap"]
    assert reading["memory_total"] == 80 << 30
    assert reading["run_memory"] == 5 << 30


def test_the_runs_processes_are_told_apart_and_named(monkeypatch: pytest.MonkeyPatch) -> None:
    us, nobody = os.getpid(), 2**22 + 1
    gpu = Gpu(processes=[(nobody, 30 << 30), (us, 5 << 30)], graphics=[(us, 6 << 30), (1, None)])
    install(monkeypatch, Library([gpu]))
    (reading,), _ = GpuReader().read(frozenset({us}))
    processes = reading["processes"]
    assert processes is not None
    assert [(one["pid"], one["memory"], one["ours"]) for one in processes] == [
        (us, 6 << 30, True),
        (nobody, 30 << 30, False),
        (1, None, False),
    ]
    assert processes[0]["name"]
    assert processes[1]["name"] is None
    assert reading["run_memory"] == 6 << 30


def test_a_crowd_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, Library([Gpu(processes=[(2**22 + number, number) for number in range(40)])]))
    (reading,), _ = GpuReader().read()
    assert len(reading["processes"] or ()) == 6
    assert reading["others"] == 34


def test_unreadable_processes_leave_the_runs_memory_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    refused = pynvml.NVML_ERROR_NO_PERMISSION
    names = ("nvmlDeviceGetComputeRunningProcesses", "nvmlDeviceGetGraphicsRunningProcesses")
    install(monkeypatch, Library([Gpu(errors=dict.fromkeys(names, refused))]))
    (reading,), _ = GpuReader().read([1])
    assert reading["run_memory"] is None
    assert reading["processes"] is None
    assert reading["unknown"]["run_memory"] == "no permission to ask"


def test_processes_numbered_as_outside_a_container_leave_the_runs_memory_unknown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    install(monkeypatch, Library([Gpu(processes=[(2**22 + 5, 5 << 30)]), Gpu()]))
    (busy, idle), _ = GpuReader().read([os.getpid()])
    assert busy["run_memory"] is None
    assert "container" in busy["unknown"]["run_memory"]
    assert idle["run_memory"] == 0
    install(monkeypatch, Library([Gpu(processes=[(1, 5 << 30)])]))
    assert GpuReader().read([os.getpid()])[0][0]["run_memory"] == 0


def test_facts_and_processes_are_asked_less_often(monkeypatch: pytest.MonkeyPatch) -> None:
    library = Library([Gpu()])
    install(monkeypatch, library)
    clock = Clock()
    reader = GpuReader(clock)
    reader.read()
    first = list(library.calls)
    library.calls.clear()
    clock.now = 2.0
    reader.read()
    second = list(library.calls)
    assert len(second) <= 12
    assert not {call for call in second if "Threshold" in call or "Ecc" in call or "Processes" in call}
    library.calls.clear()
    clock.now = 31.0
    reader.read()
    assert sorted(set(library.calls)) == sorted(set(first) - {"nvmlInitWithFlags"})


def test_a_lost_gpu_stays_in_the_list(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, Library([Gpu(errors={"handle": pynvml.NVML_ERROR_GPU_IS_LOST}), Gpu()]))
    (lost, other), reason = GpuReader().read()
    assert reason is None
    assert [lost["index"], lost["temperature"], lost.get("name")] == [0, None, None]
    assert "lost" in lost["unknown"][""]
    assert other["temperature"] == 40


def test_a_card_that_vanishes_and_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    gpus = [Gpu(), Gpu(temperature=50)]
    library = Library(gpus)
    install(monkeypatch, library)
    reader = GpuReader()
    assert len(reader.read()[0]) == 2
    gone = gpus.pop()
    (_, second), _ = reader.read()
    assert second["temperature"] is None
    assert second["unknown"] == {"": "the driver does not list this GPU any more"}
    gpus.append(gone)
    (_, second), _ = reader.read()
    assert (second["temperature"], second["unknown"]) == (50, {})


def test_no_driver_is_said_and_one_that_comes_back_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = [pynvml.NVML_ERROR_DRIVER_NOT_LOADED, pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH, 0]
    install(monkeypatch, Library([Gpu()], init=lambda: answers.pop(0)))
    reader = GpuReader()
    assert reader.read() == ([], NO_DRIVER)
    readings, reason = reader.read()
    assert (readings, "reboot" in str(reason)) == ([], True)
    assert len(reader.read()[0]) == 1


def test_the_library_itself_missing_is_no_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    # Whatever this machine has, ctypes finds nothing.
    def absent(name: str, *args: object) -> None:
        raise OSError(name)

    monkeypatch.setattr(pynvml, "nvmlLib", None)
    monkeypatch.setattr(pynvml, "CDLL", absent)
    assert GpuReader().read() == ([], NO_DRIVER)


def test_a_driver_without_gpus_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, Library([]))
    assert GpuReader().read() == ([], "no NVIDIA GPU")
