"""Which checkpoints go: by step, by the best measurement, by pins and by a cap on bytes; never by the time of a file.

What must stay (`Shelf.sacred`): the newest sound one, because a resume goes on from it; the best one; the one the run
delivers; every pinned one. What is not ours (no manifest, another name, a symbolic link) is neither counted nor touched.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from backprop_tui.config.view_only import refuse_if_view_only
from backprop_tui.protocol.errors import DataError, TryAgainError
from backprop_tui.store.checkpoints import CheckpointInfo, list_checkpoints, read_manifest, remove_checkpoint
from backprop_tui.store.layout import RunDir, checkpoint_step
from backprop_tui.store.notes import alone
from backprop_tui.store.pins import read_pins

if TYPE_CHECKING:
    from backprop_tui.store.summary import RunSummary

Why = Literal["count", "size", "damaged"]


@dataclass(frozen=True, slots=True)
class Removal:
    """One checkpoint that goes. `bytes` is None when its manifest does not say; `why` names the rule that lets it go."""

    step: int
    bytes: int | None
    why: Why


@dataclass(frozen=True, slots=True)
class Shelf:
    """The checkpoints of one run that are ours, and what is known of them.

    Attributes:
        infos: by ascending step. best: step of the best measurement, None before the first.
        pinned: steps a person keeps; None when nobody can say, and then nothing goes.
        delivered: step of the run's result, None before its end.
    """

    infos: tuple[CheckpointInfo, ...]
    best: int | None
    pinned: frozenset[int] | None
    delivered: int | None = None

    @property
    def newest(self) -> int | None:
        """The highest step that is sound by names and sizes."""
        return max((info.step for info in self.infos if info.problem is None), default=None)

    @property
    def sacred(self) -> frozenset[int]:
        """Steps that never go on our own account."""
        always = {step for step in (self.newest, self.best, self.delivered) if step is not None}
        return frozenset(always | (self.pinned or frozenset()))

    @property
    def bytes(self) -> int:
        """What all of them hold, as far as their manifests say."""
        return sum(info.bytes or 0 for info in self.infos)


def look(run: RunDir, best: int | None, delivered: int | None = None) -> Shelf:
    """The checkpoints of a run as the disk has them now, judged by names and sizes."""
    ours = tuple(info for info in list_checkpoints(run) if read_manifest(info.path) is not None)
    return Shelf(ours, best, read_pins(run), delivered)


def look_at(summary: RunSummary) -> Shelf:
    """The checkpoints of a run as `look` finds them, with the best one and the result as its journal says."""
    view, run = summary.view, summary.run
    name = str(view.result or "").rpartition("/")[2]
    best = view.best_eval_step
    return look(run, best if isinstance(best, int) else None, checkpoint_step(name))


def plan(shelf: Shelf, *, keep: int | None = None, most_bytes: int | None = None) -> list[Removal]:
    """What goes so that the rules hold; pure, by ascending step.

    Args:
        shelf: what there is.
        keep: newest sound checkpoints that stay, at least 1; pinned and best ones stay beside them. None keeps any number.
        most_bytes: bytes they may hold together. Oldest ones go first; what must stay stays even where that is more.

    A damaged one goes as soon as there is a sound one of a later step; it never counts as kept.
    """
    newest = shelf.newest
    if newest is None or shelf.pinned is None:
        return []
    sound = [info.step for info in shelf.infos if info.problem is None]
    kept = shelf.sacred | (set(sound) if keep is None else set(sound[-max(1, keep) :]))
    going: dict[int, Removal] = {}
    for info in shelf.infos:
        if info.step not in kept and info.step < newest:
            going[info.step] = Removal(info.step, info.bytes, "damaged" if info.problem else "count")
    if most_bytes is not None:
        left = shelf.bytes - sum(gone.bytes or 0 for gone in going.values())
        for info in shelf.infos:
            if left <= most_bytes:
                break
            if info.step not in shelf.sacred and info.step not in going and info.step < newest:
                going[info.step] = Removal(info.step, info.bytes, "size")
                left -= info.bytes or 0
    return [going[step] for step in sorted(going)]


def carry_out(run: RunDir, removals: Iterable[Removal]) -> list[Removal]:
    """Delete these checkpoints and nothing else; one that has gone meanwhile, or was pinned meanwhile, is passed over.

    Returns:
        What was deleted.

    Raises:
        OSError: one could not be deleted.
    """
    done = []
    for removal in removals:
        try:
            # Under the lock of the pins: whoever pins it at this moment is told either that it is pinned or that it is gone.
            with alone(run.pins_lock):
                pinned = read_pins(run)
                if pinned is not None and removal.step not in pinned:
                    remove_checkpoint(run, removal.step)
                    done.append(removal)
        except DataError:
            continue
        except TryAgainError:
            break
    return done


def retain(run: RunDir, keep: int, best_step: int | None, most_bytes: int | None = None) -> list[int]:
    """Apply a run's own rules; returns the steps removed, in ascending order."""
    removals = plan(look(run, best_step), keep=keep, most_bytes=most_bytes)
    return [removal.step for removal in carry_out(run, removals)]


def prune(run: RunDir, removals: Iterable[Removal]) -> list[Removal]:
    """`carry_out` for a person who asks for it.

    Raises:
        UnavailableError: VIEW_ONLY. OSError: one could not be deleted.
    """
    refuse_if_view_only()
    return carry_out(run, removals)


def words_of(step: int, shelf: Shelf) -> Sequence[str]:
    """Why the checkpoint of a step stays: any of newest, best, result, pinned."""
    pinned = shelf.pinned or frozenset()
    marks = (
        ("newest", step == shelf.newest),
        ("best", step == shelf.best),
        ("result", step == shelf.delivered),
        ("pinned", step in pinned),
    )
    return [word for word, holds in marks if holds]
