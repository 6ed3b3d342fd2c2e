"""The plan of a run, folded from settings and facts: pure, so that it follows every key on the Tune screen."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from backprop_tui.launch.estimate import Estimate
from backprop_tui.launch.plan.arithmetic import flops_per_token
from backprop_tui.launch.plan.facts import Machine, RowFacts
from backprop_tui.launch.plan.memory import MemoryPlan, held_weights, plan_memory
from backprop_tui.launch.plan.rates import UNKNOWN_RATE, PastRun, Rate, rate_of
from backprop_tui.launch.plan.setup import STATE_BYTES, setup_of
from backprop_tui.launch.plan.shape import ModelShape
from backprop_tui.protocol.figures import Prices
from backprop_tui.protocol.peaks import peak_flops
from backprop_tui.protocol.readings import GpuReading

if TYPE_CHECKING:
    from backprop_tui.protocol.spec import RunSpec

#: Share of a device's memory a plan may fill.
MARGIN = 0.9
#: What a CUDA process takes before its first tensor; an estimate.
CUDA_PROCESS = 600 << 20
#: What a worker on the CPU takes for Python and its libraries.
CPU_PROCESS = 900 << 20
#: Bytes of journal and log per step.
_JOURNAL = 700


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known beside the settings; None is not known (yet)."""

    shape: ModelShape | None = None
    shape_reason: str = ""
    rows: RowFacts | None = None
    machine: Machine | None = None
    past: tuple[PastRun, ...] = ()
    prices: Prices = field(default_factory=Prices)


