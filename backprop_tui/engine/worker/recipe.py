"""What a trainer is made of, and making one: the settings of a run as arguments of transformers' and TRL's trainers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from backprop_tui.engine.worker.distributed_zero import zero_arguments
from backprop_tui.engine.worker.loading import Loaded
from backprop_tui.engine.worker.movement import movement_options
from backprop_tui.engine.worker.objectives import find_objective
from backprop_tui.engine.worker.precision import Precision
from backprop_tui.engine.worker.rows import Sequences
from backprop_tui.engine.worker.schedule import Schedule
from backprop_tui.engine.worker.trainer import Observer, StepTrainer
from backprop_tui.protocol.spec import RunSpec


@dataclass(frozen=True, slots=True)
class Recipe:
    """What a trainer is made of.

    Args:
        spec: what is learnt, and how the weights move.
        loaded: model and tokenizer.
        sequences: what is drawn from.
        schedule: the run's length and warm-up.
        precision: device and number formats.
        batch_size: sequences per micro-batch.
        output: a directory the trainer may call its own; it writes nothing there.
        observer: told about every step.
    """

    spec: RunSpec
    loaded: Loaded
    sequences: Sequences
    schedule: Schedule
    precision: Precision
    batch_size: int
    output: Path
    observer: Observer

    def options(self, arguments: type[Any], **own: Any) -> dict[str, Any]:
        """Keyword arguments of a `StepTrainer`.

        Args:
            arguments: the trainer's own kind of `TrainingArguments`.
            **own: what it takes beyond those of transformers.
        """
        spec, mixed = self.spec, self.precision.autocast
        return {
            "observer": self.observer,
            "sequences": self.sequences,
            "in_order": spec.data.order != "shuffled",
            "lora_plus": spec.lora.lora_plus if spec.model.method != "full" else 1.0,
            "model": self.loaded.model,
            "processing_class": self.loaded.tokenizer,
            "args": arguments(
                output_dir=str(self.output),
                per_device_train_batch_size=self.batch_size,
                gradient_accumulation_steps=spec.optim.accumulation,
                **movement_options(spec, self.schedule, arguments),
                **{"bf16": mixed is torch.bfloat16, "fp16": mixed is torch.float16, **zero_arguments(self.precision)},
                use_cpu=self.precision.device.type == "cpu",
                seed=spec.optim.seed,
                data_seed=spec.optim.seed,
                remove_unused_columns=False,
                logging_steps=1,
                logging_nan_inf_filter=False,
                save_strategy="no",
                eval_strategy="no",
                report_to="none",
                disable_tqdm=True,
                ddp_find_unused_parameters=False,
                ddp_broadcast_buffers=False,
                dataloader_num_workers=0,
                dataloader_pin_memory=self.precision.device.type == "cuda",
                **own,
            ),
        }


def make_trainer(
    spec: RunSpec,
    loaded: Loaded,
    sequences: Sequences,
    schedule: Schedule,
    precision: Precision,
    batch_size: int,
    output: Path,
    observer: Observer,
) -> StepTrainer:
    """The trainer of a run, ready for `train()`; arguments as in `Recipe`. A process may make several, one after the other."""
    recipe = Recipe(spec, loaded, sequences, schedule, precision, batch_size, output, observer)
    cached = loaded.model.config.use_cache
    trainer = find_objective(spec.task.objective).trainer(recipe)
    trainer.precision = precision
    # Training passes use_cache=False with each batch; in the configuration it would be saved with the model.
    loaded.model.config.use_cache = cached
    # TRL turns the adapters of a quantised base into bfloat16, where Adam's small updates are lost.
    for weights in trainer.model.parameters():
        if weights.requires_grad and spec.model.method != "full":
            weights.data = weights.data.float()
    return trainer
