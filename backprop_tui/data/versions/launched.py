"""What the data of a run was when the run was launched, noted in its run.json, and whether it still is that.

Every file is hashed at the launch, whatever its size: the check before it reads all rows anyway, which takes several times as
long, and hashing goes on beside it. The worker compares sizes first, and hashes again only what was touched since.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from backprop_tui.data.finding import hub
from backprop_tui.data.finding.places import DataSet, Source, read_set
from backprop_tui.data.training_set import data_sets
from backprop_tui.data.versions.fingerprint import State, describe_file, file_state, mappings, set_state, unhurried
from backprop_tui.protocol.errors import DataError
from backprop_tui.protocol.spec import DataPart
from backprop_tui.protocol.text import safe_text

#: Bytes of a set up to which its rows are counted once more, to say how many there are now.
_COUNTED = 256 << 20
#: The two sets of a run, and how the second is called.
_ROLES = (("train", ""), ("eval", "held-out "))


def lasting_words(data: DataSet) -> str:
    """Words that mean this very data in any directory and on any day: paths in full, datasets of the hub by commit."""
    return " + ".join(map(_lasting, data.sources))


def record_launch(part: DataPart, *, cancelled: Callable[[], bool] = unhurried) -> dict[str, Any]:
    """Files, sizes and digests of the data of a run; JSON-ready. Add `rows` of the training data once they are counted.

    Args:
        part: the run's data settings.
        cancelled: asked after every MiB.

    Raises:
        DataError: there is no such data, or a file can't be opened.
        UsageError: the words name no data.
        InterruptedError: cancelled.
    """
    sets = dict(zip(("train", "eval"), data_sets(part), strict=True))
    return {role: None if data is None else _noted(data, cancelled) for role, data in sets.items()}


def launch_state(part: DataPart) -> tuple[tuple[State, ...], ...]:
    """The state of every file; equal before and after means that what was read in between is one version.

    Raises:
        DataError: there is no such data, or a file can't be opened.
        UsageError: the words name no data.
    """
    return tuple(set_state(data) for data in data_sets(part) if data is not None)


def check_launched(part: DataPart, record: Mapping[str, Any]) -> None:
    """Refuse data that is not what it was at the launch.

    A file of the same size that nobody has touched is taken to be the same without reading it; `check_trained` makes sure.

    Args:
        part: the run's data settings.
        record: what `record_launch` noted.

    Raises:
        DataError: DATA_CHANGED, naming the file and what differs, or a file can't be opened any more.
    """
    for (role, called), data in zip(_ROLES, data_sets(part), strict=True):
        noted = record.get(role)
        if data is None or not isinstance(noted, Mapping):
            continue
        sources = mappings(noted.get("sources"))
        for source, old in zip(data.sources, sources, strict=False):
            _check_revision(source, old)
        before = [file for source in sources for file in mappings(source.get("files"))]
        known = {str(file.get("path")): file for file in before}
        present = {_key(source, path): path for source in data.sources for path in source.files}
        if fresh := [key for key in present if key not in known]:
            raise _changed(data, noted, f"{called}{_name(fresh[0])} was not there{_more(fresh)}")
        if gone := [key for key in known if key not in present]:
            raise _changed(data, noted, f"{called}{_name(gone[0])} is gone{_more(gone)}")
        for key, path in present.items():
            _check_file(path, known[key], data, noted, called)


def check_trained(record: Mapping[str, Any], fingerprint: Mapping[str, Any]) -> None:
    """The same once the rows are tokenised and all files have been read whole: contents decide.

    Args:
        record: what `record_launch` noted.
        fingerprint: of the training set.

    Raises:
        DataError: DATA_CHANGED.
    """
    for (role, called), described in zip(_ROLES, mappings(fingerprint.get("sources")), strict=False):
        noted = record.get(role)
        if not isinstance(noted, Mapping):
            continue
        for old, new in zip(mappings(noted.get("sources")), mappings(described.get("sources")), strict=False):
            pairs = zip(mappings(old.get("files")), mappings(new.get("files")), strict=False)
            for before, after in pairs:
                if before.get("sha256") != after.get("sha256"):
                    raise _error(f"{called}{_name(before.get('path'))} has other content", None)


def _lasting(source: Source) -> str:
    tail = f"#{source.field}" if source.field else ""
    words = source.words.removesuffix(tail)
    weight = "" if source.weight == 1 else f"{source.weight:.9f}".rstrip("0").rstrip(".") + "x "
    if source.kind == "demo":
        return f"{weight}{words}"
    if source.kind == "glob":
        return f"{weight}{_lasting_pattern(os.path.expanduser(words))}{tail}"
    named = hub.parse(words) if source.kind == "hub" else None
    if named is None:
        path = os.path.abspath(os.path.expanduser(words))
        # With a field behind it the path is not recognised as one that exists, and would be taken apart.
        return f"{weight}{_lasting_pattern(glob.escape(path)) if tail and ' + ' in path else path}{tail}"
    pinned = hub.Named(named.repo, source.revision).words
    return f"{weight}{pinned}{f'/{named.path}' if named.path else ''}{tail}"


def _lasting_pattern(pattern: str) -> str:
    """A pattern in full: what the directory's own name holds stands for itself, and nothing in it parts two sources."""
    if not os.path.isabs(pattern):
        pattern = os.path.join(glob.escape(os.getcwd()), pattern)
    return os.path.normpath(pattern).replace(" + ", "[ ]+ ")


