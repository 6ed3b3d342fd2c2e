"""The Python interface: train, look, stop, save. The run is the same detached run the app and the CLI start.

>>> from backprop_tui import Trainer
>>> trainer = Trainer("path-or-id")
>>> run = trainer.train("data.jsonl", steps=100)
>>> run.losses[-1], run.state
>>> trainer.save("out")
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from backprop_tui.protocol import events as ev
from backprop_tui.protocol.codec import number
from backprop_tui.protocol.commands import Command, CommandName, Reply, ReplyStatus
from backprop_tui.protocol.errors import BackpropError, DataError, RunFailed, TryAgainError, UsageError, error_from_dict
from backprop_tui.protocol.events import Event
from backprop_tui.protocol.states import RunState
from backprop_tui.store import checkpoints, locks
from backprop_tui.store.delivery import copy_model
from backprop_tui.store.journal import JournalTail, read_events
from backprop_tui.store.layout import RunDir, find_run
from backprop_tui.store.summary import RunSummary, load_summary

OnEvent = Callable[[Event], None]

_LOOK_EVERY = 0.1


class Trainer:
    """A model and the settings to train it with.

    Args:
        model: directory, hub id, or `demo` for the bundled tiny model.
        preset: where the settings start from.
        settings: anything `--set` takes, such as `rank=16, lr=1e-4`.
    """

    def __init__(self, model: str | Path = "demo", preset: str = "balanced", **settings: Any) -> None:
        self.model = str(model)
        self.preset = preset
        self.settings = settings
        self.run: Run | None = None

    def train(
        self,
        data: str | Path = "demo",
        *,
        steps: int | None = None,
        name: str | None = None,
        on_event: OnEvent | None = None,
        wait: bool = True,
        trust_rewards: str = "",
        **settings: Any,
    ) -> Run:
        """Start a run and follow it to its end.

        Ctrl-C stops the run with a checkpoint, waits for it, and goes on as KeyboardInterrupt; a second Ctrl-C stops
        waiting. The death of this process leaves the run going.

        Args:
            data: dataset file, or `demo`.
            steps: optimiser steps; None goes by the preset's epochs.
            name: what the run is called.
            on_event: called with every event, in order.
            wait: False returns as soon as the engine is ready. Waited for, a run whose loss is no number ends as failed
                (`nan_action`), since it would wait for a person otherwise.
            trust_rewards: SHA-256 of the reward file you have read, 12 hex digits or more; it confirms the file for this run.
            settings: on top of those given to the trainer.

        Raises:
            BackpropError: what is wrong with model, data or settings, before anything starts.
            RunFailed: the run ended badly; `run` holds it for a look.
        """
        from backprop_tui.data.models import resolve_model
        from backprop_tui.launch.advising import advised_spec
        from backprop_tui.launch.rewards import trusted_rewards
        from backprop_tui.launch.safety import unattended
        from backprop_tui.launch.start import start_run
        from backprop_tui.protocol.effects import refuse_without_effect

        overrides = {**self.settings, **settings, "base": self.model, "path": str(data)}
        if steps is not None:
            overrides["steps"] = steps
        if name is not None:
            overrides["name"] = name
        directory = resolve_model(self.model)
        spec = advised_spec(self.preset, directory, overrides)
        refuse_without_effect(spec, overrides)
        trusted = trusted_rewards(spec, trust_rewards)
        self.run = Run(start_run(unattended(spec) if wait else spec, trusted=trusted))
        return self.run.wait(on_event=on_event) if wait else self.run

    def save(self, out: str | Path) -> Path:
        """Copy what the last run delivers to `out`; see `Run.save`.

        Raises:
            UsageError: nothing was trained yet.
        """
        if self.run is None:
            raise UsageError("RUN_NONE", "This trainer has not trained yet.", "Call train first.")
        return self.run.save(out)


class Run:
    """One run, live or past. Everything is read from its directory when asked for.

    Args:
        run: a run directory, or an id, a unique prefix of it, or a name; None is the newest.
    """

    def __init__(self, run: RunDir | Path | str | None = None) -> None:
        self.dir = run if isinstance(run, RunDir) else RunDir(run) if isinstance(run, Path) else find_run(run)

    def __repr__(self) -> str:
        return f"<Run {self.id} {self.state.value}>"

    @property
    def id(self) -> str:
        """The run's id."""
        return self.dir.id

    @property
    def path(self) -> Path:
        """The run's directory."""
        return self.dir.path

    @property
    def summary(self) -> RunSummary:
        """The run at a glance, as `backprop runs` shows it."""
        return load_summary(self.dir)

    @property
    def state(self) -> RunState:
        """Where it stands; a live state without an engine is `crashed`."""
        return self.summary.state

    @property
    def losses(self) -> list[tuple[int, float]]:
        """(step, training loss) of every optimiser step; steps repeated after a resume are there once."""
        return self._points(ev.STEP, "loss")

    @property
    def eval_losses(self) -> list[tuple[int, float]]:
        """(step, held-out loss) of every evaluation."""
        return self._points(ev.EVAL, "loss")

    @property
    def evaluations(self) -> list[dict[str, Any]]:
        """Every evaluation in order; fields as in `protocol.payloads.EvalPayload`."""
        return [event.data for event in self.events(ev.EVAL)]

    @property
    def samples(self) -> list[dict[str, Any]]:
        """Every generated answer in order; fields as in `protocol.payloads.SamplePayload`."""
        return [event.data for event in self.events(ev.SAMPLE)]

    @property
    def checkpoint(self) -> Path | None:
        """Directory of the delivered checkpoint, of the newest sound one while the run has not ended; None without."""
        result = self.summary.view.result
        if result:
            place = self.path / result
            if place.parent == self.dir.checkpoints:
                return place
        newest = checkpoints.newest_valid(self.dir)
        return newest.path if newest else None

    def events(self, *kinds: str) -> Iterator[Event]:
        """The journal's events so far; of some kinds only when named."""
        return read_events(self.dir.journal_file, kinds=kinds or None)

    def wait(self, timeout: float | None = None, on_event: OnEvent | None = None) -> Run:
        """Follow the run until its engine has ended, and return self.

        Args:
            timeout: seconds; None waits as long as it takes.
            on_event: called with every event from the first one, in order.

        Raises:
            RunFailed: it failed or crashed.
            TryAgainError: still going after `timeout`.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        try:
            self._follow(deadline, on_event)
        except KeyboardInterrupt:
            if self.state.live:
                # Refused when it is ending already, which is just as well.
                with contextlib.suppress(BackpropError):
                    self._send(CommandName.STOP)
                self._follow(None, None)
            raise
        summary = self.summary
        if summary.state is RunState.FAILED and summary.view.fault:
            raise error_from_dict(summary.view.fault)
        if summary.state in (RunState.FAILED, RunState.CRASHED):
            raise RunFailed(
                "RUN_CRASHED",
                f"Run {self.id} {summary.state.value} at step {summary.view.step}.",
                f"`backprop resume {self.dir.short_id}` continues it.",
            )
        return self

    def stop(self, *, wait: bool = True) -> Run:
        """Save a checkpoint and end the run.

        Raises:
            BackpropError: the engine refuses, or there is none.
        """
        self._send(CommandName.STOP)
        return self.wait() if wait else self

    def abort(self) -> None:
        """End the run at once, without saving."""
        self._send(CommandName.ABORT)

    def pause(self) -> None:
        """Pause after the current step; memory stays taken."""
        self._send(CommandName.PAUSE)

    def resume(self) -> Run:
        """Go on: a paused run continues where it is, an ended one from its newest sound checkpoint."""
        if self.state is RunState.PAUSED:
            self._send(CommandName.RESUME)
        else:
            from backprop_tui.launch.start import resume_run

            resume_run(self.dir)
        return self

    def set_learning_rate(self, rate: float) -> None:
        """Scale the schedule so that it now stands at `rate`."""
        self._send(CommandName.SET, {"learning_rate": rate})

    def save(self, out: str | Path) -> Path:
        """Copy the delivered checkpoint's model files to `out`, for plain PEFT or transformers.

        Args:
            out: a directory that does not exist yet or is empty.

        Returns:
            The absolute path of `out`.

        Raises:
            DataError: no checkpoint, or it is damaged.
            UsageError: `out` holds something already.
            TryAgainError: RATE_LIMITED, too many results were saved within a minute.
        """
        from backprop_tui.launch.safety import admit_export

        admit_export()
        source = self.checkpoint
        if source is None:
            raise DataError(
                "CHECKPOINT_NONE",
                f"Run {self.dir.short_id} has no checkpoint yet.",
                "Save one with `backprop checkpoint`.",
            )
        problem = checkpoints.verify(source)
        if problem is not None:
            raise DataError("CHECKPOINT_INVALID", f"{source.name}: {problem}", "Resume from an earlier checkpoint.")
        return copy_model(source, Path(out).expanduser().absolute())

    def _follow(self, deadline: float | None, on_event: OnEvent | None) -> None:
        tail = JournalTail(self.dir.journal_file)
        try:
            while True:
                # Asked before reading: what was written before the lock went free is then read for certain.
                held = locks.is_held(self.dir.lock_file)
                while batch := tail.poll():
                    if on_event is not None:
                        for event in batch:
                            on_event(event)
                if not held:
                    return
                if deadline is not None and time.monotonic() > deadline:
                    raise TryAgainError("RUN_LIVE", f"Run {self.id} is still going.", "Wait longer.")
                time.sleep(_LOOK_EVERY)
        finally:
            tail.close()

    def _send(self, name: CommandName, args: dict[str, Any] | None = None) -> Reply:
        from backprop_tui.launch.client import send_command

        return accepted(send_command(self.dir, Command(name, args or {})))

    def _points(self, kind: str, field: str) -> list[tuple[int, float]]:
        points: list[tuple[int, float]] = []
        for event in self.events(kind):
            step, value = event.data.get("step"), number(event.data.get(field))
            if isinstance(step, int) and value is not None:
                # A later attempt repeats steps: what it says replaces them and everything beyond.
                while points and points[-1][0] >= step:
                    points.pop()
                points.append((step, value))
        return points


def accepted(reply: Reply) -> Reply:
    """The reply, unless it is a refusal.

    Raises:
        TryAgainError: the engine refused; its words.
    """
    if reply.status is ReplyStatus.REFUSED:
        raise TryAgainError(reply.code or "COMMAND_REFUSED", reply.cause or "The run refused.", reply.next_step)
    return reply
