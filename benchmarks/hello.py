"""How long after its launch a run's engine answers `hello`, with the real engine and the real worker importing behind it.

Two times are taken: until `launch_engine` returns (lock held, journal begun, worker spawned) and until the greeting arrives
on the pipe. Each run is aborted at once. Exit code 1 when the median greeting takes more than 300 ms.

    python benchmarks/hello.py [--runs N] [--json]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

from backprop_tui.launch.client import PipeClient, send_command
from backprop_tui.launch.start import launch_engine
from backprop_tui.protocol.commands import Command, CommandName
from backprop_tui.protocol.spec import RunSpec
from backprop_tui.store.layout import RunDir, create_run
from backprop_tui.store.locks import is_held

TARGET_MS = 300.0


async def greet(run: RunDir) -> None:
    client = await PipeClient.connect(run)
    await client.close()


def launch_and_greet() -> tuple[float, float]:
    """Seconds from just before the spawn to readiness and to the greeting."""
    run = create_run(RunSpec().model_dump(mode="json"))
    begin = time.perf_counter()
    launch_engine(run)
    ready = time.perf_counter() - begin
    asyncio.run(greet(run))
    hello = time.perf_counter() - begin
    send_command(run, Command(CommandName.ABORT))
    while is_held(run.lock_file) or is_held(run.worker_lock):
        time.sleep(0.02)
    return ready, hello


def spread(seconds: list[float]) -> dict[str, float]:
    """Milliseconds at the points of a distribution."""
    values = sorted(1000 * value for value in seconds)
    points = {"min": values[0], "p50": statistics.median(values), "p90": values[int(0.9 * (len(values) - 1))]}
    return {name: round(value, 1) for name, value in {**points, "max": values[-1]}.items()}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--runs", type=int, default=20, help="launches measured (20)")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bp-") as home:
        for kind in ("DATA", "CONFIG", "CACHE", "RUNTIME"):
            place = Path(home) / kind.lower()
            place.mkdir(mode=0o700)
            os.environ[f"BACKPROP_{kind}_DIR"] = str(place)
        launch_and_greet()  # fill the file cache
        times = [launch_and_greet() for _ in range(args.runs)]
    found = {
        name: spread(list(column)) for name, column in zip(("ready", "hello"), zip(*times, strict=True), strict=True)
    }
    if args.json:
        print(json.dumps(found))
    else:
        print(f"{'ms':<8}" + "".join(f"{point:>8}" for point in found["hello"]))
        for name, points in found.items():
            print(f"{name:<8}" + "".join(f"{value:>8}" for value in points.values()))
        print(f"target: hello ≤ {TARGET_MS:.0f} at the median")
    return 0 if found["hello"]["p50"] <= TARGET_MS else 1


if __name__ == "__main__":
    sys.exit(main())
