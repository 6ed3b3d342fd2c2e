"""What the Run screen sends to the terminal: bytes per second while a run grows, and while nothing happens.

The real app runs in a real pseudo-terminal on a run directory that another process, holding the run's lock, appends to
with the real journal writer. `python benchmarks/bytes_per_second.py` prints a table and one JSON line.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests.support.terminal import Terminal  # noqa: E402

APP = "import sys; from backprop_tui.app import run_app; sys.exit(run_app('run'))"
#: Most bytes per second at each size while one event a second arrives.
LIMITS = {(120, 40): 8_000, (80, 24): 4_000}


def environment(home: Path) -> dict[str, str]:
    """Private places for one measurement."""
    for kind in ("data", "config", "cache", "runtime"):
        (home / kind).mkdir(mode=0o700, exist_ok=True)
    return {f"BACKPROP_{kind.upper()}_DIR": str(home / kind) for kind in ("data", "config", "cache", "runtime")}


def settle(terminal: Terminal, quiet: float = 1.5, timeout: float = 20.0) -> None:
    """Wait until nothing has been written for `quiet` seconds."""
    deadline, size, since = time.monotonic() + timeout, terminal.size, time.monotonic()
    while time.monotonic() < deadline and time.monotonic() - since < quiet:
        time.sleep(0.05)
        if terminal.size != size:
            size, since = terminal.size, time.monotonic()


def measure(columns: int, rows: int, *, rate: float, seconds: float, gpus: int, profile: str = "local") -> float:
    """Bytes per second at one size; `rate` 0 is a live run that is silent."""
    with tempfile.TemporaryDirectory(prefix="bp-") as place:
        env = environment(Path(place))
        code = (
            "from tests.support.runs import write_live; import sys; a=sys.argv; "
            "write_live(a[1], float(a[2]), float(a[3]), int(a[4]))"
        )
        length = seconds + 30
        writer = subprocess.Popen(
            [sys.executable, "-c", code, str(Path(place) / "data" / "runs"), str(rate or 1e-9), str(length), str(gpus)],
            stdout=subprocess.PIPE, cwd=ROOT, env={**os.environ, **env}, text=True,
        )  # fmt: skip
        try:
            assert writer.stdout is not None
            writer.stdout.readline()
            with Terminal(
                [sys.executable, "-c", APP], columns=columns, rows=rows, env={**env, "BACKPROP_PROFILE": profile}
            ) as terminal:
                terminal.wait_for("running")
                terminal.wait_for(r"loss")
                if rate:
                    # The first seconds hold the start-up burst and the log's first fill.
                    time.sleep(4.0)
                else:
                    settle(terminal)
                before, began = terminal.size, time.monotonic()
                time.sleep(seconds)
                return (terminal.size - before) / (time.monotonic() - began)
        finally:
            writer.kill()
            writer.wait()


def main() -> int:
    """Measure, print, compare with the limits."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=20.0)
    args = parser.parse_args()
    results = []
    for (columns, rows), limit in LIMITS.items():
        for gpus in (0, 2):
            for rate in (1.0, 0.0):
                found = measure(columns, rows, rate=rate, seconds=args.seconds, gpus=gpus)
                results.append(
                    {
                        "size": f"{columns}x{rows}", "gpus": gpus, "events_per_s": rate,
                        "bytes_per_s": round(found), "limit": limit if rate else 0,
                    }
                )  # fmt: skip
    print(f"{'size':>8} {'gpus':>5} {'events/s':>9} {'bytes/s':>9} {'limit':>7}")
    for row in results:
        print(f"{row['size']:>8} {row['gpus']:>5} {row['events_per_s']:>9} {row['bytes_per_s']:>9,} {row['limit']:>7,}")
    print(json.dumps({"benchmark": "bytes_per_second", "results": results}))
    return int(any(row["bytes_per_s"] > row["limit"] for row in results))  # type: ignore[operator]


if __name__ == "__main__":
    sys.exit(main())
