"""Fetching a model from the Hugging Face hub when it is not on this machine yet. Only data files, never code."""

from __future__ import annotations

from pathlib import Path

from backprop_tui.data.models import check_model_dir, resolve_model
from backprop_tui.engine.worker.channel import Phase
from backprop_tui.protocol.errors import UnavailableError
from backprop_tui.protocol.spec import RunSpec
from backprop_tui.protocol.text import safe_text

#: What a causal language model consists of. Pickles (`*.bin`, `*.pt`) and Python files stay where they are.
_WANTED = ["*.json", "*.jinja", "*.safetensors", "*.txt", "*.model"]


def local_model(spec: RunSpec, phase: Phase) -> Path:
    """The model's checked directory on this machine; a hub id that is not here is downloaded first.

    Raises:
        DataError: the directory lacks something.
        UnavailableError: the model can't be fetched.
    """
    base, revision = spec.model.base, spec.model.revision
    # Whether a template is needed depends on the rows; reading them says so.
    here = resolve_model(base, revision, need_template=False)
    if here is not None:
        return here
    from huggingface_hub import snapshot_download

    name = safe_text(base, limit=200)
    phase.progress(0, None, "bytes", f"downloading {name}")
    try:
        place = Path(snapshot_download(base, revision=revision, allow_patterns=_WANTED))
    except Exception as error:
        raise UnavailableError(
            "MODEL_DOWNLOAD_FAILED",
            f"{name} can't be downloaded: {safe_text(error, limit=200)}",
            "Check the id, the network and, for gated models, HF_TOKEN; or give a model directory.",
        ) from error
    check_model_dir(place, need_template=False)
    return place
