"""Which rows of a dataset are learnt from, how often and in which order, and which are held out; no row's text is kept.

Everything here depends on the settings, the seed and the rows alone, so that a resumed run draws what it began with.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from backprop_tui.data.finding.places import DataSet, read_set
from backprop_tui.data.formats import Normalised, Purpose, purpose_of, row_reader
from backprop_tui.data.looking.look import DAMAGED
from backprop_tui.data.purposes import as_wanted, other_purpose, wrong_rows
from backprop_tui.data.rows import Problem, Row, RowRejected
from backprop_tui.data.tools.content import content_key
from backprop_tui.data.tools.duplicates import ExactDuplicates, NearDuplicates
from backprop_tui.data.tools.expression import compile_filter
from backprop_tui.data.tools.facts import facts_of
from backprop_tui.data.tools.order import BY_TEXT, column_difficulties, curriculum_order, difficulty_of
from backprop_tui.data.tools.sampling import repeat_plan, sample_rows
from backprop_tui.data.tools.split import split_rows
from backprop_tui.data.tools.texts import row_text
from backprop_tui.data.versions.columns_seen import ColumnsSeen
from backprop_tui.protocol.errors import DataError
from backprop_tui.protocol.spec import DataPart
from backprop_tui.protocol.text import safe_text

#: on_progress(done, total) in rows: `total` is None while they are counted, then known while they are tokenised.
Progress = Callable[[int, int | None], None]
_EVERY = 1000
_FILTERED = "left out by the filter"
_REPEATED: dict[str, str] = {"exact": "exact duplicate", "near": "near duplicate"}


#: Settings that say where data lies or how it is batched, not which rows there are.
ELSEWHERE = frozenset({"path", "eval_path", "packing"})
#: How held-out data is read: as it is, neither filtered nor mixed nor ordered.
_WHOLE = {"filter": "", "duplicates": "keep", "group_by": "", "order": "file", "max_rows": 0}


def whole(part: DataPart) -> DataPart:
    """The settings for data that is held out."""
    return part.model_copy(update=_WHOLE)


@dataclass(slots=True)
class Scan:
    """What a pass over all rows found: those worth tokenising, and why the others are not.

    Args:
        data: the files. rows: rows read. kept: places of the usable ones, ascending. keys: their contents' keys.
        sources: for each usable row, which source of the mixture it is from.
        dropped: rows left out, by reason; first: the first problem of each reason.
        formats: usable rows by format. chats: how many of them have turns.
        groups, difficulties: one entry a usable row, where the settings ask for them.
        unseen: columns the filter asks for that no row has. columns: those the rows do have.
    """

    data: DataSet
    rows: int = 0
    kept: array[int] = field(default_factory=lambda: array("Q"))
    keys: list[bytes] = field(default_factory=list)
    sources: array[int] = field(default_factory=lambda: array("H"))
    dropped: Counter[str] = field(default_factory=Counter)
    first: dict[str, Problem] = field(default_factory=dict)
    formats: Counter[str] = field(default_factory=Counter)
    chats: int = 0
    groups: list[Any] | None = None
    difficulties: list[Any] | None = None
    unseen: set[str] = field(default_factory=set)
    columns: ColumnsSeen = field(default_factory=ColumnsSeen)

    def drop(self, reason: str, problem: Problem) -> None:
        """Leave a row out, by name."""
        self.dropped[reason] += 1
        self.first.setdefault(reason, problem)


@dataclass(frozen=True, slots=True)
class Selection:
    """Rows by their place in the set. `train` in the order they are drawn or shuffled from, repeats included."""

    train: tuple[int, ...]
    held: tuple[int, ...]
    #: Rows after each step, in order: read, usable, sampled, split, mixed.
    steps: tuple[tuple[str, int], ...]


def scan(data: DataSet, part: DataPart, *, purpose: Purpose = "sft", on_progress: Progress | None = None) -> Scan:
    """Read every row and decide on it alone; none is kept in memory.

    Raises:
        DataError: a damaged row (unless they are to be dropped), or no usable row.
        UsageError: the filter or the mapping of columns is not valid.
    """
    found = Scan(data)
    if part.group_by:
        found.groups = []
    if part.order == "curriculum":
        found.difficulties = []
    decide = _decider(part, found, purpose)
    source_of = [number for number, source in enumerate(data.sources) for _ in source.files]
    for row in read_set(data):
        found.rows += 1
        if on_progress and row.index % _EVERY == 0:
            on_progress(row.index, None)
        name = safe_text(data.files[row.file].name)
        found.columns.add(row.value)
        if row.problem is not None and row.problem.severity == "error":
            if part.damaged == "refuse":
                raise row.problem.to_error(name)
            found.drop(DAMAGED, row.problem)
            continue
        try:
            decide(row, source_of[row.file])
        except RowRejected as error:
            found.drop(
                error.reason,
                Problem(error.code, error.cause, error.next_step, row.line, row.index + 1, value=error.value),
            )
    if not found.rows:
        raise DataError("DATA_FILE_EMPTY", f"{safe_text(data.words)} has no rows.", "Choose a file with rows in it.")
    if found.unseen:
        name = min(found.unseen)
        raise DataError(
            "DATA_FILTER_COLUMN",
            f"The row filter asks for {safe_text(name, limit=60)!r}, which no row has.",
            "`backprop data columns` lists what there is; `backprop data filter --help` the names that are always there.",
        )
    if not found.kept:
        name = safe_text(data.words)
        other = wrong_rows(name, found.rows, purpose, found.dropped)
        raise other or no_usable_rows(name, found.rows, found.dropped, found.first)
    return found


def _decider(part: DataPart, found: Scan, purpose: Purpose) -> Callable[[Row, int], None]:
    """What is done with one readable row; raises `RowRejected` where it is left out."""
    read = row_reader(part.format, part.columns)
    keep = compile_filter(part.filter) if part.filter.strip() else None
    unseen = found.unseen
    unseen.update(keep.columns if keep is not None else ())
    exact = ExactDuplicates() if part.duplicates != "keep" else None
    near = NearDuplicates(part.near_threshold) if part.duplicates == "near" else None

    def decide(row: Row, source: int) -> None:
        name, said = read(row.value)
        normalised = as_wanted(said, purpose)
        if purpose_of(normalised) != purpose:
            raise other_purpose(normalised)
        if keep is not None:
            if unseen:
                unseen.difference_update([name for name in unseen if cell(row.value, name) is not None])
            facts = facts_of(said, value=row.value, format=name, index=row.index, line=row.line)
            if not keep.keep(facts):
                raise RowRejected(
                    "DATA_FILTERED", _FILTERED, "The row filter does not keep the row.", "Change the filter."
                )
        key = content_key(normalised)
        if exact is not None and exact.add(key) is not None:
            raise _repeated("exact")
        if near is not None and near.add(row_text(normalised)) is not None:
            raise _repeated("near")
        found.kept.append(row.index)
        found.keys.append(key)
        found.sources.append(source)
        found.formats[name] += 1
        found.chats += name != "text"
        if found.groups is not None:
            found.groups.append(cell(row.value, part.group_by))
        if found.difficulties is not None:
            found.difficulties.append(
                difficulty_of(normalised, part.difficulty)
                if part.difficulty in BY_TEXT
                else cell(row.value, part.difficulty)
            )

    return decide


def select(found: Scan, part: DataPart, seed: int, *, split: bool = True) -> Selection:
    """Sample, hold out, mix and order the usable rows.

    Args:
        found: the scan.
        part: the data settings.
        seed: the run's seed.
        split: whether rows are held out; False where a file of held-out rows is given.

    Raises:
        DataError: DATA_DIFFICULTY_MISSING, DATA_GROUP_MISSING.
        UsageError: a weight is not valid.
    """
    keys = found.keys
    chosen = sample_rows(keys, count=part.max_rows or None, seed=seed)
    groups = found.groups
    if groups is not None and all(group is None for group in groups):
        raise DataError(
            "DATA_GROUP_MISSING",
            f"No row has a column {safe_text(part.group_by, limit=60)!r} to split by.",
            "Name another column in group_by, or leave it empty.",
        )
    held: list[int] = []
    if split:
        held = split_rows(
            [keys[place] for place in chosen],
            part.eval_split,
            seed,
            None if groups is None else [groups[place] for place in chosen],
        )
    held_places = {chosen[place] for place in held}
    left = [place for place in chosen if place not in held_places]
    drawn = _mixed(found, left, seed)
    if part.order == "curriculum" and found.difficulties is not None:
        grades = found.difficulties
        if part.difficulty not in BY_TEXT:
            grades = column_difficulties(grades, part.difficulty)
        order = curriculum_order([grades[place] for place in drawn], seed, [keys[place] for place in drawn])
        drawn = [drawn[place] for place in order]
    kept = found.kept
    steps = [("read", found.rows), ("usable", len(kept)), ("sampled", len(chosen)), ("left to train on", len(left))]
    return Selection(
        tuple(kept[place] for place in drawn),
        tuple(kept[place] for place in sorted(held_places)),
        (*steps, ("with repeats", len(drawn))),
    )


def _mixed(found: Scan, places: list[int], seed: int) -> list[int]:
    """Places as often as their source's weight says: first every row that is taken once, then those taken again."""
    taken: list[tuple[int, int]] = []
    for number, source in enumerate(found.data.sources):
        mine = [place for place in places if found.sources[place] == number]
        plan = repeat_plan([found.keys[place] for place in mine], source.weight, seed, source=number)
        taken += [(mine[place], times) for place, times in plan]
    most = max((times for _, times in taken), default=0)
    return [place for turn in range(most) for place, times in taken if times > turn]


