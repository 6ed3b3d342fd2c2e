"""What people say of a run: another name, tags, a note, the experiment it belongs to, whether it is put away.

It lies beside the run in `notes.json`, because run.json is written once. Changing is reading, changing and replacing under
a lock, so two who write at the same moment both succeed and a reader sees one whole version.
"""

from __future__ import annotations

import errno
import json
import os
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from backprop_tui.config.view_only import refuse_if_view_only
from backprop_tui.protocol.errors import DataError, TryAgainError, UnavailableError, UsageError
from backprop_tui.protocol.text import safe_text
from backprop_tui.store.layout import RunDir, write_atomic

#: Longest name, tag, experiment and note, in characters, and most tags of one run.
NAME_LIMIT, TAG_LIMIT, NOTE_LIMIT, MOST_TAGS = 120, 40, 10_000, 50
#: A file larger than this, in bytes, is not one of ours.
_MOST_BYTES = 1 << 20
#: Seconds a writer waits for another one; each holds the lock for one small write.
_PATIENCE = 5.0
_FORMAT = 1
#: What a filter reads as an operator or as the end of a word can't be part of a tag.
_TAG = re.compile(r"[^\s,:<>=~!\"'()|]+")


@dataclass(frozen=True, slots=True)
class Notes:
    """What is noted of one run. Texts are as typed: clean them with `safe_text` before showing.

    Attributes:
        name: takes the place of the run's own name, "" does not. tags: in the order given, none twice.
        note: any text. experiment: what the run is grouped under, "" for none. archived: left out of lists.
        rest: keys of another version, kept when the file is written.
    """

    name: str = ""
    tags: tuple[str, ...] = ()
    note: str = ""
    experiment: str = ""
    archived: bool = False
    rest: Mapping[str, Any] = field(default_factory=dict, compare=False)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready, without the keys of other versions."""
        return {
            "name": self.name,
            "tags": list(self.tags),
            "note": self.note,
            "experiment": self.experiment,
            "archived": self.archived,
        }

    def tagged(self, tags: Iterable[str]) -> Notes:
        """With these tags added.

        Raises:
            UsageError: TAG_INVALID.
        """
        every = tuple(dict.fromkeys((*self.tags, *(check_tag(tag) for tag in tags))))
        if len(every) > MOST_TAGS:
            raise UsageError("TAG_INVALID", f"A run has at most {MOST_TAGS} tags.", "Take some off first.")
        return replace(self, tags=every)

    def untagged(self, tags: Iterable[str]) -> Notes:
        """Without these tags; one that isn't there changes nothing."""
        gone = {tag.strip().casefold() for tag in tags}
        return replace(self, tags=tuple(tag for tag in self.tags if tag.casefold() not in gone))

    def named(self, name: str) -> Notes:
        """Called otherwise; "" goes back to the run's own name.

        Raises:
            UsageError: NAME_INVALID.
        """
        return replace(self, name=_check_line(name, "NAME_INVALID", "A name"))

    def within(self, experiment: str) -> Notes:
        """Grouped under an experiment; "" takes the run out of its group.

        Raises:
            UsageError: EXPERIMENT_INVALID.
        """
        return replace(self, experiment=_check_line(experiment, "EXPERIMENT_INVALID", "An experiment's name"))

    def noting(self, note: str) -> Notes:
        """With another note; "" removes it.

        Raises:
            UsageError: NOTE_INVALID.
        """
        if len(note) > NOTE_LIMIT:
            raise UsageError("NOTE_INVALID", f"A note has at most {NOTE_LIMIT:,} characters.", "Shorten it.")
        return replace(self, note=_sound(note).strip())


def notes_file(run: RunDir) -> Path:
    """notes.json of a run; absent until something is noted."""
    return run.path / "notes.json"


def read_notes(run: RunDir) -> Notes:
    """What is noted of a run; nothing when the file is absent or can't be read."""
    try:
        return _parse(_bytes(notes_file(run)))
    except (OSError, ValueError, RecursionError):
        return Notes()


