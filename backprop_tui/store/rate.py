"""How often something may be done: times of the last ones in a small file, shared by all processes of a person.

Times are the kernel's count of seconds since this boot, which no change of the clock can move; those of another boot are
forgotten. The file only slows down what runs away: where it can't be used, nothing is held back.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from backprop_tui.config import paths
from backprop_tui.protocol.errors import TryAgainError
from backprop_tui.store.layout import write_atomic
from backprop_tui.store.locks import boot_id

Kind = Literal["start", "export"]
#: Seconds in which they are counted.
WITHIN = 60.0
_WORDS: dict[Kind, tuple[str, str]] = {
    "start": ("1 run was started", "{} runs were started"),
    "export": ("1 result was exported", "{} results were exported"),
}


def admit(kind: Kind, most: int, *, count: bool = True, now: float | None = None) -> None:
    """Let one more be done, unless `most` were within the last minute.

    Args:
        kind: what is done.
        most: how many a minute may have; 0 is any number.
        count: whether it is done now; else it is only asked whether it might be.
        now: seconds since boot; None is this moment.

    Raises:
        TryAgainError: RATE_LIMITED; `detail["retry_after"]` has the seconds to wait, rounded up.
    """
    if most <= 0:
        return
    place = paths.data_dir() / "rate"
    with contextlib.suppress(OSError), _locked(place, kind):
        file = place / f"{kind}.json"
        # Taken under the lock: a time from before it would lie before what others wrote meanwhile.
        moment = time.monotonic() if now is None else now
        recent = [at for at in _read(file) if moment - WITHIN < at <= moment]
        if len(recent) >= most:
            raise _refusal(kind, most, len(recent), sorted(recent)[-most] + WITHIN - moment)
        if count:
            words = {"boot": boot_id(), "times": [*recent, moment]}
            write_atomic(file, json.dumps(words).encode())


def _refusal(kind: Kind, most: int, done: int, wait: float) -> TryAgainError:
    one, many = _WORDS[kind]
    seconds = max(1, math.ceil(wait))
    return TryAgainError(
        "RATE_LIMITED",
        f"{one if done == 1 else many.format(done)} within the last minute, and {most} may be.",
        f"Try again in {seconds} s, or allow more: `backprop config set {kind}_limit {most * 2}` (0 is any number).",
        {"retry_after": seconds, "limit": most, "within": WITHIN},
    )


@contextlib.contextmanager
def _locked(place: Path, kind: Kind) -> Iterator[None]:
    import fcntl

    place.mkdir(parents=True, exist_ok=True, mode=0o700)
    fd = os.open(place / f"{kind}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0), 0o600)
    try:
        # Held for as long as a small file takes to be read and written.
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def _read(file: Path) -> list[float]:
    try:
        words = json.loads(file.read_bytes())
        if words["boot"] != boot_id():
            return []
        return [float(at) for at in words["times"] if isinstance(at, (int, float)) and not isinstance(at, bool)]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return []
