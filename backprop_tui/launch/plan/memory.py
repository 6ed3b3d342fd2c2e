"""Peak memory of training on one device, by part, from a rehearsal of one micro-batch on the tape.

The moments that can be the highest are the backward pass of a micro-batch when gradients of the ones before it are there
already, and the optimiser's step. Weights, adapters and optimiser state stay for the whole run and are added to both.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from backprop_tui.launch.plan.decoder import Adaptation, Batch, Layer, Numbers
from backprop_tui.launch.plan.head import Head
from backprop_tui.launch.plan.shape import ModelShape
from backprop_tui.launch.plan.tape import ACTIVATIONS, GRADIENTS, LOGITS, WORKSPACE, Tape, Weight

#: Parts in the order they are shown.
PARTS = ("weights", "adapters", GRADIENTS, "optimiser", ACTIVATIONS, LOGITS, WORKSPACE)
#: Bytes per weight in four bits: half a byte, a scale of one byte for 64 weights, and a float32 for 256 of those.
NF4_BYTES = 0.5 + 1 / 64 + 4 / (64 * 256)
#: Bytes per weight in eight bits, beside a float32 scale for each output.
INT8_BYTES = 1.0
#: What CUDA, its libraries and the allocator's unused pieces take; an estimate, where CPU figures are exact.
CUDA_CONTEXT = 0
CUDA_UNUSED = 0.04
#: Gradients, in weights, that DeepSpeed collects before it hands them on (`reduce_bucket_size`).
ZERO_BUCKET = 500_000_000


@dataclass(frozen=True, slots=True)
class Setup:
    """All that peak memory depends on.

    Attributes:
        shape: the model. numbers: formats. adapt: what is trained. batch: the largest micro-batch.
        accumulation: micro-batches per step. checkpoint_every: layers per recomputed stretch, 0 recomputes none.
        state_bytes: of optimiser state per trained weight. gpu: on a GPU or the CPU.
        scores: whether one score stands on the model in place of the vocabulary.
        processes: that train together, each with a device of its own. shared: whether each holds only its share of the weights.
        zero: whether each holds all weights and only its share of optimiser and gradients.
    """

    shape: ModelShape
    numbers: Numbers
    adapt: Adaptation
    batch: Batch
    accumulation: int
    checkpoint_every: int
    state_bytes: float
    gpu: bool
    scores: bool = False
    processes: int = 1
    shared: bool = False
    zero: bool = False


@dataclass(frozen=True, slots=True)
class MemoryPlan:
    """Bytes on one device: the peak, and its parts at that moment (they add up to it)."""

    peak: int
    parts: dict[str, int] = field(default_factory=dict)

    def to_dict(self) -> dict[str, int]:
        """JSON-ready: `peak` and every part."""
        return {"peak": self.peak, **self.parts}


#: Plans made lately: while settings are being typed most of them are asked for again. The key is the setup in words.
_recent: dict[str, MemoryPlan] = {}
_MOST_RECENT = 512


def plan_memory(setup: Setup) -> MemoryPlan:
    """Peak memory of training; remembered, since a rehearsal of many layers takes a tenth of a second."""
    key = repr(setup)
    found = _recent.get(key)
    if found is None:
        found = _recent[key] = _planned(setup)
        while len(_recent) > _MOST_RECENT:
            _recent.pop(next(iter(_recent)), None)
    return found


def _planned(setup: Setup) -> MemoryPlan:
    weights, adapters, trained = held_weights(setup.shape, setup.adapt, setup.numbers)
    rehearsed = _rehearse(setup)
    width = setup.numbers.weights if setup.adapt.everything else setup.numbers.adapters
    parts = dict.fromkeys(PARTS, 0.0) | rehearsed
    parts["weights"], parts["adapters"] = weights, adapters
    parts["optimiser"] = trained * setup.state_bytes
    at_update = weights + adapters + parts["optimiser"] + trained * width
    if at_update > sum(parts.values()):
        parts |= {ACTIVATIONS: 0.0, LOGITS: 0.0, WORKSPACE: 0.0, GRADIENTS: trained * width}
    if setup.processes > 1:
        _share_out(parts, setup, trained * width)
    if setup.gpu:
        parts[WORKSPACE] += CUDA_UNUSED * sum(parts.values())
    whole = {name: round(size) for name, size in parts.items()}
    return MemoryPlan(sum(whole.values()), whole)


def _share_out(parts: dict[str, float], setup: Setup, gradients: float) -> None:
    """What training together changes: gradients are copied into buckets, or weights are held in shares and gathered by layer."""
    if setup.zero:
        # What is updated is a copy of each process's share, and gradients wait in a bucket until they are handed on.
        parts["optimiser"] = (parts["optimiser"] + gradients) / setup.processes
        parts[GRADIENTS] /= setup.processes
        parts[WORKSPACE] += min(gradients, ZERO_BUCKET * setup.numbers.adapters)
        return
    if not setup.shared:
        parts[WORKSPACE] += gradients
        return
    for name in ("weights", "adapters", GRADIENTS, "optimiser"):
        parts[name] /= setup.processes
    # Two layers are whole at a time: the one at work and the one fetched ahead.
    parts[WORKSPACE] += 2 * setup.shape.linear / setup.shape.layers * setup.numbers.maths


def held_weights(shape: ModelShape, adapt: Adaptation, numbers: Numbers) -> tuple[float, float, int]:
    """Bytes of the base, bytes of the adapters, and how many weights are trained."""
    trained = shape.layers * sum(
        rank * sum(shape.sizes[name]) + (shape.sizes[name][1] if adapt.dora else 0)
        for name, rank in adapt.rank.items()
        if name in shape.sizes
    )
    if adapt.everything:
        return shape.parameters * numbers.weights, 0.0, shape.parameters
    linear = shape.linear if adapt.bits else 0
    per_weight = NF4_BYTES if adapt.bits == 4 else INT8_BYTES
    base = linear * per_weight + (shape.parameters - linear) * numbers.weights
    return base, trained * numbers.adapters, trained


def _rehearse(setup: Setup) -> dict[str, float]:
    """Bytes by part at the highest moment of the second micro-batch (the first where there is only one)."""
    tape = Tape()
    shape, numbers, adapt, batch = setup.shape, setup.numbers, setup.adapt, setup.batch
    embedding = Weight(tape, shape.vocabulary * shape.hidden, numbers.weights, trained=adapt.everything)
    layers = [Layer(tape, shape, numbers, adapt, batch, setup.gpu) for _ in range(shape.layers)]
    tied = embedding if shape.tied and not setup.scores else None
    head = Head(tape, shape, numbers, adapt, batch, setup.gpu, tied, scores=setup.scores)
    for _ in range(2 if setup.accumulation > 1 else 1):
        _pass(tape, setup, embedding, layers, head)
    tape.zero()
    return tape.at_peak


def _pass(tape: Tape, setup: Setup, embedding: Weight, layers: list[Layer], head: Head) -> None:
    batch, shape = setup.batch, setup.shape
    # Ids, labels and mask, of eight bytes each.
    inputs = tape.new(3 * 8 * batch.places)
    mask = tape.new(batch.mask_rows * batch.longest**2) if batch.masked else None
    turns = tape.new(2 * batch.longest * shape.head_size * setup.numbers.weights)
    recomputed = setup.checkpoint_every > 0
    if embedding.trained:
        embedded = tape.op([embedding], batch.places * shape.hidden, setup.numbers.weights)
    else:
        embedded = tape.input(batch.places * shape.hidden, setup.numbers.weights, wants_gradient=recomputed)
    x = embedded
    for number, layer in enumerate(layers):
        again = recomputed and number % setup.checkpoint_every == 0
        x = tape.checkpoint(layer, x) if again else layer(x)
    loss = head(x)
    del x, embedded
    node = loss.node
    del loss
    if node is not None:
        tape.backward(node, tape.new(8 * batch.places))
    del inputs, mask, turns
