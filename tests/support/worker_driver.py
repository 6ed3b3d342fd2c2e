"""Drives the real worker over real pipes: as a process of its own, or on a thread of this one.

Both speak the host's side of the protocol. A process costs seconds of imports, so it is for tests that kill; the thread
runs the same `Session` and is for all others.
"""

from __future__ import annotations

import functools
import importlib
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

from backprop_tui.protocol.commands import Command, CommandName
from backprop_tui.protocol.fields import with_overrides
from backprop_tui.protocol.spec import RunSpec
from backprop_tui.store.layout import RunDir, create_run

# A run on a thread of this process never uses it, and it takes seconds to import and prints; a real worker leaves it out itself.
sys.modules.setdefault("deepspeed", None)  # type: ignore[arg-type]

#: Small and quick: eight steps of the bundled model on its bundled rows, measured and saved only at the end.
QUICK: dict[str, Any] = {
    "steps": 8,
    "batch_size": 4,
    "accumulation": 2,
    "learning_rate": 2e-3,
    "eval_every": 0,
    "save_every": 0,
    "samples": 0,
    "gradient_checkpointing": False,
    "keep": 50,
}

Event = dict[str, Any]


def quick_spec(**overrides: Any) -> RunSpec:
    """A spec that trains in about a second once everything is imported."""
    return with_overrides(RunSpec(), {**QUICK, **overrides})


def new_run(**overrides: Any) -> RunDir:
    """A run directory of a quick spec."""
    return create_run(quick_spec(**overrides).model_dump())


class Driver:
    """The host's side of one attempt: events as they come, commands as asked."""

    def __init__(self, run: RunDir) -> None:
        self.run = run
        self.events: list[Event] = []
        self.closed = False
        self._changed = threading.Condition()
        self._events_in, self.events_out = os.pipe()
        self.control_in, self._control_out = os.pipe()
        self._hung_up = False

    def listen(self) -> None:
        """Collect events from now on."""
        threading.Thread(target=self._collect, daemon=True).start()

    def of(self, kind: str, **fields: Any) -> list[Event]:
        """Events of a kind whose fields have these values."""
        with self._changed:
            return [event for event in self.events if _fits(event, kind, fields)]

    def wait_for(self, kind: str, *, timeout: float = 90.0, **fields: Any) -> Event:
        """The first event of a kind with these values; fails when it does not come."""
        found = self._wait(lambda: next((event for event in self.events if _fits(event, kind, fields)), None), timeout)
        if found is None:
            tail = "\n".join(str(event)[:300] for event in self.events[-15:])
            raise AssertionError(f"no {kind} {fields} within {timeout} s; the last events were\n{tail}\n{self.words()}")
        return found

    def command(self, name: str, **args: Any) -> str:
        """Send a command; returns its id."""
        command = Command(CommandName(name), args)
        line = {"id": command.id, "name": name, "args": args}
        os.write(self._control_out, json.dumps(line).encode() + b"\n")
        return command.id

    def obeyed(self, name: str, **args: Any) -> Event:
        """Send a command and wait for its `command_done`."""
        return self.wait_for("command_done", id=self.command(name, **args))

    def hang_up(self) -> None:
        """Close the command pipe, as a dying host does."""
        if not self._hung_up:
            self._hung_up = True
            os.close(self._control_out)

    def ended(self, timeout: float = 90.0) -> Event:
        """The `end` event."""
        return self.wait_for("end", timeout=timeout)

    def finished(self, timeout: float = 90.0) -> None:
        """Wait until the worker has closed its event pipe."""
        if self._wait(lambda: self.closed or None, timeout) is None:
            raise AssertionError(f"the worker still runs after {timeout} s\n{self.words()}")

    def words(self) -> str:
        """What the worker wrote besides events."""
        return ""

    def _collect(self) -> None:
        with os.fdopen(self._events_in, "rb") as lines:
            for line in lines:
                with self._changed:
                    self.events.append(json.loads(line))
                    self._changed.notify_all()
        with self._changed:
            self.closed = True
            self._changed.notify_all()

    def _wait(self, look: Callable[[], Any], timeout: float) -> Any:
        deadline = time.monotonic() + timeout
        with self._changed:
            while (found := look()) is None:
                left = deadline - time.monotonic()
                if left <= 0 or (self.closed and look() is None):
                    return look()
                self._changed.wait(left)
            return found


