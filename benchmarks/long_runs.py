"""Recorded runs of any length, written line by line as the host writes them, without its waiting for the disk."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from backprop_tui.protocol import events as ev  # noqa: E402
from backprop_tui.protocol.codec import encode_line  # noqa: E402
from backprop_tui.store.layout import RunDir, create_run  # noqa: E402
from tests.support.runs import gpu  # noqa: E402

#: Metrics per step, as the worker reports them, and the loss on held-out rows.
METRICS = ("loss", "grad_norm", "lr", "tokens_per_s", "step_s", "epoch", "tokens", "eval_loss")


def values(step: int, steps: int) -> dict[str, float]:
    """What one step reports: a falling loss with noise, and one spike that no picture may lose."""
    noise = 0.05 * math.sin(step * 12.9898) * math.cos(step * 78.233)
    loss = 1.0 + 1.2 * math.exp(-10 * step / steps) + noise + (4.0 if step == steps // 2 else 0.0)
    return {
        "step": step, "epoch": step / steps, "loss": loss, "grad_norm": 0.9 + noise, "lr": 2e-4 * (1 - step / (steps + 1)),
        "tokens": step * 1600, "tokens_per_s": 12_400 + 100 * noise, "step_s": 0.2 + noise / 10,
    }  # fmt: skip


def write_run(root: Path, steps: int, *, telemetry_every: int = 10, name: str = "long") -> RunDir:
    """A completed run of `steps` steps at five a second with a reading of the sensors every two seconds."""
    run = create_run({"format": 1, "name": name}, root)
    seq, wall = 0, 1_763_923_000.0
    every = max(1, steps // 20)
    with run.journal_file.open("wb", buffering=1 << 20) as out:

        def add(kind: str, **data: Any) -> None:
            nonlocal seq
            seq += 1
            out.write(
                encode_line(
                    {
                        "seq": seq, "wall": round(wall, 3), "mono": round(wall - 1_763_900_000, 4), "attempt": 1,
                        "kind": kind, "data": data,
                    }
                )
            )  # fmt: skip

        add(ev.RUN, run=run.id, name=name, version="0", host="box")
        add(ev.ATTEMPT, attempt=1, pid=1, resume_step=None)
        add(
            ev.PLAN, total_steps=steps, steps_per_epoch=steps, epochs=1.0, effective_batch=16, train_rows=steps * 16,
            eval_rows=32, dropped_rows=0, train_tokens=steps * 1600, trained_tokens=steps * 900, truncated_rows=0,
            parameters=1_000_000, trainable_parameters=20_000, device="cuda", dtype="bfloat16", save_every=every,
            eval_every=every,
        )  # fmt: skip
        add(ev.STATE, state="running", reason="")
        for step in range(1, steps + 1):
            wall += 0.2
            add(ev.STEP, **values(step, steps))
            if step % telemetry_every == 0:
                add(
                    ev.TELEMETRY, gpus=[gpu(0, utilisation=90.0 + step % 10)], gpu_reason=None,
                    host={"cpu": 55.0, "memory_used": 3_000_000_000, "memory_total": 8_000_000_000},
                )  # fmt: skip
            if step % every == 0:
                loss = 1.1 + 1.2 * math.exp(-10 * step / steps)
                add(
                    ev.EVAL, step=step, loss=loss, perplexity=math.exp(loss), rows=32, seconds=2.0, best=True
                )  # fmt: skip
        add(ev.END, outcome="completed", step=steps, reason="", checkpoint=None)
    return run
