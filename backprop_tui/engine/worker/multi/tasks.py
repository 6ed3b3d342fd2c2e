"""Which rows each run of a multi-run learns from and is measured on. Pure arithmetic on row numbers."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

from backprop_tui.protocol.errors import DataError
from backprop_tui.protocol.parts.multi import MultiPart

#: Fewest rows a run can be made of.
_FEWEST = 1


@dataclass(frozen=True, slots=True)
class Task:
    """One run's share. `train` and `held` are places in the run's training and held-out rows."""

    name: str
    train: tuple[int, ...]
    held: tuple[int, ...]


def windows(part: MultiPart, rows: int, held: int) -> list[Task]:
    """Disjoint slices of the rows in their order, one a run; held-out rows are sliced evenly.

    Raises:
        DataError: MULTI_TOO_FEW_ROWS, the data is smaller than all slices together.
    """
    size = part.run_rows or rows // part.runs
    if size < _FEWEST or size * part.runs > rows:
        wanted = max(size, _FEWEST)
        raise DataError(
            "MULTI_TOO_FEW_ROWS",
            f"{part.runs} runs of {wanted:,} rows need {part.runs * wanted:,}, and {rows:,} are there to train on.",
            f"Set rows per run to {rows // part.runs:,} or less, or runs to {max(2, rows // wanted):,} or less."
            if rows >= 2 * _FEWEST
            else "Add rows, or train a single run.",
        )
    cuts = [round(held * number / part.runs) for number in range(part.runs + 1)]
    tasks = []
    for number in range(part.runs):
        start, end = rows * number // part.runs, rows * (number + 1) // part.runs
        if part.run_rows:
            start, end = number * size, (number + 1) * size
        tasks.append(Task(f"rows {start + 1:,}–{end:,}", _span(start, end), _span(cuts[number], cuts[number + 1])))
    return tasks


def datasets(names: Sequence[str], sources: Sequence[int], held_sources: Sequence[int] | None, held: int) -> list[Task]:
    """One task a source, in the order they were given.

    Args:
        names: of the sources.
        sources: for each training row, which it is from.
        held_sources: the same of the held-out rows; None where they come from a file of their own, which every task shares.
        held: number of held-out rows.

    Raises:
        DataError: MULTI_ONE_DATASET; MULTI_EMPTY_DATASET, a source has no row to train on.
    """
    if len(names) < 2:
        raise DataError(
            "MULTI_ONE_DATASET",
            "A multi-run over datasets needs at least two of them.",
            "Join them with ` + `, or cut one into slices with multi=windows.",
        )
    tasks = []
    for number, name in enumerate(names):
        train = tuple(place for place, source in enumerate(sources) if source == number)
        if not train:
            raise DataError("MULTI_EMPTY_DATASET", f"{name} has no row left to train on.", "Leave it out, or add rows.")
        own = _span(0, held)
        if held_sources is not None:
            own = tuple(place for place, source in enumerate(held_sources) if source == number)
        tasks.append(Task(name, train, own))
    return tasks


def replayed(tasks: Sequence[Task], run: int, part: MultiPart, seed: int) -> tuple[int, ...]:
    """Rows of earlier runs that are learnt again in this one (counted from 0), drawn with a generator of their own.

    They make up `part.replay` of the run's rows, fewer where earlier runs have not as many.
    """
    if run == 0 or not part.replay:
        return ()
    wanted = round(len(tasks[run].train) * part.replay / (1 - part.replay))
    draw = random.Random(f"replay {seed} {run}")
    earlier = tasks[run - 1 : run] if part.replay_from == "recent" else tasks[:run]
    if part.replay_from == "all":
        shares = [wanted * (number + 1) // run - wanted * number // run for number in range(run)]
        return tuple(
            row
            for task, share in zip(earlier, shares, strict=True)
            for row in sorted(draw.sample(task.train, min(share, len(task.train))))
        )
    pool = [row for task in earlier for row in task.train]
    return tuple(sorted(draw.sample(pool, min(wanted, len(pool)))))


def rate_of(part: MultiPart, first: float, run: int, runs: int) -> float:
    """Learning rate of a run (counted from 0): from `first` to `part.lr_last`, which is reached in the last run."""
    if not part.lr_last or part.lr_across == "constant" or runs < 2:
        return first
    done = run / (runs - 1)
    if part.lr_across == "cosine":
        done = (1 - math.cos(math.pi * done)) / 2
    return first + (part.lr_last - first) * done


def _span(start: int, end: int) -> tuple[int, ...]:
    return tuple(range(start, end))
