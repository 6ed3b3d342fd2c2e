"""One reading of all rows of a dataset, in which every row is either handed on or counted under why it is not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any, NamedTuple

from backprop_tui.cli.data.progress import Progress
from backprop_tui.cli.output import Output
from backprop_tui.data.finding.places import DataSet, read_set, resolve
from backprop_tui.data.formats import Normalised, Reader
from backprop_tui.data.rows import Problem, Row, RowRejected
from backprop_tui.protocol.errors import DataError
from backprop_tui.protocol.text import safe_text

#: The reason rows that can't be read at all are counted under, the same as in an inspection and a run.
DAMAGED = "damaged"
_EVERY = 256


class Usable(NamedTuple):
    """A row as it stands in its file, the format it is in, and what it means."""

    row: Row
    format: str
    normalised: Normalised


@dataclass(slots=True)
class Tally:
    """What became of the rows: `rows` is always `kept` plus the sum of `dropped`.

    Args:
        rows: rows read. dropped: rows left out, by reason. first: the first problem of a reason.
    """

    rows: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    first: dict[str, Problem] = field(default_factory=dict)

    @property
    def kept(self) -> int:
        """Rows not left out so far."""
        return self.rows - self.dropped.total()

    def drop(self, reason: str, problem: Problem | None = None, rows: int = 1) -> None:
        """Leave rows out, by name."""
        if rows:
            self.dropped[reason] += rows
        if problem is not None:
            self.first.setdefault(reason, problem)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready words."""
        return {"rows": self.rows, "kept": self.kept, "dropped": dict(self.dropped.most_common())}


def find(words: str, out: Output) -> DataSet:
    """The files that words stand for; what is downloaded shows its progress.

    Raises:
        UsageError, DataError, UnavailableError: as `data.finding.places.resolve`.
    """
    with Progress(out) as progress:
        return resolve(words, on_file=progress.files)


def find_once(words: str, out: Output) -> DataSet:
    """The same for actions that take every row once, with a word to whoever wrote weights.

    Raises:
        UsageError, DataError, UnavailableError: as `data.finding.places.resolve`.
    """
    data = find(words, out)
    if any(source.weight != 1 for source in data.sources):
        out.say("Weights are for training; here every row counts once.")
    return data


def counted_rows(data: DataSet, tally: Tally, progress: Progress) -> Iterator[Row]:
    """All rows in order, counted, with a word from time to time on how far it is.

    Raises:
        DataError: a file can't be read as a whole.
    """
    sizes = [path.stat().st_size for path in data.files]
    before, total = list(accumulate(sizes, initial=0)), sum(sizes)
    for row in read_set(data):
        tally.rows += 1
        if row.index % _EVERY == 0:
            progress.bytes_read(min(total, before[row.file] + row.end), total)
        yield row


def usable_rows(data: DataSet, read: Reader, tally: Tally, progress: Progress) -> Iterator[Usable]:
    """The rows that can be used, in order; the others go into the tally.

    Raises:
        DataError: a file can't be read as a whole, or no row can be used.
    """
    usable = 0
    for row in counted_rows(data, tally, progress):
        problem = row.problem
        if problem is not None and problem.severity == "error":
            tally.drop(DAMAGED, problem)
            continue
        try:
            name, normalised = read(row.value)
        except RowRejected as error:
            tally.drop(
                error.reason,
                Problem(error.code, error.cause, error.next_step, row.line, row.index + 1, value=error.value),
            )
            continue
        usable += 1
        yield Usable(row, name, normalised)
    if not usable:
        from backprop_tui.data.selection import no_usable_rows

        raise no_usable_rows(safe_text(data.words), tally.rows, tally.dropped, tally.first)


@contextmanager
def unchanged(*sets: DataSet) -> Iterator[None]:
    """Make sure that nobody writes to the data while it is read, twice perhaps.

    Raises:
        DataError: DATA_CHANGED, or a file can't be opened.
    """
    from backprop_tui.data.versions.fingerprint import set_state

    states = [set_state(data) for data in sets]
    yield
    for data, state in zip(sets, states, strict=True):
        if set_state(data) != state:
            raise DataError(
                "DATA_CHANGED", f"{safe_text(data.words)} changed while it was read.", "Try again once it is complete."
            )


def chosen_rows(data: DataSet, chosen: bytearray) -> Iterator[Row]:
    """The rows of a set in order, as they stand in their files, for whose place `chosen` has a 1."""
    for row in read_set(data):
        if row.index < len(chosen) and chosen[row.index]:
            yield row
