"""Real workers without their seconds of imports: a process that has imported everything forks one for each attempt.

The fork runs the worker's own `main` over its own pipe ends, and is killed and waited for like any other process. Forking
here, and not in pytest, keeps locks of other tests' threads out of it.
"""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from backprop_tui.store.layout import RunDir
from tests.support.worker_driver import Event, step_figures

_PATIENCE = 120.0


@dataclass(frozen=True)
class Attempt:
    """One attempt that is over: what it said, and its exit code (negative: killed by that signal)."""

    events: list[Event]
    code: int

    def of(self, kind: str) -> list[Event]:
        """Events of a kind."""
        return [event for event in self.events if event["k"] == kind]

    def figures(self) -> dict[int, tuple[Any, ...]]:
        """By step everything a step reports that does not depend on the clock, the hashes of its micro-batches included."""
        batches = {event["step"]: tuple(event["batches"]) for event in self.of("step")}
        return {step: (*figures, batches[step]) for step, figures in step_figures(self.events).items()}


class WarmWorker:
    """Starts attempts one after the other; use it as a context."""

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-c", "from tests.support.warm_worker import serve; serve()"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).resolve().parents[2],
            env={**os.environ, "OMP_NUM_THREADS": "1", "BACKPROP_TRACE_BATCHES": "1", "PYTHONPATH": "."},
        )
        return self

    def __exit__(self, *exc: object) -> None:
        self._process.kill()
        self._process.wait(30)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()

    def attempt(self, run: RunDir, *, resume: str | None = None, kill: str = "", deaf_to_rng: bool = False) -> Attempt:
        """Run one attempt to its end, good or bad.

        Args:
            run: the run. resume: checkpoint, relative to it.
            kill: a failpoint to die at by SIGKILL, such as `worker.step:3`.
            deaf_to_rng: pass over the random states of the checkpoint, as the trainer does when their file is missing.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        said = run.path / f"said-{time.monotonic_ns()}.jsonl"
        asked = {"run": str(run.path), "resume": resume, "kill": kill, "deaf": deaf_to_rng, "said": str(said)}
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        assert answer, "the warm worker died"
        lines = said.read_bytes().split(b"\n")
        # A worker that is killed may leave half a line.
        return Attempt([json.loads(line) for line in lines[:-1]], json.loads(answer)["code"])


def serve() -> None:
    """The process: import everything, then fork for each line asked."""
    import backprop_tui.engine.worker.conductor
    import backprop_tui.engine.worker.dataset
    import backprop_tui.engine.worker.measuring
    import backprop_tui.engine.worker.methods.full
    import backprop_tui.engine.worker.methods.lora
    import backprop_tui.engine.worker.saving
    import backprop_tui.engine.worker.trainer  # noqa: F401

    # As a worker's own process does: the trainer's end would look through all of it, and copy its pages into every fork.
    gc.freeze()
    for line in sys.stdin:
        asked = json.loads(line)
        child = os.fork()
        if child == 0:
            os._exit(_work(asked))
        _, status = os.waitpid(child, 0)
        sys.stdout.write(json.dumps({"code": os.waitstatus_to_exitcode(status)}) + "\n")
        sys.stdout.flush()


def _work(asked: dict[str, Any]) -> int:
    from backprop_tui.engine import failpoint
    from backprop_tui.engine.worker.__main__ import main
    from backprop_tui.engine.worker.trainer import StepTrainer

    log = os.open(Path(asked["run"]) / "worker.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(log, 1)
    os.dup2(log, 2)
    # The other end of the commands' pipe stays open in this process: its host is not lost.
    control, _ = os.pipe()
    events = os.open(asked["said"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.environ |= {"BACKPROP_EVENTS_FD": str(events), "BACKPROP_CONTROL_FD": str(control), "BACKPROP_ATTEMPT": "1"}
    if asked["resume"]:
        os.environ["BACKPROP_RESUME"] = asked["resume"]
    failpoint._armed = failpoint._read(asked["kill"])
    if asked["deaf"]:
        ignore: Callable[..., None] = lambda self, checkpoint: None  # noqa: E731
        StepTrainer._load_rng_state = ignore
    return main([asked["run"]])
