"""Exceptions put into words: what happened, what is safe, what to do. The traceback goes to worker.log only."""

from __future__ import annotations

from typing import Any, Literal

from backprop_tui.protocol.errors import BackpropError
from backprop_tui.protocol.spec import RunSpec
from backprop_tui.protocol.text import safe_text

#: How PyTorch, CUDA, cuBLAS, cuDNN and bitsandbytes say it when they don't raise `OutOfMemoryError`.
_NO_ROOM = (
    "out of memory", "can't allocate memory", "cannot allocate memory", "not enough memory", "cublas_status_alloc_failed",
    "cudnn_status_alloc_failed", "cuda error: memory allocation", "cudaerrormemoryallocation",
)  # fmt: skip
#: Phases that need no rows of the micro-batch: less of them would not help.
_BEFORE_ROWS = frozenset({"load", "tokenise"})


def fault_payload(error: BaseException, spec: RunSpec | None, step: int | None) -> dict[str, Any]:
    """The `fault` event's payload for anything that ended a run."""
    if isinstance(error, BackpropError):
        words = error.to_dict()
    elif is_out_of_memory(error):
        words = {
            "code": "OUT_OF_MEMORY",
            "cause": getattr(error, "cause", None) or f"Memory ran out{f' at step {step + 1}' if step else ''}.",
            "next": _smaller(spec),
        }
    elif isinstance(error, ImportError) and (error.name or "").startswith("backprop_tui"):
        words = {
            "code": "INSTALLATION_DAMAGED",
            "cause": f"A part of this program can't be imported: {safe_text(error, limit=200)}.",
            "next": "Install it again, then resume.",
        }
    elif isinstance(error, ImportError):
        words = {
            "code": "TRAIN_EXTRA_MISSING",
            "cause": f"Training needs a package that is not installed: {safe_text(error.name or error, limit=200)}.",
            "next": "Run `pip install 'backprop-tui[train]'`.",
        }
    else:
        words = {
            "code": "TRAINING_FAILED",
            "cause": f"{type(error).__name__}: {safe_text(error, limit=300) or 'no message'}",
            "next": "worker.log in the run's directory has the details.",
        }
    return {**words, "step": step}


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception means that memory, the GPU's or the machine's, did not suffice."""
    if isinstance(error, MemoryError) or any(kind.__name__ == "OutOfMemoryError" for kind in type(error).__mro__):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error).lower() for words in _NO_ROOM)


def memory_retry(error: BaseException, phase: str | None) -> Literal["memory", "eval_memory", ""]:
    """What a smaller batch could mend, as `payloads.RetryPayload` says it; "" when it could not.

    Args:
        error: what ended the attempt.
        phase: the phase it came up in, None outside of all.
    """
    if not is_out_of_memory(error) or phase in _BEFORE_ROWS:
        return ""
    return "eval_memory" if phase in ("eval", "sample") else "memory"


def _smaller(spec: RunSpec | None) -> str:
    """The next thing to try: the same effective batch in smaller pieces, then less to hold."""
    if spec is None:
        return "Choose a smaller model."
    batch, accumulation = spec.optim.batch_size, spec.optim.accumulation
    if batch > 1:
        half = batch // 2
        more = -(-batch * accumulation // half)
        return f"Set batch_size to {half} and accumulation to {more}: the same effective batch in smaller pieces."
    if spec.optim.gradient_checkpointing == "off":
        return "Set gradient_checkpointing to full."
    if spec.data.max_length > 512:
        return f"Set max_length to {spec.data.max_length // 2}, or choose qlora or a smaller model."
    return "Choose qlora or a smaller model."
