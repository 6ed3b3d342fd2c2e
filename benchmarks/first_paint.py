"""Time from the start of the process to the first useful paint, next to a bare Textual app with Header and Footer.

Both run in a real pseudo-terminal; "useful" is the line a person looks for. `python benchmarks/first_paint.py` prints the
medians, their ratio and one JSON line, and exits 1 when the ratio is above its limit.
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

LIMIT = 1.5
BARE = """
from textual.app import App
from textual.widgets import Footer, Header, Static
class Bare(App):
    BINDINGS = [("q", "quit", "Quit")]
    def compose(self):
        yield Header()
        yield Static("ready")
        yield Footer()
Bare().run()
"""
OURS = "import sys; from backprop_tui.app import run_app; sys.exit(run_app({room!r}))"


def first_paint(code: str, sign: str, env: dict[str, str]) -> float:
    """Seconds until `sign` (a regular expression) is on the screen."""
    began = time.perf_counter()
    with Terminal([sys.executable, "-c", code], env=env) as terminal:
        terminal.wait_for(sign)
        return time.perf_counter() - began


def main() -> int:
    """Measure alternately, so that a busy machine slows both."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--room", default="data", choices=("data", "tune", "run", "runs"))
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bp-") as place:
        # As after an installation: compiled modules are there for both sides, whatever the shell's settings say.
        env = {**environment(Path(place)), "PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": f"{place}/pyc"}
        bare: list[float] = []
        ours: list[float] = []
        for _ in range(args.rounds + 1):
            bare.append(first_paint(BARE, "ready", env))
            ours.append(first_paint(OURS.format(room=args.room), r"\[\d \w+\][\s\S]*\? Help", env))
    base, mine = statistics.median(bare[1:]), statistics.median(ours[1:])
    ratio = mine / base
    print(
        f"bare Textual {base * 1000:.0f} ms   backprop ({args.room}) {mine * 1000:.0f} ms   ratio {ratio:.2f} (limit {LIMIT})"
    )
    print(json.dumps({"benchmark": "first_paint", "room": args.room, "bare_s": base, "app_s": mine, "ratio": ratio}))
    return int(ratio > LIMIT)


if __name__ == "__main__":
    sys.exit(main())
