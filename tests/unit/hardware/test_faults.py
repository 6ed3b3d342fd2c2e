"""Whatever NVML or psutil answers or raises, a reading comes back: every call, with every fault."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pynvml
import pytest

from backprop_tui.hardware import host as host_module
from backprop_tui.hardware import host_tree
from backprop_tui.hardware.gpu import GpuReader
from backprop_tui.hardware.host import HostSampler
from tests.unit.hardware.nvml_stub import Gpu, Library, install

CODES = sorted({getattr(pynvml, name) for name in dir(pynvml) if name.startswith("NVML_ERROR_")})
#: What ctypes, a half-installed driver or a damaged answer raise.
ODD: list[Exception] = [
    OSError("gone"), ValueError("bad"), TypeError("odd"), RuntimeError("no"), KeyError("x"), AttributeError("x"),
    UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"), MemoryError(), OverflowError("big"), ZeroDivisionError(),
]  # fmt: skip


def every_call(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    library = Library([Gpu(processes=[(1, 1)], graphics=[(2, 2)])])
    install(monkeypatch, library)
    reader = GpuReader()
    reader.read()
    reader.driver_version()
    reader.close()
    return {call.removesuffix("_v2").removesuffix("_v3") for call in library.calls}


def test_every_call_of_nvml_with_every_error_and_exception(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = every_call(monkeypatch)
    assert len(calls) >= 20
    for call in sorted(calls):
        for fault in (*CODES, 12345, *ODD):
            library = Library([Gpu(processes=[(1, 1)]), Gpu()])
            install(monkeypatch, library)
            reader = GpuReader()
            reader.read()
            library.faults[call] = fault
            for again in (False, True):
                if again:
                    reader.close()
                readings, reason = reader.read([1])
                assert readings or reason, (call, fault)
                for reading in readings:
                    values = {key: value for key, value in reading.items() if key not in ("index", "unknown", "others")}
                    missing = {key for key, value in values.items() if value is None}
                    reasons = reading["unknown"]
                    assert missing <= set(reasons) or reasons.get(""), (call, fault, missing, reasons)
            reader.driver_version()
            library.faults.clear()
            assert reader.read()[0][0]["temperature"] == 40, (call, fault)


@pytest.mark.parametrize("call", ["nvmlDeviceGetName", "nvmlDeviceGetTemperature", "nvmlDeviceGetMemoryInfo"])
def test_one_card_that_fails_costs_the_other_nothing(monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    install(monkeypatch, Library([Gpu(odd={call: ValueError("x")}), Gpu()]))
    (_, other), _ = GpuReader().read()
    assert other["unknown"] == {}
    assert other["name"] == "NVIDIA H100"


def test_pynvml_itself_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert GpuReader().read() == ([], "the package nvidia-ml-py is not installed")
    assert GpuReader().driver_version() is None


def raising(error: Exception) -> Callable[..., Any]:
    def fail(*args: object, **options: object) -> Any:
        raise error

    return fail


#: What each call of psutil gives, by the keys of the reading.
PSUTIL = {
    "cpu_percent": {"cpu"},
    "cpu_count": {"cores"},
    "getloadavg": {"load"},
    "virtual_memory": {"memory_used", "memory_total"},
    "swap_memory": {"swap_used", "swap_total"},
    "disk_io_counters": {"disk_read", "disk_written"},
    "net_io_counters": {"network_in", "network_out"},
    "sensors_temperatures": {"temperature"},
    "Process": {"worker_rss", "run_cpu", "run_memory", "run_processes", "run_read", "run_written"},
}
FAULTS = [
    *ODD,
    psutil.NoSuchProcess(1),
    psutil.AccessDenied(1),
    psutil.ZombieProcess(1),
    psutil.TimeoutExpired(1),
    PermissionError("no"),
    NotImplementedError("no"),
    IndexError("x"),
]


@pytest.mark.parametrize("call", sorted(PSUTIL))
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: type(fault).__name__)
def test_every_call_of_psutil_with_every_exception(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, call: str, fault: Exception
) -> None:
    monkeypatch.setattr(psutil, call, raising(fault), raising=False)
    sampler = HostSampler(tmp_path)
    sampler.read(os.getpid())
    reading = sampler.read(os.getpid())
    for key in PSUTIL[call]:
        assert reading[key] is None  # type: ignore[literal-required]
        assert reading["unknown"][key]
    silent = {key for key, value in reading.items() if value is None} - {"temperature_high"}
    assert silent <= set(reading["unknown"])


@pytest.mark.parametrize("method", ["memory_info", "cpu_times", "io_counters", "status", "is_running", "oneshot"])
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: type(fault).__name__)
def test_a_process_that_fails_in_the_middle(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, method: str, fault: Exception
) -> None:
    sampler = HostSampler(tmp_path)
    assert sampler.read(os.getpid())["worker_rss"]
    monkeypatch.setattr(psutil.Process, method, raising(fault))
    reading = sampler.read(os.getpid())
    known = method == "io_counters"
    assert (reading["worker_rss"] is not None) is known
    assert reading["run_read"] is None
    assert reading["unknown"]["run_read"]


@pytest.mark.parametrize("fault", ODD, ids=lambda fault: type(fault).__name__)
def test_a_disk_that_fails(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, fault: Exception) -> None:
    monkeypatch.setattr(shutil, "disk_usage", raising(fault))
    monkeypatch.setattr(host_module, "block_device", raising(fault))
    reading = HostSampler(tmp_path).read()
    assert reading["disk_free"] is None
    assert reading["disk_read"] is None
    assert reading["unknown"]["disk_free"]
    assert reading["unknown"]["disk_read"]


def test_children_are_found_without_the_kernels_list(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host_tree.Path, "iterdir", raising(OSError("no such list")))
    tree = host_tree.ProcessTree()
    assert tree.read(os.getpid()).worker_rss
    monkeypatch.setattr(psutil.Process, "children", raising(psutil.AccessDenied(1)))
    assert host_tree.ProcessTree().read(os.getpid()).worker_rss