@dataclass(frozen=True, slots=True)
class Forecast:
    """A plan. None is unknown, never zero; bytes, seconds, watt-hours.

    Attributes:
        device: the GPU's name, or `cpu`. memory: peak by part, `memory_reason` why it is unknown.
        room: memory a run may use there, `room_total` all there is; the same memory for a CPU's processes.
        process: bytes of the process itself, beside its tensors.
        steps, tokens, trained_tokens: of the whole run. rows, eval_rows, cut: as in `RowFacts`; `exact` whether counted.
        seconds, seconds_low, seconds_high: of training and measuring. rate: what that rests on.
        disk: checkpoints kept and the journal. energy_wh, cost: where power and prices are known.
        batch_fits: the largest micro-batch that fits and divides the effective batch, 0 when none does.
    """

    device: str
    gpu: bool
    memory: MemoryPlan | None
    memory_reason: str
    rough: bool
    room: int | None
    room_total: int | None
    process: int
    batch_size: int
    longest: int | None
    effective_batch: int
    rows: int | None
    eval_rows: int | None
    steps_per_epoch: int | None
    steps: int | None
    tokens: int | None
    trained_tokens: int | None
    cut: int | None
    exact: bool
    parameters: int | None
    trained_parameters: int | None
    seconds: float | None
    seconds_low: float | None
    seconds_high: float | None
    rate: Rate
    checkpoint_bytes: int | None
    disk: int | None
    disk_free: int | None
    energy_wh: float | None
    cost: float | None
    currency: str
    batch_fits: int | None

    @property
    def peak(self) -> int | None:
        """Bytes of the device the whole process will hold at its highest."""
        return None if self.memory is None else self.memory.peak + self.process

    @property
    def fits(self) -> bool | None:
        """Whether the peak fits; None when either is unknown."""
        return None if self.peak is None or self.room is None else self.peak <= self.room

    def estimate(self) -> Estimate:
        """The counts in the form the launch dialogue shows."""
        return Estimate(
            self.rows, self.eval_rows, self.steps_per_epoch, self.steps, self.parameters, self.trained_parameters,
            self.checkpoint_bytes,
        )  # fmt: skip

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready words."""
        words = {name: getattr(self, name) for name in self.__slots__ if name not in ("memory", "rate")}
        return {
            **words,
            "memory": None if self.memory is None else {"peak": self.memory.peak, **self.memory.parts},
            "peak": self.peak,
            "fits": self.fits,
            "rate": {
                "tokens_per_s": self.rate.value, "low": self.rate.low, "high": self.rate.high,
                "basis": self.rate.basis, "words": self.rate.words,
            },
        }  # fmt: skip


def forecast(spec: RunSpec, facts: Facts) -> Forecast:
    """Everything that can be said of a run before it starts."""
    gpu, device, room, total = _place(spec, facts.machine)
    together = processes_of(spec, facts.machine)[1]
    bfloat16 = _knows_bfloat16(device)
    rows, shape = facts.rows, facts.shape
    lengths, learnt = (rows.lengths, rows.learnt) if rows else ((), ())
    memory = fits = parameters = trained = flops = longest = None
    reason = facts.shape_reason or "the model is not known yet"
    if shape is not None:
        setup = setup_of(spec, shape, lengths, learnt, gpu=gpu, bfloat16=bfloat16, processes=together)
        memory, reason, longest = plan_memory(setup), "", setup.batch.longest
        trained = held_weights(shape, setup.adapt, setup.numbers)[2]
        parameters = shape.parameters + (0 if setup.adapt.everything else trained)
        flops = flops_per_token(shape, setup.adapt, trained, lengths, learnt)
        if room is not None:
            fits = fitting_batch(spec, facts, room - _process(gpu), gpu=gpu, bfloat16=bfloat16)
    per_epoch, steps = steps_of(spec, rows, together)
    epochs = steps / per_epoch if steps and per_epoch else None
    # How long answers come out that are drawn while training, nobody knows.
    foreseen = rows if spec.task.objective != "grpo" else None
    tokens = _times(foreseen.tokens if foreseen else None, epochs)
    dtype = "bfloat16" if gpu and bfloat16 else "float32"
    rate = (
        rate_of(spec, facts.past, device=device, parameters=parameters, flops=flops, dtype=dtype)
        if facts.machine is not None and spec.task.objective != "grpo"
        else UNKNOWN_RATE
    )
    seconds, low, high = _seconds(spec, rows, tokens, steps, rate)
    saved = None if trained is None else int(trained * (4 + STATE_BYTES.get(spec.optim.optimizer, 8.0)))
    energy = rate.watts * seconds / 3600 if rate.watts is not None and seconds is not None else None
    return Forecast(
        device=device,
        gpu=gpu,
        memory=memory,
        memory_reason=reason,
        rough=(shape is not None and not shape.exact) or together > 1,
        room=room,
        room_total=total,
        process=_process(gpu),
        batch_size=spec.optim.batch_size,
        longest=longest,
        effective_batch=spec.effective_batch * together,
        rows=rows.rows if rows else None,
        eval_rows=rows.eval_rows if rows else None,
        steps_per_epoch=per_epoch,
        steps=steps,
        tokens=tokens,
        trained_tokens=_times(foreseen.trained_tokens if foreseen else None, epochs),
        cut=rows.cut if rows else None,
        exact=bool(rows and rows.exact),
        parameters=parameters,
        trained_parameters=trained,
        seconds=seconds,
        seconds_low=low,
        seconds_high=high,
        rate=rate,
        checkpoint_bytes=saved,
        disk=_disk(spec, saved, steps),
        disk_free=facts.machine.disk_free if facts.machine else None,
        energy_wh=energy,
        cost=_cost(facts.prices, gpu, seconds, energy),
        currency=facts.prices.currency,
        batch_fits=fits,
    )


def processes_of(spec: RunSpec, machine: Machine | None) -> tuple[int, int]:
    """Processes on this machine, and on all of them."""
    gpus = len(machine.gpus) if machine is not None and spec.model.device != "cpu" else 1
    here = spec.devices.devices or max(1, gpus)
    return here, here * spec.devices.nodes


def steps_of(spec: RunSpec, rows: RowFacts | None, processes: int = 1) -> tuple[int | None, int | None]:
    """Optimiser steps per epoch and of the whole run; the arithmetic of `engine.worker.schedule`."""
    per_epoch = None
    if rows is not None and rows.rows > 0:
        sequences: float = rows.rows * rows.share
        if spec.data.packing and rows.lengths:
            from backprop_tui.data.looking.packing import pack_rows

            packs = pack_rows(
                rows.lengths,
                spec.data.max_length,
                spec.optim.batch_size or 1,
                spec.optim.seed,
                in_order=spec.data.order != "shuffled",
            )
            batches = round(len(packs) / len(rows.lengths) * sequences)
        else:
            batches = math.ceil(round(sequences) / max(1, spec.optim.batch_size))
        per_epoch = max(1, math.ceil(math.ceil(batches / processes) / spec.optim.accumulation))
        per_epoch *= spec.grpo.answer_reuse if spec.task.objective == "grpo" else 1
    # Each run of a multi-run takes its own steps, and its own epochs over its share of the rows.
    whole = spec.optim.steps * spec.stages
    steps = whole or (spec.stages * math.ceil(spec.optim.epochs * per_epoch / spec.stages) if per_epoch else None)
    return per_epoch, steps


def fitting_batch(spec: RunSpec, facts: Facts, room: float, *, gpu: bool, bfloat16: bool = True) -> int:
    """The largest power of two that fits `room` bytes and divides the effective batch; 0 when not even 1 fits."""
    assert facts.shape is not None
    lengths, learnt = (facts.rows.lengths, facts.rows.learnt) if facts.rows else ((), ())
    together = processes_of(spec, facts.machine)[1]
    whole, best, size = max(1, spec.effective_batch), 0, 1
    while whole % size == 0:
        setup = setup_of(
            spec, facts.shape, lengths, learnt, gpu=gpu, bfloat16=bfloat16, batch_size=size, processes=together
        )
        if plan_memory(setup).peak > room:
            break
        best, size = size, size * 2
    return best


def _place(spec: RunSpec, machine: Machine | None) -> tuple[bool, str, int | None, int | None]:
    """Whether the run is on a GPU, the device's name, and what of its memory it may use, of how much."""
    if machine is None:
        return False, "cpu", None, None
    here = processes_of(spec, machine)[0]
    if machine.gpus and spec.model.device != "cpu":
        card = machine.gpus[0]
        total = card.get("memory_total")
        left = [_left(one) for one in machine.gpus[:here]]
        known = [one for one in left if one is not None]
        free = min(known) if len(known) == len(left) else None
        name = str(card.get("name") or "GPU")
        return True, name, None if free is None else int(free * MARGIN), None if total is None else int(total)
    free = None if machine.memory_free is None else machine.memory_free // here
    return spec.model.device == "cuda", "cpu", None if free is None else int(free * MARGIN), machine.memory_total


