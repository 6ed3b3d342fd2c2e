"""A worker.log of a gigabyte in the app: when its end is on the screen, how long all of it takes to walk over and to search,
and how long a key waits while that happens.

The real app runs in a real pseudo-terminal; the wait of a key is from sending it to the first byte that comes back.
`python benchmarks/long_log.py` prints the figures and one JSON line; it exits 1 when a limit is passed.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
sys.path.insert(0, str(ROOT / "benchmarks"))

from bytes_per_second import environment  # noqa: E402

from tests.support.terminal import Terminal  # noqa: E402

APP = "import sys; from backprop_tui.app import run_app; sys.exit(run_app('run'))"
#: Longest a key may wait while a search goes on, in milliseconds, at the 99th percentile; memory in MB.
KEY_LIMIT, MEMORY_LIMIT = 150.0, 140.0


def write_log(home: Path, gigabytes: float) -> int:
    """A finished run whose worker wrote that much; how many lines."""
    import os

    os.environ.update(environment(home))
    from tests.support.runs import finished

    run = finished(100)
    count = 0
    with run.worker_log.open("wb") as file:
        while file.tell() < gigabytes * 1e9:
            file.write(
                b"".join(
                    b"2026-11-23 18:47:05,%03d INFO transformers.trainer ordinary words about step %d\n" % (n % 1000, n)
                    for n in range(count, count + 20_000)
                )
            )
            count += 20_000
        file.write(b"the needle is here\nand the end\n")
    return count + 2


def key_wait(terminal: Terminal, key: str, timeout: float = 10.0) -> float:
    """Milliseconds until something comes back."""
    size, began = terminal.size, time.perf_counter()
    terminal.send(key)
    while terminal.size == size and time.perf_counter() - began < timeout:
        time.sleep(0.0005)
    return 1000 * (time.perf_counter() - began)


def main() -> int:
    """Measure, print, compare with the limits."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gigabytes", type=float, default=1.0)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bp-") as place:
        env = environment(Path(place))
        lines = write_log(Path(place), args.gigabytes)
        with Terminal([sys.executable, "-c", APP], env=env) as terminal:
            terminal.wait_for(r"\? Help", 60)
            terminal.send("\x1b[Z")
            terminal.wait_for("(?m)[▸>] log", 30)
            began = time.perf_counter()
            terminal.send("oo")
            terminal.wait_for("and the end", 60)
            end_s = time.perf_counter() - began
            waits = []
            began = time.perf_counter()
            terminal.send("/")
            terminal.wait_for("text to find", 30)
            for character in "needle is":
                waits.append(key_wait(terminal, character))
                time.sleep(0.1)
            terminal.wait_for(r"the needle is here", 120)
            terminal.wait_for(r"\d hits?", 120)
            first_s = time.perf_counter() - began
            terminal.wait_for(r"[ ─]1 hit ", 300)
            all_s = time.perf_counter() - began
            terminal.send("\r")
            began = time.perf_counter()
            terminal.send("/" + "\x7f" * 20 + "step 77777")
            while time.perf_counter() - began < 3.0:
                # While it counts: moving the chosen line.
                terminal.send("\r")
                for key in "kjkkjk":
                    waits.append(key_wait(terminal, key))
                    time.sleep(0.02)
            terminal.wait_for(r"[ ─]\d+ hits ", 300)
            for _ in range(20):
                waits.append(key_wait(terminal, "k"))
                time.sleep(0.02)
            words = dict(
                line.split(":", 1) for line in Path(f"/proc/{terminal.process.pid}/status").read_text().splitlines()
            )
            rss = int(words["VmRSS"].split()[0]) / 1000
    waits.sort()
    result = {
        "gigabytes": args.gigabytes, "lines": lines, "end_shown_s": round(end_s, 2), "first_hit_s": round(first_s, 2),
        "all_counted_s": round(all_s, 2), "key_ms_p50": round(statistics.median(waits), 1),
        "key_ms_p99": round(waits[int(len(waits) * 0.99)], 1), "rss_mb": round(rss, 1),
    }  # fmt: skip
    for name, value in result.items():
        print(f"{name:>16}  {value:,}")
    print(json.dumps({"benchmark": "long_log", **result}))
    return int(result["key_ms_p99"] > KEY_LIMIT or rss > MEMORY_LIMIT)


if __name__ == "__main__":
    sys.exit(main())
