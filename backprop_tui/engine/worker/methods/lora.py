"""LoRA: the base stays frozen, low-rank adapters beside its linear layers are trained (Hu et al. 2021, arXiv 2106.09685)."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model

from backprop_tui.engine.worker.methods import pissa
from backprop_tui.engine.worker.precision import Precision
from backprop_tui.protocol.errors import UsageError
from backprop_tui.protocol.spec import RunSpec


class Lora:
    """Adapters over a base in its own number format; the adapters themselves are float32."""

    def weights_options(self, spec: RunSpec, precision: Precision) -> dict[str, Any]:
        """Nothing beyond the common options."""
        return {}

    def adapt(self, model: Any, spec: RunSpec, source: str, checkpoint: Path | None = None) -> Any:
        """Wrap the model in PEFT.

        Raises:
            UsageError: a target layer the model does not have, or a rank PiSSA can't start from.
        """
        config = LoraConfig(
            r=spec.lora.rank,
            lora_alpha=spec.lora.alpha,
            lora_dropout=spec.lora.dropout,
            target_modules=target_layers(model, spec.lora.targets),
            use_dora=spec.lora.dora,
            use_rslora=spec.lora.rslora,
            bias="none",
            # PEFT keeps the score of a model that judges whole rows beside the adapter, trained in full.
            task_type="SEQ_CLS" if spec.task.objective == "reward" else "CAUSAL_LM",
        )
        adapted = get_peft_model(model, config)
        # After wrapping, since PEFT fills it in from the model: others should find the base where the person named it.
        adapted.peft_config["default"].base_model_name_or_path = source
        adapted.peft_config["default"].revision = spec.model.revision
        if pissa.wanted(spec):
            pissa.begin(adapted, checkpoint)
        return adapted


def target_layers(model: Any, targets: str) -> str | list[str]:
    """What PEFT takes as target modules: `all-linear`, or the checked list of names.

    Raises:
        UsageError: a name that is no linear layer of the model; the nearest is named.
    """
    wanted = [name.strip() for name in targets.split(",") if name.strip()]
    if not wanted or wanted == ["all-linear"]:
        return "all-linear"
    head = model.get_output_embeddings()
    known = {
        name.rsplit(".", 1)[-1]
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear) and module is not head
    }
    for name in wanted:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"Did you mean `{near[0]}`? " if near else ""
            raise UsageError(
                "TARGET_LAYER_UNKNOWN",
                f"The model has no linear layer called {name!r} to adapt.",
                f"{hint}Choose among {', '.join(sorted(known))}, or all-linear.",
            )
    return wanted


METHOD = Lora()
