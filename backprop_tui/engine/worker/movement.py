"""How the weights move, in the words of transformers and TRL: optimiser, schedule, recomputation, noise, LoRA+.

What a spec calls by a person's name is translated here and nowhere else, for every trainer.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import torch

from backprop_tui.engine.worker.precision import Precision
from backprop_tui.engine.worker.schedule import Schedule
from backprop_tui.protocol.errors import UnavailableError
from backprop_tui.protocol.spec import OptimPart, RunSpec

#: The fused kernel is the same AdamW in one call per step instead of several per tensor.
_OPTIMIZERS = {"adamw_torch": "adamw_torch_fused"}
#: Every which layer is recomputed in the backward pass.
_EVERY = {"full": 1, "offload": 1, "every-2nd": 2, "every-4th": 4}
#: Adapter matrices that LoRA+ moves faster (Hayou et al. 2024, arXiv 2402.12354, section 4).
_FAST = ".lora_B."


def movement_options(spec: RunSpec, schedule: Schedule, arguments: type[Any]) -> dict[str, Any]:
    """Keyword arguments of a `TrainingArguments` class.

    Args:
        spec: how the weights move.
        schedule: the run's length and warm-up.
        arguments: the class, for the names its version has.
    """
    optim = spec.optim
    return {
        "max_steps": schedule.total_steps,
        "learning_rate": optim.learning_rate,
        "warmup_steps": schedule.warmup_steps,
        "weight_decay": optim.weight_decay,
        "max_grad_norm": optim.max_grad_norm,
        "optim": _OPTIMIZERS.get(optim.optimizer, optim.optimizer),
        "adam_beta1": optim.beta1,
        "adam_beta2": optim.beta2,
        "adam_epsilon": optim.epsilon,
        "neftune_noise_alpha": optim.neftune or None,
        **_schedule(optim, schedule),
        **_recomputation(optim.gradient_checkpointing, arguments),
    }


def _schedule(optim: OptimPart, schedule: Schedule) -> dict[str, Any]:
    """Type and arguments of the learning rate's schedule."""
    floor, name, options = optim.min_lr_ratio, "constant_with_warmup", {}
    if optim.schedule == "cosine":
        name, options = "cosine_with_min_lr", {"min_lr_rate": floor}
    elif optim.schedule == "linear":
        name = "linear"
    elif optim.schedule == "cosine_restarts":
        name, options = "cosine_with_restarts", {"num_cycles": optim.restarts}
    elif optim.schedule == "inverse_sqrt":
        name = "inverse_sqrt"
    elif optim.schedule == "wsd":
        # transformers lets the warm-up of this one rise from the floor instead of from zero.
        falling = min(math.ceil(optim.decay_share * schedule.total_steps), schedule.total_steps - schedule.warmup_steps)
        name, options = "warmup_stable_decay", {"num_decay_steps": max(1, falling), "min_lr_ratio": floor}
    elif optim.schedule == "polynomial" and floor < 1.0:
        name = "polynomial"
        options = {"lr_end": optim.learning_rate * floor, "power": optim.lr_power}
    return {"lr_scheduler_type": name, "lr_scheduler_kwargs": options or None}


def _recomputation(level: str, arguments: type[Any]) -> dict[str, Any]:
    """Gradient checkpointing under the name the installed transformers has for it (5.23 renamed it)."""
    known = {field.name for field in dataclasses.fields(arguments)}
    name = "activation_checkpointing" if "activation_checkpointing" in known else "gradient_checkpointing"
    if level == "off":
        return {name: False, f"{name}_kwargs": None}
    options: dict[str, Any] = {"use_reentrant": False}
    if (every := _EVERY[level]) > 1:
        options["every_n_layers"] = every
    if level == "offload":
        options["offload"] = True
    return {name: True, f"{name}_kwargs": options}


def check_recomputation(spec: RunSpec, precision: Precision) -> None:
    """Refuse to move activations to the host where they are there already.

    Raises:
        UnavailableError: OFFLOAD_NEEDS_GPU.
    """
    if spec.optim.gradient_checkpointing == "offload" and precision.device.type != "cuda":
        raise UnavailableError(
            "OFFLOAD_NEEDS_GPU",
            "gradient_checkpointing=offload moves activations from the GPU to the host, and PyTorch sees no GPU.",
            "Set gradient_checkpointing to full.",
        )


def apply_lora_plus(optimizer: torch.optim.Optimizer, model: torch.nn.Module, ratio: float) -> None:
    """Give the B matrices of the adapters a learning rate `ratio` times that of everything else.

    Each group of the optimiser is split in two of equal options, the slower first: the first group's rate is the one
    that is shown. Groups stay in the same order, so that the state of a checkpoint fits again.

    Args:
        optimizer: as created, before its first step and before a schedule is made for it.
        model: whose names tell which weights are which.
        ratio: at least 1; 1 changes nothing.
    """
    if ratio == 1.0:
        return
    fast = {id(weights) for name, weights in model.named_parameters() if _FAST in name}
    slow_groups, fast_groups = [], []
    for group in optimizer.param_groups:
        slow = [weights for weights in group["params"] if id(weights) not in fast]
        quick = [weights for weights in group["params"] if id(weights) in fast]
        slow_groups.append({**group, "params": slow})
        if quick:
            fast_groups.append({**group, "params": quick, "lr": group["lr"] * ratio})
    optimizer.param_groups[:] = slow_groups + fast_groups


def rates_in_proportion(base_rates: list[float], rate: float) -> list[float]:
    """New rates of an optimiser's groups: the first is `rate`, the others keep their ratio to it."""
    first = base_rates[0]
    return [rate * (base / first) if first else rate for base in base_rates]
