"""What reading the sensors costs: processor time as a share of the interval, and what a reading takes in the journal.

The real readers on the machine they run on, beside a worker with children. Where there is no NVIDIA driver the cards are
simulated under pynvml's own functions, which costs more Python than a driver would. `python benchmarks/sensors.py` prints
a table and one JSON line.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import pynvml  # noqa: E402

from backprop_tui.engine.host_telemetry import Slimmer  # noqa: E402
from backprop_tui.engine.host_timings import Timings  # noqa: E402
from backprop_tui.hardware.gpu import GpuReader  # noqa: E402
from backprop_tui.hardware.host import HostSampler  # noqa: E402
from backprop_tui.protocol.codec import to_json  # noqa: E402
from tests.unit.hardware.nvml_stub import Gpu, Library  # noqa: E402

READINGS = 300
WORKER = """
import subprocess
children = [subprocess.Popen(["sleep", "600"]) for _ in range(4)]
print(flush=True)
input()
for child in children:
    child.kill()
"""


def simulate(cards: int) -> None:
    """Put simulated cards where pynvml keeps the loaded library."""
    pynvml.nvmlLib = Library([Gpu(processes=[(1, 5 << 30)]) for _ in range(cards)])
    pynvml._nvmlGetFunctionPointer_cache.clear()


def measure(pid: int, place: Path) -> dict[str, Any]:
    """Milliseconds of processor time per reading, and bytes per reading."""
    clock = iter(range(10**9))
    interval = Timings().telemetry
    # The clock moves by the real interval, so that facts and processes are asked as seldom as in a run.
    gpus = GpuReader(lambda: next(clock) * interval)
    host, slimmer, size = HostSampler(place), Slimmer(), 0
    began = time.process_time()
    for _ in range(READINGS):
        reading = {"host": host.read(pid)}
        cards, reason = gpus.read(host.run_pids)
        size += len(to_json({**reading, "gpus": slimmer.slim(cards), "gpu_reason": reason}))
    spent = (time.process_time() - began) / READINGS
    return {"ms": spent * 1e3, "share_of_a_core": spent / interval, "bytes": size / READINGS}


def main() -> None:
    real, _ = GpuReader().read()
    with tempfile.TemporaryDirectory(prefix="bp-") as place, subprocess.Popen(
        [sys.executable, "-c", WORKER], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as worker:  # fmt: skip
        assert worker.stdout is not None
        worker.stdout.readline()
        cases = {f"{len(real)} real": None} if real else {f"{cards} simulated": cards for cards in (0, 1, 8, 16)}
        results = {}
        for name, cards in cases.items():
            if cards is not None:
                simulate(cards)
            results[name] = found = measure(worker.pid, Path(place))
            print(
                f"{name:>12} GPUs: {found['ms']:6.2f} ms a reading, {found['share_of_a_core']:7.3%} of a core, "
                f"{found['bytes']:6.0f} bytes in the journal"
            )
        worker.communicate(b"\n")
    print(json.dumps(results))


if __name__ == "__main__":
    main()
