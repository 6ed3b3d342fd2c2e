"""The plan's peak memory beside the measured one: the real worker trains, PyTorch's allocator keeps the account.

    python benchmarks/memory.py [--shapes demo,qwen2-100m,llama-100m] [--methods lora,qlora,full]

Every case is two optimiser steps on the CPU in float32, with and without recomputation, for two batches and two lengths.
Random weights take the same memory as trained ones. `ratio` is plan over measurement; the promise is 0.90 to 1.10. Exit 1
when a case is outside of it.
"""

from __future__ import annotations

import argparse
import gc
import itertools
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

#: Rows of a micro-batch by tokens of a row.
BATCHES = ((1, 64), (1, 128), (2, 64), (2, 128))
WITHIN = 0.10


def case(base: str, data: Path, method: str, recomputed: bool, rows: int, length: int) -> dict[str, Any]:
    """Train and compare; bytes."""
    from tests.support.measured_training import measured_training

    gc.collect()
    worker = measured_training(
        base=base,
        path=str(data),
        method=method,
        rank=16,
        batch_size=rows,
        max_length=length,
        accumulation=2,
        gradient_checkpointing="full" if recomputed else "off",
    )
    assert worker.allocated is not None
    planned = worker.of("plan")[0]["memory"]["peak"]
    measured = worker.allocated.peak
    return {"planned": planned, "measured": measured, "ratio": round(planned / measured, 4)}


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--shapes", default="demo,qwen2-100m,llama-100m")
    parser.add_argument("--methods", default="lora,qlora,full")
    options = parser.parse_args()
    from tests.support.measured_training import long_chats, random_model

    outside = 0
    with tempfile.TemporaryDirectory(prefix="bp-memory-") as name:
        place = Path(name)
        for kind in ("DATA", "CACHE", "CONFIG", "RUNTIME"):
            directory = place / kind.lower()
            directory.mkdir(mode=0o700)
            os.environ[f"BACKPROP_{kind}_DIR"] = str(directory)
        data = long_chats(place)
        for shape in options.shapes.split(","):
            base = "demo" if shape == "demo" else str(random_model(shape, place))
            for method, recomputed in itertools.product(options.methods.split(","), (False, True)):
                for rows, length in BATCHES:
                    figures = case(base, data, method, recomputed, rows, length)
                    outside += abs(figures["ratio"] - 1) > WITHIN
                    words = {"shape": shape, "method": method, "recomputed": recomputed, "rows": rows, "length": length}
                    print(json.dumps({**words, **figures}), flush=True)
    return 1 if outside else 0


if __name__ == "__main__":
    raise SystemExit(main())
