"""From settings to what peak memory depends on: formats, what is trained, and the largest micro-batch. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from backprop_tui.launch.plan.decoder import Adaptation, Batch, Numbers
from backprop_tui.launch.plan.memory import Setup
from backprop_tui.launch.plan.shape import ModelShape
from backprop_tui.protocol.parts.task import ROWS_OF

if TYPE_CHECKING:
    from backprop_tui.protocol.spec import RunSpec

#: Bytes of optimiser state per trained weight: moments in float32, 8 or 4 bits. Others count as AdamW's.
STATE_BYTES: dict[str, float] = {
    "adamw_torch": 8.0, "adamw_bnb_8bit": 2.0, "paged_adamw_8bit": 2.0, "paged_adamw_32bit": 8.0, "adafactor": 0.1,
    "sgd": 0.0, "adagrad": 4.0, "rmsprop": 4.0, "lion_32bit": 4.0, "lion_8bit": 1.0, "paged_lion_32bit": 4.0,
    "paged_lion_8bit": 1.0, "ademamix": 12.0, "ademamix_8bit": 3.0, "paged_ademamix_32bit": 12.0,
    "paged_ademamix_8bit": 3.0, "adamw_torch_8bit": 2.0, "adamw_torch_4bit": 1.0, "stable_adamw": 8.0,
}  # fmt: skip
#: Layers per recomputed one, by level; 0 recomputes none.
_EVERY = {"off": 0, "full": 1, "every-2nd": 2, "every-4th": 4, "offload": 1}


def numbers_of(spec: RunSpec, *, gpu: bool, bfloat16: bool = True) -> Numbers:
    """The number formats the worker chooses for these settings.

    Args:
        spec: the settings.
        gpu: whether the run is on a GPU.
        bfloat16: whether that GPU has it.
    """
    wanted, full = spec.model.dtype, spec.model.method == "full"
    if wanted == "float16":
        return Numbers(4 if full else 2, 2)
    if wanted == "bfloat16":
        return Numbers(2, 2)
    if wanted == "auto" and gpu and bfloat16:
        return Numbers(4 if full else 2, 2)
    return Numbers(4, None)


def adaptation_of(spec: RunSpec, shape: ModelShape) -> Adaptation:
    """What is trained."""
    if spec.model.method == "full":
        return Adaptation(everything=True)
    targets = spec.lora.targets.strip()
    names = set(shape.sizes)
    wanted = names if targets in ("", "all-linear") else {name.strip() for name in targets.split(",")} & names
    bits = None
    if spec.model.method == "qlora":
        bits = 8 if getattr(spec.model, "quantization", "nf4") == "int8" else 4
    return Adaptation(False, dict.fromkeys(sorted(wanted), spec.lora.rank), spec.lora.dropout > 0, bits, spec.lora.dora)


def largest_batch(spec: RunSpec, lengths: Sequence[int], learnt: Sequence[int], *, batch_size: int) -> Batch:
    """The micro-batch that takes most memory: the longest rows together, as the probe draws them.

    Args:
        spec: the settings.
        lengths: tokens of rows; without any, rows of `max_length` are assumed.
        learnt: learnt tokens of the same rows.
        batch_size: rows per micro-batch.
    """
    longest_allowed = spec.data.max_length
    if not lengths:
        return Batch(batch_size, longest_allowed, batch_size * longest_allowed)
    order = sorted(range(len(lengths)), key=lambda place: -lengths[place])
    if spec.data.packing:
        return _largest_pack(spec, lengths, learnt, batch_size)
    top = order[:batch_size]
    sizes = [lengths[place] for place in top]
    # Rows as long as the longest may be drawn with shorter ones, and padding brings a mask.
    masked = len(top) > 1 and min(lengths) < max(sizes)
    return Batch(len(top), max(sizes), sum(learnt[place] for place in top), masked, len(top))


def _largest_pack(spec: RunSpec, lengths: Sequence[int], learnt: Sequence[int], most_rows: int) -> Batch:
    from backprop_tui.data.looking.packing import pack_rows

    packs = pack_rows(lengths, spec.data.max_length, most_rows, spec.optim.seed, in_order=spec.data.order != "shuffled")
    fullest = max(packs, key=lambda pack: sum(lengths[row] for row in pack))
    longest = sum(lengths[row] for row in fullest)
    return Batch(1, longest, sum(learnt[row] for row in fullest), masked=True)


def state_bytes(spec: RunSpec, numbers: Numbers) -> float:
    """Bytes of optimiser state per trained weight; PyTorch's own optimisers keep it in the weights' format."""
    size = STATE_BYTES.get(spec.optim.optimizer, 8.0)
    own = spec.optim.optimizer in ("adamw_torch", "adagrad", "rmsprop")
    return size * numbers.weights / 4 if own and spec.model.method == "full" else size


def in_pairs(batch: Batch) -> Batch:
    """A batch of pairs: both answers go through the model together, as twice the rows."""
    return replace(batch, rows=2 * batch.rows, masked=True, mask_rows=2 * batch.rows)


def with_answers(spec: RunSpec, lengths: Sequence[int]) -> tuple[list[int], list[int]]:
    """Tokens and learnt tokens of prompts once each has an answer as long as it may get."""
    longest = spec.grpo.answer_length
    wholes = [length + longest for length in lengths] or [spec.data.max_length + longest]
    return wholes, [longest] * len(wholes)


def in_groups(batch: Batch, generations: int) -> Batch:
    """A batch of prompts, each with several answers, as the rows that go through the model together."""
    rows = generations * batch.rows
    return replace(batch, rows=rows, learnt=generations * batch.learnt, masked=True, mask_rows=rows)


def setup_of(
    spec: RunSpec,
    shape: ModelShape,
    lengths: Sequence[int],
    learnt: Sequence[int],
    *,
    gpu: bool,
    bfloat16: bool = True,
    batch_size: int | None = None,
    processes: int = 1,
) -> Setup:
    """Everything peak memory depends on.

    Args:
        spec: the settings.
        shape: the model.
        lengths: tokens of rows.
        learnt: learnt tokens of the same rows.
        gpu: whether the run is on a GPU.
        bfloat16: whether that GPU has the format.
        batch_size: rows per micro-batch instead of the spec's.
        processes: that train together.
    """
    size = batch_size or spec.optim.batch_size
    if spec.task.objective == "grpo":
        lengths, learnt = with_answers(spec, lengths)
    rows_of = ROWS_OF.get(spec.task.objective, "sft")
    numbers = numbers_of(spec, gpu=gpu, bfloat16=bfloat16)
    batch = largest_batch(spec, lengths, learnt, batch_size=size)
    if rows_of == "preference":
        batch = in_pairs(batch)
    if spec.task.objective == "grpo":
        batch = in_groups(batch, spec.grpo.generations)
    every = spec.optim.gradient_checkpointing
    return Setup(
        shape=shape,
        numbers=numbers,
        adapt=adaptation_of(spec, shape),
        batch=replace(batch, eager=spec.model.attention == "eager"),
        accumulation=spec.optim.accumulation,
        checkpoint_every=_EVERY.get(every, 1) if isinstance(every, str) else int(every),
        state_bytes=state_bytes(spec, numbers),
        gpu=gpu,
        scores=spec.task.objective == "reward",
        processes=processes,
        shared=processes > 1 and spec.devices.parallel == "fsdp2",
        zero=processes > 1 and spec.devices.parallel == "zero2",
    )
