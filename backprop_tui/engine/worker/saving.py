"""Checkpoints of our own: written aside, sealed and published by the store, complete or not there at all."""

from __future__ import annotations

import errno
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

from backprop_tui.engine.failpoint import hit
from backprop_tui.engine.worker.channel import EventSink
from backprop_tui.engine.worker.distributed import world
from backprop_tui.engine.worker.distributed_state import Gathered, gather
from backprop_tui.engine.worker.environment import describe
from backprop_tui.engine.worker.methods import pissa
from backprop_tui.engine.worker.progress import Progress, write_state
from backprop_tui.engine.worker.trainer import StepTrainer
from backprop_tui.protocol import events as ev
from backprop_tui.protocol.errors import UnavailableError
from backprop_tui.store import checkpoints, retention
from backprop_tui.store.layout import RunDir

if TYPE_CHECKING:
    from backprop_tui.engine.worker.dataset import RunData
    from backprop_tui.engine.worker.loading import Loaded
    from backprop_tui.engine.worker.precision import Precision
    from backprop_tui.engine.worker.session import Session

Reason = Literal["schedule", "asked", "stop", "end", "host_lost"]

#: Free space wanted beyond the checkpoint itself: the journal and the logs live on the same disk.
_SLACK = 16 << 20
#: Bytes an optimiser keeps per trained parameter beside the parameter itself (two float32 moments).
_MOMENTS = 8


