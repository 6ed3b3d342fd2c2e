"""A trainer of transformers or TRL, handed rows that are already tokenised, telling our observer about every optimiser step.

Whatever the objective, a few methods are overridden and each for one reason: `log`, because it is called at a step's end
with that step's loss, gradient norm and learning rate in full precision; `get_batch_samples`, to count real tokens;
`floating_point_ops`, which would walk all parameters for every micro-batch; `_get_train_sampler`, which shuffles what has
been put in order. What is learnt is said in `objectives`.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import torch
from torch.utils.data import SequentialSampler
from transformers import Trainer, TrainerCallback

from backprop_tui.engine.worker import distributed_zero
from backprop_tui.engine.worker.distributed import world
from backprop_tui.engine.worker.distributed_order import FilledOrder, fillers
from backprop_tui.engine.worker.distributed_shards import is_sharded, load_optimizer, share_out
from backprop_tui.engine.worker.methods import pissa
from backprop_tui.engine.worker.movement import apply_lora_plus, rates_in_proportion
from backprop_tui.engine.worker.pieces import split_pack, with_nothing_learnt
from backprop_tui.engine.worker.precision import Precision
from backprop_tui.engine.worker.rows import LEARNT, TOKENS, Batches, Sequences
from backprop_tui.engine.worker.tracing import traced

if TYPE_CHECKING:
    from backprop_tui.engine.worker.distributed_state import Gathered


@dataclass(frozen=True, slots=True)
class StepFigures:
    """One optimiser step as the trainer saw it. `tokens` are the real ones of this step, `learnt` those whose loss counts;
    `lr` is the rate it used. `batches` is as `tracing.traced` says, `extra` has the objective's own figures by name."""

    step: int
    epoch: float
    loss: float
    grad_norm: float
    lr: float
    tokens: int
    learnt: int
    skipped: bool
    batches: tuple[str, ...] = ()
    extra: dict[str, float] = field(default_factory=dict)


class Observer(Protocol):
    """Whoever watches and steers the run from inside it."""

    def train_begin(self, trainer: StepTrainer) -> None:
        """Everything is ready; the first batch has not been drawn."""

    def step_end(self, trainer: StepTrainer, figures: StepFigures) -> bool:
        """A step is done; True ends training here."""

    def pass_end(self, trainer: StepTrainer) -> bool:
        """A micro-batch is done, and others of its step follow; True ends training here, without the step."""


class _Ready(TrainerCallback):  # type: ignore[misc]
    def __init__(self, observer: Observer, trainer: Callable[[], StepTrainer]) -> None:
        self._observer = observer
        self._trainer = trainer

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._observer.train_begin(self._trainer())

    def on_substep_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self._observer.pass_end(self._trainer()):
            control.should_training_stop = True


#: For each figure its sum over what was looked at, and what to divide it by.
Tally = dict[str, tuple[float, float]]