class WorkerProcess(Driver):
    """The worker as its own process."""

    def __init__(self, run: RunDir, *, resume: str | None = None, env: dict[str, str] | None = None) -> None:
        super().__init__(run)
        environment = {
            **os.environ,
            "BACKPROP_EVENTS_FD": str(self.events_out),
            "BACKPROP_CONTROL_FD": str(self.control_in),
            "BACKPROP_ATTEMPT": "1",
            "OMP_NUM_THREADS": "1",
            **({"BACKPROP_RESUME": resume} if resume else {}),
            **(env or {}),
        }
        self.started = time.monotonic()
        with run.worker_log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-m", "backprop_tui.engine.worker", str(run.path)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                pass_fds=(self.events_out, self.control_in),
                env=environment,
            )
        os.close(self.events_out)
        os.close(self.control_in)
        self.listen()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(30)
        self.hang_up()

    def wait(self, timeout: float = 90.0) -> int:
        """The exit code, once all its events are in."""
        code = self.process.wait(timeout)
        self.finished()
        return code

    def words(self) -> str:
        """Its log."""
        return self.run.worker_log.read_text(errors="replace")[-4000:]


class WorkerThread(Driver):
    """The same session on a thread of this process: no import to wait for."""

    def __init__(self, run: RunDir, *, resume: str | None = None) -> None:
        super().__init__(run)
        from backprop_tui.engine.worker.channel import EventSink, Inbox
        from backprop_tui.engine.worker.session import Session

        self.sink = EventSink(self.events_out)
        self.inbox = Inbox(on_stop=lambda reason: self.sink.state("stopping", reason))
        self.session = Session(run, self.sink, self.inbox, resume=resume)
        self.good: bool | None = None
        self._thread = threading.Thread(target=self._work, daemon=True)
        keep_libraries()
        self.listen()
        self.inbox.listen(self.control_in)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        if self._thread.is_alive() and exc[0] is not None:
            self.inbox.request_stop("The test is over.")
        self._thread.join(60)
        self.hang_up()

    def _work(self) -> None:
        self.good = self.session.execute()
        self.sink.close()


@functools.cache
def keep_libraries() -> None:
    """Import what workers import, and spare it Python's collector of cycles as a worker's own process does.

    The trainer's end collects by hand: looking through all the libraries each time takes a third of a quick run.
    """
    from backprop_tui.engine.worker.libraries import uncollected

    with uncollected(for_good=True):
        for name in ("backprop_tui.engine.worker.assembly", "trl.trainer.sft_trainer", "peft"):
            importlib.import_module(name)


def train(**overrides: Any) -> WorkerThread:
    """Train a quick spec to its end on a thread and hand back what it said."""
    with WorkerThread(new_run(**overrides)) as worker:
        worker.ended()
    return worker


def step_figures(events: list[Event]) -> dict[int, tuple[Any, ...]]:
    """By step: loss, gradient norm, learning rate, tokens and epoch, exactly as sent."""
    return {
        event["step"]: (event["loss"], event["grad_norm"], event["lr"], event["tokens"], event["epoch"])
        for event in events
        if event["k"] == "step"
    }


def checkpoint_dir(run: RunDir, end: Event) -> Path:
    """The delivered checkpoint of an `end` event."""
    assert end["checkpoint"], end
    return run.path / str(end["checkpoint"])


def _fits(event: Event, kind: str, fields: dict[str, Any]) -> bool:
    return event["k"] == kind and all(event.get(name) == value for name, value in fields.items())
