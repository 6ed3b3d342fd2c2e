"""From the spec to a tokenizer and a model ready to train. Only safetensors, never the model's own code."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer

from backprop_tui.engine.worker.attention import attention_of, check_attention
from backprop_tui.engine.worker.methods import Method
from backprop_tui.engine.worker.movement import check_recomputation
from backprop_tui.engine.worker.objectives import find_objective
from backprop_tui.engine.worker.precision import Precision
from backprop_tui.protocol.errors import BackpropError, DataError
from backprop_tui.protocol.spec import RunSpec
from backprop_tui.protocol.text import safe_text

#: Weights of the score on top of a model, by the names transformers has for it.
_SCORES = ("score.weight", "score.bias", "classifier.weight", "classifier.bias")
#: Parameters below which a second core slows a model down.
_SMALL = 5_000_000


@dataclass(frozen=True, slots=True)
class Loaded:
    """A model ready to train; `parameters` counts all weights, `trainable` those that move."""

    model: Any
    tokenizer: Any
    parameters: int
    trainable: int


def load_tokenizer(directory: Path) -> Any:
    """The model's tokenizer, with a padding token.

    Raises:
        DataError: it can't be read.
    """
    try:
        tokenizer = AutoTokenizer.from_pretrained(directory, trust_remote_code=False)
    except Exception as error:
        raise DataError(
            "MODEL_NO_TOKENIZER",
            f"The tokenizer in {directory} can't be read: {safe_text(error, limit=200)}",
            "Choose a model directory with tokenizer.json.",
        ) from error
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


@contextlib.contextmanager
def _no_report(wanted: bool) -> Iterator[None]:
    """Keep transformers from warning of weights that are new by intent; those that are missing are looked at here."""
    teller = logging.getLogger("transformers.modeling_utils")
    level = teller.level
    if wanted:
        teller.setLevel(logging.ERROR)
    try:
        yield
    finally:
        teller.setLevel(level)


def load_model(spec: RunSpec, directory: Path, method: Method, precision: Precision) -> Any:
    """The base in its number format, on its device.

    Raises:
        DataError: the weights or the configuration can't be used, or weights are missing (transformers would make them up).
        UnavailableError: the model can't attend as it is asked to, or there is no GPU to take activations from.
    """
    check_recomputation(spec, precision)
    options: dict[str, Any] = {"dtype": precision.weights, "attn_implementation": attention_of(spec)}
    if precision.device.type == "cuda" and not precision.shared_out:
        options["device_map"] = {"": str(precision.device)}
    options |= method.weights_options(spec, precision)
    scoring = find_objective(spec.task.objective).head == "score"
    if scoring:
        # The score's weights are not among the base's, and their first values are random.
        torch.manual_seed(spec.optim.seed)
        options |= {"id2label": {0: "score"}, "label2id": {"score": 0}}
    try:
        with _no_report(scoring):
            model, info = (AutoModelForSequenceClassification if scoring else AutoModelForCausalLM).from_pretrained(
                directory,
                trust_remote_code=False,
                use_safetensors=True,
                local_files_only=True,
                output_loading_info=True,
                **options,
            )
    except (torch.OutOfMemoryError, MemoryError, BackpropError):
        raise
    except Exception as error:
        raise DataError(
            "MODEL_LOAD_FAILED",
            f"The model in {directory} can't be loaded: {safe_text(error, limit=300)}",
            "Check that it is a causal language model with safetensors weights; worker.log has the details.",
        ) from error
    if missing := sorted(name for name in info["missing_keys"] if not (scoring and name in _SCORES)):
        raise DataError(
            "MODEL_LOAD_FAILED",
            f"The model in {safe_text(directory)} lacks {len(missing):,} of its weights, such as "
            f"{safe_text(missing[0], limit=80)}.",
            "Get a complete copy of the model.",
        )
    check_attention(model, spec)
    return model


def adapt_model(
    model: Any, tokenizer: Any, spec: RunSpec, method: Method, source: str, checkpoint: Path | None = None
) -> Loaded:
    """Make the loaded base trainable and count its weights; `checkpoint` is what the run goes on from.

    Raises:
        UsageError: the adapter does not fit the model.
    """
    # The adapter's first values are random; the same seed must give the same run.
    if find_objective(spec.task.objective).head == "score":
        # A score stands at a row's last token, and what is no padding is told by the model's own configuration.
        model.config.get_text_config().pad_token_id = tokenizer.pad_token_id
    torch.manual_seed(spec.optim.seed)
    adapted = method.adapt(model, spec, source, checkpoint)
    if hasattr(adapted, "get_nb_trainable_parameters"):
        trainable, parameters = adapted.get_nb_trainable_parameters()
    else:
        parameters = sum(weights.numel() for weights in adapted.parameters())
        trainable = sum(weights.numel() for weights in adapted.parameters() if weights.requires_grad)
    return Loaded(adapted, tokenizer, int(parameters), int(trainable))


def declared_stops(model: Any) -> set[int]:
    """Token ids that end a generation by the model's own configuration."""
    config = getattr(model, "generation_config", None)
    declared = config.eos_token_id if config is not None else None
    several = declared if isinstance(declared, list) else [declared]
    return {token for token in several if token is not None}


def use_threads(precision: Precision, parameters: int) -> None:
    """On a CPU, run a small model on one core: its operations are shorter than handing them out takes.

    OMP_NUM_THREADS, where set, is obeyed instead; torch reads it by itself.
    """
    if precision.device.type == "cpu" and parameters < _SMALL and "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(1)
