"""What other tools have written down about a data file: the checksum DVC pinned, and the commit git knows it by.

Both are read, never trusted and never needed: what can't be read is unknown. A repository is somebody else's, and its
configuration may name programs; only those commands of git are used that run none.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backprop_tui.data.readers.files import open_file
from backprop_tui.protocol.errors import DataError

#: Longest `.dvc` file read, in bytes; honest ones have a few hundred.
_MOST_DVC = 1 << 20
#: Seconds to wait for git.
_PATIENCE = 5.0
_CHUNK = 1 << 20
_KEY = re.compile(r"(\s*)(- +)?([\w-]+)\s*:(?:\s+(.*?))?\s*$")
_MD5 = re.compile(r"[0-9a-f]{32}(\.dir)?")
_COMMIT = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
_POINTER = re.compile(rb"version https://git-lfs\.github\.com/spec/v1\n(?:.*\n)*?oid sha256:([0-9a-f]{64})\n")
#: Longest blob looked at for being a git-lfs pointer.
_MOST_POINTER = 1024


@dataclass(frozen=True, slots=True)
class DvcPin:
    """What a `.dvc` file says of the data beside it. `size` in bytes, None where it doesn't say; `legacy`: DVC before 3."""

    md5: str
    size: int | None = None
    legacy: bool = False


def dvc_pin(path: Path) -> DvcPin | None:
    """The pin in `<path>.dvc`, None when there is none that can be read."""
    place = path.with_name(f"{path.name}.dvc")
    if place.is_symlink():
        return None
    try:
        with open_file(place) as file:
            text = file.read(_MOST_DVC).decode("utf-8", "replace")
    except DataError:
        return None
    return parse_dvc(text, path.name)


def parse_dvc(text: str, name: str) -> DvcPin | None:
    """The pin of the output called `name`, or of the only one. Of YAML only as much is understood as DVC writes."""
    outs: list[dict[str, str]] = []
    inside = False
    for line in text.splitlines():
        found = _KEY.match(line)
        if found is None:
            continue
        indent, dash, key, value = found.groups()
        if not indent and not dash:
            inside = key == "outs"
        elif inside:
            if dash or not outs:
                outs.append({})
            outs[-1].setdefault(key, (value or "").strip("'\""))
    fitting = [out for out in outs if out.get("path", name) == name] or outs
    if len(fitting) != 1 or not _MD5.fullmatch(fitting[0].get("md5", "")):
        return None
    size = fitting[0].get("size", "")
    return DvcPin(fitting[0]["md5"], int(size) if re.fullmatch(r"\d{1,18}", size) else None, "hash" not in fitting[0])


def compare_dvc(path: Path, pin: DvcPin, digests: Mapping[str, str]) -> dict[str, Any]:
    """The pin, and whether the file is what was pinned (None for a folder's, which is not worked out); JSON-ready.

    Args:
        path: the file.
        pin: what was pinned.
        digests: of the file, with `md5` unless the pin is a folder's.

    Raises:
        DataError: the file can't be opened.
    """
    if pin.md5.endswith(".dir"):
        return {"md5": pin.md5, "fresh": None}
    fresh = digests["md5"] == pin.md5
    if not fresh and pin.legacy:
        fresh = _md5_with_line_feeds(path) == pin.md5
    return {"md5": pin.md5, "fresh": fresh}


def _md5_with_line_feeds(path: Path) -> str:
    """MD5 with `\\r\\n` read as `\\n`, which is how DVC before 3 took it of text."""
    digest = hashlib.md5(usedforsecurity=False)
    with open_file(path) as file:
        held = b""
        while chunk := file.read(_CHUNK):
            chunk = held + chunk
            held = b"\r" if chunk.endswith(b"\r") else b""
            digest.update(chunk[: len(chunk) - len(held)].replace(b"\r\n", b"\n"))
        digest.update(held)
    return digest.hexdigest()


@dataclass(frozen=True, slots=True)
class GitFolder:
    """A folder of a git checkout: the commit that is checked out, and the blobs it has in this very folder, by name."""

    commit: str
    blobs: Mapping[str, str]

    def describe(self, folder: Path, name: str, digests: Mapping[str, str]) -> dict[str, Any]:
        """Commit and state (`committed`, `modified` or `untracked`) of a file; JSON-ready.

        Args:
            folder: the folder.
            name: the file's name.
            digests: of the file, with `sha256` and `git` (its blob's id).
        """
        blob = self.blobs.get(name)
        if blob is None:
            state = "untracked"
        elif blob == digests.get("git") or _pointed(folder, blob) == digests.get("sha256"):
            state = "committed"
        else:
            state = "modified"
        return {"commit": self.commit, "state": state}


def git_folder(folder: Path) -> GitFolder | None:
    """What git says of a folder; None without git, outside a checkout, or before the first commit."""
    commit = _git(folder, "rev-parse", "--verify", "--quiet", "HEAD")
    if commit is None or not _COMMIT.fullmatch(head := commit.decode("ascii", "replace").strip()):
        return None
    listed = _git(folder, "ls-tree", "-z", "HEAD")
    if listed is None:
        return None
    blobs: dict[str, str] = {}
    for entry in listed.split(b"\0"):
        facts, found, name = entry.partition(b"\t")
        words = facts.split()
        if found and len(words) == 3 and words[1] == b"blob":
            blobs[os.fsdecode(name)] = words[2].decode("ascii", "replace")
    return GitFolder(head, blobs)


def git_digest(size: int, commit: str) -> Any:
    """A hash to be fed with a file of `size` bytes that ends as its blob's id."""
    digest = hashlib.sha1(usedforsecurity=False) if len(commit) == 40 else hashlib.sha256()
    digest.update(b"blob %d\0" % size)
    return digest


def _pointed(folder: Path, blob: str) -> str | None:
    """The sha256 that a git-lfs pointer stands for, None if the blob is no pointer."""
    size = _git(folder, "cat-file", "-s", blob)
    if size is None or not size.strip().isdigit() or int(size) > _MOST_POINTER:
        return None
    found = _POINTER.match(_git(folder, "cat-file", "blob", blob) or b"")
    return found[1].decode("ascii") if found else None


def _git(folder: Path, *words: str) -> bytes | None:
    """What git writes, None when it fails or is not there. No hook, filter, monitor, pager or transport is run."""
    program = shutil.which("git")
    if program is None:
        return None
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    environment |= {
        "GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0", "GIT_NO_LAZY_FETCH": "1", "GIT_NO_REPLACE_OBJECTS": "1",
        "GIT_ALLOW_PROTOCOL": "none", "LC_ALL": "C",
    }  # fmt: skip
    guards = ("-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null", "--no-pager")
    try:
        done = subprocess.run(
            [program, *guards, "-C", str(folder), *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
            timeout=_PATIENCE,
            check=False,
        )
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
    return done.stdout if done.returncode == 0 else None
