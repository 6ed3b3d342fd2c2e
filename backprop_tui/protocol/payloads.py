"""What each kind of event carries, in the order of `events`; readings of the sensors are in `readings`.

Numbers may be the strings "nan", "inf", "-inf" once they have been through JSON (`codec.number` reads them back).
"""

from __future__ import annotations

from typing import Any, Literal, NotRequired, TypedDict

PhaseName = Literal["load", "tokenise", "probe", "train", "eval", "sample", "save"]
Level = Literal["debug", "info", "warn", "error"]


class RunPayload(TypedDict):
    """First line of a journal: who, where, with what."""

    run: str
    name: str
    version: str
    host: str


class AttemptPayload(TypedDict):
    """A worker process begins. `resume_step` is None for a fresh start.

    `batch` has the sizes in force (`changes.BatchSizes`) once they differ from the spec's.
    """

    attempt: int
    pid: int
    resume_step: int | None
    batch: NotRequired[dict[str, int]]


class ParentPayload(TypedDict):
    """What a fork came from: a run's id, the step of its checkpoint, and whether the optimiser came along."""

    run: str
    step: int
    kept: Literal["weights", "optimizer"]


class ResumePayload(TypedDict):
    """An attempt goes on from weights that were trained before; said once it is known how far they can be trusted.

    `kind` is exact when everything a continuation depends on is as it was, statistical when `differences` (sentences) says
    what isn't, warm when the weights are another run's (`parent`). `step` is the last one done. `skipped` names checkpoints
    of later steps that are damaged.
    """

    kind: Literal["exact", "statistical", "warm"]
    step: int
    differences: list[str]
    skipped: list[str]
    parent: NotRequired[ParentPayload]


class StatePayload(TypedDict):
    """The run moved to another `RunState`; `reason` is a sentence for people."""

    state: str
    reason: str


class PhasePayload(TypedDict):
    """Progress inside a phase: `done` of `total` (None when unknown) `unit`s."""

    phase: PhaseName
    status: Literal["start", "progress", "end"]
    done: NotRequired[int]
    total: NotRequired[int | None]
    unit: NotRequired[str]
    detail: NotRequired[str]
    seconds: NotRequired[float]


class PlanPayload(TypedDict):
    """What the worker is about to do, known once data and model are loaded. `dataset` is the data's short id (`fp-…`).

    `flops_per_token` is the arithmetic the model needs per real token, forward and backward, without recomputation; None
    when it can't be said, and `flops_reason` says why. `memory` is the expected peak in bytes: `peak` and its parts.
    Of several processes `processes` says how many on how many `machines`, and `parallel` how they share out the model.
    """

    total_steps: int
    steps_per_epoch: int
    epochs: float
    effective_batch: int
    train_rows: int
    eval_rows: int
    dropped_rows: int
    train_tokens: int
    trained_tokens: int
    truncated_rows: int
    parameters: int
    trainable_parameters: int
    device: str
    dtype: str
    save_every: int
    eval_every: int
    dataset: NotRequired[str]
    flops_per_token: NotRequired[float | None]
    flops_reason: NotRequired[str]
    memory: NotRequired[dict[str, int] | None]
    processes: NotRequired[int]
    machines: NotRequired[int]
    parallel: NotRequired[Literal["ddp", "fsdp2", "zero2"]]


class ProbePayload(TypedDict):
    """The longest micro-batch went through before the first step (`stage` probe), or a whole step did (`stage` step).

    `expected` is the plan's peak of tensors at that moment and `measured` what the GPU's allocator reserved, in bytes; None
    where either is not known. `rows` by `longest` are the places of the batch.
    """

    stage: Literal["probe", "step"]
    expected: int | None
    measured: int | None
    rows: NotRequired[int]
    longest: NotRequired[int]
    seconds: NotRequired[float]


class StepPayload(TypedDict):
    """One optimiser step. `tokens` counts real (not padding) tokens since step 0, over all attempts; seconds are wall.

    `trained` counts the tokens of this step that were learnt. `batches` is there where BACKPROP_TRACE_BATCHES is set: for
    each micro-batch of the step the SHA-256 of its input ids, in the order drawn. Further numbers are figures of the
    objective under their own names, such as `rewards/margin` (`task_figures`).
    """

    step: int
    epoch: float
    loss: float
    grad_norm: float
    lr: float
    tokens: int
    tokens_per_s: float
    step_s: float
    trained: NotRequired[int]
    batches: NotRequired[list[str]]


