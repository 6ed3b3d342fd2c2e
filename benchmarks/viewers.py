"""Twelve viewers of one live run, one of them frozen: whether the run notices, and whether the other eleven stay live.

A real engine runs a scripted worker; each viewer is a process of its own that follows the run as the Run screen does
(`RunSession.stream` into a `RunModel`). The run is measured alone, with twelve viewers, with one of the twelve stopped by
SIGSTOP, and alone again; step times come from the journal, which is written by the engine alone.
`python benchmarks/viewers.py` prints a table and one JSON line; it exits 1 when the run notices or a viewer lags.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import os
import signal
import statistics
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

VIEWERS = 12
#: Median step time with viewers against without; what two cores do to each other is within it.
LIMIT = 1.10
#: Seconds between an event and the moment a viewer has it.
LAG_LIMIT = 1.0
FOLLOW = """
import asyncio, os, sys, time
from pathlib import Path
from backprop_tui.app.run_model import RunModel
from backprop_tui.launch.session import RunSession
from backprop_tui.store.layout import RunDir

async def main():
    model, lag = RunModel(), 0.0
    print("up", flush=True)
    async with RunSession(RunDir(Path(sys.argv[1]))) as session:
        async for batch in session.stream():
            model.apply(batch)
            if session.connected and isinstance(batch, list):
                print(f"{model.view.step} {time.time() - batch[0].wall:.4f}", flush=True)
    steps = model.series.get("loss")[0].tolist()
    print("end", model.view.step, len(steps), steps == list(range(1, len(steps) + 1)), flush=True)

asyncio.run(main())
"""


class Viewer:
    """One follower; what it says is kept in a file, so that nobody waits for anybody."""

    def __init__(self, run: Path, folder: Path, number: int) -> None:
        self.log = folder / f"viewer-{number}.txt"
        with self.log.open("wb") as out:
            self.process = subprocess.Popen([sys.executable, "-c", FOLLOW, str(run)], stdout=out, cwd=ROOT)

    @property
    def lines(self) -> list[list[str]]:
        """Everything said so far, in words; a line still being written is left out."""
        return [line.split() for line in self.log.read_text().split("\n")[:-1]]

    def step(self) -> int:
        """The newest step it has."""
        steps = [int(words[0]) for words in self.lines if words[0].isdigit()]
        return steps[-1] if steps else 0


def step_times(journal: Path, since: float, until: float) -> list[float]:
    """Seconds between neighbouring steps within a stretch of wall time."""
    from backprop_tui.store.journal import read_events

    at = [event.mono for event in read_events(journal, kinds={"step"}) if since <= event.wall <= until]
    return [after - before for before, after in itertools.pairwise(at)]


def main() -> int:
    """Run, watch, freeze, thaw, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=15.0, help="of each part")
    parser.add_argument("--step-s", type=float, default=0.02)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bp-") as place:
        os.environ.update(environment(Path(place)))
        from backprop_tui.launch.client import send_command
        from backprop_tui.protocol.commands import Command, CommandName
        from backprop_tui.store.locks import is_held
        from tests.support.engines import at_step, eventually, started

        run = started(steps=10**7, step_s=args.step_s, flood=1500, save_every=10**7)
        viewers: list[Viewer] = []
        try:
            at_step(run, 20)
            parts: dict[str, tuple[float, float]] = {}

            def part(name: str) -> None:
                began = time.time()
                time.sleep(args.seconds)
                parts[name] = (began, time.time())

            part("alone")
            viewers = [Viewer(run.path, Path(place), number) for number in range(VIEWERS)]
            eventually(lambda: all(viewer.step() for viewer in viewers), 120, "every viewer is live")
            part("twelve")
            frozen = viewers[-1]
            frozen.process.send_signal(signal.SIGSTOP)
            had = frozen.step()
            part("frozen")
            lags = [
                float(words[1])
                for viewer in viewers[:-1]
                for words in viewer.lines[-int(args.seconds / args.step_s / 2) :]
                if words[0].isdigit()
            ]
            behind = [viewer.step() for viewer in viewers[:-1]]
            frozen.process.send_signal(signal.SIGCONT)
            eventually(lambda: frozen.step() > max(behind), 60, "the frozen one catches up")
            send_command(run, Command(CommandName.ABORT), 5.0)
            eventually(lambda: not is_held(run.lock_file), 30, "the end")
            for viewer in viewers:
                viewer.process.wait(60)
            whole = [viewer.lines[-1] for viewer in viewers]
            rows: dict[str, Any] = {}
            for name, (since, until) in parts.items():
                times = sorted(step_times(run.journal_file, since, until))
                rows[name] = {
                    "steps": len(times), "median_ms": statistics.median(times) * 1000,
                    "p99_ms": times[int(len(times) * 0.99)] * 1000, "longest_ms": times[-1] * 1000,
                }  # fmt: skip
        finally:
            for viewer in viewers:
                with contextlib.suppress(ProcessLookupError):
                    viewer.process.kill()
    print(f"{'':>8} {'steps':>6} {'median':>9} {'p99':>9} {'longest':>9}")
    for name, row in rows.items():
        print(
            f"{name:>8} {row['steps']:>6} {row['median_ms']:>6.2f} ms {row['p99_ms']:>6.2f} ms {row['longest_ms']:>6.2f} ms"
        )
    ratio = rows["frozen"]["median_ms"] / rows["alone"]["median_ms"]
    lags.sort()
    lag = lags[int(len(lags) * 0.99)]
    complete = all(words[0] == "end" and words[3] == "True" for words in whole) and len({w[1] for w in whole}) == 1
    print(
        f"step time with one of twelve frozen against alone: {ratio:.3f} (limit {LIMIT}); lag of the other eleven: median"
        f" {lags[len(lags) // 2] * 1000:.0f} ms, p99 {lag * 1000:.0f} ms; the frozen one stood at {had} of {max(behind)};"
        f" all twelve have every step: {complete}"
    )
    print(json.dumps({"benchmark": "viewers", "ratio": ratio, "lag_p99_s": lag, "complete": complete, "parts": rows}))
    return int(ratio > LIMIT or lag > LAG_LIMIT or not complete)


if __name__ == "__main__":
    sys.exit(main())