def cell(value: Any, path: str) -> Any:
    """The cell a column name, or a dotted path into nested objects, leads to; None when there is none."""
    if isinstance(value, Mapping) and path in value:
        return value[path]
    for name in path.split("."):
        if not isinstance(value, Mapping) or name not in value:
            return None
        value = value[name]
    return value


def rows_at(
    data: DataSet, part: DataPart, wanted: set[int], purpose: Purpose = "sft"
) -> Iterator[tuple[int, Normalised]]:
    """The rows at these places of the set, read again, as a purpose takes them."""
    read = row_reader(part.format, part.columns)
    for row in read_set(data):
        if row.index in wanted:
            yield row.index, as_wanted(read(row.value)[1], purpose)


def no_usable_rows(name: str, rows: int, dropped: Counter[str], first: Mapping[str, Problem]) -> DataError:
    """The error of data without a usable row: the commonest reason leads, and when it is the only one gives the code."""
    reason, count = dropped.most_common(1)[0]
    problem = first[reason]
    detail = {"dropped": dict(dropped), "line": problem.line, "row": problem.row}
    if count < rows:
        words = ", ".join(f"{why} {number:,}" for why, number in dropped.most_common(4))
        return DataError(
            "DATA_NO_USABLE_ROWS",
            f"None of the {rows:,} rows of {name} can be used: {words}.",
            problem.next_step,
            detail,
        )
    which = f"All {rows:,} rows of {name}" if rows > 1 else f"The only row of {name}"
    return DataError(problem.code, f"{which}: {reason}. {problem.cause}", problem.next_step, detail)


def _repeated(kind: Literal["exact", "near"]) -> RowRejected:
    return RowRejected(
        "DATA_DUPLICATE", _REPEATED[kind], "The row repeats an earlier one.", "Keep duplicates to use it."
    )
