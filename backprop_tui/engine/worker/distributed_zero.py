"""Optimiser and gradients shared out among the processes (DeepSpeed's ZeRO, stage 2), each holding all weights.

DeepSpeed takes over backward, accumulation, clipping and the optimiser's step. Its own checkpoints depend on the number of
processes, so ours hold the optimiser in whole tensors, as a process alone writes it, and are shared out again on the way back.

Source: Rajbhandari et al. 2020, arXiv 1910.02054; `deepspeed.runtime.zero.stage_1_and_2`, which flattens each group of
parameters into one vector, padded at its end, of which every process holds one stretch.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch

from backprop_tui.engine.worker.distributed import world

if TYPE_CHECKING:
    from backprop_tui.engine.worker.precision import Precision
    from backprop_tui.engine.worker.trainer import StepTrainer

STAGE = 2
#: What a schedule keeps for each group of the optimiser.
_BY_GROUP = frozenset({"base_lrs", "_last_lr", "lr_lambdas"})


def zero_arguments(precision: Precision) -> dict[str, Any]:
    """Arguments of transformers' trainer that hand it over to DeepSpeed; none where the run does not use it."""
    if not precision.zero:
        return {}
    if precision.device.type == "cpu":
        _compile_nothing()
    autocast: dict[str, Any] = {"enabled": False}
    if precision.autocast is not None:
        # Gradients are summed up over the processes as they are: no module's are cut to fewer bits for the way.
        dtype = str(precision.autocast).removeprefix("torch.")
        autocast = {"enabled": True, "dtype": dtype, "lower_precision_safe_modules": []}
    config = {
        "train_micro_batch_size_per_gpu": "auto",
        "gradient_accumulation_steps": "auto",
        "gradient_clipping": "auto",
        "zero_optimization": {"stage": STAGE},
        # Weights and their updates stay in float32; only the maths is in fewer bits.
        "torch_autocast": autocast,
        "zero_allow_untested_optimizer": True,
        "zero_force_ds_cpu_optimizer": False,
    }
    return {"deepspeed": config, "bf16": False, "fp16": False}


def _compile_nothing() -> None:
    """Leave what passes between a CPU's processes to gloo.

    DeepSpeed would compile a faster way on first use, for a minute, and when it is killed meanwhile, the lock it leaves in the
    user's cache lets every later run wait without end.
    """
    import deepspeed

    deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False


def is_zero(trainer: StepTrainer) -> bool:
    """Whether DeepSpeed has taken over."""
    return hasattr(trainer.model_wrapped, "zero_optimization_stage")


def own_checkpoints() -> None:
    """Keep transformers from looking for DeepSpeed's own files on resuming: it would refuse ours, which has none."""
    from transformers import trainer

    trainer.deepspeed_load_checkpoint = lambda *_, **__: None


@contextmanager
def without_step(trainer: StepTrainer) -> Iterator[None]:
    """Backward passes in here add to the gradients and take no step, though they would be the last ones of a step.

    Where the optimiser's step is the trainer's own affair, this changes nothing.
    """
    state = trainer.accelerator.gradient_state
    before = state.sync_gradients
    state._set_sync_gradients(False)
    try:
        yield
    finally:
        state._set_sync_gradients(before)


def drop_gradients(trainer: StepTrainer) -> None:
    """Forget every gradient that was made since the last step."""
    zero = _zero(trainer)
    zero.zero_grad(set_to_none=True)
    zero.averaged_gradients.clear()
    zero.all_grad_tensors.clear()
    zero.micro_step_id = -1


def leave_out_empty(optimizer: torch.optim.Optimizer) -> dict[int, dict[str, Any]]:
    """Take away the optimiser's groups of no weights, which DeepSpeed would take away once a schedule counts on them.

    Returns:
        The groups by their places, for `whole_optimizer` and `whole_schedule`: a process alone has them.
    """
    groups = optimizer.param_groups
    empty = {place: group for place, group in enumerate(groups) if not group["params"]}
    groups[:] = [group for group in groups if group["params"]]
    return empty


