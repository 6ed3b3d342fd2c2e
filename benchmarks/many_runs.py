"""Ten thousand runs: how soon they are listed, looked at again, filtered, and what one changed run costs on the wire.

The runs are real run directories with real journals, written by the real writer, and the app runs in a real
pseudo-terminal. Times are also given as ratios to what a plain walk over the directories takes (one `os.stat` of each
journal), so that a slow disk or a busy machine weighs on both. `python benchmarks/many_runs.py` prints a table and one JSON
line, and exits 1 when a limit is passed.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
sys.path.insert(0, str(ROOT / "benchmarks"))

from bytes_per_second import environment, settle  # noqa: E402

from backprop_tui.protocol import events as ev  # noqa: E402
from backprop_tui.protocol.codec import encode_line  # noqa: E402
from backprop_tui.protocol.events import Event  # noqa: E402
from backprop_tui.store.filter import parse_filter  # noqa: E402
from backprop_tui.store.index import RunIndex  # noqa: E402
from tests.support.terminal import Terminal  # noqa: E402

#: In walks, so that a busy machine changes nothing; bytes as they are. A walk takes about 30 ms on the machine it was
#: written on, where half a second is 16 walks.
LIMITS = {"first list": 16, "look again": 8, "filter keystroke": 2, "bytes for one changed run": 400}
APP = "import sys; from backprop_tui.app import run_app; sys.exit(run_app('runs'))"


def write_runs(root: Path, count: int) -> list[Path]:
    """That many run directories; the newest few are unfinished."""
    rng = random.Random(7)
    root.mkdir(parents=True)
    places = []
    for number in range(count):
        day, second = divmod(number * 60, 86_400)
        stamp = f"202{6 + day // 360}{1 + day % 360 // 30:02d}{1 + day % 30:02d}"
        clock = f"{second // 3600:02d}{second % 3600 // 60:02d}{second % 60:02d}"
        place = root / f"{stamp}-{clock}-{_tail(number)}"
        place.mkdir()
        rank, rate = rng.choice((8, 16, 32, 64)), rng.choice((1e-4, 2e-4, 5e-4))
        base = rng.choice(("Qwen/Qwen3-8B", "demo", "meta-llama/Llama-3.1-8B"))
        spec = {
            "format": 1, "name": f"sweep-{number:05d}", "preset": "balanced", "model": {"base": base, "method": "lora"},
            "lora": {"rank": rank, "alpha": 32}, "data": {"path": "alpaca.jsonl"},
            "optim": {"learning_rate": rate, "seed": number},
        }  # fmt: skip
        (place / "run.json").write_text(json.dumps(spec))
        (place / "engine.lock").touch()
        loss = rng.uniform(0.8, 2.5)
        kinds: list[tuple[str, dict[str, Any]]] = [
            (ev.RUN, {"run": place.name, "name": spec["name"], "version": "0", "host": "box"}),
            (ev.ATTEMPT, {"attempt": 1, "pid": 1, "resume_step": None}),
            (ev.PLAN, {"total_steps": 10}),
            (ev.STATE, {"state": "running", "reason": ""}),
            *(
                (ev.STEP, {"step": at, "loss": loss, "lr": rate, "tokens": at * 100, "step_s": 1.0})
                for at in range(1, 11)
            ),
            (ev.EVAL, {"step": 10, "loss": loss, "best": True}),
        ]
        if number < count - 5:
            kinds.append((ev.END, {"outcome": "completed", "step": 10, "reason": "", "checkpoint": None}))
        lines = [
            encode_line(Event(at, 1.78e9, at, 1, kind, data).to_record()) for at, (kind, data) in enumerate(kinds, 1)
        ]
        (place / "events.jsonl").write_bytes(b"".join(lines))
        places.append(place)
    return places


def _tail(number: int) -> str:
    digits = "0123456789abcdefghjkmnpqrstvwxyz"
    return "".join(digits[number >> shift & 31] for shift in (15, 10, 5, 0))


def took(work: Callable[[], object]) -> float:
    """Seconds."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def walk(root: Path) -> None:
    """The least a list could do: look at each journal once."""
    with os.scandir(root) as found:
        for item in found:
            os.stat(f"{item.path}/events.jsonl")


