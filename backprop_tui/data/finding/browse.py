"""What a folder holds, for picking a data file: names and sizes only, nothing is opened."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from backprop_tui.data.sources import extension_of
from backprop_tui.protocol.errors import DataError
from backprop_tui.protocol.text import safe_text

#: Entries looked at in one folder; beyond that the listing says it is not complete.
MOST_ENTRIES = 20_000

EntryKind = Literal["folder", "data", "other", "special", "broken"]


@dataclass(frozen=True, slots=True)
class Entry:
    """One name in a folder.

    Args:
        name: exactly as on disk; screens make it harmless.
        path: folder and name.
        kind: `data` can be opened; `other` is a file of another kind; `special` is a FIFO, socket or device; `broken` is
            a link that leads nowhere or an entry that can't be looked at.
        extension: lower case with its dot, empty without one; of packed data both, as `.jsonl.gz`.
        size: bytes, None for what is no file.
        modified: seconds since 1970, None when unknown.
        link: whether it is a symbolic link.
    """

    name: str
    path: Path
    kind: EntryKind
    extension: str
    size: int | None
    modified: float | None
    link: bool

    @property
    def hidden(self) -> bool:
        """Whether the name begins with a dot."""
        return self.name.startswith(".")


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder's entries, folders first, each group by name. `complete` is False when there were too many to look at."""

    path: Path
    parent: Path | None
    entries: tuple[Entry, ...]
    complete: bool


def list_folder(path: Path, *, everything: bool = False) -> Folder:
    """Folders and data files directly under `path`; with `everything` also hidden, foreign and special ones.

    Raises:
        DataError: FOLDER_MISSING or FOLDER_UNREADABLE.
    """
    path = Path(os.path.abspath(path.expanduser()))
    entries: list[Entry] = []
    complete = True
    try:
        with os.scandir(path) as found:
            for count, item in enumerate(found):
                if count >= MOST_ENTRIES:
                    complete = False
                    break
                entry = _entry(item, path)
                if everything or (entry.kind in ("folder", "data") and not entry.hidden):
                    entries.append(entry)
    except (FileNotFoundError, NotADirectoryError):
        raise DataError("FOLDER_MISSING", f"There is no folder {safe_text(path)}.", "Check the path.") from None
    except OSError as error:
        raise DataError(
            "FOLDER_UNREADABLE", f"{safe_text(path)} can't be listed: {error.strerror}.", "Check its permissions."
        ) from None
    entries.sort(key=lambda entry: (entry.kind != "folder", entry.name.casefold(), entry.name))
    return Folder(path, None if path.parent == path else path.parent, tuple(entries), complete)


def _entry(item: os.DirEntry[str], folder: Path) -> Entry:
    known = extension_of(item.name)
    extension = known or os.path.splitext(item.name)[1].lower()
    kind: EntryKind
    size: int | None = None
    modified: float | None = None
    try:
        link = item.is_symlink()
        info = item.stat()
    except OSError:
        return Entry(item.name, folder / item.name, "broken", extension, None, None, True)
    modified = info.st_mtime
    if stat.S_ISDIR(info.st_mode):
        kind, extension = "folder", ""
    elif stat.S_ISREG(info.st_mode):
        kind, size = ("data" if known else "other"), info.st_size
    else:
        kind = "special"
    return Entry(item.name, folder / item.name, kind, extension, size, modified, link)
