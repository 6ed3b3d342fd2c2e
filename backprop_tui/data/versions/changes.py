"""What differs between two fingerprints, in words and as JSON. Nothing is read but the fingerprints."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from backprop_tui.data.versions.fingerprint import UNDECIDING, mappings
from backprop_tui.data.versions.sketch import unshared
from backprop_tui.protocol.text import safe_text

FileKind = Literal["added", "removed", "changed", "renamed"]
_File = Mapping[str, Any]
_Files = list[_File]

#: Entries of each kind in one sentence.
_MOST = 3
_LIMIT = 60


@dataclass(frozen=True, slots=True)
class FileChange:
    """A file that is not on both sides as it was. Sizes in bytes; None on the side that lacks it. Names are harmless."""

    kind: FileKind
    name: str
    before: int | None
    after: int | None
    new_name: str = ""

    @property
    def words(self) -> str:
        """Such as `chats.jsonl changed (1,204 bytes then, 1,310 now)`."""
        if self.kind == "added":
            return f"{self.name} was added ({self.after or 0:,} bytes)"
        if self.kind == "removed":
            return f"{self.name} was removed ({self.before or 0:,} bytes)"
        if self.kind == "renamed":
            return f"{self.name} is called {self.new_name}"
        what = f"became {self.new_name}" if self.new_name else "changed"
        if self.before == self.after:
            return f"{self.name} {what} (still {self.after or 0:,} bytes)"
        return f"{self.name} {what} ({self.before or 0:,} bytes then, {self.after or 0:,} now)"


@dataclass(frozen=True, slots=True)
class RowPlace:
    """Where a row stands: file, line from 1 (None in formats without lines), row of the set from 1, and its beginning."""

    file: str
    line: int | None
    row: int
    excerpt: str

    @property
    def words(self) -> str:
        """Such as `chats.jsonl line 12: "What is …"`."""
        place = f"line {self.line:,}" if self.line is not None else f"row {self.row:,}"
        return f'{self.file} {place}: "{self.excerpt}"'


@dataclass(frozen=True, slots=True)
class RowChange:
    """Usable rows by content. None is unknown: more rows differ than fingerprints can tell, or they don't say.

    Args:
        before, after: rows of the two sides. added, removed, common: by content; a content that repeats counts as often.
        reordered: the same rows in another order.
        first_added, first_removed: where the first ones stand, as far as the files are at hand.
    """

    before: int | None
    after: int | None
    added: int | None
    removed: int | None
    common: int | None
    reordered: bool = False
    first_added: tuple[RowPlace, ...] = ()
    first_removed: tuple[RowPlace, ...] = ()

    @property
    def same(self) -> bool:
        """Whether the same rows are there in the same order."""
        return self.added == 0 and self.removed == 0 and not self.reordered

    @property
    def words(self) -> str:
        """Such as `24 rows then, 23 now (0 added, 1 removed)`."""
        if self.same:
            return f"the same {self.after or 0:,} rows"
        if self.reordered:
            return f"the same {self.after or 0:,} rows in another order"
        if self.before is None or self.after is None:
            return "other rows"
        counts = f"{self.before:,} rows then, {self.after:,} now"
        if self.added is None or self.removed is None:
            return f"{counts} (a great many differ)"
        return f"{counts} ({self.added:,} added, {self.removed:,} removed)"


@dataclass(frozen=True, slots=True)
class Change:
    """Something else that differs; `what` names it (`setting filter`, `chat template`, …), the values are JSON-ready."""

    what: str
    before: Any
    after: Any

    @property
    def words(self) -> str:
        """Such as `setting filter was (empty), is turns >= 2`."""
        return f"{self.what} was {_shown(self.before)}, is {_shown(self.after)}"


@dataclass(frozen=True, slots=True)
class Difference:
    """Everything that differs. Renamed files are told, and are no difference.

    Args:
        files, rows: of the data to learn from. held_out_files, held_out_rows: of a file of held-out rows, if both have one.
        changes: settings, seed, tokenizer, template, mixture, reasons, columns, tokens.
    """

    files: tuple[FileChange, ...] = ()
    rows: RowChange | None = None
    held_out_files: tuple[FileChange, ...] = ()
    held_out_rows: RowChange | None = None
    changes: tuple[Change, ...] = ()

    @property
    def same(self) -> bool:
        """Whether nothing differs but names."""
        files = (*self.files, *self.held_out_files)
        rows = [change for change in (self.rows, self.held_out_rows) if change is not None]
        return not self.changes and all(file.kind == "renamed" for file in files) and all(row.same for row in rows)

    def lines(self) -> list[str]:
        """One line a difference, for people; all text is harmless."""
        lines = [file.words for file in self.files]
        if self.rows is not None:
            lines += _row_lines(self.rows)
        lines += [f"held out: {file.words}" for file in self.held_out_files]
        if self.held_out_rows is not None and not (self.held_out_rows.same and self.same):
            lines += [f"held out: {line}" for line in _row_lines(self.held_out_rows)]
        return lines + [change.words for change in self.changes]

    def sentence(self) -> str:
        """The differences in one line without a full stop, the first few of each kind; empty if there are none."""
        parts = _some(self.files, lambda file: file.words)
        if self.rows is not None and not self.rows.same:
            parts.append(self.rows.words)
            parts += [f"new is {place.words}" for place in self.rows.first_added[:1]]
        parts += [f"held out: {words}" for words in _some(self.held_out_files, lambda file: file.words)]
        if self.held_out_rows is not None and not self.held_out_rows.same:
            parts.append(f"held out: {self.held_out_rows.words}")
        return "; ".join(parts + _some(self.changes, lambda change: change.words))

    def with_counts(self, *, added: int, removed: int, common: int) -> Difference:
        """The same difference with rows counted exactly."""
        if self.rows is None:
            return self
        return replace(self, rows=replace(self.rows, added=added, removed=removed, common=common))

    def with_places(self, added: Sequence[RowPlace], removed: Sequence[RowPlace]) -> Difference:
        """The same difference, knowing where the first rows stand."""
        if self.rows is None:
            return self
        return replace(self, rows=replace(self.rows, first_added=tuple(added), first_removed=tuple(removed)))

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready words."""
        return {**asdict(self), "same": self.same}


