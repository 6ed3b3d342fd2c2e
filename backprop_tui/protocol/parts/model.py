"""Which weights, and how they are adapted."""

from __future__ import annotations

from typing import Literal

from backprop_tui.protocol.parts.base import Part, setting

Method = Literal["lora", "qlora", "full"]
DType = Literal["auto", "float32", "bfloat16", "float16"]
Device = Literal["auto", "cuda", "cpu"]
Quantization = Literal["nf4", "int8"]
Attention = Literal["auto", "sdpa", "eager", "varlen"]
AdapterStart = Literal["zero", "pissa"]

#: Methods that train an adapter beside a frozen base.
_ADAPTED = "method=lora|qlora"


class ModelPart(Part):
    """Which weights, and how they are adapted."""

    base: str = setting("demo", "base", "model directory, hub id, or `demo` for the bundled tiny model", alias="model")
    revision: str | None = setting(None, "revision", "hub commit or tag; empty means the newest", advanced=True)
    method: Method = setting(
        "lora", "method", "lora trains a small adapter, qlora the same over a quantised base, full all weights"
    )
    quantization: Quantization = setting(
        "nf4",
        "base bits",
        "nf4 holds the frozen base in 4 bits (Dettmers et al. 2023), int8 in 8 bits: twice the memory, closer",
        when="method=qlora",
    )
    dtype: DType = setting(
        "auto",
        "precision",
        "number format of the base; auto is bfloat16 on a GPU that has it, else float32",
        advanced=True,
    )
    attention: Attention = setting(
        "auto",
        "attention",
        "varlen takes each row by itself (no mask over a whole pack); auto is varlen when padding-free, else sdpa",
        advanced=True,
    )
    device: Device = setting("auto", "device", "auto takes the GPU when there is one", advanced=True)


class LoraPart(Part):
    """The adapter's shape and how it starts and moves (Hu et al. 2021, arXiv 2106.09685)."""

    rank: int = setting(
        32, "rank", "width of the adapter; more learns more and costs more memory", when=_ADAPTED, ge=1, le=1024
    )
    alpha: int = setting(
        32, "alpha", "adapter scaling is alpha / rank; alpha / √rank with rslora", when=_ADAPTED, ge=1, le=4096
    )
    dropout: float = setting(
        0.0, "dropout", "share of adapter inputs dropped while training", when=_ADAPTED, ge=0.0, lt=1.0
    )
    targets: str = setting(
        "all-linear",
        "target layers",
        "`all-linear`, or module names separated by commas",
        advanced=True,
        when=_ADAPTED,
    )
    dora: bool = setting(
        False,
        "DoRA",
        "learn direction and magnitude of each layer apart (arXiv 2402.09353); slower, helps most at low rank",
        advanced=True,
        when=_ADAPTED,
    )
    rslora: bool = setting(
        False,
        "rsLoRA",
        "scale by alpha / √rank (arXiv 2312.03732): high ranks then learn at full strength, so mind the rate",
        advanced=True,
        when=_ADAPTED,
    )
    adapter_start: AdapterStart = setting(
        "zero",
        "adapter start",
        "pissa starts from the largest singular values of the base (arXiv 2404.02948); wants a lower rate",
        advanced=True,
        when="method=lora,dora=off",
    )
    lora_plus: float = setting(
        1.0,
        "LoRA+ ratio",
        "how many times faster the B matrices move than the A matrices (arXiv 2402.12354, about 16); 1 is off",
        advanced=True,
        when=_ADAPTED,
        ge=1.0,
        le=64.0,
    )