class Saver:
    """Saves one run.

    Args:
        keep: newest checkpoints that stay. most_bytes: what all may hold together, None without a limit.
        fingerprint: of the data; it goes into the checkpoint's manifest.
        environment: what else must be equal for an exact resume; it goes into the checkpoint's state.
    """

    def __init__(
        self,
        run: RunDir,
        sink: EventSink,
        progress: Progress,
        *,
        keep: int,
        tokenizer: Any,
        fingerprint: dict[str, Any],
        environment: dict[str, Any],
        most_bytes: int | None = None,
    ) -> None:
        self._run = run
        self._sink = sink
        self._progress = progress
        self._keep = keep
        self._tokenizer = tokenizer
        self._fingerprint = fingerprint
        self._environment = environment
        self._most_bytes = most_bytes
        self._told_full = False
        # The size of one is known from the start where there is one already.
        there = checkpoints.list_checkpoints(run)
        self._bytes = there[-1].bytes or 0 if there else 0
        self._announced = {info.step for info in there if info.problem is None}

    @classmethod
    def of_attempt(cls, session: Session, data: RunData, loaded: Loaded, precision: Precision, **own: Any) -> Self:
        """The saver of an attempt, by its settings.

        Args:
            session: whose spec and progress are known.
            data: whose fingerprint goes into every checkpoint.
            loaded: its tokenizer does.
            precision: what else must be equal for an exact resume follows from it.
            **own: what a kind of saver takes beyond that.
        """
        spec, progress = session.spec, session.progress
        assert spec is not None
        assert progress is not None
        return cls(
            session.run,
            session.sink,
            progress,
            keep=spec.run.keep,
            tokenizer=loaded.tokenizer,
            fingerprint=data.fingerprint,
            environment=describe(spec, precision),
            most_bytes=round(spec.run.max_checkpoint_gb * 1e9) or None,
            **own,
        )

    @property
    def run_name(self) -> str:
        """What the shell calls the run."""
        return self._run.short_id

    def save(self, trainer: StepTrainer, reason: Reason) -> str:
        """Save the present step unless that is done already; of several processes the first writes, the others wait.

        Returns:
            The checkpoint's path relative to the run directory.

        Raises:
            UnavailableError: the disk is full; nothing is left behind, earlier checkpoints are untouched.
        """
        step = self._progress.step
        gathered = gather(trainer)
        path = world().first_does(lambda: self._save(trainer, reason, gathered))
        self._progress.checkpoint_step = step
        return path

    def _save(self, trainer: StepTrainer, reason: Reason, gathered: Gathered) -> str:
        step = self._progress.step
        final = self._run.checkpoint(step)
        relative = final.relative_to(self._run.path).as_posix()
        if self._progress.checkpoint_step == step and final.is_dir():
            return relative
        started = time.perf_counter()
        best = self._progress.best_step == step
        with self._sink.phase("save", f"step {step}"):
            self._check_space(trainer)
            self._bytes = self._write(trainer, final, step, gathered)
        self._progress.checkpoint_step = step
        self._sink.send(
            ev.CHECKPOINT,
            step=step,
            path=relative,
            bytes=self._bytes,
            seconds=round(time.perf_counter() - started, 4),
            reason=reason,
            best=best,
        )
        self._announced.add(step)
        self._tidy()
        return relative

    def _tidy(self) -> None:
        """Remove what the run's own rules let go, and tell what has gone, also by somebody's `prune`."""
        retention.retain(self._run, self._keep, self._progress.best_step, self._most_bytes)
        shelf = retention.look(self._run, self._progress.best_step)
        there = {info.step for info in shelf.infos}
        for removed in sorted(self._announced - there):
            self._sink.send(ev.CHECKPOINT_REMOVED, step=removed)
        self._announced &= there
        if shelf.pinned is None:
            words = f"RUN_PINS_UNREADABLE: {self._run.pins_file.name} is damaged, so no checkpoint is removed until it is mended."
            self._sink.log("warn", "worker", words)
        if self._most_bytes is not None and shelf.bytes > self._most_bytes and not self._told_full:
            self._told_full = True
            self._sink.log(
                "warn",
                "worker",
                f"CHECKPOINTS_LARGE: the newest, the best and the pinned checkpoints hold {shelf.bytes / 1e9:,.2f} GB together, "
                f"more than max_checkpoint_gb allows ({self._most_bytes / 1e9:,.2f} GB). None of them is removed.",
            )

    def _write(self, trainer: StepTrainer, final: Path, step: int, gathered: Gathered) -> int:
        staged: Path | None = None
        try:
            staged = checkpoints.staging(self._run, step)
            hit("worker.save.begin")
            self.fill(trainer, staged, gathered)
            write_state(staged, self._progress, self._environment)
            return checkpoints.publish(
                staged,
                final,
                step=step,
                fingerprint=self._fingerprint,
                observe=lambda point: hit(f"worker.save.{point}"),
            )
        except BaseException as error:
            if staged is not None:
                shutil.rmtree(staged, ignore_errors=True)
            if is_disk_full(error):
                raise self._disk_full(f"The disk filled up while saving step {step}.") from error
            raise

    def fill(self, trainer: StepTrainer, staged: Path, gathered: Gathered) -> None:
        """Put weights, tokenizer and the trainer's state into a checkpoint being written."""
        save_weights(trainer, staged, gathered)
        self._tokenizer.save_pretrained(staged)
        trainer.save_training_state(staged, gathered)

    def _check_space(self, trainer: StepTrainer) -> None:
        trained = sum(
            weights.numel() * (weights.element_size() + _MOMENTS)
            for weights in trainer.model.parameters()
            if weights.requires_grad
        )
        need = max(self._bytes, trained) + _SLACK
        free = shutil.disk_usage(self._run.checkpoints).free
        if free < need:
            raise self._disk_full(
                f"A checkpoint needs {need / 1e6:,.0f} MB and {free / 1e6:,.0f} MB are free in {self._run.checkpoints}."
            )

    @staticmethod
    def _disk_full(cause: str) -> UnavailableError:
        return UnavailableError("DISK_FULL", cause, "Free some space, then resume.")


def save_weights(trainer: StepTrainer, directory: Path, gathered: Gathered | None = None) -> None:
    """Write the trained weights as PEFT and transformers read them."""
    model = trainer.accelerator.unwrap_model(trainer.model)
    if pissa.save(model, directory):
        return
    # The embedding is never resized here; "auto" would ask the hub for the base's configuration to find out.
    options: dict[str, Any] = {"save_embedding_layers": False} if hasattr(model, "peft_config") else {}
    if gathered is not None and gathered.weights is not None:
        options["state_dict"] = gathered.weights
    model.save_pretrained(directory, **options)
    # PEFT leaves a model card with nothing filled in.
    (directory / "README.md").unlink(missing_ok=True)


def is_disk_full(error: BaseException) -> bool:
    """Whether an exception means there is no room; torch reports a short write of its zip file in its own words."""
    if isinstance(error, OSError):
        return error.errno in (errno.ENOSPC, errno.EDQUOT)
    words = str(error)
    return isinstance(error, RuntimeError) and ("inline_container" in words or "PytorchStreamWriter" in words)
