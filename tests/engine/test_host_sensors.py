"""The host's sensors: a driver that hangs costs the GPU's readings only, and comes back by itself."""

from __future__ import annotations

import asyncio
import os
import threading
from pathlib import Path
from typing import Any

import pynvml
import pytest

from backprop_tui.engine.host_telemetry import Telemetry
from backprop_tui.hardware import gpu as gpu_module
from backprop_tui.protocol.telemetry import merged
from tests.unit.hardware.nvml_stub import Gpu, Library, install


class Stuck(Library):
    """A driver whose calls do not return while `free` is not set."""

    def __init__(self, gpus: list[Gpu]) -> None:
        super().__init__(gpus)
        self.free = threading.Event()
        self.free.set()

    def _call(self, exact: str, *args: Any) -> int:
        self.free.wait(30)
        return super()._call(exact, *args)


async def test_a_hanging_driver_costs_only_its_own_readings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    driver = Stuck([Gpu(processes=[(os.getpid(), 5 << 30)])])
    install(monkeypatch, driver)
    monkeypatch.setattr(gpu_module, "_reader", gpu_module.GpuReader())
    readings: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    failures: list[str] = []
    telemetry = Telemetry(tmp_path, os.getpid(), 0.05, readings.put_nowait, failures.append)
    telemetry.start()
    state: dict[str, Any] = {}

    async def until(condition: Any) -> dict[str, Any]:
        nonlocal state
        async with asyncio.timeout(30):
            while True:
                reading = await readings.get()
                state = merged(state, reading, 1.0)
                if condition(reading):
                    return reading

    first = await until(lambda reading: reading["gpus"])
    assert first["gpus"][0]["temperature"] == 40
    second = await until(lambda reading: reading["gpus"] and reading["gpus"][0].get("run_memory"))
    assert "slowdown" not in second["gpus"][0]
    assert state["gpus"][0]["slowdown"] == 95
    driver.free.clear()
    silent = await until(lambda reading: not reading["gpus"])
    assert "not answered" in silent["gpu_reason"]
    assert silent["host"]["worker_rss"]
    assert state["gpus"][0]["temperature"] is None
    driver.free.set()
    back = await until(lambda reading: reading["gpus"])
    assert back["gpus"][0]["slowdown"] == 95
    telemetry.stop()
    assert failures == []


async def test_sensors_that_fail_altogether_are_told_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def broken(*args: object, **options: object) -> Any:
        raise RuntimeError("odd")

    monkeypatch.setattr(gpu_module, "read_gpus", broken)
    install(monkeypatch, Library([], init=lambda: int(pynvml.NVML_ERROR_UNKNOWN)))
    readings: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    telemetry = Telemetry(tmp_path, os.getpid(), 0.05, readings.put_nowait, lambda words: None)
    telemetry.start()
    async with asyncio.timeout(30):
        reading = await readings.get()
    telemetry.stop()
    assert reading["gpus"] == []
    assert "RuntimeError" in reading["gpu_reason"]
