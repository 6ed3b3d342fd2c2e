"""The scripted host on a machine whose NVIDIA driver says what the file `sensor.json` in the run directory says.

Its keys: temperature, error (what the temperature's call answers with), gone (no device at all), memory and power in the
driver's units. The device is held by the host's worker, as a real one is.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from backprop_tui.engine.host_main import main
from backprop_tui.engine.host_timings import Timings
from tests.support.scripted_host import WORKER
from tests.unit.hardware.nvml_stub import Gpu, Library, install

_HEAT = ("nvmlDeviceGetTemperature", "nvmlDeviceGetTemperatureV")
TIMINGS = Timings(telemetry=0.05, sync=0.1, abort=0.5, kill=0.5, exit=1.0, stop=1.0, shutdown=1.0)


class Driver(Library):
    """One device, as the file says it is."""

    def __init__(self, file: Path) -> None:
        super().__init__([Gpu()])
        self.file = file

    def _call(self, exact: str, *args: Any) -> int:
        words = json.loads(self.file.read_text())
        if words.get("gone"):
            self.gpus = []
        elif not self.gpus:
            self.gpus = [Gpu()]
        for gpu in self.gpus:
            gpu.temperature = words.get("temperature", 40)
            gpu.memory = tuple(words.get("memory", (10 << 30, 80 << 30)))
            gpu.power = words.get("power", 350_500)
            gpu.errors = dict.fromkeys(_HEAT, words["error"]) if "error" in words else {}
            children = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()
            gpu.processes = [(int(child), 5 << 30) for child in children]
        return super()._call(exact, *args)


if __name__ == "__main__":
    with pytest.MonkeyPatch.context() as patch:
        install(patch, Driver(Path(sys.argv[1]) / "sensor.json"))
        sys.exit(main(sys.argv[1:], worker_command=(sys.executable, str(WORKER)), timings=TIMINGS))
