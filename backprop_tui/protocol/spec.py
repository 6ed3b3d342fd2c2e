"""`RunSpec`: the only input of the engine, and the single source of the Tune form, `--set`, the settings' documentation and
the JSON schema. Bounds, units, defaults and help texts sit on the fields of its `parts`; `fields.py` reads them back.

Leaf names are unique over all parts, so `--set learning_rate=1e-4` needs no path. A schedule of the kind "every" counts
optimiser steps from 1 up, a share of the whole run below 1, and "only at the end" at 0.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from backprop_tui.protocol.parts.base import Part
from backprop_tui.protocol.parts.data import DataFormat, DataPart, Duplicates, RowOrder, TrainOn
from backprop_tui.protocol.parts.devices import DevicesPart, Parallel
from backprop_tui.protocol.parts.grpo import GrpoPart
from backprop_tui.protocol.parts.model import Device, DType, LoraPart, Method, ModelPart
from backprop_tui.protocol.parts.multi import MultiPart
from backprop_tui.protocol.parts.optim import Optimizer, OptimPart, Schedule
from backprop_tui.protocol.parts.recovery import RecoveryPart
from backprop_tui.protocol.parts.run import RunPart
from backprop_tui.protocol.parts.safety import SafetyPart
from backprop_tui.protocol.parts.task import ROWS_OF, Objective, TaskPart

__all__ = [
    "ROWS_OF", "DType", "DataFormat", "DataPart", "Device", "DevicesPart", "Duplicates", "GrpoPart", "LoraPart", "Method",
    "ModelPart", "MultiPart", "Objective", "OptimPart", "Optimizer", "Parallel", "RecoveryPart", "RowOrder", "RunPart", "RunSpec",
    "SafetyPart", "Schedule", "TaskPart", "TrainOn",
]  # fmt: skip

#: The bundled rows in the form of a purpose; `demo` itself is chats.
_DEMOS = {"preference": "demo-pairs", "unpaired": "demo-marked"}


#: Optimisers whose states are of one number per weight, or none: those alone can be put together again from shares.
_WITH_ZERO = ("adamw_torch", "sgd", "rmsprop")


class RunSpec(Part):
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
    task: TaskPart = Field(default_factory=TaskPart)
    grpo: GrpoPart = Field(default_factory=GrpoPart)
    data: DataPart = Field(default_factory=DataPart)
    optim: OptimPart = Field(default_factory=OptimPart)
    run: RunPart = Field(default_factory=RunPart)
    recovery: RecoveryPart = Field(default_factory=RecoveryPart)
    safety: SafetyPart = Field(default_factory=SafetyPart)
    devices: DevicesPart = Field(default_factory=DevicesPart)
    multi: MultiPart = Field(default_factory=MultiPart)

    @property
    def title(self) -> str:
        """The given name, or one made of model, method and rank."""
        if self.name:
            return self.name
        base = self.model.base.rstrip("/").rsplit("/", 1)[-1].lower() or "model"
        task = "" if self.task.objective == "sft" else f"-{self.task.objective}"
        rank = "" if self.model.method == "full" else f"-r{self.lora.rank}"
        return f"{base}{task}-{self.model.method}{rank}"

    @property
    def stages(self) -> int:
        """Runs one after the other: 1, or as many as a multi-run has."""
        if self.multi.multi == "off":
            return 1
        return self.multi.runs if self.multi.multi == "windows" else len(self.data.path.split(" + "))

    @property
    def effective_batch(self) -> int:
        """Rows per optimiser step on one device."""
        return self.optim.batch_size * self.optim.accumulation

    @property
    def in_force(self) -> RunSpec:
        """The spec as its objective takes it: `demo` in the form it learns from, and without ways of batching that it has no
        use for: pairs are neither packed nor laid end to end."""
        data, objective = self.data, self.task.objective
        fitting: dict[str, Any] = {}
        if data.path.strip() == "demo" and ROWS_OF[objective] in _DEMOS:
            fitting["path"] = _DEMOS[ROWS_OF[objective]]
        if objective != "sft" and (data.packing or data.padding_free):
            fitting |= {"packing": False, "padding_free": False}
        return self.model_copy(update={"data": data.model_copy(update=fitting)}) if fitting else self

    @model_validator(mode="after")
    def _measurable(self) -> RunSpec:
        if self.run.early_stopping and not (self.data.eval_split or self.data.eval_path):
            raise ValueError("early_stopping needs held-out rows: set eval_split or eval_path")
        return self

    @model_validator(mode="after")
    def _mergeable(self) -> RunSpec:
        if self.multi.multi == "off":
            return self
        if self.model.method == "full":
            raise ValueError("a multi-run merges adapters: choose method lora or qlora")
        if self.lora.adapter_start != "zero":
            raise ValueError("a multi-run starts each adapter from the one before: leave adapter_start at zero")
        if self.task.objective != "sft":
            raise ValueError("a multi-run merges what imitation learnt: choose objective sft")
        if self.run.early_stopping:
            raise ValueError("early_stopping ends a single run: a multi-run takes patience, counted in runs")
        if (self.multi.patience or self.multi.gate in ("eval", "both")) and not (
            self.data.eval_split or self.data.eval_path
        ):
            raise ValueError("patience and the eval gate need held-out rows: set eval_split or eval_path")
        return self

    @model_validator(mode="after")
    def _rewardable(self) -> RunSpec:
        if self.task.objective != "grpo":
            return self
        if self.devices.devices != 1 or self.devices.nodes > 1:
            raise ValueError("grpo draws its answers in one process: set devices and nodes to 1")
        if self.grpo.kl_weight and self.model.method != "full" and self.lora.adapter_start != "zero":
            raise ValueError("kl_weight compares with the base beneath the adapter: leave adapter_start at zero")
        return self

    @model_validator(mode="after")
    def _shareable(self) -> RunSpec:
        devices = self.devices
        if devices.nodes > 1:
            host, _, port = devices.rendezvous.rpartition(":")
            if not host or not port.isdecimal() or not 0 < int(port) < 1 << 16:
                raise ValueError("several machines need a meeting point: set rendezvous to the first one's host:port")
        together = devices.devices != 1 or devices.nodes > 1
        if together and self.multi.multi != "off":
            raise ValueError("a multi-run trains in one process: set devices and nodes to 1")
        if devices.parallel in ("fsdp2", "zero2"):
            self._check_sharing(together)
        return self

    def _check_sharing(self, together: bool) -> None:
        way = self.devices.parallel
        shared = "weights" if way == "fsdp2" else "an optimiser"
        if not together:
            raise ValueError(f"parallel={way} shares {shared} out among processes: set devices to 2 or more")
        if self.model.method == "qlora":
            raise ValueError(
                f"parallel={way} does not go with quantised weights: choose parallel=ddp, or method lora or full"
            )
        if self.task.objective != "sft":
            raise ValueError(f"parallel={way} does not go with {self.task.objective}: choose parallel=ddp")
        if way == "zero2" and self.optim.optimizer not in _WITH_ZERO:
            raise ValueError(
                f"parallel=zero2 goes with optimizer {', '.join(_WITH_ZERO)}: choose one, or parallel=fsdp2"
            )
        full = self.model.method == "full"
        if way == "zero2" and (self.model.dtype == "float16" or (full and self.model.dtype == "bfloat16")):
            # DeepSpeed scales losses in float16 by itself, and keeps whole weights beside bfloat16 ones that nobody saves.
            raise ValueError(
                f"parallel=zero2 does not go with dtype={self.model.dtype} here: choose auto or float32, or parallel=fsdp2"
            )
        if self.model.method == "lora" and self.lora.adapter_start == "pissa":
            raise ValueError(f"parallel={way} does not go with adapter_start=pissa: choose parallel=ddp")
