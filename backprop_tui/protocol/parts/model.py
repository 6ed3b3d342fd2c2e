"""Which weights, and how they are adapted."""

from __future__ import annotations

from typing import Literal

from backprop_tui.protocol.parts.base import Part, setting

Method = Literal["lora", "qlora", "full"]
DType = Literal["auto", "float32", "bfloat16", "float16"]
Device = Literal["auto", "cuda", "cpu"]


class ModelPart(Part):
    """Which weights, and how they are adapted."""

    base: str = setting("demo", "base", "model directory, hub id, or `demo` for the bundled tiny model", alias="model")
    revision: str | None = setting(None, "revision", "hub commit or tag; empty means the newest", advanced=True)
    method: Method = setting(
        "lora", "method", "lora trains a small adapter, qlora the same over a 4-bit base, full all weights"
    )
    dtype: DType = setting(
        "auto",
        "precision",
        "number format of the base; auto is bfloat16 on a GPU that has it, else float32",
        advanced=True,
    )
    device: Device = setting("auto", "device", "auto takes the GPU when there is one", advanced=True)


class LoraPart(Part):
    """The adapter's shape (Hu et al. 2021, arXiv 2106.09685)."""

    rank: int = setting(32, "rank", "width of the adapter; more learns more and costs more memory", ge=1, le=1024)
    alpha: int = setting(32, "alpha", "adapter scaling is alpha / rank", ge=1, le=4096)
    dropout: float = setting(0.0, "dropout", "share of adapter inputs dropped while training", ge=0.0, lt=1.0)
    targets: str = setting(
        "all-linear", "target layers", "`all-linear`, or module names separated by commas", advanced=True
    )
