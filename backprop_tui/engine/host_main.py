"""The engine host's process: its signals, its lock, and the word to whoever launched it."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import errno
import faulthandler
import os
import signal
from collections.abc import Callable, Sequence
from pathlib import Path

from backprop_tui.engine import host_retry
from backprop_tui.engine.failpoint import hit
from backprop_tui.engine.host import Host
from backprop_tui.engine.host_ready import Ready
from backprop_tui.engine.host_timings import Timings
from backprop_tui.protocol.errors import BackpropError, UnavailableError
from backprop_tui.protocol.text import safe_text
from backprop_tui.store.layout import RunDir
from backprop_tui.store.locks import Identity, RunLock, is_alive


def main(
    argv: Sequence[str],
    *,
    worker_command: Sequence[str] | None = None,
    timings: Timings | None = None,
    memory_kills: Callable[[], int | None] = host_retry.memory_kills,
) -> int:
    """Be the host of the run named in `argv` until it ends; the parent learns over `--ready-fd` whether it began."""
    parser = argparse.ArgumentParser(prog="python -m backprop_tui.engine", description=__doc__)
    parser.add_argument("run", type=Path, help="run directory")
    parser.add_argument("--resume", metavar="PATH", help="checkpoint to go on from, relative to the run directory")
    rate = parser.add_mutually_exclusive_group()
    rate.add_argument("--learning-rate", type=float, metavar="RATE", help="the learning rate from there on")
    rate.add_argument(
        "--lr-factor", type=float, metavar="X", help="what the learning rate is multiplied by from there on"
    )
    parser.add_argument("--ready-fd", type=int, default=-1, help="pipe to tell the parent on")
    options = parser.parse_args(argv)
    ready = Ready(options.ready_fd)
    os.umask(0o077)
    for signum in (signal.SIGHUP, signal.SIGPIPE):
        signal.signal(signum, signal.SIG_IGN)
    if hasattr(faulthandler, "register"):
        faulthandler.register(signal.SIGUSR1)
    run = RunDir(options.run.absolute())
    asked = {"learning_rate": options.learning_rate, "lr_factor": options.lr_factor}
    change = {name: value for name, value in asked.items() if value is not None}
    host = Host(
        run,
        resume=options.resume,
        rate=change,
        worker_command=worker_command,
        timings=timings,
        memory_kills=memory_kills,
    )
    try:
        with RunLock(run.lock_file).acquire():
            hit("host.start")
            _forget_stale_socket(run)
            return asyncio.run(host.serve(ready.say))
    except BackpropError as error:
        ready.refuse(error)
        return error.exit_code
    except OSError as error:
        refusal = _disk_error(run, error)
        ready.refuse(refusal)
        return refusal.exit_code


def _disk_error(run: RunDir, error: OSError) -> BackpropError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return UnavailableError(
            "DISK_FULL", f"The disk is full: nothing can be written in {safe_text(run.path)}.", "Free some space on it."
        )
    return UnavailableError(
        "ENGINE_NOT_STARTED",
        f"The engine can't work in {safe_text(run.path)}: {error.strerror}.",
        "Check that directory, its disk and its permissions.",
    )


def _forget_stale_socket(run: RunDir) -> None:
    """An engine that was killed leaves its socket; ours is the lock now, so nobody listens on that one."""
    identity = Identity.read(run.identity_file)
    if identity is None or not identity.socket or is_alive(identity):
        return
    path = Path(identity.socket)
    with contextlib.suppress(OSError):
        if path.is_socket() and path.name.startswith(f"{run.short_id}-"):
            path.unlink()
