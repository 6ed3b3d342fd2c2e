"""`RunSpec`: the only input of the engine, and the single source of the Tune form, `--set`, the settings' documentation and
the JSON schema. Bounds, units, defaults and help texts sit on the fields; `fields.py` reads them back.

Leaf names are unique over all parts, so `--set learning_rate=1e-4` needs no path. A schedule of the kind "every" counts
optimiser steps from 1 up, a share of the whole run below 1, and "only at the end" at 0.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Method = Literal["lora", "qlora", "full"]
DType = Literal["auto", "float32", "bfloat16", "float16"]
DataFormat = Literal[
    "auto", "messages", "sharegpt", "alpaca", "prompt-completion", "question-answer", "chatml", "text", "columns",
    "preference", "unpaired", "prompt",
]  # fmt: skip
TrainOn = Literal["answers", "everything"]
Duplicates = Literal["keep", "exact", "near"]
RowOrder = Literal["shuffled", "file", "curriculum"]
Schedule = Literal["cosine", "linear", "constant"]
Optimizer = Literal["adamw_torch", "adamw_bnb_8bit", "paged_adamw_8bit", "adafactor", "sgd"]
Device = Literal["auto", "cuda", "cpu"]


def _setting(
    default: Any, title: str, help: str, *, unit: str = "", advanced: bool = False, alias: str = "", **bounds: Any
) -> Any:
    extra: dict[str, Any] = {"unit": unit, "advanced": advanced, "alias": alias}
    return Field(default=default, title=title, description=help, json_schema_extra=extra, **bounds)


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, protected_namespaces=())


class ModelPart(_Part):
    """Which weights, and how they are adapted."""

    base: str = _setting("demo", "base", "model directory, hub id, or `demo` for the bundled tiny model", alias="model")
    revision: str | None = _setting(None, "revision", "hub commit or tag; empty means the newest", advanced=True)
    method: Method = _setting(
        "lora", "method", "lora trains a small adapter, qlora the same over a 4-bit base, full all weights"
    )
    dtype: DType = _setting(
        "auto",
        "precision",
        "number format of the base; auto is bfloat16 on a GPU that has it, else float32",
        advanced=True,
    )
    device: Device = _setting("auto", "device", "auto takes the GPU when there is one", advanced=True)


class LoraPart(_Part):
    """The adapter's shape (Hu et al. 2021, arXiv 2106.09685)."""

    rank: int = _setting(32, "rank", "width of the adapter; more learns more and costs more memory", ge=1, le=1024)
    alpha: int = _setting(32, "alpha", "adapter scaling is alpha / rank", ge=1, le=4096)
    dropout: float = _setting(0.0, "dropout", "share of adapter inputs dropped while training", ge=0.0, lt=1.0)
    targets: str = _setting(
        "all-linear", "target layers", "`all-linear`, or module names separated by commas", advanced=True
    )


class DataPart(_Part):
    """Which rows, and what of them is learnt."""

    path: str = _setting(
        "demo",
        "data",
        "file, folder, glob or hub id; several joined by ` + `, `2x ` before one takes it twice; `demo` is bundled",
        alias="data",
    )
    format: DataFormat = _setting("auto", "format", "auto looks at the rows", advanced=True)
    columns: str = _setting(
        "",
        "columns",
        "which column is what, such as `user=question assistant=answer`; empty looks at names",
        advanced=True,
    )
    damaged: Literal["refuse", "drop"] = _setting(
        "refuse",
        "damaged rows",
        "refuse a file with rows that can't be read, or drop them and count them",
        advanced=True,
    )
    filter: str = _setting(
        "", "row filter", "keep rows for which this holds, such as `turns >= 2 and answer_chars > 20`", advanced=True
    )
    duplicates: Duplicates = _setting(
        "keep", "duplicates", "exact drops repeated rows, near also rows that are nearly the same", advanced=True
    )
    near_threshold: float = _setting(
        0.9,
        "near threshold",
        "similarity (Jaccard) from which rows count as nearly the same",
        advanced=True,
        ge=0.5,
        le=1.0,
    )
    max_length: int = _setting(
        2048, "max length", "longest row; what is longer is cut and counted", unit="tokens", ge=16, le=1_048_576
    )
    packing: bool = _setting(False, "packing", "put several short rows into one sequence; rows never see each other")
    eval_split: float = _setting(0.02, "eval split", "share of the rows held out to measure on", ge=0.0, le=0.5)
    group_by: str = _setting(
        "", "split by", "column whose rows stay on one side of the split, such as `user_id`", advanced=True
    )
    eval_path: str | None = _setting(
        None, "eval data", "file of held-out rows; takes the place of the split", advanced=True
    )
    train_on: TrainOn = _setting("answers", "train on", "answers masks the prompts out of the loss", advanced=True)
    max_rows: int = _setting(
        0,
        "row limit",
        "use only the first rows after shuffling; 0 is all",
        unit="rows",
        advanced=True,
        alias="rows",
        ge=0,
    )
    order: RowOrder = _setting(
        "shuffled", "row order", "shuffled, as in the file, or curriculum: from easy to difficult", advanced=True
    )
    difficulty: str = _setting(
        "length", "difficulty", "what curriculum goes by: length, words, or a column of numbers", advanced=True
    )


