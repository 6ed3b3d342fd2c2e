"""What the Run screen asks of a run: pause, save, evaluate, stop, another learning rate, resume."""

from __future__ import annotations

import time
from collections.abc import Mapping

from textual import work
from textual.content import Content

from backprop_tui.app.actions import Action
from backprop_tui.app.jobs import Cancelled, in_thread
from backprop_tui.app.run_model import RunModel
from backprop_tui.app.screens.room import Room
from backprop_tui.app.widgets.painted import Line
from backprop_tui.protocol.commands import ACCEPTED_IN, Command, CommandName, ReplyStatus, check_learning_rate
from backprop_tui.protocol.errors import BackpropError
from backprop_tui.protocol.states import RunState
from backprop_tui.store.layout import RunDir, is_own

#: Footer and palette name these only in the states that accept the command.
_COMMANDS = {
    "run.save": CommandName.CHECKPOINT,
    "run.evaluate": CommandName.EVALUATE,
    "run.stop": CommandName.ABORT,
    "run.rate": CommandName.SET,
}
_HALF = {"lr_factor": 0.5}
_TAKEN = {
    CommandName.PAUSE: "Pausing at the end of this step.",
    CommandName.RESUME: "Going on.",
    CommandName.CHECKPOINT: "Saving at the end of this step.",
    CommandName.EVALUATE: "Evaluating at the end of this step.",
    CommandName.STOP: "Saving, then stopping.",
    CommandName.ABORT: "Stopping without saving.",
    CommandName.SET: "The learning rate changes at the next step.",
}


