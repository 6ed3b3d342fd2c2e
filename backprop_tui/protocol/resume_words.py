"""How a run went on from earlier weights, in one sentence: the same on the Run screen, in `show` and in `watch`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from backprop_tui.protocol.text import safe_text

#: Sentences of differences and of damaged checkpoints shown at most.
_MOST = 6


def resume_sentence(data: Mapping[str, Any]) -> str:
    """What kind of continuation it is and what follows from that. Foreign text in it is made harmless.

    Args:
        data: a `payloads.ResumePayload`, perhaps of another version.
    """
    step = _count(data.get("step"))
    kind = data.get("kind")
    if kind == "warm":
        words = _warm(data.get("parent"))
    elif kind == "exact":
        words = f"Exact resume after step {step}: everything a continuation depends on is as it was."
    else:
        words = (
            f"Statistical resume after step {step}: figures may differ slightly from those of a run nobody disturbed."
        )
    for title, key in (("Differs: ", "differences"), ("", "skipped")):
        listed = data.get(key)
        if isinstance(listed, list) and listed:
            more = f" and {len(listed) - _MOST} more" if len(listed) > _MOST else ""
            joint = "; " if title else " "
            words += f" {title}{joint.join(safe_text(item, limit=200) for item in listed[:_MOST])}{more}"
            words += "" if words.endswith(".") else "."
    return words


def lineage_words(parent: Mapping[str, Any]) -> str:
    """`k3f9 at step 400, optimiser kept`."""
    run = safe_text(parent.get("run", ""), limit=40).rsplit("-", 1)[-1]
    kept = ", optimiser kept" if parent.get("kept") == "optimizer" else ""
    return f"{run} at step {_count(parent.get('step'))}{kept}"


def _warm(parent: object) -> str:
    if not isinstance(parent, Mapping):
        return "Warm start: a run of its own that began with earlier weights."
    began = "its optimiser and its place in the data" if parent.get("kept") == "optimizer" else "a fresh optimiser"
    run = safe_text(parent.get("run", ""), limit=40).rsplit("-", 1)[-1]
    return f"Warm start: a run of its own that began with the weights of {run} at step {_count(parent.get('step'))} and {began}."


def _count(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else "–"
