"""QLoRA: LoRA over a base held in 4 bits (Dettmers et al. 2023, arXiv 2305.14314) or in 8 (2022, arXiv 2208.07339)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import BitsAndBytesConfig

from backprop_tui.engine.worker.methods.lora import Lora
from backprop_tui.engine.worker.precision import Precision
from backprop_tui.protocol.spec import RunSpec


class QLora(Lora):
    """NormalFloat-4 weights with doubly quantised scales, or 8-bit integers; products run in the base's number format."""

    def weights_options(self, spec: RunSpec, precision: Precision) -> dict[str, Any]:
        """The quantisation, done while loading, straight onto the device."""
        if spec.model.quantization == "int8":
            how = BitsAndBytesConfig(load_in_8bit=True)
        else:
            how = BitsAndBytesConfig(
                load_in_4bit=True,
                bnb_4bit_quant_type="nf4",
                bnb_4bit_use_double_quant=True,
                bnb_4bit_compute_dtype=precision.autocast or precision.weights,
                bnb_4bit_quant_storage=torch.uint8,
            )
        return {"quantization_config": how, "device_map": {"": str(precision.device)}}

    def adapt(self, model: Any, spec: RunSpec, source: str, checkpoint: Path | None = None) -> Any:
        """Wrap the quantised model in PEFT.

        Raises:
            UsageError: a target layer the model does not have.
        """
        # On CPUs with AVX512-BF16, bitsandbytes repacks the weights for inference at the first evaluation, for good, and
        # its kernel for that layout has no gradient: training would go on with gradients cut off, in silence.
        for module in model.modules():
            if hasattr(module, "support_avx512bf16_for_cpu"):
                module.support_avx512bf16_for_cpu = False
        return super().adapt(model, spec, source, checkpoint)


METHOD = QLora()