class EvalPayload(TypedDict):
    """One evaluation over the held-out rows; `perplexity` is exp(loss), None when that overflows or says nothing.

    `token_accuracy` is the share of learnt tokens that were the likeliest, 0 to 1. Further numbers are figures of the
    objective, as in `StepPayload`.
    """

    step: int
    loss: float
    perplexity: float | None
    rows: int
    seconds: float
    best: bool
    exact_match: NotRequired[float]
    token_accuracy: NotRequired[float]


class SamplePayload(TypedDict):
    """One generated answer. `source` says which weights spoke: the untouched base or the tuned model.

    `marks` is what the objective thinks of it: `reward` and what each reward function gave, None where it does not apply.
    """

    step: int
    index: int
    source: Literal["base", "tuned"]
    prompt: str
    reference: str
    output: str
    match: bool
    marks: NotRequired[dict[str, float | None]]


class StagePayload(TypedDict):
    """A run of a multi-run begins or is over. `index` counts from 1, `of` is how many are planned.

    `rows` are those it learns from, `replayed` how many of them come from earlier runs; `first_step` and `last_step` are
    the global steps it takes.
    """

    status: Literal["begin", "end"]
    index: int
    of: int
    name: str
    rows: int
    replayed: int
    lr: float
    first_step: int
    last_step: int


class MergePayload(TypedDict):
    """A run's adapter was merged into the delivered one, or was not: then the delivered one is as before.

    `share` is λ (None for strategies without one), `drift` 1 minus the cosine between the run's update and the merged one
    (None for the first), `merged` how many runs the delivered adapter now holds.
    """

    index: int
    step: int
    strategy: str
    share: float | None
    drift: float | None
    accepted: bool
    reason: str
    merged: int


class MatrixPayload(TypedDict):
    """Held-out losses of the merged adapter on every task after run `index`; 0 is the untouched base. `tasks` names them.

    A loss is None where a task holds no rows out.
    """

    index: int
    step: int
    tasks: list[str]
    losses: list[float | None]


class CheckpointPayload(TypedDict):
    """A checkpoint is complete on disk. `path` is relative to the run directory, `bytes` its size."""

    step: int
    path: str
    bytes: int
    seconds: float
    reason: Literal["schedule", "asked", "stop", "end", "host_lost"]
    best: bool


class LogPayload(TypedDict):
    """A line worth showing. `source` is host, worker or a library's logger name."""

    level: Level
    source: str
    message: str


class FaultPayload(TypedDict):
    """Something went wrong: code, cause and next step in the same words as `BackpropError`."""

    code: str
    cause: str
    next: str
    step: NotRequired[int | None]
    detail: NotRequired[dict[str, Any]]


class AlertPayload(TypedDict):
    """Something to look at that did not end the run: heat, a full disk, a curve that turns. Words as in `FaultPayload`."""

    code: str
    severity: Literal["warn", "error"]
    cause: str
    next: NotRequired[str]
    step: NotRequired[int | None]


class CommandPayload(TypedDict):
    """A command was accepted; journalled before it is acted on."""

    id: str
    name: str
    args: dict[str, Any]


class CommandDonePayload(TypedDict):
    """The command with this id took effect (or could not). `rate` is what it did to the learning rate."""

    id: str
    name: str
    ok: bool
    detail: str
    rate: NotRequired[dict[str, Any]]


class RetryPayload(TypedDict):
    """The worker gives up so that another one goes on from the last checkpoint.

    `why` is `memory` (it ran out while training), `eval_memory` (while measuring), `rewind` (asked to go on after a loss
    that was no number) or `lost` (one of several processes is gone). `fault` is what to say where no other attempt can be made.
    """

    why: Literal["memory", "eval_memory", "rewind", "lost"]
    step: int | None
    fault: NotRequired[FaultPayload]


class EndPayload(TypedDict):
    """The run is over. `checkpoint` is the relative path of what it delivers, None if nothing was saved."""

    outcome: Literal["completed", "stopped", "aborted", "failed"]
    step: int
    reason: str
    checkpoint: str | None
