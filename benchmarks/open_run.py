"""How long a recorded run takes to open, and what it costs: first visit, later visits, memory.

The real app runs in a real pseudo-terminal. The clock of `full` starts when the screen is up (its footer is there) and
stops when the chart reaches the run's last step, which is when every recorded value is in the picture; `figures` is when
all other events are folded too. `its CPU` is what the app's process used for the chart: on a busy machine it says more
than the clock.
`python benchmarks/open_run.py` prints a table and one JSON line; it exits 1 when a limit is passed.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
sys.path.insert(0, str(ROOT / "benchmarks"))

from bytes_per_second import environment, settle  # noqa: E402
from long_runs import write_run  # noqa: E402

from tests.support.terminal import Terminal  # noqa: E402

APP = "import sys; from backprop_tui.app import run_app; sys.exit(run_app('run'))"
#: Seconds from the screen to the full chart on a first visit, by steps.
LIMITS = {10_000: 0.3, 100_000: 0.8, 1_000_000: 3.0}
#: Resident memory with the longest run open, in MB.
MEMORY_LIMIT = 120.0


def memory(pid: int) -> dict[str, float]:
    """Resident megabytes of a process: all, and what is its own (not files, which others share)."""
    words = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return {key: int(words[name].split()[0]) / 1000 for key, name in (("rss", "VmRSS"), ("own", "RssAnon"))}


def cpu_s(pid: int) -> float:
    """Processor seconds a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / 100


def open_once(env: dict[str, str], steps: int) -> dict[str, Any]:
    """One visit."""
    with Terminal([sys.executable, "-c", APP], env=env) as terminal:
        pid = terminal.process.pid
        terminal.wait_for(r"\? Help", 60)
        up, before = time.perf_counter(), cpu_s(pid)
        # The frame below the plot says which steps it shows.
        terminal.wait_for(rf"0\S{{1,2}}({steps:,}|{steps // 1000}k|{steps // 1_000_000}M) ?\W", 120)
        full, chart_cpu = time.perf_counter() - up, cpu_s(pid) - before
        terminal.wait_for(rf"step {steps:,}/{steps:,}", 120)
        told = time.perf_counter() - up
        settle(terminal, 2.0, 60)
        words = {"full_s": round(full, 3), "told_s": round(told, 3), "chart_cpu_s": round(chart_cpu, 2)}
        return {**words, "cpu_s": round(cpu_s(pid), 2), **memory(pid)}


def main() -> int:
    """Write, open, open again, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, nargs="*", default=list(LIMITS))
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    rows: list[dict[str, Any]] = []
    for steps in args.steps:
        with tempfile.TemporaryDirectory(prefix="bp-") as place:
            env = {
                **environment(Path(place)), "BACKPROP_PROFILE": "local", "PYTHONPYCACHEPREFIX": f"{place}/pyc",
                "PYTHONDONTWRITEBYTECODE": "",
            }  # fmt: skip
            run = write_run(Path(env["BACKPROP_DATA_DIR"]) / "runs", steps)
            size = run.journal_file.stat().st_size
            # Compiled modules and the file in the page cache, as for anybody who has used it before.
            open_once(env, steps)
            for _ in range(args.rounds):
                forget = Path(env["BACKPROP_CACHE_DIR"]) / "columns" / run.id
                shutil.rmtree(forget, ignore_errors=True)
                for visit in ("first", "later"):
                    found = open_once(env, steps)
                    rows.append({"steps": steps, "journal_mb": round(size / 1e6, 1), "visit": visit, **found})
    table = [_row(steps, visit, rows) for steps in args.steps for visit in ("first", "later")]
    heads = ("chart", "its CPU", "worst", "figures", "all CPU")
    print(f"{'steps':>9} {'journal':>9} {'visit':>6} {' '.join(f'{head:>8}' for head in heads)} {'RSS':>7} {'own':>7}")
    for row in table:
        times = (row[name] for name in ("full_s", "chart_cpu_s", "worst_s", "told_s", "cpu_s"))
        print(
            f"{row['steps']:>9,} {row['journal_mb']:>6.1f} MB {row['visit']:>6} {' '.join(f'{s:>6.2f} s' for s in times)}"
            f" {row['rss']:>4.0f} MB {row['own']:>4.0f} MB"
        )
    print(json.dumps({"benchmark": "open_run", "results": table}))
    slow = [row for row in table if row["visit"] == "first" and row["full_s"] > LIMITS.get(row["steps"], 1e9)]
    return int(bool(slow) or max(row["rss"] for row in table) > MEMORY_LIMIT)


def _row(steps: int, visit: str, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The best of several visits, which is what a busy machine disturbs least, and the worst chart and memory."""
    these = [row for row in rows if (row["steps"], row["visit"]) == (steps, visit)]
    return {
        "steps": steps, "visit": visit, "journal_mb": these[0]["journal_mb"],
        **{name: min(row[name] for row in these) for name in ("full_s", "told_s", "chart_cpu_s", "cpu_s")},
        "worst_s": max(row["full_s"] for row in these), "rss": max(row["rss"] for row in these),
        "own": max(row["own"] for row in these),
    }  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
