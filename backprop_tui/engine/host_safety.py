"""The host's watch over heat, full memory and silence: turns readings and events into alerts and commands to the worker."""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from backprop_tui.engine import host_faults
from backprop_tui.engine.heat import Card, Deed, Heat
from backprop_tui.engine.levels import Levels
from backprop_tui.engine.stall import Stall
from backprop_tui.protocol import events as ev
from backprop_tui.protocol.codec import number
from backprop_tui.protocol.commands import ACCEPTED_IN, CommandName
from backprop_tui.protocol.limits import Limits
from backprop_tui.protocol.telemetry import merged, run_gpus, why_unknown
from backprop_tui.protocol.view import RunView
from backprop_tui.store.layout import RunDir


class Ward(Protocol):
    """The host, as far as its safety needs it."""

    run: RunDir

    @property
    def view(self) -> RunView:
        """What is on record of the run."""

    def record(self, kind: str, data: dict[str, Any]) -> bool:
        """Journal one event."""

    def tell_worker(self, words: dict[str, Any]) -> None:
        """Hand the worker a command that is on record; one to stop has its usual ladder."""

    def end_worker(self) -> None:
        """End the worker at once, saved or not."""


class Safety:
    """Watches one run for as long as its host lives.

    Args:
        ward: the host.
        spec: run.json as it stands; its `safety` part has the limits.
        visible: the `CUDA_VISIBLE_DEVICES` of the worker; None where there is none.
        clock: seconds that never go back.
    """

    def __init__(
        self,
        ward: Ward,
        spec: Mapping[str, Any],
        *,
        visible: str | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ward = ward
        self._clock = clock
        self.limits = Limits.of_spec(spec)
        self._heat = Heat(self.limits)
        self._levels = Levels(self.limits)
        self._stall = Stall(self.limits, clock())
        self._visible = _first_index(visible)
        self._state: dict[str, Any] = {}
        self._ours: frozenset[int] = frozenset()
        self._pid = 0

    def on_attempt(self, pid: int) -> None:
        """A worker begins."""
        self._pid, self._ours = pid, frozenset()
        self._heat.begin()
        self._stall.begin(self._clock())

    def on_command(self, name: CommandName) -> None:
        """A person's command is on its way to the worker."""
        if name is CommandName.PAUSE:
            self._heat.person_pauses()

    def on_worker(self, kind: str, data: Mapping[str, Any]) -> None:
        """The worker said something, and it is on record."""
        if kind == ev.STATE:
            self._heat.follow(self._ward.view.state, self._clock())
        self._stall.heard(kind, data, self._clock())

    def on_reading(self, reading: Mapping[str, Any]) -> None:
        """A reading of the sensors; what follows from it is done."""
        now = self._clock()
        with contextlib.suppress(TypeError):
            self._state = merged(self._state, reading, now)
        gpus = self._run_gpus()
        cards = [
            Card(
                int(gpu["index"]), number(gpu.get("temperature")), number(gpu.get("slowdown")),
                number(gpu.get("shutdown")), why_unknown(gpu, "temperature"),
            )
            for gpu in gpus
        ]  # fmt: skip
        deeds = self._heat.take(cards, now, self._ward.view.state)
        for deed in deeds + self._levels.take(gpus, self._state.get("host", {})):
            self._do(deed)

    def look(self) -> None:
        """Whether the worker still gets anywhere; call it now and then."""
        now = self._clock()
        verdict = self._stall.look(now, self._ward.view.state)
        view, minutes = self._ward.view, self._stall.silent_for(now) / 60
        where = f"after step {view.step:,}" if view.step else "before the first step"
        if verdict == "stuck":
            caught = dump_stacks(self._pid)
            stacks = " Where it stands is in worker.log." if caught else ""
            grace = self.limits.stall_grace_s
            self._do(
                Deed(
                    "alert", f"The training process has made no progress for {minutes:.1f} min {where}.{stacks}",
                    "WORKER_STUCK", "error", f"Wait: it is ended in {grace:.0f} s; or press x to stop it yourself.",
                )
            )  # fmt: skip
        elif verdict == "lost":
            cause = f"The training process made no progress for {minutes:.1f} min {where} and was ended."
            following = host_faults.next_step(view, self._ward.run.short_id)
            self._ward.record(ev.FAULT, {"code": "WORKER_WEDGED", "cause": cause, "next": following, "step": view.step})
            self._ward.end_worker()

    def _run_gpus(self) -> list[dict[str, Any]]:
        """The GPUs this run computes on: those that hold its memory, else the one the worker is shown."""
        gpus: list[dict[str, Any]] = self._state.get("gpus", [])
        held = run_gpus(gpus)
        if held:
            self._ours = frozenset(held)
        wanted = self._ours
        device = str(self._ward.view.plan.get("device", "")).lower()
        if not wanted and held is None and "cpu" not in device and device:
            # In a container the driver's process ids are not ours; the worker sees one GPU.
            wanted = frozenset({self._visible})
        return [gpu for gpu in gpus if gpu["index"] in wanted]

    def _do(self, deed: Deed) -> None:
        step = self._ward.view.step
        if deed.verb == "alert":
            words = {"code": deed.code, "severity": deed.severity, "cause": deed.words, "next": deed.following}
            self._ward.record(ev.ALERT, {**words, "step": step})
        elif deed.verb == "log":
            self._ward.record(ev.LOG, {"level": "info", "source": "host", "message": deed.words})
        else:
            name = CommandName(deed.verb)
            if self._ward.view.state in ACCEPTED_IN[name]:
                args = {"reason": deed.words}
                asked = {"id": f"safety-{secrets.token_hex(8)}", "name": name.value, "args": args}
                self._ward.record(ev.COMMAND, asked)
                self._ward.tell_worker(asked)


def dump_stacks(pid: int) -> list[int]:
    """Have every process under `pid` that knows how write its stacks to its log; their process ids.

    Only those that catch SIGUSR1 are sent it: others would die of it.
    """
    caught = []
    for one in [pid, *_descendants(pid)]:
        if _catches(one, signal.SIGUSR1):
            with contextlib.suppress(OSError):
                os.kill(one, signal.SIGUSR1)
                caught.append(one)
    return caught


def _descendants(pid: int) -> list[int]:
    found, waiting = [], [pid]
    while waiting:
        parent = waiting.pop()
        with contextlib.suppress(OSError, ValueError):
            for task in Path(f"/proc/{parent}/task").iterdir():
                children = [int(word) for word in (task / "children").read_text().split()]
                found += children
                waiting += children
    return found


def _catches(pid: int, signum: int) -> bool:
    try:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("SigCgt:"):
                return bool(int(line.split()[1], 16) >> (signum - 1) & 1)
    except (OSError, ValueError, IndexError):
        pass
    return False


def _first_index(visible: str | None) -> int:
    first = (visible or "0").split(",")[0].strip()
    return int(first) if first.isdigit() else 0
