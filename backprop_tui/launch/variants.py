"""What an adapter, an optimiser or a way of attending needs, asked before anything expensive. Imports none of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from backprop_tui.protocol.errors import UnavailableError, UsageError

if TYPE_CHECKING:
    from backprop_tui.protocol.spec import RunSpec

_BNB = "bitsandbytes"
#: Packages of optimisers that neither torch nor transformers bring, by the name pip knows.
OPTIMIZER_PACKAGES = {
    "adamw_bnb_8bit": _BNB, "paged_adamw_8bit": _BNB, "paged_adamw_32bit": _BNB,
    "lion_32bit": _BNB, "lion_8bit": _BNB, "paged_lion_32bit": _BNB, "paged_lion_8bit": _BNB,
    "ademamix": _BNB, "ademamix_8bit": _BNB, "paged_ademamix_32bit": _BNB, "paged_ademamix_8bit": _BNB,
    "adamw_torch_8bit": "torchao", "adamw_torch_4bit": "torchao",
    "stable_adamw": "torch-optimi",
}  # fmt: skip


def check_variants(spec: RunSpec) -> None:
    """Refuse settings whose package or device is missing, or that exclude each other.

    Raises:
        UnavailableError: EXTRA_MISSING, with the package; OFFLOAD_NEEDS_GPU.
        UsageError: PADDING_FREE_ATTENTION, ATTENTION_WITHOUT_EFFECT.
    """
    if spec.model.method == "qlora":
        _need(_BNB, "qlora", "method=lora")
    if spec.devices.parallel == "zero2":
        _need("deepspeed", "parallel=zero2", "parallel=ddp")
    package = OPTIMIZER_PACKAGES.get(spec.optim.optimizer)
    if package is not None:
        _need(package, spec.optim.optimizer, "optimizer=adamw_torch")
    if spec.optim.gradient_checkpointing == "offload" and spec.model.device == "cpu":
        raise UnavailableError(
            "OFFLOAD_NEEDS_GPU",
            "gradient_checkpointing=offload moves activations from the GPU to the host, and this run has no GPU.",
            "Set gradient_checkpointing to full.",
        )
    if spec.model.attention == "varlen" and not (spec.data.packing or spec.data.padding_free):
        raise UsageError(
            "ATTENTION_WITHOUT_EFFECT",
            "attention=varlen does nothing for batches of padded rows.",
            "Set packing or padding_free as well, or attention to auto.",
        )
    if spec.data.padding_free and not spec.data.packing and spec.model.attention in ("sdpa", "eager"):
        raise UsageError(
            "PADDING_FREE_ATTENTION",
            f"padding_free needs an attention that takes each row by itself; {spec.model.attention} would mix them or "
            "need a mask over the whole batch.",
            "Set attention to auto or varlen, or padding_free to off.",
        )


def _need(package: str, what: str, instead: str) -> None:
    from backprop_tui.hardware.extras import installed_version

    if installed_version(package) is None:
        raise UnavailableError(
            "EXTRA_MISSING",
            f"{what} needs {package}, which is not installed.",
            f"Run `pip install {package}`, or set {instead}.",
            {"missing": [package]},
        )