def whole_optimizer(trainer: StepTrainer) -> dict[str, Any] | None:
    """The optimiser's state dict with whole tensors on the CPU; None but on the first. Every process calls this."""
    zero = _zero(trainer)
    state: dict[int, dict[str, Any]] = {}
    groups: list[dict[str, Any]] = []
    for number, parameters in enumerate(zero.round_robin_bit16_groups):
        first = len(state)
        part = zero.single_partition_of_fp32_groups[number]
        entries: list[dict[str, Any]] = [{} for _ in parameters]
        for name, value in zero.optimizer.state[part].items():
            sizes = [weights.numel() for weights in parameters]
            whole = _gathered(value)[: sum(sizes)].split(sizes) if _is_vector(value, part) else None
            for at, weights in enumerate(parameters):
                # Each its own tensor, also where one count of steps stands for the group: a process alone counts up every one.
                entries[at][name] = _kept(value) if whole is None else whole[at].view(weights.shape).clone()
        state.update({first + at: entry for at, entry in enumerate(entries)})
        words = {name: value for name, value in zero.param_groups[number].items() if name != "params"}
        groups.append({**words, "params": list(range(first, len(state)))})
    for place, group in trainer.left_out.items():
        groups.insert(place, {**groups[0], "weight_decay": group["weight_decay"], "params": []})
    return {"state": state, "param_groups": groups} if world().first else None


def whole_schedule(trainer: StepTrainer) -> dict[str, Any]:
    """The schedule's state dict, with the places of groups that were left out."""
    words: dict[str, Any] = trainer.lr_scheduler.state_dict()
    for name in _BY_GROUP & words.keys():
        entries = words[name] = [*words[name]]
        for place in trainer.left_out:
            entries.insert(place, entries[0])
    return words


def load_state(trainer: StepTrainer, optimizer: dict[str, Any], schedule: dict[str, Any]) -> None:
    """Take state dicts as a process alone writes them: of the optimiser's whole tensors each process takes its stretch.

    Args:
        trainer: whose optimiser DeepSpeed shares out.
        optimizer: as `whole_optimizer` gives it.
        schedule: as `whole_schedule` gives it.
    """
    there = [bool(group["params"]) for group in optimizer["param_groups"]]
    kept = {name: [*itertools.compress(schedule[name], there)] for name in _BY_GROUP & schedule.keys()}
    trainer.lr_scheduler.load_state_dict({**schedule, **kept})
    zero = _zero(trainer)
    for number, group in enumerate(itertools.compress(optimizer["param_groups"], there)):
        part = zero.single_partition_of_fp32_groups[number]
        entries = [optimizer["state"].get(at) for at in group["params"]]
        zero.param_groups[number].update({name: value for name, value in group.items() if name != "params"})
        if not all(entries):
            continue
        begin = world().rank * part.numel()
        state = zero.optimizer.state[part] = {}
        shapes = [weights.shape for weights in zero.round_robin_bit16_groups[number]]
        for name, value in entries[0].items():
            if not isinstance(value, torch.Tensor) or value.shape != shapes[0] or not value.dim():
                # As torch does on loading: where one kernel makes the step, it counts where the weights are.
                counted = isinstance(value, torch.Tensor) and (group.get("fused") or group.get("capturable"))
                state[name] = value.to(part.device) if counted else value
                continue
            flat = torch.cat([entry[name].reshape(-1) for entry in entries])
            flat = torch.nn.functional.pad(flat, (0, world().size * part.numel() - flat.numel()))
            state[name] = flat[begin : begin + part.numel()].to(part.device, part.dtype, copy=True)


def _zero(trainer: StepTrainer) -> Any:
    """DeepSpeed's optimiser, around the one of torch."""
    return trainer.model_wrapped.optimizer


def _is_vector(value: Any, part: torch.Tensor) -> bool:
    return isinstance(value, torch.Tensor) and value.dim() == 1 and value.numel() == part.numel()


def _kept(value: Any) -> Any:
    return value.detach().cpu().clone() if isinstance(value, torch.Tensor) else value


def _gathered(part: torch.Tensor) -> torch.Tensor:
    """Everybody's stretches one after the other, on the CPU."""
    parts = [torch.empty_like(part) for _ in range(world().size)]
    torch.distributed.all_gather(parts, part.contiguous())
    return torch.cat(parts).cpu()
