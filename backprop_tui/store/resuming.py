"""What a run can go on from: the highest step that is whole, and by name whatever had to be passed over."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from backprop_tui.protocol.errors import DataError
from backprop_tui.store.checkpoints import CheckpointInfo, list_checkpoints, read_manifest, verify
from backprop_tui.store.layout import RunDir
from backprop_tui.store.pins import unknown_step

#: What a continuation needs beside the weights, by how the names of the files begin (there may be one for each process), and
#: what it is. The trainer would go on without most of them, in silence, with another outcome.
_NEEDED = {
    "optimizer": "the optimiser's state",
    "scheduler": "the learning rate's schedule",
    "rng_state": "the random states",
    "trainer_state.json": "the position in the data",
    "state.json": "the run's own counters",
}


@dataclass(frozen=True, slots=True)
class Candidate:
    """What a resume goes on from.

    Attributes:
        info: the checkpoint; None begins again at step 0.
        skipped: checkpoints of later steps that will not do, newest first; `problem` says why.
    """

    info: CheckpointInfo | None
    skipped: tuple[CheckpointInfo, ...]

    @property
    def step(self) -> int | None:
        """Its step."""
        return None if self.info is None else self.info.step

    def words(self) -> str:
        """Those passed over, as sentences; "" when there are none."""
        return " ".join(f"Step {info.step:,} is passed over: {info.problem}" for info in self.skipped)


def find_candidate(run: RunDir, *, deep: bool = True) -> Candidate:
    """The checkpoint of the highest step with everything a continuation needs, by names and sizes, and `deep` by every byte."""
    skipped: list[CheckpointInfo] = []
    for info in reversed(list_checkpoints(run)):
        problem = info.problem or lacking(info.path) or (verify(info.path) if deep else None)
        if problem is None:
            return Candidate(info, tuple(skipped))
        skipped.append(replace(info, problem=problem))
    return Candidate(None, tuple(skipped))


def checkpoint_at(run: RunDir, step: int | None) -> CheckpointInfo:
    """The checkpoint of one step with every byte as written; None is the newest sound one.

    Raises:
        DataError: CHECKPOINT_UNKNOWN, CHECKPOINT_INVALID, or CHECKPOINT_NONE when there is nothing to begin with.
    """
    found = list_checkpoints(run)
    if step is None:
        for info in reversed(found):
            if info.problem is None and verify(info.path) is None:
                return info
        raise DataError(
            "CHECKPOINT_NONE", f"Run {run.short_id} has no sound checkpoint.", "`backprop show` says what is there."
        )
    for info in found:
        if info.step == step:
            problem = info.problem or verify(info.path)
            if problem is not None:
                raise DataError(
                    "CHECKPOINT_INVALID", problem, "Choose another step; `backprop show` lists them.", {"step": step}
                )
            return info
    raise unknown_step(run, step)


def lacking(place: Path) -> str | None:
    """What a checkpoint lacks for a continuation, as a sentence; None when its manifest lists everything needed."""
    manifest = read_manifest(place)
    names = list(manifest["files"]) if manifest is not None else []
    for beginning, what in _NEEDED.items():
        if not any(name.rpartition("/")[2].startswith(beginning) for name in names):
            return f"{place.name} lacks {beginning}: without {what} training would go on differently, and say nothing."
    return None
