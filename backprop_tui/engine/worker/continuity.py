"""How an attempt goes on from what was: whether its rows are those of the launch and of the checkpoint, whether the checkpoint
has all it takes, and what kind of continuation it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from backprop_tui.data.finding.places import check_set
from backprop_tui.data.training_set import data_sets
from backprop_tui.data.versions.changes import Difference, compare
from backprop_tui.data.versions.compare import diff_data
from backprop_tui.data.versions.launched import check_launched, check_trained
from backprop_tui.engine.worker.channel import EventSink
from backprop_tui.protocol import events as ev
from backprop_tui.protocol.errors import BackpropError, DataError
from backprop_tui.protocol.spec import DataPart
from backprop_tui.store.checkpoints import list_checkpoints, read_manifest, verify
from backprop_tui.store.layout import RunDir
from backprop_tui.store.lineage import parent_of
from backprop_tui.store.resuming import lacking

#: Parts of a data fingerprint that decide which tokens are drawn when, in words. A renamed file is none of them.
_IDENTITY = {
    "train": "the training rows",
    "eval": "the held-out rows",
    "tokenizer": "the tokenizer",
    "template": "the chat template",
    "seed": "the seed",
}
#: Bytes of data that are read once more to tell which lines are new.
_SEARCHED = 256 << 20


def check_before(run: RunDir, part: DataPart) -> None:
    """Refuse, before anything is tokenised, data that changed since the launch. A run that noted nothing passes.

    Raises:
        DataError: DATA_CHANGED, naming the file and what differs.
    """
    launched = run.read_launched()
    if launched is not None:
        check_launched(part, launched)


def check_after(run: RunDir, fingerprint: Mapping[str, Any]) -> None:
    """The same by content, now that every file has been read.

    Raises:
        DataError: DATA_CHANGED.
    """
    launched = run.read_launched()
    if launched is not None:
        check_trained(launched, fingerprint)


def check_same_data(checkpoint: Path, fingerprint: Mapping[str, Any], part: DataPart | None = None) -> None:
    """Refuse to go on with other rows than before: the position in the data would mean something else.

    Args:
        checkpoint: what is resumed from.
        fingerprint: of the rows as they are.
        part: the data settings, to tell which lines are new; None leaves that out.

    Raises:
        DataError: RESUME_DATA_CHANGED, naming what differs.
    """
    manifest = read_manifest(checkpoint)
    before = manifest.get("fingerprint") if manifest else None
    if not isinstance(before, dict):
        raise DataError(
            "CHECKPOINT_INVALID",
            f"{checkpoint.name} does not say which data it was trained on.",
            "Resume from an earlier checkpoint, or start a new run.",
        )
    differing = [words for key, words in _IDENTITY.items() if before.get(key) != fingerprint.get(key)]
    if not differing:
        return
    found = compare(before, fingerprint)
    if part is not None:
        found = _with_places(found, before, part)
    details = found.sentence()
    raise DataError(
        "RESUME_DATA_CHANGED",
        f"Since {checkpoint.name} {' and '.join(differing)} changed{f': {details}' if details else ''}.",
        "Restore what was there, or start a new run.",
        {"changed": differing, "difference": found.to_dict()},
    )


def check_resumable(checkpoint: Path) -> None:
    """Refuse a checkpoint that lacks a file, before anything is loaded: the trainer would go on without it, in silence.

    Raises:
        DataError: CHECKPOINT_INVALID, naming the file.
    """
    problem = verify(checkpoint, deep=False) or lacking(checkpoint)
    if problem is not None:
        raise DataError("CHECKPOINT_INVALID", problem, "Resume from an earlier checkpoint, or fork from this one.")


def tell_resumed(run: RunDir, sink: EventSink, step: int | None, differing: Sequence[str]) -> None:
    """Say what kind of continuation this attempt is; nothing for a run that begins afresh.

    Args:
        run: the run.
        sink: where it is said.
        step: of the checkpoint it goes on from; None when it begins at step 0.
        differing: what differs from the attempt that saved it.
    """
    parent = parent_of(run)
    warm = parent is not None and (step is None or (parent.kept == "optimizer" and step == parent.step))
    if step is None and not warm:
        return
    # What lies beyond the step gone on from was passed over, or it would have been taken.
    later = [info for info in list_checkpoints(run) if info.step > (step or 0)]
    skipped = [problem for info in later if (problem := info.problem or lacking(info.path) or verify(info.path))]
    sink.send(
        ev.RESUME,
        kind="warm" if warm else "statistical" if differing else "exact",
        step=step or 0,
        differences=list(differing),
        skipped=skipped,
        **({"parent": parent.to_dict()} if warm and parent is not None else {}),
    )


def _with_places(found: Difference, before: Mapping[str, Any], part: DataPart) -> Difference:
    """The same difference with the lines of the first new rows, where finding them is quick."""
    if found.rows is None or not found.rows.added:
        return found
    try:
        data, _ = data_sets(part)
        if check_set(data) > _SEARCHED:
            return found
        rows = diff_data(before, data, part).rows
    except BackpropError:
        # It is a help, and the refusal stands without it.
        return found
    return found if rows is None else found.with_places(rows.first_added, ())
