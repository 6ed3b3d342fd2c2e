"""The adapter inside a model: reading its tensors, and putting others in their place."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from backprop_tui.engine.worker.multi.strategies import Adapter
from backprop_tui.protocol.errors import DataError, UsageError


def adapter_of(model: Any) -> Adapter:
    """Copies of everything trained, by parameter name; float32 on the CPU.

    Raises:
        UsageError: MULTI_NO_ADAPTER, the model has no low-rank adapter.
    """
    found = {
        name: weights.detach().to("cpu", torch.float32, copy=True)
        for name, weights in model.named_parameters()
        if weights.requires_grad
    }
    if not any(".lora_A." in name for name in found):
        raise UsageError(
            "MULTI_NO_ADAPTER", "A multi-run merges adapters, and this model has none.", "Choose method lora or qlora."
        )
    return found


def put_adapter(model: Any, adapter: Adapter) -> None:
    """Overwrite the trained weights with these; shapes, devices and number formats stay the model's."""
    with torch.no_grad():
        for name, weights in model.named_parameters():
            if weights.requires_grad:
                weights.copy_(adapter[name])


@contextlib.contextmanager
def wearing(model: Any, adapter: Adapter) -> Iterator[None]:
    """The model with another adapter, and with its own again afterwards."""
    own = adapter_of(model)
    put_adapter(model, adapter)
    try:
        yield
    finally:
        put_adapter(model, own)


def read_adapter(model: Any, directory: Path) -> None:
    """Put the adapter that `save_pretrained` wrote into the model.

    Raises:
        DataError: CHECKPOINT_INVALID, it is missing or of another shape.
    """
    from peft import load_peft_weights, set_peft_model_state_dict

    try:
        set_peft_model_state_dict(model, load_peft_weights(str(directory), device="cpu"))
    except (OSError, RuntimeError, ValueError, KeyError) as error:
        raise DataError(
            "CHECKPOINT_INVALID", f"The adapter in {directory} can't be read.", "Resume from an earlier checkpoint."
        ) from error
