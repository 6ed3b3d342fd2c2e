"""What identifies a dataset: content, not place or date.

A fingerprint is JSON-ready. What decides which rows are learnt goes into its id; names of files, and what DVC and git say
of them, are noted beside it, so that the same content has the same id wherever it lies.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backprop_tui.data.finding.places import DataSet, Source
from backprop_tui.data.readers.files import open_file
from backprop_tui.data.rows import Problem
from backprop_tui.data.versions import pins
from backprop_tui.data.versions.sketch import sketch_of
from backprop_tui.protocol.text import safe_text

if TYPE_CHECKING:
    from backprop_tui.data.selection import Scan

_CHUNK = 1 << 20
#: Keys of a described file that say what is in it.
_CONTENT = ("bytes", "sha256")
#: Keys of a described set that follow from its files and settings, or are there to compare by.
_DERIVED = ("sources", "sketch")

#: Settings that decide about no row: where damaged rows are refused there is no fingerprint, and elsewhere they are dropped.
UNDECIDING = frozenset({"damaged"})

#: (inode, size, modification time in ns) of a file.
State = tuple[int, int, int]


def set_state(data: DataSet) -> tuple[State, ...]:
    """Equal before and after means that nobody wrote in between.

    Raises:
        DataError: a file can't be opened.
    """
    return tuple(file_state(path) for path in data.files)


def file_state(path: Path) -> State:
    """The state of one file.

    Raises:
        DataError: the file can't be opened.
    """
    with open_file(path) as stream:
        info = os.fstat(stream.fileno())
    return info.st_ino, info.st_size, info.st_mtime_ns


def describe_data(data: DataSet, found: Scan) -> dict[str, Any]:
    """The sources of a set with their files, what became of its rows, and digests of their content; JSON-ready.

    `rows_sha256` does not depend on the order of the rows and `order_sha256` does; `columns` counts the rows that have a
    column, for the commonest ones.

    Raises:
        DataError: a file can't be opened.
    """
    sources = describe_sources(data)
    columns, more = found.columns.named()
    usable = Counter(found.sources)
    for number, source in enumerate(sources):
        source["usable"] = usable[number]
    return {
        "sources": sources,
        "rows": found.rows,
        "usable": len(found.kept),
        "dropped": dict(found.dropped),
        "formats": dict(found.formats),
        "columns": columns,
        "more_columns": more,
        "rows_sha256": content_digest(found.keys),
        "order_sha256": hashlib.sha256(b"".join(found.keys)).hexdigest(),
        "sketch": sketch_of(found.keys),
    }


def describe_sources(data: DataSet) -> list[dict[str, Any]]:
    """Each source with weight, revision, field and files; JSON-ready.

    Raises:
        DataError: a file can't be opened.
    """
    return [
        {
            "kind": source.kind,
            "weight": source.weight,
            "revision": source.revision,
            "field": source.field,
            "dvc": _folder_pin(source),
            "files": list(_described(source)),
        }
        for source in data.sources
    ]


def _folder_pin(source: Source) -> dict[str, Any] | None:
    """The pin of a folder that DVC keeps as a whole."""
    if source.kind != "folder":
        return None
    place = Path(os.path.abspath(os.path.expanduser(source.words)))
    pin = pins.dvc_pin(place)
    return pins.compare_dvc(place, pin, {}) if pin is not None and pin.md5.endswith(".dir") else None


def _described(source: Source) -> Iterator[dict[str, Any]]:
    # The bundled rows and the hub's cache belong to nobody's checkout.
    ours = source.kind in ("demo", "hub")
    folders: dict[Path, pins.GitFolder | None] = {}
    for path in source.files:
        if not ours and path.parent not in folders:
            folders[path.parent] = pins.git_folder(path.parent)
        yield describe_file(path, dvc=None if ours else pins.dvc_pin(path), git=folders.get(path.parent))


def unhurried() -> bool:
    """What is asked about cancelling where nobody cancels."""
    return False


def describe_file(
    path: Path,
    *,
    dvc: pins.DvcPin | None = None,
    git: pins.GitFolder | None = None,
    cancelled: Callable[[], bool] = unhurried,
) -> dict[str, Any]:
    """Name, size and sha256 of one file, and how it compares with what DVC and git know of it; JSON-ready.

    Raises:
        DataError: the file can't be opened.
        InterruptedError: cancelled.
    """
    with open_file(path) as stream:
        digests = {"sha256": hashlib.sha256()}
        if dvc is not None and not dvc.md5.endswith(".dir"):
            digests["md5"] = hashlib.md5(usedforsecurity=False)
        if git is not None:
            digests["git"] = pins.git_digest(os.fstat(stream.fileno()).st_size, git.commit)
        while chunk := stream.read(_CHUNK):
            if cancelled():
                raise InterruptedError
            for digest in digests.values():
                digest.update(chunk)
        size = stream.tell()
    words = {name: digest.hexdigest() for name, digest in digests.items()}
    # Of a link git knows where it leads, not what is in it.
    known = git.describe(path.parent, path.name, words) if git is not None and not path.is_symlink() else None
    return {
        "name": safe_text(path.name),
        "bytes": size,
        "sha256": words["sha256"],
        "dvc": pins.compare_dvc(path, dvc, words) if dvc is not None else None,
        "git": known,
    }


def content_digest(keys: list[bytes]) -> str:
    """One digest over the contents of rows, whatever their order; a content that occurs twice counts twice."""
    counts = Counter(keys)
    digest = hashlib.sha256()
    for key in sorted(counts):
        digest.update(key + counts[key].to_bytes(8, "little"))
    return digest.hexdigest()


def short_id(fingerprint: Mapping[str, Any]) -> str:
    """`fp-` and twelve hexadecimal digits: equal for the same content, settings, seed and model, wherever the files lie."""
    content = {name: value for name, value in fingerprint.items() if name not in ("id", "sources")}
    content["sources"] = [_content_of(described) for described in mappings(fingerprint.get("sources"))]
    if isinstance(settings := content.get("settings"), Mapping):
        content["settings"] = {name: value for name, value in settings.items() if name not in UNDECIDING}
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), default=str)
    return f"fp-{hashlib.sha256(text.encode()).hexdigest()[:12]}"


def stale_pins(fingerprint: Mapping[str, Any]) -> list[Problem]:
    """A warning if files are not what DVC has pinned; one, however many they are."""
    stale = [
        str(file.get("name"))
        for described in mappings(fingerprint.get("sources"))
        for source in mappings(described.get("sources"))
        for file in mappings(source.get("files"))
        if isinstance(pin := file.get("dvc"), Mapping) and pin.get("fresh") is False
    ]
    if not stale:
        return []
    more = f" and {len(stale) - 1:,} more files" if len(stale) > 1 else ""
    name = safe_text(stale[0], limit=120)
    return [
        Problem(
            "DATA_DVC_STALE",
            f"{name}{more} differ{'' if more else 's'} from what {name}.dvc pins.",
            "Run `dvc checkout` to have the pinned data, or `dvc add` to pin this.",
            severity="warn",
        )
    ]


def _content_of(described: Mapping[str, Any]) -> dict[str, Any]:
    rest = {name: value for name, value in described.items() if name not in _DERIVED}
    sources = [
        {
            "weight": source.get("weight"),
            "field": source.get("field"),
            "files": [{key: file.get(key) for key in _CONTENT} for file in mappings(source.get("files"))],
        }
        for source in mappings(described.get("sources"))
    ]
    return {**rest, "sources": sources}


def mappings(value: object) -> list[Mapping[str, Any]]:
    """The mappings of a list; a fingerprint may have been written by anybody."""
    return [entry for entry in value if isinstance(entry, Mapping)] if isinstance(value, list) else []
