"""Which device and which number formats a run uses, decided once and told in the plan."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from backprop_tui.engine.worker.distributed import world
from backprop_tui.protocol.errors import UnavailableError
from backprop_tui.protocol.spec import RunSpec


@dataclass(frozen=True, slots=True)
class Precision:
    """Number formats.

    Attributes:
        device: where the model lives.
        weights: format the base is loaded in.
        autocast: format of the matrix products while training, None for that of the weights.
        shared_out: whether each process holds a part of the weights only.
        zero: whether each holds all weights and a part of optimiser and gradients.
    """

    device: torch.device
    weights: torch.dtype
    autocast: torch.dtype | None
    shared_out: bool = False
    zero: bool = False

    @property
    def words(self) -> str:
        """For the plan: `bfloat16`, or `float32, maths in bfloat16`."""
        weights = str(self.weights).removeprefix("torch.")
        if self.autocast is None or self.autocast == self.weights:
            return weights
        return f"{weights}, maths in {str(self.autocast).removeprefix('torch.')}"

    @property
    def device_words(self) -> str:
        """For the plan: the GPU's name, or `cpu`."""
        return str(torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else self.device.type)


def choose_precision(spec: RunSpec) -> Precision:
    """Decide from the spec and what the machine has.

    Trained weights stay in float32 unless a format is asked for by name: Adam's small updates are lost in 16 bits. A
    frozen base needs no such care, so adapters run over a bfloat16 base where the GPU has it.

    Raises:
        UnavailableError: a GPU is asked for and there is none, or the device lacks the format.
    """
    has_gpu = torch.cuda.is_available()
    if spec.model.device == "cuda" and not has_gpu:
        raise UnavailableError(
            "GPU_UNAVAILABLE", "This run asks for a GPU and PyTorch sees none.", "Set device to auto or cpu."
        )
    on_gpu = has_gpu and spec.model.device != "cpu"
    device = torch.device("cuda", world().local_rank) if on_gpu else torch.device("cpu")
    wanted = spec.model.dtype
    if wanted == "float16":
        if not on_gpu:
            raise UnavailableError(
                "DTYPE_UNAVAILABLE", "Training in float16 needs a GPU.", "Set dtype to auto, float32 or bfloat16."
            )
        # Gradients of float16 weights cannot be unscaled, so fully trained weights stay in float32 under autocast.
        return Precision(device, torch.float32 if spec.model.method == "full" else torch.float16, torch.float16)
    if wanted == "bfloat16":
        return Precision(device, torch.bfloat16, torch.bfloat16)
    if wanted == "auto" and on_gpu and torch.cuda.is_bf16_supported(including_emulation=False):
        return Precision(device, torch.float32 if spec.model.method == "full" else torch.bfloat16, torch.bfloat16)
    return Precision(device, torch.float32, None)