def _key(source: Source, path: Path) -> str:
    """What a file is known by: its path, or its name within what is the same on every machine."""
    if source.kind == "demo":
        return path.name
    if source.kind == "hub":
        return str(path).rpartition(f"/{source.revision}/")[2]
    return str(path)


def _noted(data: DataSet, cancelled: Callable[[], bool]) -> dict[str, Any]:
    return {
        "words": safe_text(data.words),
        "sources": [
            {
                "kind": source.kind,
                "revision": source.revision,
                "files": [{"path": _key(source, path), **_noted_file(path, cancelled)} for path in source.files],
            }
            for source in data.sources
        ],
    }


def _noted_file(path: Path, cancelled: Callable[[], bool]) -> dict[str, Any]:
    inode, _, modified = file_state(path)
    facts = describe_file(path, cancelled=cancelled)
    return {"bytes": facts["bytes"], "sha256": facts["sha256"], "state": [inode, modified]}


def _check_revision(source: Source, old: Mapping[str, Any]) -> None:
    if source.revision != old.get("revision"):
        words = safe_text(source.words, limit=120)
        raise _error(
            f"{words} stood at commit {str(old.get('revision'))[:12]}, and is at {str(source.revision)[:12]}", None
        )


def _check_file(path: Path, old: Mapping[str, Any], data: DataSet, noted: Mapping[str, Any], called: str) -> None:
    inode, size, modified = file_state(path)
    if size != old.get("bytes"):
        what = f"{called}{_name(path)} had {_figure(old.get('bytes'))} bytes, and has {size:,}"
    elif [inode, modified] == old.get("state") or describe_file(path)["sha256"] == old.get("sha256"):
        return
    else:
        what = f"{called}{_name(path)} has other content of the same size ({size:,} bytes)"
    raise _changed(data, noted, what)


def _changed(data: DataSet, noted: Mapping[str, Any], what: str) -> DataError:
    then, now = noted.get("rows"), None
    if isinstance(then, int) and sum(os.stat(path).st_size for path in data.files) <= _COUNTED:
        try:
            now = sum(1 for _ in read_set(data))
        except DataError as error:
            # Cut short or garbled: that it can't be read says more than a count.
            what = f"{what}; {error.cause.rstrip('.')}"
    if now is not None:
        what += f"; {then:,} rows then, {now:,} now"
    return _error(what, {"rows": [then, now]})


def _error(what: str, detail: dict[str, Any] | None) -> DataError:
    return DataError(
        "DATA_CHANGED",
        f"The data changed since the run was launched: {what}.",
        "Restore what was there, or start a new run.",
        detail,
    )


def _name(path: object) -> str:
    return safe_text(str(path).rpartition("/")[2], limit=120)


def _figure(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else safe_text(value, limit=20)


def _more(files: list[str]) -> str:
    return f", and {len(files) - 1:,} more files" if len(files) > 1 else ""
