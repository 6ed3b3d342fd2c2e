"""A worker without torch: speaks the real pipes, writes real checkpoints, and does what run.json's "script" says.

Keys: steps, step_s, save_every, save_s, load_s; crash = {"step": n, "how": kill|segv|exit|fault|quiet|memory} (first attempt
only), spoil (a step of the first attempt whose loss is no number), deaf (ignores commands and SIGTERM), noise (sends garbage
first), hang (a step of the first attempt after which nothing happens), flood (bytes of padding per step event), helper (leaves
a child process holding the pipes), evals (losses by step), says, prints (log events and raw lines per step, spread over it).
"""

from __future__ import annotations

import faulthandler
import json
import math
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from backprop_tui.engine.failpoint import hit
from backprop_tui.store import checkpoints
from backprop_tui.store.layout import RunDir, checkpoint_step


class Worker:
    def __init__(self, run: RunDir) -> None:
        self.run = run
        self.script: dict[str, Any] = run.read_spec().get("script", {})
        self.events = int(os.environ["BACKPROP_EVENTS_FD"])
        self.control = int(os.environ["BACKPROP_CONTROL_FD"])
        self.first = os.environ["BACKPROP_ATTEMPT"] == "1"
        resume = os.environ.get("BACKPROP_RESUME")
        self.step = 0
        if resume:
            assert checkpoints.verify(run.path / resume) is None
            self.step = checkpoint_step(Path(resume).name) or 0
        self.buffer = b""
        self.paused = self.spoilt = False
        self.lost = False

    def send(self, kind: str, **payload: Any) -> None:
        try:
            os.write(self.events, json.dumps({"k": kind, **payload}).encode() + b"\n")
        except BrokenPipeError:
            self.lost = True

    def save(self, reason: str) -> str:
        tmp = checkpoints.staging(self.run, self.step)
        for name in ("weights", "optimizer.pt", "scheduler.pt", "rng_state.pth", "trainer_state.json", "state.json"):
            (tmp / name).write_text(str(self.step))
        time.sleep(self.script.get("save_s", 0))
        final = self.run.checkpoint(self.step)
        size = checkpoints.publish(
            tmp, final, step=self.step, fingerprint={}, observe=lambda point: hit(f"worker.save.{point}")
        )
        path = final.relative_to(self.run.path).as_posix()
        self.send("checkpoint", step=self.step, path=path, bytes=size, seconds=0.0, reason=reason, best=False)
        return path

    def end(self, outcome: str, reason: str = "", save: str | None = "stop") -> None:
        path = self.save(save) if save else None
        self.send("end", outcome=outcome, step=self.step, reason=reason, checkpoint=path)
        raise SystemExit(0)

    def commands(self, wait: float) -> None:
        """Obey what has arrived; leave on end-of-file."""
        deadline = time.monotonic() + wait
        while select.select([self.control], [], [], max(0.0, deadline - time.monotonic()))[0]:
            data = os.read(self.control, 65536)
            if not data:
                self.lost = True
                self.save("host_lost")
                raise SystemExit(0)
            *lines, self.buffer = (self.buffer + data).split(b"\n")
            for line in lines:
                self.obey(json.loads(line))

    def obey(self, command: dict[str, Any]) -> None:
        if self.script.get("deaf"):
            return
        name = command["name"]
        if self.spoilt and name == "resume":
            rate = {"id": command["id"], "step": 5, "rate": None, "factor": command["args"].get("lr_factor")}
            self.send("command_done", id=command["id"], name=name, ok=True, detail="Goes back to step 5.", rate=rate)
            self.send("retry", why="rewind", step=self.step)
            raise SystemExit(0)
        self.send("command_done", id=command["id"], name=name, ok=True, detail="")
        if name in ("pause", "resume"):
            self.paused = name == "pause"
            reason = str(command["args"].get("reason", "")) if self.paused else ""
            self.send("state", state="paused" if self.paused else "running", reason=reason)
        elif name == "checkpoint":
            self.save("asked")
        elif name == "stop":
            self.send("state", state="stopping", reason="")
            self.end("stopped")
        elif name == "abort":
            self.end("aborted", save=None)

    def hang(self) -> None:
        while True:
            signal.pause()

    def crash(self, how: str) -> None:
        print("the last line before the crash, hf_abcdefghijklmnopqrstuvwxyz", flush=True)
        if how == "memory":
            # What the kernel does: it kills, and counts.
            (self.run.path / "vmstat").write_text("oom_kill 8\n")
        if how in ("kill", "segv", "memory"):
            os.kill(os.getpid(), signal.SIGSEGV if how == "segv" else signal.SIGKILL)
        elif how == "fault":
            self.send("fault", code="LOSS_NOT_FINITE", cause="The loss is NaN.", next="Lower it.", step=self.step)
            self.send("end", outcome="failed", step=self.step, reason="The loss is NaN.", checkpoint=None)
            raise SystemExit(1)
        raise SystemExit(3 if how == "exit" else 0)

    def talk(self, seconds: float, says: int, prints: int) -> None:
        """Let a step's time pass, saying and printing lines as it goes."""
        parts = max(1, says, prints)
        for part in range(parts):
            self.commands(seconds / parts)
            words = f"line {self.step * parts + part:,} of a run that has a lot to tell {part % 7 / 7:.5f} {'=' * (part % 23)}"
            if part < says:
                self.send("log", level="info", source="chatter", message=words)
            if part < prints:
                print(words, flush=True)

    def train(self) -> None:
        script = self.script
        if script.get("noise"):
            os.write(self.events, b"not json\n\n[1]\n" + b'{"k":"run","run":"forged"}\n' + b"x" * (2 << 20) + b"\n")
        if script.get("helper"):
            os.set_inheritable(self.events, True)
            subprocess.Popen(["sleep", "60"], close_fds=False)
        if script.get("deaf"):
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        self.commands(script.get("load_s", 0))
        steps, crash = script.get("steps", 10), script.get("crash", {})
        if not self.paused:
            # As a real one: a pause that was asked for while it loads holds before the first step.
            self.send("state", state="running", reason="")
        self.send("plan", total_steps=steps)
        while self.step < steps:
            self.talk(script.get("step_s", 0.01), script.get("says", 0), script.get("prints", 0))
            while self.paused:
                self.commands(1.0)
            self.step += 1
            at = time.monotonic()
            extra = measured(self.step, steps) if script.get("metrics") else {"pad": "x" * script.get("flood", 0)}
            self.send("step", step=self.step, loss=1.0 / self.step, at=at, **extra)
            if (loss := script.get("evals", {}).get(str(self.step))) is not None:
                self.send("eval", step=self.step, loss=loss, perplexity=None, rows=1, seconds=0.0, best=False)
            hit("worker.step")
            if self.first and script.get("spoil") == self.step:
                self.send(
                    "fault", code="LOSS_NOT_FINITE", cause="The loss is no number.", next="Press R.", step=self.step
                )
                self.send("state", state="paused", reason="The loss is no number.")
                self.paused = self.spoilt = True
                while self.paused:
                    self.commands(1.0)
            if self.first and script.get("hang") == self.step:
                faulthandler.register(signal.SIGUSR1)
                self.hang()
            if self.first and crash.get("step") == self.step:
                self.crash(crash["how"])
            if self.step % script.get("save_every", 5) == 0 and self.step < steps:
                self.save("schedule")
        self.end("completed", save="end")


def measured(step: int, steps: int) -> dict[str, float]:
    """The other metrics of a real worker's steps."""
    noise = 0.05 * math.sin(step * 12.9898)
    return {
        "epoch": step / steps, "grad_norm": 0.9 + noise, "lr": 2e-4 * (1 - step / (steps + 1)), "tokens": step * 1600,
        "tokens_per_s": 12_400.0 + 100 * noise, "step_s": 0.2 + noise / 10,
    }  # fmt: skip


if __name__ == "__main__":
    Worker(RunDir(Path(sys.argv[1]))).train()
