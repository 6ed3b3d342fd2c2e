"""What one redraw of the chart costs: milliseconds for runs of 10k, 100k and 1M steps, alone and as a grid of four.

"grown" is a redraw after one more step, as while watching; "moved" is one after the view changed, when nothing that was
worked out before helps; both are cells and the comparison with what is on the screen, without the terminal. Time is that of
the thread on a processor, so that a busy machine changes little.
`python benchmarks/redraw.py` prints a table and one JSON line; it fails when a grown picture of up to four charts takes more
than 5 ms at any size, or a single moved one does on a screen of 120x40.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from backprop_tui.app.glyphs import UNICODE  # noqa: E402
from backprop_tui.app.marks import Marks  # noqa: E402
from backprop_tui.app.widgets.chart_model import ChartModel  # noqa: E402
from backprop_tui.app.widgets.painted import Line, changed_spans, fit  # noqa: E402
from backprop_tui.protocol.events import Event  # noqa: E402
from backprop_tui.store.series import SeriesStore  # noqa: E402
from backprop_tui.store.stretch import Rows, Stretch  # noqa: E402

LIMIT_MS = 5.0
#: The inside of the chart at 80x24, at 120x40, zoomed at 120x40 and at 300x80.
SIZES = ((79, 9), (76, 22), (118, 34), (298, 74))


def curves(steps: int) -> SeriesStore:
    """Eight noisy metrics of a long run."""
    rng = np.random.default_rng(1)
    at = np.arange(1, steps + 1, dtype=np.int64)
    loss = 1.0 + 1.5 * np.exp(-at / (steps / 8)) + 0.1 * rng.standard_normal(steps)
    loss[steps // 3] = 9.0
    loss[steps // 2] = np.nan
    noise = rng.standard_normal(steps)
    values = {
        "loss": loss, "grad_norm": 0.9 + 0.2 * np.abs(noise), "lr": 2e-4 * (1 - at / (steps + 1)), "tokens": at * 16384.0,
        "tokens_per_s": 12_400 + 300 * noise, "step_s": 1.3 + 0.05 * noise, "epoch": at / steps * 3, "memory": 60 + noise,
    }  # fmt: skip
    store = SeriesStore()
    store.extend(Stretch(rows=Rows(at, 1.7e9 + at * 1.3, values)))
    for step in range(steps // 50, steps + 1, steps // 50):
        store.mark(Event(step, 0.0, 0.0, 1, "eval", {"step": step, "loss": 1.1 + float(np.exp(-step / (steps / 8)))}))
    return store


def grow(store: SeriesStore, step: int) -> None:
    """One more step."""
    data = {"step": step, "loss": 1.0 + 0.1 * np.sin(step), "grad_norm": 0.9, "lr": 1e-4, "tokens": step * 16384.0,
            "tokens_per_s": 12_400.0, "step_s": 1.3, "epoch": 3.0, "memory": 60.0}  # fmt: skip
    store.add_one(Event(step, 1.7e9 + step * 1.3, 0.0, 1, "step", data))


def redraw(model: ChartModel, width: int, height: int, before: list[Line]) -> list[Line]:
    """What `Painted.repaint` does."""
    lines = [fit(line, width) for line in model.paint(width, height, UNICODE)]
    for old, new in zip(before, lines, strict=True):
        if old != new:
            changed_spans(old, new, width)
    return lines


def measure(steps: int, layout: str, width: int, height: int, rounds: int) -> dict[str, object]:
    """Milliseconds of both kinds of redraw."""
    store = curves(steps)
    model = ChartModel()
    model.store, model.marks, model.live, model.total_steps = store, Marks(), True, steps * 2
    for step in range(steps // 50, steps + 1, steps // 50):
        model.marks.add(Event(step, 0.0, 0.0, 1, "checkpoint", {"step": step}), step)
    model.state.layout = layout  # type: ignore[assignment]
    began = time.thread_time()
    lines = redraw(model, width, height, [fit((), width)] * height)
    first = (time.thread_time() - began) * 1e3
    lines = redraw(model, width, height, lines)
    grown, moved = [], []
    for turn in range(rounds):
        grow(store, steps + turn + 1)
        began = time.thread_time()
        lines = redraw(model, width, height, lines)
        grown.append((time.thread_time() - began) * 1e3)
    for turn in range(rounds):
        model.show_range(steps * 0.001 * turn, steps * (0.9 + 0.001 * turn))
        began = time.thread_time()
        lines = redraw(model, width, height, lines)
        moved.append((time.thread_time() - began) * 1e3)
    return {
        "steps": steps, "layout": layout if layout == "single" else f"grid {len(model.areas)}", "size": f"{width}x{height}",
        "first_ms": round(first, 2), "grown_ms": round(statistics.median(grown), 2),
        "moved_ms": round(statistics.median(moved), 2), "worst_ms": round(max(grown + moved), 2),
    }  # fmt: skip


def too_slow(row: dict[str, object]) -> bool:
    """Whether a row misses the limit. A screen of 300x80 that moves is 22,000 other cells, whoever draws them."""
    grown, moved = float(str(row["grown_ms"])), float(str(row["moved_ms"]))
    few = row["layout"] in ("single", "grid 2", "grid 4")
    return (few and grown > LIMIT_MS) or (row["layout"] == "single" and row["size"] != "298x74" and moved > LIMIT_MS)


def main() -> int:
    """Measure, print, compare with the limit."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=40)
    args = parser.parse_args()
    results = []
    print(f"{'steps':>9} {'layout':>7} {'size':>7} {'first':>8} {'grown':>7} {'moved':>7} {'worst':>7}  ms")
    for steps in (10_000, 100_000, 1_000_000):
        for layout in ("single", "grid"):
            for width, height in SIZES:
                row = measure(steps, layout, width, height, args.rounds)
                results.append(row)
                print(
                    f"{steps:>9,} {row['layout']:>7} {row['size']:>7} {row['first_ms']:>8} {row['grown_ms']:>7} "
                    f"{row['moved_ms']:>7} {row['worst_ms']:>7}", flush=True,
                )  # fmt: skip
    print(json.dumps({"benchmark": "redraw", "limit_ms": LIMIT_MS, "results": results}))
    return int(any(too_slow(row) for row in results))


if __name__ == "__main__":
    sys.exit(main())
