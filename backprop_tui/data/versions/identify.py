"""The fingerprint of data that nobody trains on yet, the same that a run with these settings would store."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from backprop_tui.data import training_set
from backprop_tui.data.finding.places import DataSet, check_set
from backprop_tui.data.formats import Purpose
from backprop_tui.data.purposes import OTHER
from backprop_tui.data.selection import ELSEWHERE, Progress, Scan, scan, select, whole
from backprop_tui.data.versions.fingerprint import describe_data, set_state, short_id
from backprop_tui.protocol.errors import DataError
from backprop_tui.protocol.spec import DataPart
from backprop_tui.protocol.text import safe_text


def fingerprint_data(
    data: str | DataSet,
    part: DataPart | None = None,
    *,
    seed: int = 42,
    model_dir: Path | None = None,
    on_progress: Progress | None = None,
) -> dict[str, Any]:
    """What identifies a dataset under these settings; JSON-ready.

    With a model the rows are tokenised, and the result equals what a run stores: `tokenizer` and `template` are digests,
    `train` and `eval` count rows and tokens, with quantiles. Without one these are None, and the rows are as the split
    leaves them; ids of the two kinds differ.

    Args:
        data: words, or the set they were resolved to; takes the place of `part.path`.
        part: how rows are read, selected and split; None is the default way, with damaged rows counted, not refused.
        seed: of sampling, split and order.
        model_dir: a checked model directory.
        on_progress: told how far it is.

    Returns:
        `id`, `sources` (the set, and the held-out one if `part.eval_path` names it: files, rows by reason, formats,
        columns, digests), `settings`, `seed`, `dropped`, `tokenizer`, `template`, `train`, `eval`.

    Raises:
        DataError: a file can't be read, has damaged rows that are not to be dropped, has no usable row, or changes meanwhile.
        UsageError: the words, the filter or the mapping of columns are not valid.
    """
    part = part or DataPart(damaged="drop")
    words = data.words if isinstance(data, DataSet) else data
    part = part.model_copy(update={"path": words})
    if model_dir is not None:
        _, purpose = scan_any(training_set.data_sets(part)[0], part)
        built = training_set.build(part, model_dir, seed=seed, purpose=purpose, on_progress=on_progress)
        return with_id(built.fingerprint)
    train, held_out = training_set.data_sets(part)
    if isinstance(data, DataSet):
        train = data
    return _selected(train, held_out, part, seed, on_progress)[0]


def describe_side(
    data: DataSet, part: DataPart, seed: int, *, on_progress: Progress | None = None
) -> tuple[dict[str, Any], Scan]:
    """The fingerprint of one set alone, without a model, and the scan it comes from.

    Raises:
        DataError: as `fingerprint_data`.
        UsageError: as `fingerprint_data`.
    """
    return _selected(data, None, part, seed, on_progress)


def _selected(
    train: DataSet, held_out: DataSet | None, part: DataPart, seed: int, on_progress: Progress | None
) -> tuple[dict[str, Any], Scan]:
    found, purpose, facts = _described(train, part, None, on_progress)
    described = [facts]
    chosen = select(found, part, seed, split=held_out is None)
    held = len(chosen.held)
    dropped = dict(found.dropped)
    if held_out is not None:
        other, _, facts = _described(held_out, whole(part), purpose, on_progress)
        described.append(facts)
        held = len(other.kept)
        dropped.update({f"held out: {reason}": count for reason, count in other.dropped.items()})
    fingerprint = {
        "sources": described,
        "settings": part.model_dump(mode="json", exclude=set(ELSEWHERE)),
        "seed": seed,
        "dropped": dropped,
        "tokenizer": None,
        "template": None,
        "train": {"rows": len(chosen.train)},
        "eval": {"rows": held},
    }
    return with_id(fingerprint), found


def scan_any(
    data: DataSet, part: DataPart, purpose: Purpose | None = None, *, on_progress: Progress | None = None
) -> tuple[Scan, Purpose]:
    """Scan rows for what they are for: fine-tuning if any row is, else what most of them are.

    Raises:
        DataError: as `scan`.
        UsageError: as `scan`.
    """
    try:
        return scan(data, part, purpose=purpose or "sft", on_progress=on_progress), purpose or "sft"
    except DataError as error:
        dropped = error.detail.get("dropped")
        others = {kind: dropped.get(reason, 0) for kind, reason in OTHER.items()} if isinstance(dropped, dict) else {}
        other = max(others, key=lambda kind: others[kind], default="sft")
        if purpose is not None or not others.get(other):
            raise
        kinds: dict[str, Purpose] = {"preference": "preference", "unpaired": "unpaired", "prompt": "prompt"}
        return scan(data, part, purpose=kinds[other], on_progress=on_progress), kinds[other]


def with_id(fingerprint: dict[str, Any]) -> dict[str, Any]:
    """The fingerprint with its short id in front."""
    return {"id": short_id(fingerprint), **{name: value for name, value in fingerprint.items() if name != "id"}}


def _described(
    data: DataSet, part: DataPart, purpose: Purpose | None, on_progress: Progress | None
) -> tuple[Scan, Purpose, dict[str, Any]]:
    check_set(data)
    state = set_state(data)
    found, purpose = scan_any(data, part, purpose, on_progress=on_progress)
    facts = describe_data(data, found)
    if set_state(data) != state:
        raise DataError(
            "DATA_CHANGED", f"{safe_text(data.words)} changed while it was read.", "Try again once it is complete."
        )
    return found, purpose, facts