class RunCommands(Room):
    """Commands to the run that is open; every answer is said in the footer.

    Attributes:
        model: what is known of the run; None while no run is open.
    """

    def __init__(self) -> None:
        super().__init__()
        self.model: RunModel | None = None
        self._run: RunDir | None = None
        self._own: tuple[RunDir, bool] | None = None

    def open(self, run: RunDir) -> None:
        """Show another run, or the same one anew after it was resumed."""
        raise NotImplementedError

    def offers(self, action: Action) -> bool:
        """Only what the run's state accepts."""
        state = self.model.state if self.model else None
        if self.refusal() and action.id in (*_COMMANDS, "run.resume", "run.halve", "run.pause"):
            return False
        if action.id == "run.replay":
            return state is not None and not state.live
        if action.id == "run.resume":
            return state is not None and not state.live and state is not RunState.COMPLETED
        if action.id == "run.matrix":
            return self.model is not None and bool(self.model.view.multi)
        if action.id == "run.halve":
            return self.halvable(state)
        if action.id in ("run.save", "run.evaluate") and self.halvable(state):
            return False
        if action.id == "run.pause":
            return state in (RunState.RUNNING, RunState.PAUSED, RunState.STARTING)
        wanted = _COMMANDS.get(action.id)
        return wanted is None or (state is not None and state in ACCEPTED_IN[wanted])

    def hint(self, action: Action) -> str:
        """The footer's word: the same key holds training and lets it go on."""
        paused = self.model is not None and self.model.state is RunState.PAUSED
        return "Go on" if action.id == "run.pause" and paused else action.hint

    def halvable(self, state: RunState | None) -> bool:
        """Only where it is the thing to do: after a loss that was no number."""
        fault = self.model.view.fault if self.model else None
        spoilt = fault is not None and fault.get("code") == "LOSS_NOT_FINITE"
        return spoilt and state is not None and (state is RunState.PAUSED or not state.live)

    def refusal(self) -> str:
        """Why this run may only be looked at, in a sentence; empty when commands may be sent."""
        if self._run is None:
            return ""
        if self._own is None or self._own[0] != self._run:
            self._own = (self._run, is_own(self._run))
        if self._own[1]:
            return ""
        return "This run lies outside your own; it is open to look at only."

    def action_pause(self) -> None:
        """Pause, or go on."""
        paused = self.model is not None and self.model.state is RunState.PAUSED
        self._ask(Command(CommandName.RESUME if paused else CommandName.PAUSE))

    def action_save(self) -> None:
        """A checkpoint at the end of the step."""
        self._ask(Command(CommandName.CHECKPOINT))

    def action_evaluate(self) -> None:
        """An evaluation at the end of the step."""
        self._ask(Command(CommandName.EVALUATE))

    def action_stop(self) -> None:
        """Ask how to stop."""
        if refusal := self.refusal():
            self.say(refusal)
            return
        if self.model is None or not self.model.state.live:
            self.say("This run is not running; there is nothing to stop.")
            return
        from backprop_tui.app.widgets.modal import Choice, ConfirmModal

        view = self.model.view
        lost = f"since step {max(view.checkpoints):,}" if view.checkpoints else "so far"
        body = Content(
            f"Training of {self.model.name or 'this run'} is at step {view.step:,}.\n"
            f"Save and stop keeps everything; r resumes from there.\nStop now loses what was learnt {lost}."
        )
        choices = (Choice("stop", "Save and stop", "s"), Choice("abort", "Stop now, without saving", "a", danger=True))
        self.app.push_screen(ConfirmModal(Content("stop training"), body, choices, cancel="Go on training"), self._stop)

    def _stop(self, answer: str | None) -> None:
        if answer is not None:
            self._ask(Command(CommandName.STOP if answer == "stop" else CommandName.ABORT))

    def action_learning_rate(self) -> None:
        """Ask for another learning rate."""
        if refusal := self.refusal():
            self.say(refusal)
            return
        if self.model is None or self.model.state not in ACCEPTED_IN[CommandName.SET]:
            self.say("The learning rate can be changed while a run is running or paused.")
            return
        from backprop_tui.app import wording
        from backprop_tui.app.widgets.modal import PromptModal

        now = wording.significant(self.model.view.lr)
        body = Content(f"It is {now} now. The schedule goes on from the new value at the next step.")
        prompt = PromptModal(Content("learning rate"), body, placeholder="1e-4", check=_rate_problem)
        self.app.push_screen(prompt, self._set_rate)

    def _set_rate(self, text: str | None) -> None:
        if text:
            self._ask(Command(CommandName.SET, {"learning_rate": check_learning_rate(text)}))

    @work(group="run-command", exit_on_error=False)
    async def _ask(self, command: Command) -> None:
        """Send a command and say the answer; what it did shows up in the log."""
        run = self._run
        if refusal := self.refusal():
            self.say(refusal)
            return
        if run is None or self.model is None or not self.model.held:
            self.say("This run is not running." if run is not None else "No run is open.")
            return
        import asyncio

        from backprop_tui.launch.client import send_command

        try:
            reply = await asyncio.to_thread(send_command, run, command, 5.0)
        except BackpropError as error:
            self.backprop.say(str(error), "bad")
            return
        if reply.status is ReplyStatus.REFUSED:
            self.model.alerts.refused(reply.cause, reply.next_step, time.time(), self.model.view.step)
            self.backprop.say(f"{reply.cause} {reply.next_step}".strip(), "warn")
        else:
            self.say(_TAKEN[command.name])

    def action_replay(self) -> None:
        """Play this run again from its beginning."""
        if self._run is None:
            self.say("No run is open.")
        else:
            self.backprop.replay(self._run)

    def context(self) -> Line:
        """The run, and whether it may only be looked at."""
        over = self.model is not None and not self.model.reading and not self.model.state.live
        words: Line = (("read-only   ", "muted"),) if over or self.refusal() else ()
        return (*words, *super().context())

    def action_halve_rate(self) -> None:
        """Go on from the newest checkpoint with half the learning rate."""
        if self.model is not None and self.model.state is RunState.PAUSED:
            self._ask(Command(CommandName.RESUME, dict(_HALF)))
        else:
            self._resume(_HALF)

    def action_resume_run(self) -> None:
        """Go on from the newest checkpoint."""
        self._resume({})

    def _resume(self, rate: Mapping[str, float]) -> None:
        if refusal := self.refusal():
            self.say(refusal)
            return
        run = self._run
        if run is None or self.model is None:
            self.say("No run is open.")
            return
        if self.model.state.live:
            paused = self.model.state is RunState.PAUSED
            self.say("This run is paused: p goes on." if paused else "This run is still running.")
            return

        def start(_: Cancelled) -> RunDir:
            from backprop_tui.launch.start import resume_run

            return resume_run(run, rate=rate)

        self.say("Resuming…")
        in_thread(self, start, self.open, lambda error: self.backprop.say(str(error), "bad"), group="run-resume")


def _rate_problem(text: str) -> str | None:
    try:
        check_learning_rate(text)
    except BackpropError as error:
        return f"{error.cause} {error.next_step}"
    return None
