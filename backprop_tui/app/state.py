"""Where a person left: written on leaving and while working, read at the next start. Losing it loses nothing else.

One small file of the person's own (0600) in the cache directory. Several apps may write it; the last one wins. Whatever
is damaged, too large, of another version or not ours is as if it were not there.
"""

from __future__ import annotations

import json
import os
import stat
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from backprop_tui.config import paths
from backprop_tui.config.files import replace_file

VERSION = 1
#: Largest file that is written or read, in bytes.
LARGEST = 64 * 1024
#: Rooms that can be gone back to.
ROOMS = ("data", "tune", "run", "runs")

_lock = threading.Lock()


@dataclass(frozen=True, slots=True)
class SavedState:
    """What is remembered.

    Attributes:
        room: the room that was open, empty for none. run: the directory of the run that was open, empty for none.
        rooms: what each room remembers, by its name. draft: the run being prepared.
    """

    room: str = ""
    run: str = ""
    rooms: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    draft: Mapping[str, Any] = field(default_factory=dict)

    def words_of(self, room: str) -> Mapping[str, Any]:
        """What a room remembers; empty when nothing is known of it."""
        return self.rooms.get(room, {})

    def to_json(self) -> str:
        """The file's text; empty when it would be too large or holds what JSON can't."""
        words = {
            "version": VERSION, "saved": round(time.time()), "room": self.room, "run": self.run,
            "rooms": dict(self.rooms), "draft": dict(self.draft),
        }  # fmt: skip
        try:
            text = json.dumps(words, indent=1, allow_nan=False)
        except (TypeError, ValueError, RecursionError):
            return ""
        return text if len(text) <= LARGEST else ""


def state_file() -> Path:
    """Where it is kept."""
    return paths.cache_dir() / "state.json"


def read_state() -> SavedState:
    """What was remembered last; a fresh state when there is nothing usable."""
    try:
        descriptor = os.open(state_file(), os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return SavedState()
    try:
        with os.fdopen(descriptor, "rb") as file:
            info = os.fstat(descriptor)
            if not stat.S_ISREG(info.st_mode) or info.st_uid != os.getuid() or info.st_size > LARGEST:
                return SavedState()
            words = json.loads(file.read(LARGEST + 1))
    except (OSError, ValueError, RecursionError):
        return SavedState()
    return _from_words(words)


def write_state(state: SavedState) -> bool:
    """Replace the file whole; False when it could not be written, which is not worth an error."""
    text = state.to_json()
    if not text:
        return False
    try:
        with _lock:
            replace_file(state_file(), text)
    except OSError:
        return False
    return True


def _from_words(words: Any) -> SavedState:
    if not isinstance(words, dict) or words.get("version") != VERSION:
        return SavedState()
    room, run, rooms, draft = (words.get(key) for key in ("room", "run", "rooms", "draft"))
    kept = rooms.items() if isinstance(rooms, dict) else ()
    return SavedState(
        room if room in ROOMS else "",
        run if isinstance(run, str) and "\0" not in run else "",
        {name: found for name, found in kept if name in ROOMS and isinstance(found, dict)},
        draft if isinstance(draft, dict) else {},
    )
