"""What a person writes to name data, and the files it stands for.

Sources are joined by ` + `; `2x ` in front of one is its weight. Each is bundled (`demo`, `demo-pairs`, `demo-marked`), a
file, a folder, a pattern such as `data/**/*.jsonl`, `FILE.json#dotted.field`, or a dataset of the Hugging Face hub:
`org/name` or `hf://datasets/org/name[@revision][/path]`. What exists on the disk is never taken for anything else.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from msgspec import structs

from backprop_tui.config import paths
from backprop_tui.data.finding import hub
from backprop_tui.data.finding.folders import MOST_FILES, Found, files_matching, files_under, is_pattern
from backprop_tui.data.readers.entry import Note, unheard
from backprop_tui.data.readers.files import nearest_name
from backprop_tui.data.rows import Problem, Row
from backprop_tui.data.sources import check_source, extension_of, read_rows
from backprop_tui.protocol.errors import DataError, UsageError
from backprop_tui.protocol.text import safe_text

DEMO = "demo"
#: The data that comes along, and the beginning of its files' names: answers, pairs of them, and marked ones.
BUNDLED = {DEMO: "", "demo-pairs": "pairs-", "demo-marked": "marked-"}
#: Most sources in one set, and the greatest weight of one.
MOST_SOURCES = 100
MOST_WEIGHT = 100.0

Kind = Literal["demo", "file", "folder", "glob", "hub"]

_WEIGHT = re.compile(r"(\d{1,9}(?:\.\d{0,9})?|\.\d{1,9})x\s+(\S.*)", re.DOTALL)
_FIELD = re.compile(r"(.+\.json(?:\.gz|\.zst)?|hf://.+|.*[*?\[].*)#([^#/]+)", re.IGNORECASE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Source:
    """One part of a set.

    Args:
        words: as written, without the weight.
        kind: what they turned out to be.
        files: what they stand for, absolute, in the order of reading.
        weight: how often its rows are taken, above 0; 0.5 takes half of them.
        field: dotted path to the rows inside JSON objects; empty takes the only list.
        revision: commit of a dataset of the hub; None for anything else.
        skipped: what was left out of a folder or pattern, and why.
    """

    words: str
    kind: Kind
    files: tuple[Path, ...]
    weight: float = 1.0
    field: str = ""
    revision: str | None = None
    skipped: tuple[tuple[Path, str], ...] = ()


@dataclass(frozen=True, slots=True)
class DataSet:
    """Sources in the order they were written."""

    sources: tuple[Source, ...]

    @property
    def files(self) -> tuple[Path, ...]:
        """All files in order; `Row.file` is a place among them. A file of two sources is there twice."""
        return tuple(path for source in self.sources for path in source.files)

    @property
    def words(self) -> str:
        """The set as it was written."""
        return " + ".join(
            source.words if source.weight == 1 else f"{source.weight:g}x {source.words}" for source in self.sources
        )

    @property
    def fields(self) -> tuple[str, ...]:
        """The field of each of `files`."""
        return tuple(source.field for source in self.sources for _ in source.files)


def resolve(words: str, *, on_file: Callable[[str, int, int], None] | None = None) -> DataSet:
    """The files that `words` stand for. Nothing is read; a dataset of the hub is downloaded unless it is in the cache.

    Args:
        words: see the module.
        on_file: told (name, done, in all) before each file is downloaded.

    Raises:
        UsageError: DATA_WORDS_INVALID.
        DataError: DATA_FILE_MISSING, DATA_FOLDER_EMPTY, DATA_GLOB_EMPTY, DATA_TOO_MANY_FILES, or a HUB_… code.
        UnavailableError: HUB_UNREACHABLE and other HUB_… codes.
    """
    if not words.strip():
        raise _invalid("No data is named.", "Name a file, a folder, a dataset of the hub, or demo.")
    if "\0" in words:
        raise _invalid("A path can't hold a NUL byte.", "Check the path.")
    parts = _parts(words)
    if len(parts) > MOST_SOURCES:
        raise _invalid(f"There are {len(parts):,} sources; the most is {MOST_SOURCES}.", "Put files into a folder.")
    found = DataSet(tuple(_source(part.strip(), on_file) for part in parts))
    if len(found.files) > MOST_FILES:
        raise DataError(
            "DATA_TOO_MANY_FILES",
            f"The sources have {len(found.files):,} files; the most is {MOST_FILES:,}.",
            "Join the files, or choose fewer.",
        )
    return found


def check_set(data: DataSet) -> int:
    """Make sure that every file can be opened and is what its name says.

    Returns:
        The size of all files in bytes.

    Raises:
        DataError: see `check_source`; the first problem found.
    """
    return sum(check_source(path) for path in data.files)


def read_set(data: DataSet, *, on_note: Note = unheard) -> Iterator[Row]:
    """Rows of all files, one file after the other. Weights change nothing here: each row comes once.

    Args:
        data: the set.
        on_note: told what is odd about a file as a whole: a byte order mark, no rows.

    Yields:
        Rows: `index` counts through the set, `line` and `end` belong to the row's own file, `file` is its place in
        `DataSet.files`. In a set of several files a problem names its file.

    Raises:
        DataError: a file can't be read as a whole, or no file has any row (DATA_FILE_EMPTY).
    """
    index = 0
    several = len(data.files) > 1
    for place, (path, field) in enumerate(zip(data.files, data.fields, strict=True)):
        name = safe_text(path.name, limit=120) if several else ""

        def note(problem: Problem, name: str = name) -> None:
            on_note(structs.replace(problem, file=name))

        before = index
        for row in read_rows(path, index=index, file=place, field=field, on_note=note):
            index = row.index + 1
            if several and row.problem is not None:
                row = structs.replace(row, problem=structs.replace(row.problem, file=name))
            yield row
        if index == before and several:
            note(Problem("DATA_FILE_EMPTY", "The file has no rows.", "Leave it out.", severity="warn"))
    if not index:
        raise DataError("DATA_FILE_EMPTY", f"{_title(data)} has no rows.", "Choose a file with rows in it.")


def _parts(words: str) -> list[str]:
    """The sources, as written; a path that holds ` + ` itself stays whole."""
    pieces = words.split(" + ")
    parts: list[str] = []
    begin = 0
    while begin < len(pieces):
        last = min(len(pieces), begin + 20)
        end = next(
            (end for end in range(last, begin + 1, -1) if _exists(_weighed(" + ".join(pieces[begin:end]))[1])),
            begin + 1,
        )
        parts.append(" + ".join(pieces[begin:end]))
        begin = end
    return parts


def _source(words: str, on_file: Callable[[str, int, int], None] | None) -> Source:
    weight, words = _weighed(words)
    if not words:
        raise _invalid("A source is missing beside a +.", "Write sources as `A + B`.")
    if not 0 < weight <= MOST_WEIGHT:
        raise _invalid(
            f"The weight {weight:g} is not above 0 and at most {MOST_WEIGHT:g}.", "Write for example `2x A`."
        )
    if words in BUNDLED:
        return Source(words, "demo", (paths.demo_data_file("train", BUNDLED[words]),), weight)
    field = ""
    place = words
    if not _exists(words) and (split := _FIELD.fullmatch(words)):
        place, field = split[1], split[2]
    if not _exists(place) and (named := hub.parse(place)) is not None:
        got = hub.fetch(named, on_file=on_file)
        return Source(words, "hub", got.files, weight, field, got.revision, got.skipped)
    path = Path(os.path.abspath(_at_home(place)))
    if _exists(place):
        if not path.is_dir():
            return Source(words, "file", (path,), weight, field)
        return _of_found(words, "folder", files_under(path), weight, field)
    if is_pattern(place):
        return _of_found(words, "glob", files_matching(_at_home(place)), weight, field)
    raise _missing(place, path)


def _of_found(words: str, kind: Kind, found: Found, weight: float, field: str) -> Source:
    return Source(words, kind, tuple(found.files), weight, field, None, tuple(found.skipped))


def _weighed(words: str) -> tuple[float, str]:
    """The weight in front, and the rest; a path that begins like a weight keeps its name."""
    words = words.strip()
    if not _exists(words) and (split := _WEIGHT.fullmatch(words)):
        return float(split[1]), split[2]
    return 1.0, words


def _missing(words: str, path: Path) -> DataError:
    name = safe_text(words, limit=200)
    step = nearest_name(path)
    if hub.looks_like_id(words) and not extension_of(words):
        step = f"{step} A dataset of the hub is written hf://datasets/{name}."
    return DataError("DATA_FILE_MISSING", f"There is no file {name}.", step)


def _exists(words: str) -> bool:
    return bool(words) and os.path.lexists(_at_home(words))


def _at_home(words: str) -> str:
    return os.path.expanduser(words)


def _title(data: DataSet) -> str:
    files = data.files
    return safe_text(files[0].name, limit=120) if len(files) == 1 else f"None of the {len(files):,} files"


def _invalid(cause: str, next_step: str) -> UsageError:
    return UsageError("DATA_WORDS_INVALID", cause, next_step)
