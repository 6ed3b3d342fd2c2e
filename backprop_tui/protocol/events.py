"""Every event a run can journal, and what each carries.

The worker sends `{"k": kind, **payload}`; the host stamps it (`Event`), appends it to the journal and hands it to the
subscribers. A payload's shape is its TypedDict below; numbers may be the strings "nan", "inf", "-inf" once they have been
through JSON (`codec.number` reads them back), and every sensor value may be None, which means unknown, never zero.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, NotRequired, TypedDict

RUN = "run"
ATTEMPT = "attempt"
RESUME = "resume"
STATE = "state"
PHASE = "phase"
PLAN = "plan"
PROBE = "probe"
STEP = "step"
EVAL = "eval"
SAMPLE = "sample"
STAGE = "stage"
MERGE = "merge"
MATRIX = "matrix"
CHECKPOINT = "checkpoint"
CHECKPOINT_REMOVED = "checkpoint_removed"
TELEMETRY = "telemetry"
LOG = "log"
FAULT = "fault"
ALERT = "alert"
COMMAND = "command"
COMMAND_DONE = "command_done"
RETRY = "retry"
REPAIR = "repair"
END = "end"

#: Kinds that reach the disk (fdatasync) before anybody is told; metrics and logs follow within a second.
DURABLE = frozenset(
    {
        RUN,
        ATTEMPT,
        RESUME,
        STATE,
        STAGE,
        MERGE,
        MATRIX,
        CHECKPOINT,
        CHECKPOINT_REMOVED,
        FAULT,
        ALERT,
        COMMAND,
        COMMAND_DONE,
        RETRY,
        REPAIR,
        END,
    }
)

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
    parallel: NotRequired[Literal["ddp", "fsdp2"]]


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


class GpuProcess(TypedDict):
    """A process on a GPU: bytes it holds there, and whether it belongs to this run."""

    pid: int
    name: str | None
    memory: int | None
    ours: bool


class GpuReading(TypedDict):
    """One GPU: degrees Celsius, percent, bytes, watts, MHz. Any value may be None; `unknown` then says why, by key.

    The keys from `name` on change rarely. A reading leaves out those that are as they were said last
    (`protocol.telemetry` puts readings together again).

    `throttle` lists what holds the clocks down (keys of `telemetry.THROTTLES`), `run_memory` is what this run's processes
    hold, `ecc_*` count errors since the driver was loaded, `others` counts the processes not listed.
    """

    index: int
    temperature: float | None
    utilisation: float | None
    memory_used: int | None
    run_memory: int | None
    power: float | None
    fan: float | None
    clock: float | None
    memory_clock: float | None
    throttle: list[str] | None
    name: NotRequired[str | None]
    memory_total: NotRequired[int | None]
    power_limit: NotRequired[float | None]
    slowdown: NotRequired[float | None]
    shutdown: NotRequired[float | None]
    max_operating: NotRequired[float | None]
    clock_max: NotRequired[float | None]
    memory_clock_max: NotRequired[float | None]
    pcie_generation: NotRequired[int | None]
    pcie_generation_max: NotRequired[int | None]
    pcie_width: NotRequired[int | None]
    pcie_width_max: NotRequired[int | None]
    ecc_corrected: NotRequired[int | None]
    ecc_uncorrected: NotRequired[int | None]
    processes: NotRequired[list[GpuProcess] | None]
    others: NotRequired[int]
    unknown: NotRequired[dict[str, str]]


class HostReading(TypedDict):
    """The machine and the run's processes: percent, bytes, bytes per second, degrees Celsius. Any value may be None.

    `cpu` is the share of all cores, `run_cpu` counts 100 per core, `load` is the mean queue of the last minute.
    `worker_rss` is the worker's resident set, `run_memory` that of its whole process tree, `disk_*` the run's disk and
    `network_*` every real interface. `unknown` says by key why a value is missing.
    """

    cpu: float | None
    cores: int | None
    load: float | None
    temperature: float | None
    temperature_high: float | None
    memory_used: int | None
    memory_total: int | None
    swap_used: int | None
    swap_total: int | None
    worker_rss: int | None
    run_cpu: float | None
    run_memory: int | None
    run_processes: int | None
    run_read: float | None
    run_written: float | None
    disk_free: int | None
    disk_total: int | None
    disk_read: float | None
    disk_written: float | None
    network_in: float | None
    network_out: float | None
    unknown: dict[str, str]


class TelemetryPayload(TypedDict):
    """One reading of the sensors. `gpu_reason` says why `gpus` is empty ("no NVIDIA driver").

    `logs` is how long worker.log and host.log were at that moment, in bytes: where their lines lie between the events.
    """

    gpus: list[GpuReading]
    gpu_reason: str | None
    host: HostReading
    logs: NotRequired[dict[str, int]]


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


@dataclass(frozen=True, slots=True)
class Event:
    """One stamped event.

    Attributes:
        seq: 1, 2, 3 ... within the run's journal.
        wall: seconds since the Unix epoch. mono: the host's monotonic clock in seconds (order and durations in one boot).
        attempt: which worker process spoke (0 before the first).
        kind: one of the constants above; readers ignore kinds they do not know.
        data: the payload.
    """

    seq: int
    wall: float
    mono: float
    attempt: int
    kind: str
    data: dict[str, Any]

    def to_record(self) -> dict[str, Any]:
        """The journal's and the pipe's JSON object."""
        return {
            "seq": self.seq,
            "wall": round(self.wall, 3),
            "mono": round(self.mono, 4),
            "attempt": self.attempt,
            "kind": self.kind,
            "data": self.data,
        }

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> Event | None:
        """The event of a JSON object, or None when a field is missing or of the wrong type."""
        try:
            data = record["data"]
            if not isinstance(data, dict):
                return None
            return cls(
                int(record["seq"]),
                float(record["wall"]),
                float(record["mono"]),
                int(record["attempt"]),
                str(record["kind"]),
                data,
            )
        except (KeyError, TypeError, ValueError, OverflowError):
            return None
