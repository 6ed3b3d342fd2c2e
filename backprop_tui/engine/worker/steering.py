"""Commands to a run in training: obeyed at step ends, and while paused; and the pause after which there is no going on.

A run whose loss or weights are no numbers any more waits for a person, then ends its process: to stop, or so that another
worker goes on from the last checkpoint. Where no person is expected it fails at once. What it would save or measure has no
worth.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from backprop_tui.engine.worker.channel import EventSink, Inbox, Rewind, StoppedSpoilt
from backprop_tui.engine.worker.progress import Progress
from backprop_tui.engine.worker.rates import RateBook
from backprop_tui.protocol import events as ev
from backprop_tui.protocol.changes import RateChange
from backprop_tui.protocol.commands import Command, CommandName, check_learning_rate
from backprop_tui.protocol.errors import RunFailed, UsageError
from backprop_tui.protocol.states import ON_REQUEST, RunState

if TYPE_CHECKING:
    from backprop_tui.engine.worker.trainer import StepTrainer

#: What can be spoilt, and the beginning of the sentence that says so.
_SPOILT = {
    "loss": "The loss of step {step} is no number",
    "gradient": "The gradient of step {step} is no number",
    "weights": "After step {step} some weights are no numbers any more",
    "optimiser": "After step {step} the optimiser's state is no longer made of numbers",
}


class Steering:
    """What commands do.

    Args:
        sink, inbox: the two pipes. progress: where the run stands. rates: changes of the learning rate.
        warmup_steps: steps of rising learning rate.
        save: writes a checkpoint because somebody asked; its path, or None without room for it.
        measure: evaluates now; None where no rows are held out.
        run: what the shell calls the run.
        ends_spoilt: whether what is no number ends the run, rather than waiting for a person.

    Attributes:
        stops: stop commands, answered once the checkpoint is there.
    """

    def __init__(
        self,
        sink: EventSink,
        inbox: Inbox,
        progress: Progress,
        rates: RateBook,
        warmup_steps: int,
        *,
        save: Callable[[StepTrainer], str | None],
        measure: Callable[[StepTrainer], object] | None,
        run: str,
        ends_spoilt: bool,
    ) -> None:
        self._sink = sink
        self._inbox = inbox
        self._progress = progress
        self._rates = rates
        self._warmup_steps = warmup_steps
        self._save = save
        self._measure = measure
        self._run = run
        self._ends_spoilt = ends_spoilt
        self._paused = False
        self._spoilt = False
        self.stops: list[Command] = []

    def serve(self, trainer: StepTrainer) -> None:
        """Obey what has arrived; while paused, wait for more."""
        for change in self._rates.apply_due(trainer, self._warmup_steps):
            self._sink.log("info", "worker", f"{change.words.capitalize()} from step {self._progress.step + 1:,}.")
        self._obey_all(trainer)
        while self._paused and not self._inbox.stop_asked():
            self._inbox.wait()
            self._obey_all(trainer)

    def pause(self, reason: str) -> None:
        """Hold training from here on."""
        self._paused = True
        self._sink.state(RunState.PAUSED, reason)

    def room_made(self, trainer: StepTrainer) -> bool:
        """Wait for `resume`; False when a stop came instead."""
        known = self._inbox.stop_requests
        while self._paused:
            self._inbox.wait(known)
            self._obey_all(trainer)
            if self._inbox.stop_requests > known:
                return False
        return True

    def hold_spoilt(self, trainer: StepTrainer, what: str) -> None:
        """Tell what is no number any more, pause or end, and never return to training.

        Args:
            trainer: what is steered.
            what: loss, gradient, weights or optimiser.

        Raises:
            Rewind: asked to go on, from the last checkpoint. StoppedSpoilt: asked to stop.
            RunFailed: LOSS_NOT_FINITE, where the run is to end instead of waiting.
        """
        step, good = self._progress.step, self._progress.checkpoint_step
        safe = (
            f"The last good checkpoint is that of step {good:,}."
            if good is not None
            else "No checkpoint was saved yet."
        )
        place = f"step {good:,}" if good is not None else "the start"
        cause = f"{_SPOILT[what].format(step=f'{step:,}')}. {safe}"
        typed = f"`backprop resume {self._run} --halve-lr`"
        following = f"Press R, or type {typed}, to go on from {place} with half the learning rate."
        detail = {"what": what, "last_good_step": good}
        if self._ends_spoilt:
            raise RunFailed("LOSS_NOT_FINITE", cause, following, detail)
        self._spoilt = True
        self._sink.send(ev.FAULT, code="LOSS_NOT_FINITE", cause=cause, next=following, step=step, detail=detail)
        self.pause(f"{cause} {following}")
        self._obey_all(trainer)
        while not self._inbox.stop_asked():
            self._inbox.wait()
            self._obey_all(trainer)
        if not self.stops:
            self._sink.state(RunState.STOPPING, self._inbox.stop_reason)
        for command in self.stops:
            self._sink.command_done(command, True, f"Stopped; step {step:,} was not saved, for it holds no numbers.")
        raise StoppedSpoilt

    def _obey_all(self, trainer: StepTrainer) -> None:
        for command in self._inbox.drain():
            if command.name is CommandName.STOP:
                self.stops.append(command)
                continue
            try:
                detail, change = self._obey(trainer, command)
            except UsageError as error:
                self._sink.command_done(command, False, error.cause)
            else:
                self._sink.command_done(command, True, detail, change)
                if self._spoilt and command.name is CommandName.RESUME:
                    raise Rewind

    def _obey(self, trainer: StepTrainer, command: Command) -> tuple[str, RateChange | None]:
        """What it did, and how it changed the learning rate.

        Raises:
            UsageError: it can't be done now.
        """
        step = self._progress.step
        if self._spoilt:
            return self._obey_spoilt(command)
        if command.name is CommandName.PAUSE:
            if not self._paused:
                self.pause(str(command.args.get("reason") or ON_REQUEST))
            return f"Paused after step {step}.", None
        if command.name is CommandName.RESUME:
            if not self._paused:
                raise UsageError("NOT_PAUSED", "The run is not paused.")
            change = _change_of(command, step)
            with_rate = "" if change is None else f" {self._changed(trainer, change)}"
            self._paused = False
            self._sink.state(RunState.RUNNING, "")
            return f"Goes on after step {step}.{with_rate}", change
        if command.name is CommandName.CHECKPOINT:
            path = self._save(trainer)
            if path is None:
                raise UsageError("NOT_SAVED", "There is no room for a checkpoint.")
            return f"Saved as {path}.", None
        if command.name is CommandName.EVALUATE:
            if self._measure is None:
                raise UsageError("NOTHING_HELD_OUT", "This run holds out no rows to measure on.")
            self._measure(trainer)
            return f"Measured at step {step}.", None
        change = RateChange(command.id, step, rate=check_learning_rate(command.args.get("learning_rate")))
        return self._changed(trainer, change), change

    def _changed(self, trainer: StepTrainer, change: RateChange) -> str:
        """Apply a change of the learning rate; what it means, as a sentence."""
        step = self._progress.step
        now = self._rates.apply(trainer, change, self._warmup_steps)
        if change.rate is None:
            return f"{change.words.capitalize()}: step {step + 1} uses {now:.3g}."
        if now != change.rate:
            return f"The warm-up rises to {change.rate:g}; step {step + 1} uses {now:.3g}."
        return f"Learning rate {change.rate:g} from step {step + 1}."

    def _obey_spoilt(self, command: Command) -> tuple[str, RateChange | None]:
        good = self._progress.checkpoint_step or 0
        place = f"step {good}" if good else "the start"
        change = _change_of(command, good)
        if command.name is CommandName.RESUME:
            return f"Goes back to {place}{f' with {change.words}' if change is not None else ''}.", change
        if command.name is CommandName.SET and change is not None:
            return f"{change.words.capitalize()}, once it goes on from {place}.", change
        raise UsageError("NOT_FINITE", "What was learnt is no longer made of numbers: resume or stop the run.")


def _change_of(command: Command, step: int) -> RateChange | None:
    args: dict[str, Any] = command.args
    if "learning_rate" in args:
        return RateChange(command.id, step, rate=float(args["learning_rate"]))
    return RateChange(command.id, step, factor=float(args["lr_factor"])) if "lr_factor" in args else None