def _left(card: GpuReading) -> int | None:
    total, used = card.get("memory_total"), card["memory_used"]
    return None if total is None or used is None else int(total - used)


def _knows_bfloat16(device: str) -> bool:
    peak, why = peak_flops(device, "bfloat16")
    return peak is not None or "no bfloat16" not in why


def _process(gpu: bool) -> int:
    return CUDA_PROCESS if gpu else CPU_PROCESS


def _times(count: float | None, factor: float | None) -> int | None:
    return None if count is None or factor is None else round(count * factor)


def _seconds(
    spec: RunSpec, rows: RowFacts | None, tokens: int | None, steps: int | None, rate: Rate
) -> tuple[float | None, float | None, float | None]:
    if not rate.value or not rate.low or not rate.high or tokens is None or not steps:
        return None, None, None
    evaluated = 0.0
    if rows is not None and rows.eval_rows and rows.eval_lengths:
        times = 1 + _occurrences(spec.run.eval_every, steps)
        # A forward pass alone is a third of a training step's arithmetic.
        evaluated = times * rows.eval_rows * sum(rows.eval_lengths) / len(rows.eval_lengths) / 3
    saves = _occurrences(spec.run.save_every, steps) * (rate.save_s or 0.0)
    return tuple((tokens + evaluated) / speed + saves for speed in (rate.value, rate.high, rate.low))  # type: ignore[return-value]


def _occurrences(every: float, steps: int) -> int:
    if every <= 0:
        return 1
    apart = max(1, round(every * steps)) if every < 1 else int(every)
    return max(1, math.ceil(steps / apart))


def _disk(spec: RunSpec, saved: int | None, steps: int | None) -> int | None:
    """The newest checkpoints, the best one, and the one being written; and the journal."""
    if saved is None:
        return None
    most = spec.run.keep + 2
    if steps is not None:
        most = min(most, _occurrences(spec.run.save_every, steps) + 1)
    return most * saved + _JOURNAL * (steps or 0)


def _cost(prices: Prices, gpu: bool, seconds: float | None, energy: float | None) -> float | None:
    if seconds is None or (prices.per_gpu_hour is None and prices.per_kwh is None):
        return None
    total = 0.0
    if prices.per_gpu_hour is not None:
        if not gpu:
            return None
        total += prices.per_gpu_hour * seconds / 3600
    if prices.per_kwh is not None:
        if energy is None:
            return None
        total += prices.per_kwh * energy / 1000
    return total
