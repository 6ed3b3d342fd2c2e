"""The same metrics opened by `wandb leet` and by us, one after the other on the same machine: seconds to the full picture.

Needs another environment that has wandb: `python benchmarks/open_leet.py --python /path/to/that/bin/python`. The recorded
runs hold the same eight metrics at the same steps; leet reads its own format, we read our journal, which holds readings of
the sensors besides. The clock starts when the screen is up (the help hint is there) and stops when the last step is shown.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
sys.path.insert(0, str(ROOT / "benchmarks"))

from bytes_per_second import environment  # noqa: E402
from long_runs import write_run  # noqa: E402
from open_run import APP, memory  # noqa: E402

from tests.support.terminal import Terminal  # noqa: E402

WRITER = """
import math, os, sys
os.environ.update(WANDB_MODE="offline", WANDB_SILENT="true")
import wandb
steps, place = int(sys.argv[1]), sys.argv[2]
run = wandb.init(project="p", dir=place, settings=wandb.Settings(x_disable_stats=True, console="off"))
for step in range(1, steps + 1):
    noise = 0.05 * math.sin(step * 12.9898) * math.cos(step * 78.233)
    loss = 1.0 + 1.2 * math.exp(-10 * step / steps) + noise
    run.log({
        "loss": loss, "grad_norm": 0.9 + noise, "lr": 2e-4 * (1 - step / (steps + 1)), "tokens": step * 1600,
        "tokens_per_s": 12400 + 100 * noise, "step_s": 0.2 + noise / 10, "epoch": step / steps, "eval_loss": loss + 0.1,
    }, step=step)
run.finish()
"""


def tree(pid: int) -> list[int]:
    """A process and all below it."""
    found = [pid]
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in task.read_text().split():
            found += tree(int(child))
    return found


def visit(argv: list[str], env: dict[str, str], up: str, full: str) -> dict[str, Any]:
    """Start, wait for the screen, wait for the whole run."""
    began = time.perf_counter()
    with Terminal(argv, env=env) as terminal:
        terminal.wait_for(up, 120)
        there = time.perf_counter()
        terminal.wait_for(full, 300)
        done = time.perf_counter()
        rss = sum(memory(pid)["rss"] for pid in tree(terminal.process.pid))
        return {"screen_s": round(there - began, 2), "full_s": round(done - there, 2), "rss": round(rss)}


def main() -> int:
    """Write both, open both in turn, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--python", required=True, help="a Python that has wandb")
    parser.add_argument("--steps", type=int, nargs="*", default=[10_000, 100_000])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--recorded", type=Path, help="where wandb runs are kept between measurements, by steps")
    args = parser.parse_args()
    wandb = Path(args.python).with_name("wandb")
    results: list[dict[str, Any]] = []
    for steps in args.steps:
        with tempfile.TemporaryDirectory(prefix="bp-") as place:
            kept = (args.recorded or Path(place)) / str(steps)
            if not kept.exists():
                kept.mkdir(parents=True)
                subprocess.run([args.python, "-c", WRITER, str(steps), str(kept)], check=True)
            (theirs,) = kept.glob("wandb/offline-run-*")
            env = {**environment(Path(place)), "BACKPROP_PROFILE": "local"}
            ours = write_run(Path(env["BACKPROP_DATA_DIR"]) / "runs", steps)
            short = rf"0\S{{1,2}}({steps:,}|{steps // 1000}k|{steps // 1_000_000}M) ?\W"
            for turn in range(args.rounds + 1):
                shutil.rmtree(Path(env["BACKPROP_CACHE_DIR"]) / "columns", ignore_errors=True)
                home = {"HOME": place, "WANDB_ERROR_REPORTING": "false"}
                rows = {
                    "leet": visit(
                        [str(wandb), "leet", str(theirs)], home, "h: help", rf"Finished[\s\S]*_step +{steps}\b"
                    ),
                    "first": visit([sys.executable, "-c", APP], env, r"\? Help", short),
                    "later": visit([sys.executable, "-c", APP], env, r"\? Help", short),
                }
                # The first turn warms the page cache and compiles modules, on both sides.
                results += [{"steps": steps, "who": who, **row} for who, row in rows.items() if turn]
            size = ours.journal_file.stat().st_size, sum(f.stat().st_size for f in theirs.glob("*.wandb"))
            print(f"{steps:,} steps: our journal {size[0] / 1e6:.1f} MB, theirs {size[1] / 1e6:.1f} MB")
    print(f"{'steps':>9} {'who':>6} {'screen':>8} {'full chart':>11} {'in all':>8} {'RSS':>7}")
    worst = 0.0
    for steps in args.steps:
        best = {}
        for who in ("leet", "first", "later"):
            these = [row for row in results if (row["steps"], row["who"]) == (steps, who)]
            screen, full = min(r["screen_s"] for r in these), min(r["full_s"] for r in these)
            best[who] = min(r["screen_s"] + r["full_s"] for r in these)
            print(
                f"{steps:>9,} {who:>6} {screen:>6.2f} s {full:>9.2f} s {best[who]:>6.2f} s {max(r['rss'] for r in these):>4} MB"
            )
        worst = max(worst, best["first"] / best["leet"])
    print(json.dumps({"benchmark": "open_leet", "cores": os.cpu_count(), "worst_ratio": worst, "results": results}))
    return int(worst >= 1.0)


if __name__ == "__main__":
    sys.exit(main())
