from __future__ import annotations

import pynvml
import pytest

from backprop_tui.hardware.gpu import NO_DRIVER, GpuReader
from tests.unit.hardware.nvml_stub import Gpu, Library, install


def test_readings_have_units_and_rise_with_the_sensors(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu = Gpu()
    install(monkeypatch, Library([gpu, Gpu(name=b"\x1b]0;evil\x07")]))
    reader = GpuReader()
    (first, second), reason = reader.read()
    assert reason is None
    assert first == {
        "index": 0,
        "name": "NVIDIA H100",
        "temperature": 40.0,
        "slowdown": 95.0,
        "utilisation": 97.0,
        "memory_used": 10 << 30,
        "memory_total": 80 << 30,
        "power": pytest.approx(350.5),
        "power_limit": pytest.approx(700.0),
        "fan": 30.0,
        "clock": 1980.0,
    }
    assert second["name"] is not None
    assert "\x1b" not in second["name"]
    gpu.temperature = 91
    assert reader.read()[0][0]["temperature"] == 91.0


@pytest.mark.parametrize(
    ("call", "field"),
    [
        ("nvmlDeviceGetFanSpeed", "fan"),
        ("nvmlDeviceGetPowerUsage", "power"),
        ("nvmlDeviceGetUtilizationRates", "utilisation"),
        ("nvmlDeviceGetMemoryInfo", "memory_used"),
        ("nvmlDeviceGetTemperatureThreshold", "slowdown"),
    ],
)
def test_a_missing_sensor_is_unknown_and_costs_no_other(monkeypatch: pytest.MonkeyPatch, call: str, field: str) -> None:
    install(monkeypatch, Library([Gpu(errors={call: pynvml.NVML_ERROR_NOT_SUPPORTED})]))
    (reading,), _ = GpuReader().read()
    assert reading[field] is None  # type: ignore[literal-required]
    assert reading["temperature"] == 40.0
    assert reading["clock"] == 1980.0


def test_what_nvml_writes_for_unknown_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, Library([Gpu(power=0xFFFF_FFFF, memory=(0, 0))]))
    (reading,), _ = GpuReader().read()
    assert reading["power"] is None
    assert reading["memory_total"] is None
    assert reading["memory_used"] is None


def test_a_lost_gpu_stays_in_the_list(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, Library([Gpu(errors={"handle": pynvml.NVML_ERROR_GPU_IS_LOST}), Gpu()]))
    (lost, other), reason = GpuReader().read()
    assert reason is None
    assert [lost["index"], lost["temperature"], lost["name"]] == [0, None, None]
    assert other["temperature"] == 40.0


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