def append(place: Path, seq: int, loss: float) -> None:
    """One more step in a journal."""
    data = {"step": seq, "loss": loss, "lr": 1e-4, "tokens": 100 * seq, "step_s": 1.0}
    with (place / "events.jsonl").open("ab") as file:
        file.write(encode_line(Event(seq, 1.78e9, seq, 1, ev.STEP, data).to_record()))


def call(*words: str) -> None:
    """One command, whole, in the places of the environment."""
    subprocess.run([sys.executable, "-m", "backprop_tui.cli", *words], cwd=ROOT, capture_output=True, check=True)


def in_terminal(env: dict[str, str], changed: Path) -> tuple[float, float]:
    """Seconds from the first frame to the listed runs, and bytes sent when one run on the screen takes a step."""
    with Terminal([sys.executable, "-c", APP], columns=120, rows=40, env=env) as terminal:
        terminal.wait_for(r"\[4 Runs\]")
        began = time.perf_counter()
        terminal.wait_for("sweep-")
        listed = time.perf_counter() - began
        settle(terminal, quiet=5.0)
        spent = []
        for number in range(3):
            before = terminal.size
            append(changed, 100 + number, 1.5 + number / 7)
            deadline = time.monotonic() + 30
            while terminal.size == before and time.monotonic() < deadline:
                time.sleep(0.05)
            settle(terminal, quiet=1.0)
            spent.append(terminal.size - before)
        return listed, statistics.median(spent)


def main() -> int:
    """Write, measure, compare with the limits."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=10_000)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bp-") as home:
        env = environment(Path(home))
        os.environ.update(env)
        root = Path(home) / "data" / "runs"
        places = write_runs(root, args.runs)
        walked = statistics.median(took(lambda: walk(root)) for _ in range(5))
        first = RunIndex()
        built = took(first.look)
        first.close()
        opened = []
        for _ in range(5):
            index = RunIndex()
            opened.append(took(index.look))
            index.close()
        index = RunIndex()
        entries = index.look().entries
        assert len(entries) == args.runs
        again = statistics.median(took(index.look) for _ in range(5))
        append(places[0], 50, 1.0)
        one = took(index.look)
        words = ("q", "qwen", "loss<1.2 model~qwen", "qwen !archived state:completed age<9999d loss<2")
        now = time.time()

        def keystroke(text: str) -> None:
            wanted = parse_filter(text, now=now)
            [entry for entry in entries if wanted.matches(entry)]

        filtered = max(statistics.median(took(lambda text=text: keystroke(text)) for _ in range(5)) for text in words)  # type: ignore[misc]
        rates = took(lambda: index.fill(["learning_rate"]))
        command, empty = took(lambda: call("runs")), took(lambda: call("--version"))
        listed, sent = in_terminal(env, places[-1])
    found = {
        "first list": statistics.median(opened), "look again": again, "filter keystroke": filtered,
        "bytes for one changed run": sent,
    }  # fmt: skip
    more = {
        "building the index": built, "one run changed": one, "one setting of all runs": rates,
        "`backprop runs`, whole": command, "`backprop --version`, whole": empty, "app: frame to list": listed,
    }  # fmt: skip
    print(f"{args.runs:,} runs; a walk that looks at each journal: {walked * 1000:.0f} ms")
    for name, value in {**found, **more}.items():
        limit = f"limit {LIMITS[name]}" if name in LIMITS else ""
        shown = f"{value:,.0f} B" if name.startswith("bytes") else f"{value * 1000:,.0f} ms  {value / walked:.1f} walks"
        print(f"  {name:<28} {shown:<24} {limit}")
    results = {**found, **more, "walk": walked, "runs": args.runs}
    print(json.dumps({"benchmark": "many_runs", "results": {key: round(value, 4) for key, value in results.items()}}))
    passed = {name: value if name.startswith("bytes") else value / walked for name, value in found.items()}
    return int(any(passed[name] > limit for name, limit in LIMITS.items()))


if __name__ == "__main__":
    sys.exit(main())
