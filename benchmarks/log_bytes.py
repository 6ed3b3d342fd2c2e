"""What a talkative run costs: bytes per second while 100 log lines a second come, and what following costs the app.

The real engine runs the scripted worker; the real app watches it in a real pseudo-terminal with the log focused, once with
lines as events and once as the worker's raw output. `python benchmarks/log_bytes.py` prints a table and one JSON line; it
exits 1 when a limit is passed.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
sys.path.insert(0, str(ROOT / "benchmarks"))

from bytes_per_second import environment  # noqa: E402

from tests.support.terminal import Terminal  # noqa: E402

APP = "import sys; from backprop_tui.app import run_app; sys.exit(run_app('run'))"
#: Most bytes per second at 120x40 by profile.
LIMITS = {"ssh": 15_000, "low": 5_000}


def cpu_s(pid: int) -> float:
    """Processor seconds a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure(profile: str, kind: str, rate: int, seconds: float, columns: int, rows: int, zoom: bool) -> dict[str, Any]:
    """One run that says `rate` lines a second as `says` or `prints`, watched for `seconds`."""
    with tempfile.TemporaryDirectory(prefix="bp-") as place:
        env = environment(Path(place))
        os.environ.update(env)
        from tests.support.engines import no_engine_left, started

        with no_engine_left():
            started(steps=100_000, step_s=1.0, save_every=1_000_000, **{kind: rate})
            with Terminal(
                [sys.executable, "-c", APP], columns=columns, rows=rows, env={**env, "BACKPROP_PROFILE": profile}
            ) as terminal:
                terminal.wait_for("running", 60)
                # The log's panel, its source, and the whole screen for it where asked.
                terminal.send("\x1b[Z")
                terminal.wait_for("(?m)[▸>] log", 30)
                if kind == "prints":
                    terminal.send("o")
                if zoom:
                    terminal.send("z")
                terminal.wait_for("of a run that has a lot to tell", 60)
                time.sleep(4.0)
                size, cpu, began = terminal.size, cpu_s(terminal.process.pid), time.monotonic()
                time.sleep(seconds)
                took = time.monotonic() - began
                return {
                    "profile": profile, "size": f"{columns}x{rows}", "lines": kind, "per_s": rate, "zoomed": zoom,
                    "bytes_per_s": round((terminal.size - size) / took),
                    "cpu_percent": round(100 * (cpu_s(terminal.process.pid) - cpu) / took, 1),
                    "limit": LIMITS[profile] if rate <= 100 else None,
                }  # fmt: skip


def main() -> int:
    """Measure, print, compare with the limits."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=15.0)
    args = parser.parse_args()
    cases = [
        ("ssh", "says", 100, False), ("ssh", "prints", 100, False), ("ssh", "says", 100, True), ("low", "says", 100, False),
        ("ssh", "says", 1, False), ("ssh", "says", 1000, False),
    ]  # fmt: skip
    results = [measure(profile, kind, rate, args.seconds, 120, 40, zoom) for profile, kind, rate, zoom in cases]
    print(f"{'profile':>8} {'lines':>7} {'per s':>6} {'zoomed':>7} {'bytes/s':>9} {'cpu %':>6} {'limit':>7}")
    for row in results:
        print(
            f"{row['profile']:>8} {row['lines']:>7} {row['per_s']:>6} {row['zoomed']!s:>7} {row['bytes_per_s']:>9,} "
            f"{row['cpu_percent']:>6} {row['limit'] or '–':>7}"
        )
    print(json.dumps({"benchmark": "log_bytes", "results": results}))
    return int(any(row["limit"] is not None and row["bytes_per_s"] > row["limit"] for row in results))


if __name__ == "__main__":
    sys.exit(main())
