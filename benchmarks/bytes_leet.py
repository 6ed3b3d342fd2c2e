"""Bytes to the terminal while a run grows by one step a second: `wandb beta leet` and our Run screen, one after the other.

Needs another environment that has wandb: `python benchmarks/bytes_leet.py --python /path/to/that/bin/python`. Both watch a
live run of the same metrics at 120×40 in a real pseudo-terminal; leet reads the file that wandb writes offline.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
sys.path.insert(0, str(ROOT / "benchmarks"))

from bytes_per_second import measure, settle  # noqa: E402

from tests.support.terminal import Terminal  # noqa: E402

WRITER = """
import math, os, sys, time
os.environ.update(WANDB_MODE="offline", WANDB_SILENT="true")
import wandb
run = wandb.init(project="p", dir=sys.argv[1], settings=wandb.Settings(x_disable_stats=True, console="off"))
print("ready", flush=True)
for step in range(1, 100_000):
    noise = 0.05 * math.sin(step * 12.9898)
    run.log({
        "loss": 1.0 + math.exp(-step / 60) + noise, "grad_norm": 0.9 + noise, "lr": 2e-4, "tokens": step * 1600,
        "tokens_per_s": 12400 + 100 * noise, "step_s": 0.2 + noise / 10, "epoch": step / 1000, "eval_loss": 1.1 + noise,
    }, step=step)
    if step > 200:
        time.sleep(1)
"""


def leet_bytes(python: str, seconds: float) -> float:
    """Bytes per second that leet sends while its run grows."""
    with tempfile.TemporaryDirectory(prefix="bp-") as place:
        writer = subprocess.Popen([python, "-c", WRITER, place], stdout=subprocess.PIPE, text=True)
        try:
            assert writer.stdout is not None
            writer.stdout.readline()
            deadline = time.monotonic() + 30
            while not (found := list(Path(place).glob("wandb/offline-run-*"))) and time.monotonic() < deadline:
                time.sleep(0.1)
            argv = [str(Path(python).with_name("wandb")), "leet", str(found[0])]
            with Terminal(
                argv, env={"HOME": place, "WANDB_ERROR_REPORTING": "false"}, columns=120, rows=40
            ) as terminal:
                terminal.wait_for("h: help", 60)
                settle(terminal, quiet=0.5, timeout=8)
                before = terminal.size
                time.sleep(seconds)
                return (terminal.size - before) / seconds
        finally:
            writer.kill()
            writer.wait()


def main() -> int:
    """Measure both in turn, print; exit code 1 where ours is not below theirs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--python", required=True, help="a Python that has wandb")
    parser.add_argument("--seconds", type=float, default=20.0)
    args = parser.parse_args()
    theirs = leet_bytes(args.python, args.seconds)
    ours = {
        profile: measure(120, 40, rate=1, seconds=args.seconds, gpus=2, profile=profile)
        for profile in ("local", "ssh", "low")
    }
    print(f"leet {theirs:,.0f} B/s")
    for profile, rate in ours.items():
        print(f"ours, {profile}: {rate:,.0f} B/s, {rate / theirs:.2f} of leet's")
    print(json.dumps({"benchmark": "bytes_leet", "leet": theirs, "ours": ours}))
    return int(max(ours.values()) >= theirs)


if __name__ == "__main__":
    sys.exit(main())
