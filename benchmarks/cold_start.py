"""How long a command takes to start, as ratios, so that the machine's speed cancels out.

Measured against `python -c "import pydantic"`, with 20 finished runs to list; both sides alternate, and the median counts.
Exit code 1 when a target is missed. The app's first paint is measured by `first_paint.py`.

    python benchmarks/cold_start.py [--runs N] [--json]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

BACKPROP = [sys.executable, "-m", "backprop_tui.cli"]
PYDANTIC = [sys.executable, "-c", "import pydantic"]
TARGETS = {"runs": 3.0, "--help": 3.0, "watch --once": 3.0}


def seconds_to_end(argv: list[str], env: Mapping[str, str]) -> float:
    started = time.perf_counter()
    done = subprocess.run(argv, env=env, stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=False)
    took = time.perf_counter() - started
    if done.returncode:
        raise SystemExit(f"{argv} failed: {done.stderr.decode()}")
    return took


def ratio(measure: Callable[[], float], against: Callable[[], float], runs: int) -> dict[str, float]:
    measure(), against()  # fill the file cache on both sides
    pairs = [(measure(), against()) for _ in range(runs)]
    mine, other = (statistics.median(column) for column in zip(*pairs, strict=True))
    return {"ms": round(1000 * mine, 1), "against_ms": round(1000 * other, 1), "ratio": round(mine / other, 2)}


def example_runs(env: Mapping[str, str], count: int) -> None:
    """Finished runs with a journal each, so that listing has something to read."""
    code = (
        "import sys\nfrom backprop_tui.store.layout import create_run\nfrom backprop_tui.store.journal import JournalWriter\n"
        f"for number in range({count}):\n"
        "    run = create_run({'name': f'run {number}', 'model': {'base': 'demo', 'method': 'lora'}})\n"
        "    journal = JournalWriter(run.journal_file)\n"
        "    for step in range(1, 201):\n"
        "        journal.append('step', {'step': step, 'loss': 1 / step}, attempt=1)\n"
        "    journal.append('end', {'outcome': 'completed', 'step': 200, 'reason': '', 'checkpoint': None}, attempt=1)\n"
        "    journal.close()\n"
    )
    subprocess.run([sys.executable, "-c", code], env=env, check=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--runs", type=int, default=9, help="measurements of each (9)")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bp-") as home:
        env = {**os.environ, "TERM": "xterm-256color", "LANG": "C.UTF-8"}
        for kind in ("DATA", "CONFIG", "CACHE", "RUNTIME"):
            place = Path(home) / kind.lower()
            place.mkdir(mode=0o700)
            env[f"BACKPROP_{kind}_DIR"] = str(place)
        example_runs(env, 20)
        found = {
            command: ratio(
                lambda command=command: seconds_to_end([*BACKPROP, *command.split()], env),  # type: ignore[misc]
                lambda: seconds_to_end(PYDANTIC, env),
                args.runs,
            )
            for command in ("runs", "--help", "watch --once")
        }
    if args.json:
        print(json.dumps(found))
    else:
        print(f"{'':<14} {'ms':>8} {'against':>8} {'ratio':>6} {'target':>7}")
        for name, row in found.items():
            print(f"{name:<14} {row['ms']:>8} {row['against_ms']:>8} {row['ratio']:>6} {'≤ ' + str(TARGETS[name]):>7}")
    return 0 if all(row["ratio"] <= TARGETS[name] for name, row in found.items()) else 1


if __name__ == "__main__":
    sys.exit(main())
