"""Replacing the person's small files whole."""

from __future__ import annotations

import os
from pathlib import Path


def replace_file(target: Path, content: str) -> None:
    """Write a private file so that readers see the old or the new one, never half of it.

    Raises:
        OSError: the place can't be written.
    """
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    temporary = target.with_name(f".tmp-{target.name}-{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(content)
        os.replace(temporary, target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
