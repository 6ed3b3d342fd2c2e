"""Learning rate and rank for a model and a set of rows, each with its reason and where that comes from. Pure arithmetic.

Sources, as they are named in the reasons:

- Tinker's rate: tinker-cookbook, `hyperparam_utils.py`: 5e-5 · 10 · (2000 / width)^p, p fitted per family.
- Tinker's rule of size: the LoRA primer of Tinker: an adapter keeps up with full fine-tuning while its weights are at least as
  many as the tokens it learns.
- LoRA Without Regret: Thinking Machines, 2025: an adapter wants about ten times the rate of full fine-tuning (fifteen for very
  short runs), nearly whatever its rank, with alpha 32 and scaling by 1 / rank.
- Learning Rate Matters: arXiv 2602.04998: variants differ little once the rate is tuned; PiSSA wants a lower one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from backprop_tui.protocol.spec import RunSpec

#: Used for adapters while the model's width is unknown.
FALLBACK_RATE = 2e-4
#: Full fine-tuning moves every weight and wants about a tenth of an adapter's rate.
FULL_RATE = 2e-5
#: What `quality` chooses among, and the most for models below `_SMALL` parameters.
RANKS = (64, 128, 256)
_SMALL, _SMALL_CAP = 3_000_000_000, 128
_RATE_RANGE = (2e-4, 5e-4)
_WIDTH_POWER = {"qwen": 0.0775, "llama": 0.781}
#: Steps below which a run is very short.
_SHORT = 100
#: The rank vLLM serves without being told otherwise.
VLLM_RANK = 16
#: A rate this many times the advised one, or a part this small, is worth a word.
_FAR = 3.0


@dataclass(frozen=True, slots=True)
class Sizes:
    """What advice goes by; None is unknown.

    Attributes:
        width: of the hidden state. family: `model_type`, such as `qwen2`. parameters: weights of the model.
        per_rank: adapter weights for each unit of rank. learnt: tokens whose loss counts, in one pass over the rows.
        steps: optimiser steps of the run.
    """

    width: int | None = None
    family: str | None = None
    parameters: int | None = None
    per_rank: int | None = None
    learnt: int | None = None
    steps: int | None = None


@dataclass(frozen=True, slots=True)
class Advice:
    """One piece of advice.

    Attributes:
        key: the setting. value: what is advised. words: why, with the source, as one sentence without its stop.
    """

    key: str
    value: float
    words: str


def advised_learning_rate(hidden: int | None, family: str | None = None) -> float:
    """Learning rate for an adapter on a model of this hidden size, two digits, within 2e-4 … 5e-4.

    5e-5 · 10 · (2000 / hidden)^p with p fitted per family (tinker-cookbook, `hyperparam_utils.py`); families it was not
    fitted for take the gentler Llama slope. 2e-4 when the hidden size is unknown.
    """
    if not hidden or hidden < 1:
        return FALLBACK_RATE
    power = next((p for key, p in _WIDTH_POWER.items() if key in (family or "").lower()), _WIDTH_POWER["llama"])
    rate = 5e-5 * 10 * (2000 / hidden) ** power
    return float(f"{min(max(rate, _RATE_RANGE[0]), _RATE_RANGE[1]):.1e}")


def rate_advice(method: str, sizes: Sizes) -> Advice:
    """The learning rate for imitation with a method."""
    if method == "full":
        return Advice(
            "learning_rate", FULL_RATE, f"{_rate(FULL_RATE)} suits training all weights, a tenth of an adapter's rate "
            "(LoRA Without Regret)"
        )  # fmt: skip
    rate = advised_learning_rate(sizes.width, sizes.family)
    if not sizes.width:
        return Advice("learning_rate", rate, f"{_rate(rate)} is usual for adapters; the model's width is not known yet")
    words = f"{_rate(rate)} suits an adapter on a model {sizes.width:,} wide (Tinker's rate, kept within 2e-4 to 5e-4)"
    if sizes.steps is not None and sizes.steps < _SHORT:
        words += f"; {sizes.steps:,} steps are few and bear up to half more (LoRA Without Regret)"
    return Advice("learning_rate", rate, words)


def rank_advice(sizes: Sizes, ranks: Sequence[int] = RANKS) -> Advice:
    """The smallest of some ranks whose adapter has as many weights as there are tokens to learn; at most 128 below 3 B."""
    small = sizes.parameters is not None and sizes.parameters < _SMALL
    offered = [rank for rank in ranks if not small or rank <= _SMALL_CAP] or [min(ranks)]
    if not sizes.per_rank or sizes.learnt is None:
        missing = "the tokens to learn" if sizes.per_rank else "the model's layers"
        return Advice("rank", offered[0], f"{offered[0]} to begin with: {missing} are not known yet")
    enough = [rank for rank in offered if rank * sizes.per_rank >= sizes.learnt]
    rank = enough[0] if enough else offered[-1]
    held = f"{_short(rank * sizes.per_rank)} adapter weights"
    tokens = f"{_short(sizes.learnt)} tokens to learn"
    if enough:
        return Advice("rank", rank, f"{rank} has {held} for {tokens} (Tinker's rule of size)")
    cap = " below 3 B parameters" if small else ""
    return Advice(
        "rank", rank, f"{rank}, the most offered{cap}, has {held} for {tokens}: training all weights would learn more "
        "(Tinker's rule of size)"
    )  # fmt: skip


def advise(spec: RunSpec, sizes: Sizes) -> list[Advice]:
    """What can be said of a spec's rate and rank; nothing of settings that have no effect there."""
    found = []
    if spec.task.objective == "sft":
        found.append(rate_advice(spec.model.method, sizes))
    if spec.model.method != "full":
        found.append(_rank_of(spec, sizes))
    return found


