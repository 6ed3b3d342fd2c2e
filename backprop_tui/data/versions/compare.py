"""What differs between two versions of a dataset: files, rows with their places, and what decides about them."""

from __future__ import annotations

import json
from array import array
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backprop_tui.data.finding.places import DataSet, read_set, resolve
from backprop_tui.data.formats import row_reader
from backprop_tui.data.readers.files import open_file
from backprop_tui.data.rows import RowRejected
from backprop_tui.data.selection import Progress, Scan
from backprop_tui.data.tools.texts import row_text
from backprop_tui.data.versions.changes import Difference, RowPlace, compare
from backprop_tui.data.versions.fingerprint import mappings
from backprop_tui.data.versions.identify import describe_side
from backprop_tui.data.versions.sketch import items_of, unshared
from backprop_tui.protocol.errors import DataError
from backprop_tui.protocol.spec import DataPart
from backprop_tui.protocol.text import safe_text

#: A dataset by its words, a resolved one, or a fingerprint.
Side = str | DataSet | Mapping[str, Any]

#: Rows whose place is told, on each side.
_PLACES = 5
_EXCERPT = 60
#: Longest file taken for a fingerprint, in bytes.
_MOST = 16 << 20


def diff_data(
    before: Side, after: Side, part: DataPart | None = None, *, on_progress: Progress | None = None
) -> Difference:
    """What differs between two datasets, between a dataset and a fingerprint, or between two fingerprints.

    Rows are compared by content. Between datasets the counts are exact; with a fingerprint they are exact up to about a
    hundred differing rows and unknown beyond. Where files are at hand, the first added and removed rows are told by line.

    Args:
        before: the older side.
        after: the newer side.
        part: how the rows of datasets are read and selected. None reads them as the fingerprint on the other side was
            made; between two datasets it keeps every usable row and counts damaged ones.
        on_progress: told how far it is, for each dataset in turn.

    Raises:
        DataError: a dataset can't be read or has no usable row.
        UsageError: the words, the filter or the mapping of columns are not valid.
    """
    if part is None:
        part = _part_of(before) or _part_of(after) or DataPart(damaged="drop")
    seed = next((seed for side in (before, after) if (seed := _seed_of(side)) is not None), 42)
    left, right = (_Looked.at(side, part, seed, on_progress) for side in (before, after))
    found = compare(left.facts, right.facts)
    if found.rows is None or found.rows.same or found.rows.reordered:
        return found
    if left.scan is not None and right.scan is not None:
        mine, theirs = items_of(left.scan.keys), items_of(right.scan.keys)
        gone, new = _missing_from(theirs, mine), _missing_from(mine, theirs)
        found = found.with_counts(added=len(new), removed=len(gone), common=len(mine) - len(gone))
    else:
        apart = unshared(left.sketch, right.sketch)
        gone = _places_of(left.scan, apart.first if apart else ())
        new = _places_of(right.scan, apart.second if apart else ())
    return found.with_places(right.rows_at(new, part), left.rows_at(gone, part))


def read_fingerprint(path: Path) -> dict[str, Any]:
    """A fingerprint from a file that `fingerprint_data` or a run wrote as JSON.

    Raises:
        DataError: DATA_FINGERPRINT_INVALID, or the file can't be opened.
    """
    with open_file(path) as file:
        text = file.read(_MOST + 1)
    try:
        words = json.loads(text) if len(text) <= _MOST else None
    except (ValueError, RecursionError):
        words = None
    if not isinstance(words, dict) or not mappings(words.get("sources")):
        raise DataError(
            "DATA_FINGERPRINT_INVALID",
            f"{safe_text(path.name)} is not the fingerprint of a dataset.",
            "`backprop data fingerprint DATA --json` writes one.",
        )
    return words


@dataclass(frozen=True, slots=True)
class _Looked:
    """One side: its fingerprint, and for a dataset the scan it is from."""

    facts: Mapping[str, Any]
    scan: Scan | None = None

    @classmethod
    def at(cls, side: Side, part: DataPart, seed: int, on_progress: Progress | None) -> _Looked:
        if isinstance(side, Mapping):
            return cls(side)
        data = resolve(side) if isinstance(side, str) else side
        facts, scan = describe_side(data, part, seed, on_progress=on_progress)
        return cls(facts, scan)

    @property
    def sketch(self) -> object:
        described = mappings(self.facts.get("sources"))
        return described[0].get("sketch") if described else None

    def rows_at(self, places: list[int], part: DataPart) -> list[RowPlace]:
        """The first of these places among the usable rows, as places in files."""
        if self.scan is None or not places:
            return []
        kept: array[int] = self.scan.kept
        return find_rows(self.scan.data, part, [kept[place] for place in places[:_PLACES]])


def find_rows(data: DataSet, part: DataPart, indices: Iterable[int]) -> list[RowPlace]:
    """Where rows of a set stand, with their beginnings; reads no further than the last of them.

    Args:
        data: the set.
        part: how rows are read.
        indices: their numbers in the set, from 0.

    Raises:
        DataError: a file can't be read.
    """
    wanted, found = set(indices), []
    read = row_reader(part.format, part.columns)
    for row in read_set(data) if wanted else ():
        if row.index not in wanted:
            continue
        try:
            text = row_text(read(row.value)[1]) if row.problem is None else ""
        except RowRejected:
            text = ""
        name = safe_text(data.files[row.file].name, limit=120)
        found.append(RowPlace(name, row.line, row.index + 1, safe_text(text.strip(), limit=_EXCERPT)))
        if len(found) == len(wanted):
            break
    return found


def _missing_from(some: Any, items: Any) -> list[int]:
    """Places of the items that are not among some."""
    import numpy as np

    return [int(place) for place in np.flatnonzero(np.isin(items, some, invert=True))]


def _places_of(scan: Scan | None, items: Iterable[int]) -> list[int]:
    import numpy as np

    wanted = np.array(sorted(items), dtype=np.uint64)
    if scan is None or not len(wanted):
        return []
    return [int(place) for place in np.flatnonzero(np.isin(items_of(scan.keys), wanted))]


def _part_of(side: Side) -> DataPart | None:
    """The settings a fingerprint was made with, as far as they can be used."""
    from pydantic import ValidationError

    settings = side.get("settings") if isinstance(side, Mapping) else None
    if not isinstance(settings, Mapping):
        return None
    try:
        return DataPart.model_validate({key: settings[key] for key in DataPart.model_fields if key in settings})
    except ValidationError:
        return None


def _seed_of(side: Side) -> int | None:
    seed = side.get("seed") if isinstance(side, Mapping) else None
    return seed if isinstance(seed, int) else None