def compare(before: Mapping[str, Any], after: Mapping[str, Any]) -> Difference:
    """What differs between two fingerprints; what only one of them says is passed over.

    Args:
        before: a fingerprint of `fingerprint_data`, of a run's `dataset.json`, or of a checkpoint's manifest.
        after: another one.
    """
    ours, theirs = mappings(before.get("sources")), mappings(after.get("sources"))
    sets = [(_set(left), _set(right)) for left, right in zip(ours, theirs, strict=False)]
    found = [(_files(left, right), _rows(left, right)) for left, right in sets]
    changes = _changes(before, after)
    if sets:
        changes += _mixture(*sets[0])
        changes += _counts("left out, ", sets[0][0].get("dropped"), sets[0][1].get("dropped"))
        changes += _columns(*sets[0])
    files, rows = found[0] if found else ((), None)
    held_files, held_rows = found[1] if len(found) > 1 else ((), None)
    return Difference(files, rows, held_files, held_rows, tuple(changes))


def _set(described: Mapping[str, Any]) -> Mapping[str, Any]:
    """A described set; a manifest of an older release lists its files alone."""
    return {"sources": [{"files": [described]}]} if "sha256" in described else described


def _file_list(described: Mapping[str, Any]) -> _Files:
    return [file for source in mappings(described.get("sources")) for file in mappings(source.get("files"))]


