"""Files written aside and put in their place whole: a reader sees the old file or the finished one, never half of one."""

from __future__ import annotations

import errno
import os
import secrets
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from backprop_tui.protocol.errors import UnavailableError, UsageError
from backprop_tui.protocol.text import safe_text

_NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EXDEV)


@contextmanager
def written_aside(out: Path, *, overwrite: bool = False, inputs: Iterable[Path] = ()) -> Iterator[BinaryIO]:
    """A file to write to, which takes its place at `out` when the block ends well and leaves no trace when it does not.

    Args:
        out: where the file is to be. Its folder must exist.
        overwrite: replace a file that is there; a symlink is replaced itself, not what it points to.
        inputs: files that must not be written onto, `overwrite` or not.

    Raises:
        UsageError: DATA_OUT_EXISTS, DATA_OUT_IS_INPUT, DATA_OUT_NOT_A_FILE or DATA_OUT_FOLDER.
        UnavailableError: DATA_OUT_FAILED, the disk is full or does not take it.
    """
    _check(out, overwrite, inputs)
    aside = out.parent / f".{out.name[:80]}.{secrets.token_hex(6)}.part"
    try:
        with _opened(aside) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        _put(aside, out, overwrite)
    except OSError as error:
        # What the block itself met while reading elsewhere is not about this file.
        if error.errno is None or (
            error.filename is not None and Path(os.fsdecode(error.filename)) not in (aside, out)
        ):
            raise
        raise _failed(out, error) from None
    finally:
        with suppress(OSError):
            aside.unlink()


def _check(out: Path, overwrite: bool, inputs: Iterable[Path]) -> None:
    name = safe_text(out, limit=200)
    try:
        info = out.lstat()
    except (FileNotFoundError, NotADirectoryError):
        info = None
    except (OSError, ValueError) as error:
        raise UsageError(
            "DATA_OUT_FOLDER", f"{name} can't be written: {safe_text(error)}.", "Choose another place."
        ) from None
    if not out.parent.is_dir():
        raise UsageError(
            "DATA_OUT_FOLDER",
            f"There is no folder {safe_text(out.parent, limit=200)}.",
            "Make it first, or choose another.",
        )
    if info is None:
        return
    for source in inputs:
        if _same(out, source):
            raise UsageError(
                "DATA_OUT_IS_INPUT", f"{name} is what is being read.", "Choose another name for the result."
            )
    if not stat.S_ISREG(info.st_mode) and not stat.S_ISLNK(info.st_mode):
        raise UsageError("DATA_OUT_NOT_A_FILE", f"{name} is there and is not a regular file.", "Choose another name.")
    if not overwrite:
        raise _exists(name)


def _same(out: Path, source: Path) -> bool:
    try:
        return out.samefile(source)
    except (OSError, ValueError):
        return False


def _opened(path: Path) -> BinaryIO:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0)
    return os.fdopen(os.open(path, flags, 0o666), "wb")


def _put(aside: Path, out: Path, overwrite: bool) -> None:
    if overwrite:
        aside.replace(out)
    else:
        try:
            # Unlike a rename, a link never takes the place of a file that came to be there meanwhile.
            out.hardlink_to(aside)
        except FileExistsError:
            raise _exists(safe_text(out, limit=200)) from None
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            _claim(out)
            aside.replace(out)
    folder = os.open(out.parent, os.O_RDONLY | os.O_CLOEXEC)
    try:
        # Some file systems can't sync a folder; the file itself is on the disk.
        with suppress(OSError):
            os.fsync(folder)
    finally:
        os.close(folder)


def _claim(out: Path) -> None:
    try:
        _opened(out).close()
    except FileExistsError:
        raise _exists(safe_text(out, limit=200)) from None


def _exists(name: str) -> UsageError:
    return UsageError(
        "DATA_OUT_EXISTS", f"{name} is there already.", "Choose another name, or say that it may be replaced."
    )


def _failed(out: Path, error: OSError) -> UnavailableError:
    words = safe_text(error.strerror or error, limit=200)
    return UnavailableError(
        "DATA_OUT_FAILED",
        f"{safe_text(out, limit=200)} can't be written: {words}.",
        "Free some space, or choose another place.",
    )
