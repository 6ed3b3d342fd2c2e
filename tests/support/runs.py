"""Run directories with a real journal, written by the real writer while holding the real lock."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

from backprop_tui.config import paths
from backprop_tui.protocol import events as ev
from backprop_tui.store.journal import JournalWriter
from backprop_tui.store.layout import RunDir, create_run
from backprop_tui.store.locks import RunLock

HOSTILE = "\x1b]0;owned\x07\x1b[31mred\x9b2J \u202egnp.exe [/INST] [@click=app.quit]x[/] [bold]"


def gpu(index: int = 0, **changes: Any) -> dict[str, Any]:
    return {
        "index": index, "name": "NVIDIA H100 80GB HBM3", "temperature": 71.0, "slowdown": 87.0, "utilisation": 97.0,
        "memory_used": 61_000_000_000, "memory_total": 80_000_000_000, "power": 612.0, "power_limit": 700.0,
        "fan": None, "clock": 1980.0, **changes,
    }  # fmt: skip


class FakeRun:
    """A run that this process writes, event by event. It holds the lock until `let_go`."""

    def __init__(self, root: Path | None = None, *, name: str = "a-run", hold: bool = True) -> None:
        self.run: RunDir = create_run({"format": 1, "name": name}, root or paths.runs_dir())
        self.lock = RunLock(self.run.lock_file).acquire() if hold else None
        self.journal = JournalWriter(self.run.journal_file)
        self.attempt = 0
        self.step = 0
        self.total = 0
        self.add(ev.RUN, run=self.run.id, name=name, version="0", host="box")

    def add(self, kind: str, /, **data: Any) -> None:
        self.journal.append(kind, data, attempt=self.attempt)

    def begin(self, *, total: int = 100, resume: int | None = None, gpus: int = 0) -> FakeRun:
        self.attempt += 1
        self.total = total
        self.add(ev.ATTEMPT, attempt=self.attempt, pid=1, resume_step=resume)
        self.step = resume or 0
        self.add(
            ev.PLAN, total_steps=total, steps_per_epoch=total, epochs=1.0, effective_batch=16, train_rows=1600,
            eval_rows=32, dropped_rows=0, train_tokens=160_000, trained_tokens=90_000, truncated_rows=2,
            parameters=1_000_000, trainable_parameters=20_000, device="cpu", dtype="float32", save_every=25, eval_every=25,
        )  # fmt: skip
        self.telemetry(gpus)
        self.add(ev.STATE, state="running", reason="")
        return self

    def telemetry(self, gpus: int = 0, cpu: float | None = 55.0) -> None:
        self.add(
            ev.TELEMETRY,
            gpus=[gpu(index, utilisation=90.0 + (self.step + index) % 10) for index in range(gpus)],
            gpu_reason=None if gpus else "no NVIDIA driver",
            host={
                "cpu": cpu, "memory_used": 3_000_000_000, "memory_total": 8_000_000_000, "worker_rss": 400_000_000,
                "disk_free": 50_000_000_000, "disk_total": 100_000_000_000,
            },
        )  # fmt: skip

    def train(self, steps: int = 1, **changes: Any) -> FakeRun:
        for _ in range(steps):
            self.step += 1
            noise = 0.05 * math.sin(self.step * 12.9898) * math.cos(self.step * 78.233)
            self.add(
                ev.STEP,
                **{
                    "step": self.step, "epoch": self.step / max(1, self.total),
                    "loss": 1.0 + 1.2 * math.exp(-self.step / 30) + noise,
                    "grad_norm": 0.9 + noise, "lr": 2e-4 * (1 - self.step / (self.total + 1)),
                    "tokens": self.step * 1600, "tokens_per_s": 12_400.0 + 100 * noise, "step_s": 1.0, **changes,
                },
            )  # fmt: skip
        return self

    def measure(self, *, best: bool = True, **changes: Any) -> FakeRun:
        loss = 1.1 + 1.2 * math.exp(-self.step / 30)
        data = {"step": self.step, "loss": loss, "perplexity": math.exp(loss), "rows": 32, "seconds": 2.0, "best": best}
        self.add(ev.EVAL, **{**data, **changes})
        return self

    def sample(
        self, source: str, output: str, *, index: int = 0, prompt: str = "What is the capital of France?"
    ) -> None:
        self.add(
            ev.SAMPLE, step=self.step, index=index, source=source, prompt=prompt,
            reference="Aye, captain! Paris. Fair winds!", output=output, match=source == "tuned",
        )  # fmt: skip

    def save(self) -> FakeRun:
        self.add(
            ev.CHECKPOINT, step=self.step, path=f"checkpoints/step-{self.step:06d}", bytes=1_300_000, seconds=0.4,
            reason="schedule", best=True,
        )  # fmt: skip
        return self

    def end(self, outcome: str = "completed", reason: str = "") -> FakeRun:
        kept = f"checkpoints/step-{self.step:06d}" if outcome == "completed" else None
        self.add(ev.END, outcome=outcome, step=self.step, reason=reason, checkpoint=kept)
        self.let_go()
        return self

    def let_go(self) -> None:
        self.journal.close()
        if self.lock is not None:
            self.lock.release()
            self.lock = None


def finished(steps: int = 100, *, gpus: int = 0, name: str = "a-run") -> RunDir:
    """A completed run with evaluations, saves and samples."""
    fake = FakeRun(name=name).begin(total=steps, gpus=gpus)
    fake.sample("base", "Paris.")
    for part in range(4):
        fake.train(steps // 4).measure(exact_match=part / 3).save()
    fake.sample("tuned", "Aye, captain! Paris. Fair winds!")
    return fake.end().run


def write_live(root: str, rate: float, seconds: float, gpus: int) -> None:
    """Entry point of a writer process: a held run that grows `rate` steps a second; prints its path first."""
    fake = FakeRun(Path(root)).begin(total=4000, gpus=gpus).train(1200)
    fake.measure().save()
    print(fake.run.path, flush=True)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(1.0 / rate)
        fake.train()
        if fake.step % 2 == 0:
            fake.telemetry(gpus)
    fake.let_go()