def _files(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[FileChange, ...]:
    # Same name before other name, so that of two equal files each finds itself.
    _, left, right = _paired(_file_list(before), _file_list(after), ("sha256", "name"))
    renamed, left, right = _paired(left, right, ("sha256",))
    changed, left, right = _paired(left, right, ("name",))
    if len(left) == len(right) == 1:
        changed, left, right = [*changed, (left[0], right[0])], [], []
    changes = [FileChange("changed", _name(old), _size(old), _size(new), _other_name(old, new)) for old, new in changed]
    changes += [FileChange("removed", _name(file), _size(file), None) for file in left]
    changes += [FileChange("added", _name(file), None, _size(file)) for file in right]
    changes += [FileChange("renamed", _name(old), _size(old), _size(new), _name(new)) for old, new in renamed]
    return tuple(changes)


def _paired(left: _Files, right: _Files, keys: tuple[str, ...]) -> tuple[list[tuple[_File, _File]], _Files, _Files]:
    """Files that agree in these keys, each with its partner, and those without one."""
    waiting: dict[tuple[Any, ...], deque[_File]] = defaultdict(deque)
    for file in right:
        waiting[tuple(str(file.get(key)) for key in keys)].append(file)
    pairs, alone = [], []
    for file in left:
        partners = waiting.get(tuple(str(file.get(key)) for key in keys))
        if partners:
            pairs.append((file, partners.popleft()))
        else:
            alone.append(file)
    return pairs, alone, [file for partners in waiting.values() for file in partners]


def _rows(before: Mapping[str, Any], after: Mapping[str, Any]) -> RowChange | None:
    if "rows_sha256" not in before or "rows_sha256" not in after:
        return None
    then, now = _count(before.get("usable")), _count(after.get("usable"))
    if before["rows_sha256"] == after["rows_sha256"]:
        moved = before.get("order_sha256") != after.get("order_sha256")
        return RowChange(then, now, 0, 0, now, reordered=moved)
    apart = unshared(before.get("sketch"), after.get("sketch"))
    if apart is None or then is None:
        return RowChange(then, now, None, None, None)
    return RowChange(then, now, len(apart.second), len(apart.first), then - len(apart.first))


def _changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Change]:
    ours, theirs = before.get("settings"), after.get("settings")
    changes: list[Change] = []
    if isinstance(ours, Mapping) and isinstance(theirs, Mapping):
        changes += [
            Change(f"setting {safe_text(key, limit=_LIMIT)}", ours[key], theirs[key])
            for key in ours
            if key in theirs and key not in UNDECIDING and ours[key] != theirs[key]
        ]
    for key, what in (("seed", "seed"), ("tokenizer", "tokenizer"), ("template", "chat template")):
        then, now = before.get(key), after.get(key)
        if then is not None and now is not None and then != now:
            short = key != "seed"
            changes.append(Change(what, str(then)[:12] if short else then, str(now)[:12] if short else now))
    if before.get("tokenizer") is None or after.get("tokenizer") is None:
        return changes
    for key, what in (("train", "rows to learn from"), ("eval", "held-out rows")):
        for part, unit in (("rows", ""), ("tokens", " (tokens)")):
            then, now = _inner(before, key, part), _inner(after, key, part)
            if then is not None and now is not None and then != now:
                changes.append(Change(f"{what}{unit}", then, now))
    return changes


def _mixture(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Change]:
    changes: list[Change] = []
    pairs = zip(mappings(before.get("sources")), mappings(after.get("sources")), strict=False)
    for number, (left, right) in enumerate(pairs, 1):
        for key in ("weight", "field"):
            if key in left and key in right and left[key] != right[key]:
                changes.append(Change(f"{key} of source {number}", left[key], right[key]))
    return changes


def _counts(what: str, before: object, after: object) -> list[Change]:
    if not isinstance(before, Mapping) or not isinstance(after, Mapping):
        return []
    return [
        Change(f"{what}{safe_text(name, limit=_LIMIT)}", before.get(name, 0), after.get(name, 0))
        for name in dict.fromkeys((*before, *after))
        if before.get(name, 0) != after.get(name, 0)
    ]


def _columns(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Change]:
    """Columns that came or went; how many rows have one follows from the rows."""
    ours, theirs = before.get("columns"), after.get("columns")
    if not isinstance(ours, Mapping) or not isinstance(theirs, Mapping) or set(ours) == set(theirs):
        return []
    return [Change("columns", sorted(map(str, ours)), sorted(map(str, theirs)))]


def _some(entries: Sequence[Any], words: Callable[[Any], str]) -> list[str]:
    shown = [words(entry) for entry in entries[:_MOST]]
    return [*shown, f"{len(entries) - _MOST:,} more"] if len(entries) > _MOST else shown


def _row_lines(rows: RowChange) -> list[str]:
    lines = [rows.words]
    lines += [f"+ {place.words}" for place in rows.first_added]
    return lines + [f"- {place.words}" for place in rows.first_removed]


def _shown(value: Any) -> str:
    if value is None or value == "":
        return "(empty)"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    if isinstance(value, list):
        return safe_text(", ".join(map(str, value)), limit=2 * _LIMIT)
    return safe_text(value, limit=_LIMIT)


def _name(file: Mapping[str, Any]) -> str:
    return safe_text(file.get("name"), limit=120)


def _other_name(old: _File, new: _File) -> str:
    return _name(new) if _name(new) != _name(old) else ""


def _size(file: Mapping[str, Any]) -> int | None:
    return _count(file.get("bytes"))


def _inner(fingerprint: Mapping[str, Any], key: str, part: str) -> int | None:
    inner = fingerprint.get(key)
    return _count(inner.get(part)) if isinstance(inner, Mapping) else None


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
