"""Which files a folder or a pattern stands for. Nothing outside is ever reached, and what is left out is named.

A link that leads out of the folder is left out, as are folders behind links (they may go round in circles), special
files, and a link to a file that is part of the set already. Hidden files and files that hold no rows are passed over.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from fnmatch import translate
from functools import lru_cache
from pathlib import Path

from backprop_tui.data.sources import EXTENSIONS, extension_of
from backprop_tui.protocol.errors import DataError, UsageError
from backprop_tui.protocol.text import safe_text

#: Most files of one source.
MOST_FILES = 10_000
#: Most names looked at to find them.
MOST_NAMES = 200_000

#: Stems of files that say something about data and hold none.
_ABOUT = re.compile(
    r"(readme|licen[sc]e|copying|notice|authors|changelog|contributing|citation|code_of_conduct|security|requirements"
    r"|dataset_?infos?|dataset_dict|state|metadata|\.?gitattributes)([-_.].*)?",
    re.IGNORECASE,
)
_MAGIC = re.compile(r"[*?\[]")


@dataclass(slots=True)
class Found:
    """Files in order, and what was left out with the reason; `names` counts what was looked at."""

    files: list[Path] = field(default_factory=list)
    skipped: list[tuple[Path, str]] = field(default_factory=list)
    names: int = 0


def is_pattern(words: str) -> bool:
    """Whether a path holds `*`, `?` or `[`."""
    return bool(_MAGIC.search(words))


def is_about(name: str) -> bool:
    """Whether a file is a README, a licence or a description, by its name: text, but not rows."""
    ending = extension_of(name)
    return ending[:4] in (".md", ".txt", ".jso") and bool(_ABOUT.fullmatch(name[: len(name) - len(ending)]))


def files_under(folder: Path) -> Found:
    """Data files of a folder and the folders in it, by path.

    Raises:
        DataError: DATA_FOLDER_EMPTY, DATA_TOO_MANY_FILES or DATA_UNREADABLE.
    """
    found = Found()
    root = os.path.realpath(folder)
    _readable(folder)
    links: list[Path] = []
    for path, entry in _walk(folder, found):
        if extension_of(entry.name) and _is_inside(path, entry, root, found, links):
            _take(path, found)
    _settle(found, links)
    if not found.files:
        raise DataError(
            "DATA_FOLDER_EMPTY",
            f"{safe_text(folder)} holds no file of rows{_why(found)}.",
            f"Choose a folder with files ending in {', '.join(EXTENSIONS)}.",
        )
    return found


def files_matching(pattern: str) -> Found:
    """Data files that a pattern stands for, by path; `**` stands for any folders between.

    Raises:
        DataError: DATA_GLOB_EMPTY, DATA_TOO_MANY_FILES or DATA_UNREADABLE.
        UsageError: DATA_WORDS_INVALID, the pattern goes back up with `..`.
    """
    parts = Path(pattern).parts
    first = next(place for place, part in enumerate(parts) if is_pattern(part))
    base, steps = Path(os.path.abspath(Path(*parts[:first]))), parts[first:]
    if ".." in steps:
        raise UsageError(
            "DATA_WORDS_INVALID", "A pattern can't go back up with `..` after a `*`.", "Write where it begins in full."
        )
    found = Found()
    if os.path.isdir(base):
        _readable(base)
        root, links = os.path.realpath(base), list[Path]()
        asked = bool(extension_of(steps[-1].replace("*", "x").replace("?", "x")))
        for path, entry in _walk(base, found, depth=None if "**" in steps else len(steps), hidden=_asks_hidden(steps)):
            if not matches(path.relative_to(base).parts, steps):
                continue
            if not extension_of(entry.name):
                found.skipped.append((path, "not a kind of file that holds rows"))
            elif _is_inside(path, entry, root, found, links, about=asked):
                _take(path, found)
        _settle(found, links)
    if not found.files:
        cause = f"No file of rows matches {safe_text(pattern)}{_why(found)}."
        raise DataError("DATA_GLOB_EMPTY", cause, "Check the pattern; `**` stands for any folders.")
    return found


def matches(parts: tuple[str, ...], steps: tuple[str, ...]) -> bool:
    """Whether the parts of a path fit the steps of a pattern; `**` stands for any number of parts, none included.

    As in a shell, only a step that begins with a dot fits a hidden name.
    """
    # Which steps may come next, after each part: linear in the length of both, whatever the pattern.
    at = _with_skips({0}, steps)
    for part in parts:
        after = set()
        for step in at:
            if step == len(steps) or (part.startswith(".") and not steps[step].startswith(".")):
                continue
            if steps[step] == "**":
                after.add(step)
            elif _expression(steps[step]).match(part):
                after.add(step + 1)
        at = _with_skips(after, steps)
        if not at:
            return False
    return len(steps) in at


def _with_skips(places: set[int], steps: tuple[str, ...]) -> set[int]:
    found = set(places)
    for place in sorted(places):
        while place < len(steps) and steps[place] == "**":
            place += 1
            found.add(place)
    return found


@lru_cache(maxsize=256)
def _expression(step: str) -> re.Pattern[str]:
    return re.compile(translate(step))


def _asks_hidden(steps: tuple[str, ...]) -> bool:
    return any(step.startswith(".") for step in steps)


def _walk(
    folder: Path, found: Found, *, depth: int | None = None, hidden: bool = False
) -> Iterator[tuple[Path, os.DirEntry[str]]]:
    """Everything below a folder that is no folder itself, sorted by path; links are not followed into folders."""
    try:
        with os.scandir(folder) as scanned:
            entries = []
            for entry in scanned:
                found.names += 1
                if found.names > MOST_NAMES:
                    raise _too_many(f"more than {MOST_NAMES:,} names to look at")
                if hidden or not entry.name.startswith("."):
                    entries.append(entry)
    except OSError as error:
        found.skipped.append((folder, f"can't be listed: {error.strerror}"))
        return
    for entry in sorted(entries, key=lambda entry: entry.name):
        path = folder / entry.name
        try:
            is_folder, link = entry.is_dir(), entry.is_symlink()
        except OSError:
            is_folder, link = False, True
        if not is_folder:
            yield path, entry
        elif link:
            found.skipped.append((path, "a link to a folder"))
        elif extension_of(entry.name):
            found.skipped.append((path, "a folder with the name of a file"))
        elif depth is None or depth > 1:
            yield from _walk(path, found, depth=None if depth is None else depth - 1, hidden=hidden)


def _is_inside(
    path: Path, entry: os.DirEntry[str], root: str, found: Found, links: list[Path], *, about: bool = False
) -> bool:
    """Whether a name stands for a regular file inside `root`; if not, the reason is noted."""
    reason = ""
    try:
        mode = entry.stat().st_mode
        if not stat.S_ISREG(mode):
            reason = "not a regular file"
    except OSError:
        reason = "a link that leads nowhere" if entry.is_symlink() else "can't be looked at"
    if entry.is_symlink() and os.path.commonpath((root, os.path.realpath(path))) != root:
        reason = "a link that leads out of the folder"
    if not reason and not about and is_about(entry.name):
        reason = "about the data, not data"
    if reason:
        found.skipped.append((path, reason))
        return False
    if entry.is_symlink():
        links.append(path)
    return True


def _settle(found: Found, links: list[Path]) -> None:
    """Leave out links to files that are there anyway."""
    if not links:
        return
    linked = set(links)
    seen = {os.path.realpath(path) for path in found.files if path not in linked}
    for path in links:
        target = os.path.realpath(path)
        if target in seen:
            found.files.remove(path)
            found.skipped.append((path, "a link to a file that is part of it already"))
        seen.add(target)


def _take(path: Path, found: Found) -> None:
    if len(found.files) >= MOST_FILES:
        raise _too_many(f"more than {MOST_FILES:,} files")
    found.files.append(path)


def _too_many(what: str) -> DataError:
    return DataError("DATA_TOO_MANY_FILES", f"There are {what}.", "Choose a folder further down, or a pattern.")


def _readable(folder: Path) -> None:
    try:
        with os.scandir(folder):
            return
    except OSError as error:
        raise DataError(
            "DATA_UNREADABLE", f"{safe_text(folder)} can't be listed: {error.strerror}.", "Check its permissions."
        ) from None


def _why(found: Found) -> str:
    if not found.skipped:
        return ""
    path, reason = found.skipped[0]
    more = f", and {len(found.skipped) - 1:,} more are left out" if len(found.skipped) > 1 else ""
    return (
        f" ({safe_text(path.name, limit=60)} is {reason}{more})" if not reason.startswith("can't") else f" ({reason})"
    )
