"""Beginning a run with weights that another run trained: a fork's adapter, or its whole model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from peft import LoraConfig, PeftConfig, set_peft_model_state_dict
from safetensors.torch import load_file

from backprop_tui.engine.worker.methods import pissa
from backprop_tui.protocol.errors import DataError
from backprop_tui.protocol.text import safe_text

_ADAPTER = "adapter_model.safetensors"
#: What decides the meaning of an adapter's numbers, beside their shapes.
_SHAPE = ("r", "lora_alpha", "use_dora", "use_rslora", "rank_pattern", "alpha_pattern")


def has_adapter(origin: Path) -> bool:
    """Whether a checkpoint holds an adapter; otherwise it is a whole model."""
    return (origin / _ADAPTER).is_file()


def load_adapter(model: Any, origin: Path) -> None:
    """Put the trained numbers of a checkpoint's adapter into a freshly wrapped model.

    Args:
        model: a `PeftModel` whose base is that of the checkpoint; a PiSSA one began as the checkpoint says (`pissa.begin`).
        origin: the checkpoint, verified.

    Raises:
        DataError: ADAPTER_DIFFERS, it is of another shape or kind.
    """
    if pissa.restore(model, origin):
        return
    if not hasattr(model, "peft_config"):
        raise _differs("it belongs to an adapter method, and this run trains all weights")
    theirs, ours = PeftConfig.from_pretrained(str(origin)), model.peft_config["default"]
    if type(theirs) is not type(ours):
        raise _differs(f"it is a {type(theirs).__name__}, and this run makes a {type(ours).__name__}")
    if isinstance(theirs, LoraConfig):
        for name in _SHAPE:
            before, now = getattr(theirs, name), getattr(ours, name)
            if before != now:
                raise _differs(f"its {name} is {safe_text(before)}, and this run's is {safe_text(now)}")
    try:
        loaded = set_peft_model_state_dict(model, load_file(origin / _ADAPTER))
    except RuntimeError as error:
        raise _differs(safe_text(error, limit=200)) from error
    if odd := [*loaded.unexpected_keys, *(name for name in loaded.missing_keys if "lora_" in name)]:
        raise _differs(f"{len(odd):,} of its layers do not fit, such as {safe_text(odd[0], limit=80)}")


def _differs(why: str) -> DataError:
    return DataError(
        "ADAPTER_DIFFERS",
        f"The adapter this run should begin with does not fit: {why}.",
        "Fork with the settings the parent had; what must stay is in docs/handbook/checkpoints.md.",
    )
