"""Weights shared out among the processes (FSDP2): each holds a part of every layer and borrows the rest while it computes.

The sharing out is accelerate's (`fsdp2_prepare_model`), called by us, because its own way of choosing it falls back to DDP on a
CPU without a word; so what is proved on CPUs is what runs on GPUs. Saving and loading go by whole tensors.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import torch

from backprop_tui.engine.worker.distributed import world
from backprop_tui.protocol.errors import RunFailed


def share_out(model: Any, autocast: torch.dtype | None) -> None:
    """Share a model's weights out among all processes, in place, layer by layer. Its optimiser must be made afterwards.

    Args:
        model: as loaded; the same everywhere.
        autocast: format of the matrix products, None for that of the weights.
    """
    from accelerate.utils import FullyShardedDataParallelPlugin
    from accelerate.utils.fsdp_utils import fsdp2_prepare_model
    from torch.distributed.fsdp import MixedPrecisionPolicy

    policy = MixedPrecisionPolicy() if autocast is None else MixedPrecisionPolicy(param_dtype=autocast)
    plugin = FullyShardedDataParallelPlugin(
        fsdp_version=2,
        reshard_after_forward=True,
        auto_wrap_policy="transformer_based_wrap",
        cpu_ram_efficient_loading=False,
        mixed_precision_policy=policy,
    )
    preparing = SimpleNamespace(
        state=SimpleNamespace(fsdp_plugin=plugin),
        mixed_precision="no" if autocast is None else str(autocast),
        is_main_process=world().first,
        torch_device_mesh=None,
        parallelism_config=None,
        device=torch.device("cpu") if not torch.cuda.is_available() else torch.device("cuda", world().local_rank),
    )
    fsdp2_prepare_model(preparing, model)
    if hasattr(model, "generate"):
        torch.distributed.fsdp.register_fsdp_forward_method(model, "generate")
    # Accelerate would wrap it in DDP as well.
    model._is_accelerate_prepared = True


def is_sharded(model: Any) -> bool:
    """Whether a model's weights are shared out."""
    from torch.distributed.fsdp import FSDPModule

    return isinstance(model, FSDPModule)


def check_sharing(model: Any, promised: str) -> None:
    """Compare what was promised with what is in force, read back from the model as the trainer wrapped it.

    Args:
        model: so wrapped.
        promised: `fsdp2`, `zero2`, `ddp`, or "" for a process alone.

    Raises:
        RunFailed: SHARING_NOT_IN_FORCE.
    """
    inner = getattr(model, "module", model)
    found = (
        "fsdp2" if is_sharded(inner) else "ddp" if isinstance(model, torch.nn.parallel.DistributedDataParallel) else ""
    )
    if hasattr(model, "zero_optimization_stage"):
        found = f"zero{model.zero_optimization_stage()}"
    if found != promised:
        words = {"": "each process for itself", "ddp": "by DDP", "fsdp2": "by FSDP2", "zero2": "by DeepSpeed's ZeRO-2"}
        raise RunFailed(
            "SHARING_NOT_IN_FORCE",
            f"The model was to be trained {words[promised]} and the libraries made it {words.get(found, found)}.",
            "Set parallel to ddp, or devices to 1.",
        )


def whole_weights(model: Any) -> dict[str, Any] | None:
    """The state dict with whole tensors on the CPU, of an adapter's model only what is trained; None but on the first."""
    adapted = hasattr(model, "peft_config")
    words = model.state_dict()
    owners = dict(model.named_parameters(remove_duplicate=False))
    gathered: dict[int, torch.Tensor] = {}
    whole = {}
    for name, weights in words.items():
        owner = owners.get(name)
        if adapted and (owner is None or not owner.requires_grad):
            continue
        # Tied weights stay one tensor, or the file would hold them twice.
        tensor = gathered.get(id(owner)) if owner is not None else None
        if tensor is None:
            tensor = _whole(weights)
        if world().first:
            whole[name] = tensor
        if owner is not None:
            gathered[id(owner)] = tensor if world().first else torch.empty(0)
    return whole if world().first else None


def whole_optimizer(optimizer: Any) -> dict[str, Any] | None:
    """An optimiser's state dict with whole tensors on the CPU, as a process alone writes it; None but on the first."""
    words = optimizer.state_dict()
    state = {
        number: {name: _whole(value) if isinstance(value, torch.Tensor) else value for name, value in entry.items()}
        for number, entry in words["state"].items()
    }
    return {**words, "state": state} if world().first else None


def load_optimizer(optimizer: Any, words: dict[str, Any]) -> None:
    """Load a state dict of whole tensors, sharing each out as its parameter is.

    Args:
        optimizer: over shared-out parameters.
        words: as `whole_optimizer` gives it.
    """
    from torch.distributed.tensor import DTensor, distribute_tensor

    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    numbers = [number for group in words["param_groups"] for number in group["params"]]
    state = {}
    for number, parameter in zip(numbers, parameters, strict=True):
        entry = words["state"].get(number)
        if entry is None:
            continue
        shared = {}
        for name, value in entry.items():
            fits = isinstance(value, torch.Tensor) and value.shape == parameter.shape and isinstance(parameter, DTensor)
            if fits:
                value = value.to(parameter.device)
                value = distribute_tensor(value, parameter.device_mesh, parameter.placements)
            shared[name] = value
        state[number] = shared
    optimizer.load_state_dict({**words, "state": state})


def _whole(value: torch.Tensor) -> torch.Tensor:
    tensor = value.detach()
    return (tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor).cpu()
