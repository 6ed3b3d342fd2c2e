"""Deterministic misfortune for crash tests: `FAILPOINT=name:n[:action[@attempt]]` strikes at the n-th pass of a named point.

Actions: kill (SIGKILL, the default), segv, exit (code 3), raise (FailpointError), disk_full (OSError ENOSPC), memory
(PyTorch's OutOfMemoryError), term (SIGTERM). With an attempt it strikes only in the worker of that number. Without the
variable a point costs one comparison. Several are separated by commas.

Points: host.start, host.journal, worker.probe, worker.step, worker.pass, worker.eval, worker.save.begin, worker.save.file,
worker.save.rename, worker.merge.begin, worker.merge.accepted, queue.start, queue.started.
"""

from __future__ import annotations

import errno
import os
import signal
import sys
from collections.abc import Callable

VARIABLE = "FAILPOINT"


class FailpointError(RuntimeError):
    """The failure asked for."""


def hit(name: str) -> None:
    """Pass the named point.

    Raises:
        FailpointError: action raise. OSError: action disk_full. torch.OutOfMemoryError: action memory. The other actions
            signal or end the process.
    """
    if not _armed or name not in _armed:
        return
    left, action = _armed[name]
    _armed[name] = (left - 1, action)
    if left == 1:
        _ACTIONS[action](name)


def _kill(name: str) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _segv(name: str) -> None:
    signal.signal(signal.SIGSEGV, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGSEGV)


def _exit(name: str) -> None:
    os._exit(3)


def _raise(name: str) -> None:
    raise FailpointError(f"the failpoint {name} was reached")


def _disk_full(name: str) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), name)


def _memory(name: str) -> None:
    # Whoever passes such a point has imported torch; this module must not.
    kind = getattr(sys.modules.get("torch"), "OutOfMemoryError", MemoryError)
    raise kind(f"CUDA out of memory. Tried to allocate 1024.00 GiB at {name}.")


def _term(name: str) -> None:
    os.kill(os.getpid(), signal.SIGTERM)


_ACTIONS: dict[str, Callable[[str], None]] = {
    "kill": _kill,
    "segv": _segv,
    "exit": _exit,
    "raise": _raise,
    "disk_full": _disk_full,
    "memory": _memory,
    "term": _term,
}


def _read(text: str) -> dict[str, tuple[int, str]]:
    armed = {}
    for item in filter(None, text.split(",")):
        name, _, rest = item.partition(":")
        count, _, action = rest.partition(":")
        action, _, attempt = action.partition("@")
        if attempt and attempt != os.environ.get("BACKPROP_ATTEMPT"):
            continue
        armed[name] = (int(count or 1), action if action in _ACTIONS else "kill")
    return armed


_armed = _read(os.environ.get(VARIABLE, ""))