def cautions(spec: RunSpec, sizes: Sizes) -> list[str]:
    """Sentences about choices that are likely to surprise; empty when there are none."""
    said = []
    adapter = spec.model.method != "full"
    if spec.task.objective == "sft":
        advised, rate = rate_advice(spec.model.method, sizes).value, spec.optim.learning_rate
        if rate > advised * _FAR:
            said.append(f"A learning rate of {_rate(rate)} is {rate / advised:.0f} times the advised {_rate(advised)}.")
        elif rate < advised / _FAR:
            said.append(f"A learning rate of {_rate(rate)} is far below the advised {_rate(advised)}.")
    pissa = adapter and spec.lora.adapter_start == "pissa" and spec.model.method == "lora" and not spec.lora.dora
    served = spec.lora.rank * (2 if pissa else 1)
    if adapter and served > VLLM_RANK:
        said.append(f"vLLM serves an adapter of rank {served} only when started with --max-lora-rank {served} or more.")
    if pissa:
        said.append(
            "PiSSA wants a lower learning rate (Learning Rate Matters); its checkpoints are adapters of twice the rank."
        )
    if adapter and spec.lora.rslora and spec.lora.alpha > spec.lora.rank**0.5 * 2:
        scaling = spec.lora.alpha / spec.lora.rank**0.5
        said.append(f"rsLoRA scales this adapter by {scaling:.1f}; a lower alpha or learning rate may be needed.")
    return said


def _rank_of(spec: RunSpec, sizes: Sizes) -> Advice:
    """Of the rank as it is: whether the adapter is large enough for the rows."""
    rank = spec.lora.rank
    if not sizes.per_rank or sizes.learnt is None:
        return rank_advice(sizes)
    weights = rank * sizes.per_rank
    if weights >= sizes.learnt:
        return Advice(
            "rank", rank, f"{rank} has {_short(weights)} adapter weights for {_short(sizes.learnt)} tokens to learn, enough "
            "to keep up with training all weights (Tinker's rule of size)"
        )  # fmt: skip
    return rank_advice(sizes, sorted({*RANKS, rank}))


def _rate(value: float) -> str:
    """`4.8e-4`."""
    mantissa, exponent = f"{value:.1e}".split("e")
    return f"{mantissa}e{int(exponent)}"


def _short(count: float) -> str:
    """`1,200`, `18 k`, `2.4 M`."""
    for size, unit in ((1e9, "B"), (1e6, "M"), (1e4, "k")):
        if count >= size:
            scaled = count / (1e3 if unit == "k" else size)
            return f"{scaled:.1f} {unit}" if scaled < 10 else f"{scaled:.0f} {unit}"
    return f"{count:,.0f}"
