"""What it costs to watch: processor, memory, and the time from a key to its effect, on the Run screen of a live run.

The real app in a real pseudo-terminal at 120x40 follows a real engine with a scripted worker, at one event a second and at
a hundred. The key switches the chart between a linear and a logarithmic scale, and the clock stops when the frame says so,
on the screen of a terminal emulator. `python benchmarks/panel_cpu.py` prints a table and one JSON line.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
sys.path.insert(0, str(ROOT / "benchmarks"))

from bytes_per_second import environment  # noqa: E402
from open_run import APP, cpu_s, memory  # noqa: E402

from tests.support.terminal import Terminal  # noqa: E402

#: The real host at its own pace, with the worker of the tests.
HOST = """
import sys
from backprop_tui.engine.host_main import main
from tests.support.scripted_host import WORKER
sys.exit(main(sys.argv[1:], worker_command=(sys.executable, str(WORKER))))
"""
#: Percent of a core, and milliseconds from a key to its effect in 99 of 100 cases, by events a second.
CPU_LIMITS = {1: 3.0, 100: 15.0}
KEY_LIMITS = {1: 50.0, 100: 100.0}


BARE = """
from textual.app import App
from textual.widgets import Static
class Bare(App):
    BINDINGS = [("y", "turn", "Turn")]
    def compose(self):
        self.log_y = False
        yield Static("y:lin", id="word")
    def action_turn(self):
        self.log_y = not self.log_y
        self.query_one("#word", Static).update("y:log" if self.log_y else "y:lin")
Bare().run()
"""


def latencies(terminal: Terminal, presses: int) -> list[float]:
    """Milliseconds from each key to its effect, at moments that have nothing to do with the run's own rhythm."""
    found = []
    state = "lin"
    for _ in range(presses):
        time.sleep(random.uniform(0.1, 0.35))
        state = "log" if state == "lin" else "lin"
        began = time.perf_counter()
        terminal.send("y")
        terminal.wait_for(f"y:{state}", 10)
        found.append((time.perf_counter() - began) * 1000)
    return sorted(found)


def bare(presses: int) -> dict[str, Any]:
    """The same key in an app of one word: what the toolkit, the emulator and the machine take by themselves."""
    with Terminal([sys.executable, "-c", BARE]) as terminal:
        terminal.wait_for("y:lin", 60)
        keys = latencies(terminal, presses)
        return {"key_p50_ms": round(keys[len(keys) // 2], 1), "key_p99_ms": round(keys[int(len(keys) * 0.99)], 1)}


def watch(rate: int, seconds: float, presses: int, profile: str) -> dict[str, Any]:
    """One run, one viewer."""
    with tempfile.TemporaryDirectory(prefix="bp-") as place:
        env = environment(Path(place))
        os.environ.update(env)
        from backprop_tui.launch.client import send_command
        from backprop_tui.launch.start import launch_engine
        from backprop_tui.protocol.commands import Command, CommandName
        from backprop_tui.store.locks import is_held
        from tests.support.engines import at_step, eventually, scripted

        run = scripted(steps=10**6, step_s=1.0 / rate, metrics=True, save_every=10**7)
        launch_engine(run, engine=(sys.executable, "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{HOST}"))
        try:
            at_step(run, 3, 60)
            with Terminal([sys.executable, "-c", APP], env={**env, "BACKPROP_PROFILE": profile}) as terminal:
                terminal.wait_for("y:lin", 60)
                # The start-up burst is over and the log has had its first fill.
                time.sleep(5.0)
                pid = terminal.process.pid
                spent, began = cpu_s(pid), time.perf_counter()
                time.sleep(seconds)
                cpu = (cpu_s(pid) - spent) / (time.perf_counter() - began) * 100
                keys = latencies(terminal, presses)
                return {
                    "events_per_s": rate, "cpu_percent": round(cpu, 2), "key_p50_ms": round(keys[len(keys) // 2], 1),
                    "key_p99_ms": round(keys[int(len(keys) * 0.99)], 1), **memory(pid),
                }  # fmt: skip
        finally:
            send_command(run, Command(CommandName.ABORT), 5.0)
            eventually(lambda: not is_held(run.lock_file), 30, "the end of the run")


def main() -> int:
    """Measure, print, compare with the limits."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--presses", type=int, default=100)
    parser.add_argument("--profile", default="local", choices=("local", "ssh", "low"))
    args = parser.parse_args()
    random.seed(1)
    rows = [watch(rate, args.seconds, args.presses, args.profile) for rate in CPU_LIMITS]
    print(f"{'events/s':>8} {'CPU':>8} {'limit':>7} {'key p50':>9} {'key p99':>9} {'limit':>8} {'RSS':>7}")
    for row in rows:
        rate = row["events_per_s"]
        print(
            f"{rate:>8} {row['cpu_percent']:>6.1f} % {CPU_LIMITS[rate]:>5.0f} % {row['key_p50_ms']:>6.1f} ms"
            f" {row['key_p99_ms']:>6.1f} ms {KEY_LIMITS[rate]:>5.0f} ms {row['rss']:>4.0f} MB"
        )
    plain = bare(args.presses)
    print(f"a bare Textual app of one word: key p50 {plain['key_p50_ms']} ms, p99 {plain['key_p99_ms']} ms")
    print(
        json.dumps(
            {
                "benchmark": "panel_cpu",
                "bare": plain,
                "profile": args.profile,
                "load": os.getloadavg()[0],
                "results": rows,
            }
        )
    )
    return int(
        any(
            row["cpu_percent"] > CPU_LIMITS[row["events_per_s"]] or row["key_p99_ms"] > KEY_LIMITS[row["events_per_s"]]
            for row in rows
        )
    )


if __name__ == "__main__":
    sys.exit(main())
