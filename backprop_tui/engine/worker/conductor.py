"""What happens at the end of every optimiser step: tell, measure, save, obey.

Everything runs on the training thread, after the weights moved and before the next batch is drawn: the only place from
which a checkpoint continues exactly.
"""

from __future__ import annotations

import math
import time

from backprop_tui.engine.failpoint import hit
from backprop_tui.engine.worker.channel import EventSink, Inbox, StoppedEarly
from backprop_tui.engine.worker.measuring import Examiner
from backprop_tui.engine.worker.progress import Progress
from backprop_tui.engine.worker.saving import Reason, Saver
from backprop_tui.engine.worker.schedule import Schedule
from backprop_tui.engine.worker.trainer import StepFigures, StepTrainer
from backprop_tui.protocol import events as ev
from backprop_tui.protocol.commands import Command, CommandName, check_learning_rate
from backprop_tui.protocol.errors import RunFailed, UnavailableError, UsageError
from backprop_tui.protocol.spec import RunSpec
from backprop_tui.protocol.states import RunState

#: Steps in a row a float16 run may skip while its loss scale settles before we call it broken.
_MOST_SKIPS = 50


class Conductor:
    """The trainer's `Observer`.

    Attributes:
        ended_by: why training ended before its last step, as a sentence; empty when it did not.
    """

    def __init__(
        self,
        spec: RunSpec,
        sink: EventSink,
        inbox: Inbox,
        progress: Progress,
        schedule: Schedule,
        examiner: Examiner,
        saver: Saver,
    ) -> None:
        self._spec = spec
        self._sink = sink
        self._inbox = inbox
        self._progress = progress
        self._schedule = schedule
        self._examiner = examiner
        self._saver = saver
        self._paused = False
        self._stops: list[Command] = []
        self._skips = 0
        self._clock = 0.0
        self.ended_by = ""

    def train_begin(self, trainer: StepTrainer) -> None:
        """Measure the untouched base, obey what arrived while loading, start the clock.

        Raises:
            StoppedEarly: a stop came first.
        """
        if self._progress.step == 0:
            self._examiner.measure(trainer, "base")
        if not self._inbox.stop_asked():
            self._sink.state(RunState.RUNNING, "")
            self._serve(trainer)
        if self._inbox.stop_asked():
            for command in self._stops:
                self._sink.command_done(command, True, "Stopped before the first step.")
            raise StoppedEarly
        self._sink.send(ev.PHASE, phase="train", status="start")
        self._clock = time.perf_counter()

    def step_end(self, trainer: StepTrainer, figures: StepFigures) -> bool:
        """Report the step and do what is due. True ends training.

        Raises:
            RunFailed: the loss or the gradient is no longer a number.
        """
        seconds = time.perf_counter() - self._clock
        progress = self._progress
        progress.step = figures.step
        progress.tokens += figures.tokens
        self._sink.send(
            ev.STEP,
            step=figures.step,
            epoch=figures.epoch,
            loss=figures.loss,
            grad_norm=figures.grad_norm,
            lr=figures.lr,
            tokens=progress.tokens,
            tokens_per_s=figures.tokens / seconds if seconds > 0 else None,
            step_s=seconds,
            trained=figures.learnt,
            **({"batches": list(figures.batches)} if figures.batches else {}),
        )
        hit("worker.step")
        self._check_finite(figures)
        done = self._do_what_is_due(trainer, figures.step)
        self._clock = time.perf_counter()
        return done

    def _do_what_is_due(self, trainer: StepTrainer, step: int) -> bool:
        self._serve(trainer)
        if self._inbox.stop_asked():
            return self._stop(trainer)
        last = step >= self._schedule.total_steps
        early = best = False
        if self._schedule.eval_due(step) and self._examiner.able:
            best = bool(self._examiner.measure(trainer, "tuned"))
            early = bool(self._spec.run.early_stopping) and (
                self._progress.evals_without_better >= self._spec.run.early_stopping
            )
            if self._inbox.stop_asked():
                return self._stop(trainer)
        if last or early:
            self._save(trainer, "end")
            if early and not last:
                self.ended_by = (
                    f"Stopped early: {self._progress.evals_without_better} evaluations without a better one, "
                    f"best at step {self._progress.best_step}."
                )
            return True
        if self._schedule.save_due(step) or (best and self._spec.run.deliver == "best"):
            self._save(trainer, "schedule")
        if self._inbox.stop_asked():
            return self._stop(trainer)
        return False

    def _stop(self, trainer: StepTrainer) -> bool:
        if not self._stops:
            self._sink.state(RunState.STOPPING, self._inbox.stop_reason)
        path = self._save(trainer, "host_lost" if self._inbox.host_lost else "stop")
        for command in self._stops:
            self._sink.command_done(command, True, f"Saved as {path}." if path else "Stopped.")
        self.ended_by = self._inbox.stop_reason
        return True

    def _serve(self, trainer: StepTrainer) -> None:
        """Obey what has arrived; while paused, wait for more."""
        self._obey_all(trainer)
        while self._paused and not self._inbox.stop_asked():
            self._inbox.wait()
            self._obey_all(trainer)

    def _obey_all(self, trainer: StepTrainer) -> None:
        for command in self._inbox.drain():
            if command.name is CommandName.STOP:
                # Answered once the checkpoint is there.
                self._stops.append(command)
                continue
            try:
                detail = self._obey(trainer, command)
            except UsageError as error:
                self._sink.command_done(command, False, error.cause)
            else:
                self._sink.command_done(command, True, detail)

    def _obey(self, trainer: StepTrainer, command: Command) -> str:
        step = self._progress.step
        if command.name is CommandName.PAUSE:
            if not self._paused:
                self._pause("Paused by request.")
            return f"Paused after step {step}."
        if command.name is CommandName.RESUME:
            if not self._paused:
                raise UsageError("NOT_PAUSED", "The run is not paused.")
            self._paused = False
            self._sink.state(RunState.RUNNING, "")
            return f"Goes on after step {step}."
        if command.name is CommandName.CHECKPOINT:
            path = self._save(trainer, "asked")
            if path is None:
                raise UsageError("NOT_SAVED", "There is no room for a checkpoint.")
            return f"Saved as {path}."
        if command.name is CommandName.EVALUATE:
            if not self._examiner.able:
                raise UsageError("NOTHING_HELD_OUT", "This run holds out no rows to measure on.")
            self._examiner.measure(trainer, "tuned" if step else "base")
            return f"Measured at step {step}."
        rate = check_learning_rate(command.args.get("learning_rate"))
        now = trainer.set_learning_rate(rate, self._schedule.warmup_steps)
        if now != rate:
            return f"The warm-up rises to {rate:g}; step {step + 1} uses {now:.3g}."
        return f"Learning rate {rate:g} from step {step + 1}."

    def _pause(self, reason: str) -> None:
        self._paused = True
        self._sink.state(RunState.PAUSED, reason)

    def _save(self, trainer: StepTrainer, reason: Reason) -> str | None:
        """Save; a full disk pauses the run until somebody makes room or asks (again) to stop."""
        while True:
            try:
                return self._saver.save(trainer, reason)
            except UnavailableError as error:
                words = f"{error.cause} {error.next_step}"
                if self._inbox.host_lost or reason == "asked":
                    self._sink.log("error", "worker", words)
                    return None
                self._sink.send(
                    ev.FAULT, code=error.code, cause=error.cause, next=error.next_step, step=self._progress.step
                )
                self._pause(words)
                if not self._room_made(trainer):
                    return None

    def _room_made(self, trainer: StepTrainer) -> bool:
        """Wait for `resume`; False when a stop came instead."""
        known = self._inbox.stop_requests
        while self._paused:
            self._inbox.wait(known)
            self._obey_all(trainer)
            if self._inbox.stop_requests > known:
                return False
        return True

    def _check_finite(self, figures: StepFigures) -> None:
        self._skips = self._skips + 1 if figures.skipped else 0
        if math.isfinite(figures.loss) and (
            math.isfinite(figures.grad_norm) or (figures.skipped and self._skips <= _MOST_SKIPS)
        ):
            return
        what = "loss" if not math.isfinite(figures.loss) else "gradient norm"
        good = self._progress.checkpoint_step
        safe = f"The checkpoint of step {good} is from before." if good is not None else "No checkpoint was saved yet."
        raise RunFailed(
            "LOSS_NOT_FINITE",
            f"The {what} at step {figures.step} is no longer a number. {safe}",
            "Start again with a lower learning rate, a longer warm-up or gradient clipping.",
            {"last_good_step": good},
        )
