"""What runs inside a forked rank; importing it is the slow part, done once by the fork server."""

from __future__ import annotations

import gc
import os
import signal
import sys

os.environ.setdefault("OMP_NUM_THREADS", "1")

import backprop_tui.engine.worker.distributed
import backprop_tui.engine.worker.trainer
from backprop_tui.engine.worker.channel import EventSink, Inbox
from backprop_tui.engine.worker.distributed import EXIT_FORSAKEN
from backprop_tui.engine.worker.session import Session
from backprop_tui.protocol.changes import VARIABLE, Changes
from backprop_tui.store.layout import RunDir

# As a worker's own process does: the trainer's end would look through all of it, and copy its pages into every fork.
gc.freeze()


def work(run: str, environment: dict[str, str], pipes: tuple[int, int, int] | None, resume: str | None) -> None:
    """Be one rank: as `backprop_tui.engine.worker.__main__`, over the test's pipes."""
    import torch

    os.environ.update(environment)
    backprop_tui.engine.worker.distributed.world.cache_clear()
    torch.set_num_threads(1)
    log = os.open(f"{run}/worker.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    directory = RunDir(run_path(run))
    if pipes is None:
        sink, control = EventSink(os.open(os.devnull, os.O_WRONLY)), -1
    else:
        agent, events, control_in = pipes
        sink = EventSink(os.open(f"/proc/{agent}/fd/{events}", os.O_WRONLY))
        control = os.open(f"/proc/{agent}/fd/{control_in}", os.O_RDONLY)
    inbox = Inbox(on_stop=lambda reason: sink.state("stopping", reason))
    signal.signal(signal.SIGTERM, lambda *_: inbox.request_stop("The engine was told to shut down."))
    changes = Changes.from_variable(os.environ.get(VARIABLE))
    session = Session(directory, sink, inbox, resume=resume, changes=changes)
    if control >= 0:
        inbox.listen(control)
    good = session.execute()
    sink.close()
    sys.stdout.flush()
    os._exit(EXIT_FORSAKEN if session.forsaken else 0 if good else 1)


def run_path(run: str):  # type: ignore[no-untyped-def]
    from pathlib import Path

    return Path(run)