class StepTrainer(Trainer):  # type: ignore[misc]
    """A trainer that reports to an `Observer` instead of logging; an objective completes it, alone or over one of TRL's.

    Args:
        observer: told about every step. sequences: what is drawn from.
        in_order: draw the sequences as they stand, in every epoch; else in an order shuffled anew for each epoch.
        lora_plus: how many times faster the adapters' B matrices move.
        options: for the trainer beneath.

    Attributes:
        rate_factor: set before `train` by a fork that keeps its parent's optimiser: the parent's learning rates are multiplied
            by it and go on along this run's own schedule. None leaves what the checkpoint says.
        rows_per_pass: most rows of a packed sequence in one pass; 0 leaves sequences whole.
        fills: whether a sequence from which nothing is learnt may stand in a batch; else processes whose sequences don't come
            out even draw some a second time.
        keepsakes: files by name that every checkpoint holds, as `Objective.prepare` gave them.
        precision: device and number formats, and whether weights are shared out; set before `train`.
        stop_ids: tokens that end an answer; set before `train`.
        left_out: the optimiser's groups of no weights by place, where they were taken away.
    """

    fills: ClassVar[bool] = False

    def __init__(
        self,
        observer: Observer,
        sequences: Sequences,
        *,
        in_order: bool = False,
        lora_plus: float = 1.0,
        **options: Any,
    ) -> None:
        self._observer = observer
        self._lora_plus = lora_plus
        self._in_order = in_order
        self._step_tokens = self._step_learnt = 0
        self._step_batches: tuple[str, ...] = ()
        self.rate_factor: float | None = None
        self.rows_per_pass = 0
        self.keepsakes: Mapping[str, bytes] = {}
        self.precision: Precision | None = None
        self.left_out: Mapping[int, dict[str, Any]] = {}
        self.stop_ids: Sequence[int] = ()
        self.pad_id = int(options["processing_class"].pad_token_id)
        self._drawn = len(sequences)
        at_a_time = world().size * options["args"].per_device_train_batch_size
        filled = fillers(self._drawn, at_a_time) if self.fills and not world().alone else 0
        super().__init__(
            train_dataset=sequences.index_dataset(filled),
            data_collator=self.batches(sequences),
            callbacks=[_Ready(observer, lambda: self)],
            **options,
        )
        if not world().alone:
            # Each process drops other places of its rows, or the rows of a step would share their dropout.
            torch.manual_seed(self.args.seed + world().rank)

    @abstractmethod
    def batches(self, sequences: Sequences) -> Batches:
        """What makes batches of such sequences, for training and for measuring."""

    @abstractmethod
    def tally(self, inputs: dict[str, Any]) -> Tally:
        """What one batch on the device adds to an evaluation: under "loss" the loss, beside it figures of the objective."""

    def derived(self, figures: dict[str, float]) -> dict[str, float]:
        """Figures with those that follow from them, once sums have become means."""
        return figures

    def extras(self) -> dict[str, float]:
        """The objective's figures of the step that is over, by name; the next step's begin from nothing."""
        return {}

    def drawn(self, samples: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """The micro-batches of one step as they are learnt from, of those that were drawn; called with the weights before it."""
        return samples

    def marks(self, asked: Any, text: str) -> dict[str, float | None]:
        """What the objective thinks of a generated answer, figures by name; `asked` is as `measuring.Prompt` has it."""
        return {}

    def _get_train_sampler(self, *args: Any, **kwargs: Any) -> Any:
        if self.fills and not world().alone:
            filled = len(self.train_dataset) - self._drawn
            return FilledOrder(self._drawn, filled, None if self._in_order else self.args.data_seed)
        if self._in_order:
            return SequentialSampler(self.train_dataset)
        return super()._get_train_sampler(*args, **kwargs)

    def create_optimizer(self, *args: Any, **kwargs: Any) -> Any:
        """The optimiser, with the groups of LoRA+."""
        fresh = self.optimizer is None
        if fresh and self.precision is not None and self.precision.shared_out:
            share_out(self.model, self.precision.autocast)
        optimizer = super().create_optimizer(*args, **kwargs)
        if fresh:
            apply_lora_plus(optimizer, self.model, self._lora_plus)
            if self.precision is not None and self.precision.zero:
                self.left_out = distributed_zero.leave_out_empty(optimizer)
        return optimizer

    def get_batch_samples(self, *args: Any, **kwargs: Any) -> Any:
        """Fetch the micro-batches of one step and count their real tokens."""
        samples, items = super().get_batch_samples(*args, **kwargs)
        samples = self.drawn(samples)
        self._step_tokens = sum(int(batch.pop(TOKENS)) for batch in samples)
        self._step_learnt = sum(int(batch.pop(LEARNT)) for batch in samples)
        self._step_batches = traced(samples)
        return samples, items

    def train(self, resume_from_checkpoint: str | None = None, **kwargs: Any) -> Any:
        """Train; what DeepSpeed copies when it takes over has to be there by then."""
        if resume_from_checkpoint is not None and self.precision is not None and self.precision.zero:
            distributed_zero.own_checkpoints()
            self._load_from_checkpoint(resume_from_checkpoint)
        return super().train(resume_from_checkpoint=resume_from_checkpoint, **kwargs)

    def training_step(self, model: Any, inputs: dict[str, Any], num_items_in_batch: Any = None) -> Any:
        """Forward and backward of one micro-batch, in pieces where a whole sequence does not fit into memory."""
        if not self.rows_per_pass or num_items_in_batch is None:
            return super().training_step(model, inputs, num_items_in_batch)
        pieces = split_pack(inputs, self.rows_per_pass)
        # Processes meet in every backward pass, so all make as many.
        pieces += [with_nothing_learnt(pieces[0])] * (world().most(len(pieces))[0] - len(pieces))
        # With the backward pass of a step's last micro-batch DeepSpeed takes the step: its pieces before the last don't.
        with distributed_zero.without_step(self):
            losses = [super(StepTrainer, self).training_step(model, piece, num_items_in_batch) for piece in pieces[:-1]]
        return sum(losses) + super().training_step(model, pieces[-1], num_items_in_batch)

    def rehearse(self, batch: dict[str, Any]) -> None:
        """Forward and backward of one micro-batch as in training, for the memory it takes; gradients are left to the caller."""
        inputs = {name: value for name, value in batch.items() if name not in (TOKENS, LEARNT)}
        self.current_gradient_accumulation_steps = self.args.gradient_accumulation_steps
        learnt = torch.tensor(max(1, int(batch[LEARNT])), device=self.args.device)
        with distributed_zero.without_step(self):
            self.training_step(self.model_wrapped, inputs, learnt)
        if distributed_zero.is_zero(self):
            distributed_zero.drop_gradients(self)

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Report a step. Nothing is kept: a log history would grow inside every checkpoint."""
        extra = self.extras()
        if "loss" not in logs:
            return
        tokens, learnt = world().total(self._step_tokens, self._step_learnt)
        figures = StepFigures(
            step=self.state.global_step,
            epoch=float(self.state.epoch or 0.0),
            loss=float(logs["loss"]),
            grad_norm=float(logs["grad_norm"]),
            lr=float(logs["learning_rate"]),
            tokens=tokens,
            learnt=learnt,
            # DeepSpeed leaves out any step whose gradient is no number; only a loss scale that settles makes light of that.
            skipped=bool(self.accelerator.optimizer_step_was_skipped) and not distributed_zero.is_zero(self),
            batches=self._step_batches,
            extra=extra,
        )
        if self._observer.step_end(self, figures):
            self.control.should_training_stop = True

    def floating_point_ops(self, inputs: dict[str, Any]) -> int:
        """Not counted."""
        return 0

    def measure(self, batch: dict[str, Any]) -> Tally:
        """What one batch, as `batches` makes it, adds to an evaluation; no gradient."""
        inputs = self._prepare_inputs({name: value for name, value in batch.items() if name not in (TOKENS, LEARNT)})
        # Every process may measure: nothing is to be averaged over them here.
        across, self.args.average_tokens_across_devices = self.args.average_tokens_across_devices, False
        try:
            with torch.no_grad(), self.compute_loss_context_manager():
                return self.tally(inputs)
        finally:
            self.args.average_tokens_across_devices = across

    def summed_loss(self, batch: dict[str, Any]) -> float:
        """The loss summed over what a batch is made of (learnt tokens, or pairs), in nats; no gradient."""
        return self.measure(batch)["loss"][0]

    def save_training_state(self, directory: Path, gathered: Gathered | None = None) -> None:
        """Write what an exact resume needs besides the weights: optimiser, schedule, scaler, random states, position."""
        if gathered is not None and gathered.optimizer is not None:
            torch.save(gathered.optimizer, directory / "optimizer.pt")
            torch.save(distributed_zero.whole_schedule(self), directory / "scheduler.pt")
        else:
            self._save_optimizer_and_scheduler(str(directory))
        self._save_scaler(str(directory))
        if gathered is not None and gathered.randomness:
            gathered.write_randomness(directory)
        else:
            self._save_rng_state(str(directory))
        self.state.save_to_json(str(directory / "trainer_state.json"))
        for name, content in self.keepsakes.items():
            (directory / name).write_bytes(content)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        if not pissa.restore(self.model if model is None else model, Path(resume_from_checkpoint)):
            super()._load_from_checkpoint(resume_from_checkpoint, model)

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        zero = distributed_zero.is_zero(self)
        if checkpoint is not None and (zero or is_sharded(self.model)):
            # Whole on the CPU, then each its part: the GPU has no room for all of it.
            optimizer, schedule = (
                torch.load(Path(checkpoint, name), map_location="cpu", weights_only=True)
                for name in ("optimizer.pt", "scheduler.pt")
            )
            if zero:
                distributed_zero.load_state(self, optimizer, schedule)
            else:
                load_optimizer(self.optimizer, optimizer)
                self.lr_scheduler.load_state_dict(schedule)
        else:
            super()._load_optimizer_and_scheduler(checkpoint)
        if checkpoint is not None and self.rate_factor is not None:
            self._follow_own_schedule(self.rate_factor)

    def _follow_own_schedule(self, factor: float) -> None:
        """After another run's optimiser was loaded: its rates times `factor`, along the schedule of this run's settings."""
        scheduler = self.lr_scheduler
        scheduler.base_lrs = [base * factor for base in scheduler.base_lrs]
        shapes = getattr(scheduler, "lr_lambdas", [])
        done = scheduler.last_epoch
        rates = [base * shape(done) for base, shape in zip(scheduler.base_lrs, shapes, strict=False)]
        for group, base, rate in zip(self.optimizer.param_groups, scheduler.base_lrs, rates, strict=False):
            group["initial_lr"], group["lr"] = base, rate
        if rates:
            scheduler._last_lr = rates

    def set_learning_rate(self, rate: float, warmup_steps: int) -> float:
        """Make the next step use `rate` and the schedule fall from there; during warm-up, rise to it.

        The scheduler's own base rates carry the change, so a resumed run keeps it.

        Returns:
            The rate the next step uses.
        """
        scheduler = self.lr_scheduler
        done = scheduler.last_epoch
        factors = [max(factor(done), 0.0) for factor in scheduler.lr_lambdas]
        warming = done < warmup_steps
        wanted = rates_in_proportion(scheduler.base_lrs, rate)
        pairs = [*zip(wanted, factors, strict=True)]
        scheduler.base_lrs = [one if warming or not factor else one / factor for one, factor in pairs]
        rates = [one * factor if warming else one for one, factor in pairs]
        for group, base, now in zip(self.optimizer.param_groups, scheduler.base_lrs, rates, strict=True):
            group["initial_lr"], group["lr"] = base, now
        scheduler._last_lr = rates
        return rates[0]
