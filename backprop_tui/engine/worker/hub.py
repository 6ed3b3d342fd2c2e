"""Fetching a model from the Hugging Face hub when it is not on this machine yet. Only data files, never code."""

from __future__ import annotations

from pathlib import Path

from backprop_tui.engine.worker.channel import Phase
from backprop_tui.protocol.errors import UnavailableError
from backprop_tui.protocol.spec import RunSpec
from backprop_tui.protocol.text import safe_text

#: What a causal language model consists of. Pickles (`*.bin`, `*.pt`) and Python files stay where they are.
_WANTED = ["*.json", "*.jinja", "*.safetensors", "*.txt", "*.model"]


def local_model(place: Path | str, spec: RunSpec, phase: Phase) -> Path:
    """The model's directory on this machine; a hub id is downloaded first.

    Raises:
        UnavailableError: it can't be fetched.
    """
    if isinstance(place, Path):
        return place
    from huggingface_hub import snapshot_download

    name = safe_text(place, limit=200)
    phase.progress(0, None, "bytes", f"downloading {name}")
    try:
        return Path(snapshot_download(place, revision=spec.model.revision, allow_patterns=_WANTED))
    except Exception as error:
        raise UnavailableError(
            "MODEL_DOWNLOAD_FAILED",
            f"{name} can't be downloaded: {safe_text(error, limit=200)}",
            "Check the id, the network and, for gated models, HF_TOKEN; or give a model directory.",
        ) from error