def change_notes(run: RunDir, change: Callable[[Notes], Notes]) -> Notes:
    """Replace what is noted by what `change` makes of it, and return that.

    Raises:
        UsageError: what `change` raises; nothing is written then.
        DataError: RUN_NOTES_UNREADABLE, the file is damaged and would be lost.
        TryAgainError: RUN_NOTES_BUSY, somebody else keeps writing.
        UnavailableError: RUN_NOTES_NOT_WRITABLE, the directory can't be written.
    """
    refuse_if_view_only()
    file = notes_file(run)
    try:
        with alone(run.path / "notes.lock"):
            try:
                before = _parse(_bytes(file))
            except FileNotFoundError:
                before = Notes()
            except (ValueError, RecursionError):
                raise DataError(
                    "RUN_NOTES_UNREADABLE",
                    f"{safe_text(file)} is damaged.",
                    "Mend it, or move it away to start over.",
                ) from None
            after = change(before)
            if after != before:
                words = {"format": _FORMAT, **before.rest, **after.to_dict()}
                write_atomic(file, json.dumps(words, indent=1).encode())
            return after
    except OSError as error:
        raise UnavailableError(
            "RUN_NOTES_NOT_WRITABLE",
            f"{safe_text(file)} can't be written: {error.strerror}.",
            "Check the run's directory; what was noted before is untouched.",
        ) from None


def check_tag(tag: str) -> str:
    """A tag as it is stored.

    Raises:
        UsageError: TAG_INVALID, it is empty, too long, or has characters that mean something in a filter.
    """
    tag = tag.strip().lstrip("#")
    if not _TAG.fullmatch(tag) or len(tag) > TAG_LIMIT or safe_text(tag) != tag:
        raise UsageError(
            "TAG_INVALID",
            f"{safe_text(tag, limit=TAG_LIMIT)!r} can't be a tag.",
            f"A tag is one word of at most {TAG_LIMIT} characters without any of , : < > = ~ ! | ( ) and quotes.",
        )
    return tag


def _check_line(text: str, code: str, what: str) -> str:
    text = text.strip()
    if len(text) > NAME_LIMIT or "\n" in text or safe_text(text) != text:
        raise UsageError(
            code,
            f"{what} is one line of at most {NAME_LIMIT} characters without control characters.",
            "Choose a shorter or plainer one.",
        )
    return text


def _sound(text: str) -> str:
    """Without halves of characters, which no file can hold."""
    return text.encode("utf-8", "replace").decode()


def _bytes(file: Path) -> bytes:
    fd = os.open(file, os.O_RDONLY | os.O_CLOEXEC | getattr(os, "O_NONBLOCK", 0))
    with os.fdopen(fd, "rb") as opened:
        return opened.read(_MOST_BYTES + 1)


def _parse(content: bytes) -> Notes:
    """Notes of a file's content.

    Raises:
        ValueError: it is not ours.
    """
    words = json.loads(content) if len(content) <= _MOST_BYTES else None
    if not isinstance(words, dict):
        raise ValueError("not an object")
    tags = words.get("tags")
    kept = [tag for tag in tags if isinstance(tag, str) and tag] if isinstance(tags, list) else []
    known = Notes(
        name=_text(words, "name")[:NAME_LIMIT],
        tags=tuple(dict.fromkeys(tag[:TAG_LIMIT] for tag in kept))[:MOST_TAGS],
        note=_text(words, "note")[:NOTE_LIMIT],
        experiment=_text(words, "experiment")[:NAME_LIMIT],
        archived=words.get("archived") is True,
    )
    ours = {"format", *known.to_dict()}
    return replace(known, rest={key: value for key, value in words.items() if key not in ours})


def _text(words: dict[str, Any], key: str) -> str:
    value = words.get(key)
    return value if isinstance(value, str) else ""


@contextmanager
def alone(file: Path) -> Iterator[None]:
    """Hold a lock file for one small write beside it; the kernel gives it back if we die.

    Raises:
        TryAgainError: others held it for too long.
        OSError: it can't be opened or locked.
    """
    import fcntl

    fd = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0), 0o600)
    try:
        deadline = time.monotonic() + _PATIENCE
        while True:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError as error:
                if error.errno not in (errno.EWOULDBLOCK, errno.EACCES, errno.EINTR):
                    raise
            if time.monotonic() >= deadline:
                raise TryAgainError(
                    "RUN_NOTES_BUSY", f"Somebody else holds {safe_text(file.name)} of this run.", "Try again."
                )
            time.sleep(0.01)
        yield
    finally:
        os.close(fd)
