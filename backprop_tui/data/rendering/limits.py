"""Limits for what runs somebody else's chat template: a template is a program, and may loop or grow without end.

They are armed only in the child processes that render (`data.children`); elsewhere `render_time` does nothing.
"""

from __future__ import annotations

import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from backprop_tui.protocol.errors import DataError

#: Processor seconds for one rendering; honest ones take well under a millisecond.
RENDER_SECONDS = 3.0
#: Processor seconds a batch of renderings may take before the system ends the process: what hangs inside one instruction,
#: such as a giant power, can't be interrupted in any other way.
BATCH_SECONDS = 10
#: Characters of one rendering.
MOST_TEXT = 64 << 20
#: Bytes a child may take beyond what it has at its start; the largest vocabularies take a tenth of that.
HEADROOM = 3 << 30

#: Codes of errors that condemn the template rather than a row.
CODES = frozenset({"CHAT_TEMPLATE_HANGS", "CHAT_TEMPLATE_TOO_LARGE"})

_armed = False


class TooSlow(BaseException):
    """Raised inside a rendering whose time is up; no `except Exception` of a template's machinery catches it."""


def arm() -> None:
    """Limit this process for the rest of its life: memory, and time whenever it renders. For the main thread."""
    global _armed
    signal.signal(signal.SIGPROF, _stop)
    _limit(resource.RLIMIT_CORE, 0)
    taken = _address_space()
    if taken is not None:
        _limit(resource.RLIMIT_AS, taken + HEADROOM)
    _armed = True


class _RenderTime:
    """One row's renderings. A class, since it is entered for every row."""

    def __enter__(self) -> None:
        if _armed:
            signal.setitimer(signal.ITIMER_PROF, RENDER_SECONDS)

    def __exit__(self, *_: object) -> None:
        if _armed:
            signal.setitimer(signal.ITIMER_PROF, 0)


#: Ends its block with `TooSlow` after `RENDER_SECONDS`, where limits are armed.
render_time = _RenderTime()


@contextmanager
def batch_time() -> Iterator[None]:
    """The system ends the process when the block takes more than `BATCH_SECONDS`, where limits are armed."""
    if not _armed:
        yield
        return
    used = resource.getrusage(resource.RUSAGE_SELF)
    _limit(resource.RLIMIT_CPU, int(used.ru_utime + used.ru_stime) + 1 + BATCH_SECONDS)
    try:
        yield
    finally:
        _limit(resource.RLIMIT_CPU, resource.RLIM_INFINITY)


def hangs() -> DataError:
    """The chat template did not come to an end."""
    return DataError(
        "CHAT_TEMPLATE_HANGS",
        f"The chat template did not finish a row within {RENDER_SECONDS:g} s.",
        "Don't use this template; get the model from a source you trust.",
    )


def too_large() -> DataError:
    """The chat template wants more memory than any text needs."""
    return DataError(
        "CHAT_TEMPLATE_TOO_LARGE",
        "The chat template makes a text of giant size out of a row.",
        "Don't use this template; get the model from a source you trust.",
    )


def _stop(*_: Any) -> NoReturn:
    raise TooSlow


def _limit(what: int, value: int) -> None:
    _, hard = resource.getrlimit(what)
    if hard != resource.RLIM_INFINITY and (value == resource.RLIM_INFINITY or value > hard):
        value = hard
    resource.setrlimit(what, (value, hard))


def _address_space() -> int | None:
    """Bytes of address space in use, None where the system doesn't say (then memory is not limited)."""
    try:
        words = Path("/proc/self/statm").read_text(encoding="ascii")
        return int(words.split()[0]) * resource.getpagesize()
    except (OSError, ValueError):
        return None