class OptimPart(_Part):
    """How the weights move."""

    learning_rate: float = _setting(
        2e-4,
        "learning rate",
        "size of each weight update. Too high: loss jumps or goes NaN. Too low: it barely moves.",
        alias="lr",
        gt=0.0,
        le=1.0,
    )
    schedule: Schedule = _setting("cosine", "schedule", "how the learning rate falls over the run")
    min_lr_ratio: float = _setting(
        0.1, "final lr share", "the cosine ends at this share of the learning rate", advanced=True, ge=0.0, le=1.0
    )
    warmup: float = _setting(0.03, "warm-up", "steps of rising learning rate; below 1 a share of the run", ge=0.0)
    epochs: float = _setting(1.0, "epochs", "passes over the data", gt=0.0, le=1000.0)
    steps: int = _setting(0, "steps", "stop after this many optimiser steps; 0 goes by epochs", alias="max_steps", ge=0)
    batch_size: int = _setting(4, "batch / device", "rows per forward pass (micro-batch)", unit="rows", ge=1, le=4096)
    accumulation: int = _setting(4, "accumulation", "micro-batches per optimiser step", ge=1, le=4096)
    weight_decay: float = _setting(
        0.01, "weight decay", "pull of all trained weights towards zero", advanced=True, ge=0.0, le=1.0
    )
    max_grad_norm: float = _setting(
        1.0, "gradient clip", "gradients are scaled down to this norm; 0 is off", advanced=True, ge=0.0
    )
    optimizer: Optimizer = _setting(
        "adamw_torch", "optimiser", "8-bit and paged ones save memory in full fine-tuning", advanced=True
    )
    gradient_checkpointing: bool = _setting(
        True, "gradient checkpointing", "recompute activations: less memory, about a fifth slower", advanced=True
    )
    seed: int = _setting(42, "seed", "the same seed, data and versions give the same run", ge=0, lt=2**31)


class RunPart(_Part):
    """Measuring, saving, stopping."""

    eval_every: float = _setting(
        0.1,
        "eval every",
        "steps between evaluations; below 1 a share of the run, 0 only at the end",
        unit="steps",
        ge=0.0,
    )
    save_every: float = _setting(
        0.1,
        "save every",
        "steps between checkpoints; below 1 a share of the run, 0 only at the end",
        unit="steps",
        ge=0.0,
    )
    keep: int = _setting(
        3, "keep", "newest checkpoints kept; the best one is kept as well", unit="checkpoints", ge=1, le=1000
    )
    deliver: Literal["best", "last"] = _setting("last", "deliver", "which checkpoint is the result", advanced=True)
    early_stopping: int = _setting(
        0,
        "early stopping",
        "stop after this many evaluations without a better one; 0 is off",
        unit="evals",
        advanced=True,
        ge=0,
    )
    samples: int = _setting(
        3, "samples", "answers generated from held-out prompts at each evaluation", advanced=True, ge=0, le=512
    )
    sample_tokens: int = _setting(
        96, "sample length", "longest generated answer", unit="tokens", advanced=True, ge=1, le=8192
    )


class RunSpec(_Part):
    """Everything a run is made of. Immutable; change it with `fields.with_overrides`."""

    format: Literal[1] = 1
    name: str = Field(
        default="",
        max_length=120,
        title="name",
        description="shown everywhere; empty is made from model and method",
        json_schema_extra={"unit": "", "advanced": False, "alias": ""},
    )
    preset: str = Field(default="balanced", max_length=120)
    model: ModelPart = Field(default_factory=ModelPart)
    lora: LoraPart = Field(default_factory=LoraPart)
    data: DataPart = Field(default_factory=DataPart)
    optim: OptimPart = Field(default_factory=OptimPart)
    run: RunPart = Field(default_factory=RunPart)

    @property
    def title(self) -> str:
        """The given name, or one made of model, method and rank."""
        if self.name:
            return self.name
        base = self.model.base.rstrip("/").rsplit("/", 1)[-1].lower() or "model"
        rank = "" if self.model.method == "full" else f"-r{self.lora.rank}"
        return f"{base}-{self.model.method}{rank}"

    @property
    def effective_batch(self) -> int:
        """Rows per optimiser step on one device."""
        return self.optim.batch_size * self.optim.accumulation

    @model_validator(mode="after")
    def _measurable(self) -> RunSpec:
        if self.run.early_stopping and not (self.data.eval_split or self.data.eval_path):
            raise ValueError("early_stopping needs held-out rows: set eval_split or eval_path")
        return self
