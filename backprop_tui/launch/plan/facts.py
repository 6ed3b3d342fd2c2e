"""What a plan is made from: the model's shape, its rows in tokens and the machine. Reads, never writes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from backprop_tui.config import paths
from backprop_tui.launch.plan.shape import ModelShape, read_shape
from backprop_tui.protocol.errors import DataError
from backprop_tui.protocol.readings import GpuReading

if TYPE_CHECKING:
    from backprop_tui.protocol.spec import RunSpec

#: Rows that are tokenised for a plan; sets up to this size are known exactly.
SAMPLE = 2000

Progress = Callable[[int, int | None], None]


@dataclass(frozen=True, slots=True)
class RowFacts:
    """Rows in tokens.

    Attributes:
        rows: training rows, repeats included. eval_rows: held-out ones.
        lengths, learnt: tokens and learnt tokens of the rows looked at, after cutting, in the order they are drawn from.
        eval_lengths: of held-out rows looked at. cut: rows of those looked at that lost their end.
        refused: rows looked at that can't be used. exact: whether all rows were looked at.
    """

    rows: int
    eval_rows: int
    lengths: tuple[int, ...]
    learnt: tuple[int, ...]
    eval_lengths: tuple[int, ...]
    cut: int
    refused: int
    exact: bool

    @property
    def share(self) -> float:
        """Usable rows as a share of those looked at."""
        seen = len(self.lengths) + self.refused
        return len(self.lengths) / seen if seen else 1.0

    @property
    def tokens(self) -> int | None:
        """Tokens of all training rows."""
        return round(sum(self.lengths) / len(self.lengths) * self.rows * self.share) if self.lengths else None

    @property
    def trained_tokens(self) -> int | None:
        """Learnt tokens of all training rows."""
        return round(sum(self.learnt) / len(self.learnt) * self.rows * self.share) if self.learnt else None


@dataclass(frozen=True, slots=True)
class Machine:
    """What a run could use. Bytes; None is unknown."""

    gpus: tuple[GpuReading, ...]
    memory_total: int | None
    memory_free: int | None
    disk_free: int | None


def read_machine() -> Machine:
    """The machine as it is now."""
    from backprop_tui.hardware.gpu import read_gpus
    from backprop_tui.hardware.host import HostSampler

    gpus, _ = read_gpus()
    host = HostSampler(paths.runs_dir()).read()
    total, used = host["memory_total"], host["memory_used"]
    free = total - used if total is not None and used is not None else None
    return Machine(tuple(gpus), total, free, host["disk_free"])


def model_shape(spec: RunSpec) -> tuple[ModelShape | None, str]:
    """The shape of the spec's base, or None and why: it is a hub id not on this machine, or not of a known kind.

    Raises:
        BackpropError: the model directory can't be used.
    """
    place = model_place(spec)
    return (None, "the model is not on this machine yet") if place is None else read_shape(place)


def model_place(spec: RunSpec) -> Path | None:
    """The directory of the spec's base; None where it has to be downloaded.

    Raises:
        BackpropError: the model directory can't be used.
    """
    from backprop_tui.data.models import resolve_model

    return resolve_model(spec.model.base, spec.model.revision, need_template=False)


def read_rows(spec: RunSpec, place: Path, on_progress: Progress | None = None) -> RowFacts:
    """Select the rows as a run would, and tokenise a sample of them: all up to `SAMPLE`, else evenly spaced ones.

    Raises:
        BackpropError: what is wrong with the data.
    """
    from backprop_tui.data import training_set
    from backprop_tui.data.selection import select
    from backprop_tui.protocol.spec import ROWS_OF

    spec = spec.in_force
    part, purpose = spec.data, ROWS_OF[spec.task.objective]
    train, held = training_set.data_sets(part)
    found = training_set.scanned(train, part, on_progress, purpose=purpose)
    chosen = select(found, part, spec.optim.seed, split=held is None)
    wanted = _spaced(chosen.train)
    lengths, learnt, cut, refused = _measured(spec, place, train, wanted)
    if held is None:
        eval_rows, eval_lengths = len(chosen.held), _measured(spec, place, train, _spaced(chosen.held, 200))[0]
    else:
        other = training_set.scanned(held, part, on_progress, held_out=True, purpose=purpose)
        eval_rows = len(other.kept)
        eval_lengths = _measured(spec, place, held, _spaced(tuple(other.kept), 200))[0]
    exact = len(wanted) == len(chosen.train)
    return RowFacts(len(chosen.train), eval_rows, lengths, learnt, eval_lengths, cut, refused, exact)


def _spaced(places: tuple[int, ...], most: int = SAMPLE) -> list[int]:
    step = max(1, -(-len(places) // most))
    return list(places[::step])


def _measured(
    spec: RunSpec, place: Path, data: object, wanted: list[int]
) -> tuple[tuple[int, ...], tuple[int, ...], int, int]:
    from backprop_tui.data.children.remote import shared
    from backprop_tui.data.selection import rows_at
    from backprop_tui.protocol.spec import ROWS_OF

    part = spec.data
    distinct, purpose = set(wanted), ROWS_OF[spec.task.objective]
    rows = list(islice(rows_at(data, part, distinct, purpose), len(distinct)))  # type: ignore[arg-type]
    found = shared(place, "preview").measure_many(
        [row for _, row in rows], max_length=part.max_length, train_on=part.train_on
    )
    measures = {index: measure for (index, _), measure in zip(rows, found, strict=True)}
    kept = [measure for index in wanted if not isinstance(measure := measures[index], DataError)]
    lengths, learnt = tuple(one.tokens for one in kept), tuple(one.trained for one in kept)
    return lengths, learnt, sum(one.cut > 0 for one in kept), len(wanted) - len(kept)
