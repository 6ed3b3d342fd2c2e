"""What happens at the end of every optimiser step: tell, measure, save, obey.

Everything runs on the training thread, after the weights moved and before the next batch is drawn: the only place from
which a checkpoint continues exactly.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import Any

from backprop_tui.engine.failpoint import hit
from backprop_tui.engine.worker import finite, randomness
from backprop_tui.engine.worker.channel import EventSink, Inbox, StoppedEarly
from backprop_tui.engine.worker.distributed import world
from backprop_tui.engine.worker.distributed_choice import Sharing
from backprop_tui.engine.worker.distributed_shards import check_sharing
from backprop_tui.engine.worker.measuring import Examiner
from backprop_tui.engine.worker.probe import Probe
from backprop_tui.engine.worker.progress import Progress
from backprop_tui.engine.worker.rates import RateBook
from backprop_tui.engine.worker.saving import Reason, Saver
from backprop_tui.engine.worker.schedule import Schedule
from backprop_tui.engine.worker.steering import Steering
from backprop_tui.engine.worker.trainer import StepFigures, StepTrainer
from backprop_tui.protocol import events as ev
from backprop_tui.protocol.changes import RateChange
from backprop_tui.protocol.errors import UnavailableError
from backprop_tui.protocol.spec import RunSpec
from backprop_tui.protocol.states import RunState

#: Steps in a row a float16 run may skip while its loss scale settles before we call it broken.
_MOST_SKIPS = 50


class Conductor:
    """The trainer's `Observer`.

    Args:
        rates: changes of the learning rate the run has seen; those the checkpoint does not hold are applied again.

    Attributes:
        ended_by: why training ended before its last step, as a sentence; empty when it did not.
        probe: tried before the first step; None tries nothing.
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
        rates: Sequence[RateChange] = (),
    ) -> None:
        self._spec = spec
        self._sink = sink
        self._inbox = inbox
        self._progress = progress
        self._schedule = schedule
        self._examiner = examiner
        self._saver = saver
        self._steering = Steering(
            sink,
            inbox,
            progress,
            RateBook(rates, progress),
            schedule.warmup_steps,
            save=lambda trainer: self._save(trainer, "asked"),
            measure=self._measure_now if examiner.able else None,
            run=saver.run_name,
            ends_spoilt=spec.recovery.nan_action == "stop",
        )
        self._skips = 0
        self._clock = 0.0
        self._passes = 0
        self._save_s = 0.0
        self._random: dict[str, Any] | None = None
        self.ended_by = ""
        self.probe: Probe | None = None
        self.sharing: Sharing = ""

    def train_begin(self, trainer: StepTrainer) -> None:
        """Measure the untouched base, obey what arrived while loading, start the clock.

        Raises:
            StoppedEarly: a stop came first.
            RunFailed: the processes don't share out the work as the plan says.
        """
        check_sharing(trainer.model_wrapped, self.sharing)
        if self.probe is not None:
            self.probe.run(trainer)
        if self._progress.step == 0:
            self._examiner.measure(trainer, "base")
        if not self._inbox.stop_asked():
            self._sink.state(RunState.RUNNING, "")
            self._steering.serve(trainer)
        if self._inbox.stop_asked():
            for command in self._steering.stops:
                self._sink.command_done(command, True, "Stopped before the first step.")
            raise StoppedEarly
        self._sink.send(ev.PHASE, phase="train", status="start")
        self._clock = time.perf_counter()

    def step_end(self, trainer: StepTrainer, figures: StepFigures) -> bool:
        """Report the step and do what is due. True ends training.

        Raises:
            Rewind, StoppedSpoilt: the loss or the gradient was no number, and somebody said what to do.
            RunFailed: the same, where nobody is asked.
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
            **figures.extra,
        )
        if self.probe is not None:
            self.probe.step_done()
        hit("worker.step")
        if what := self._not_finite(figures):
            self._steering.hold_spoilt(trainer, what)
        done = self._do_what_is_due(trainer, figures.step)
        self._random = None if done else randomness.keep()
        self._passes = 0
        self._clock = time.perf_counter()
        return done

    def pass_end(self, trainer: StepTrainer) -> bool:
        """A micro-batch that does not end its step is done. True leaves the step: a stop can't wait for its end.

        The weights are still those of the step before, so that step can be saved; the passes are done again on resume.
        """
        hit("worker.pass")
        self._passes += 1
        of = int(trainer.current_gradient_accumulation_steps)
        self._inbox.refresh()
        # Clocks differ; the step is left by all processes or by none.
        if not self._inbox.stop_asked() or world().from_first(self._step_fits(of)):
            return False
        if self._random is not None:
            randomness.give_back(self._random)
        self._steering.serve(trainer)
        if self._progress.step:
            return self._stop(
                trainer, f"{self._passes} of {of} passes of step {self._progress.step + 1} are done again on resume."
            )
        raise StoppedEarly

    def _step_fits(self, of: int) -> bool:
        """Whether the rest of the step and a checkpoint fit into the grace, going by the passes so far."""
        left = (time.perf_counter() - self._clock) / self._passes * (of - self._passes)
        ends = time.monotonic() + left + self._save_s
        return ends <= self._inbox.stop_since + self._spec.recovery.preempt_grace_s

    def _do_what_is_due(self, trainer: StepTrainer, step: int) -> bool:
        self._steering.serve(trainer)
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

    def _stop(self, trainer: StepTrainer, left: str = "") -> bool:
        if not self._steering.stops:
            self._sink.state(RunState.STOPPING, self._inbox.stop_reason)
        path = self._save(trainer, "host_lost" if self._inbox.host_lost else "stop")
        for command in self._steering.stops:
            self._sink.command_done(command, True, f"{f'Saved as {path}.' if path else 'Stopped.'} {left}".rstrip())
        if left:
            self._sink.log("info", "worker", left)
        self.ended_by = self._inbox.stop_reason
        return True

    def _measure_now(self, trainer: StepTrainer) -> None:
        self._examiner.measure(trainer, "tuned" if self._progress.step else "base")

    def _save(self, trainer: StepTrainer, reason: Reason) -> str | None:
        """Save; a full disk pauses the run until somebody makes room or asks (again) to stop.

        Raises:
            Rewind, StoppedSpoilt: the weights are no numbers, and somebody said what to do.
            RunFailed: the same, where nobody is asked.
        """
        # Of weights that are shared out, each process sees a part.
        if what := max(world().of_all(finite.what_is_not(trainer))):
            self._steering.hold_spoilt(trainer, what)
        started = time.monotonic()
        while True:
            try:
                path = self._saver.save(trainer, reason)
                self._save_s = max(self._save_s, time.monotonic() - started)
                return path
            except UnavailableError as error:
                words = f"{error.cause} {error.next_step}"
                if self._inbox.host_lost or reason == "asked":
                    self._sink.log("error", "worker", words)
                    return None
                self._sink.send(
                    ev.FAULT, code=error.code, cause=error.cause, next=error.next_step, step=self._progress.step
                )
                self._steering.pause(words)
                if not self._steering.room_made(trainer):
                    return None
                started = time.monotonic()

    def _not_finite(self, figures: StepFigures) -> str:
        """What is no number in a step; "" when all is well, or float16 skipped the step while its loss scale settles."""
        self._skips = self._skips + 1 if figures.skipped else 0
        if not math.isfinite(figures.loss):
            return "loss"
        if math.isfinite(figures.grad_norm) or (figures.skipped and self._skips <= _MOST_SKIPS):
            return ""
        return "gradient"
