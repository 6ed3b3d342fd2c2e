"""`python -P -m backprop_tui.engine.worker <run dir>`: one attempt at training, started by the engine host."""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
from pathlib import Path

from backprop_tui.engine.worker.channel import EventSink, Inbox
from backprop_tui.engine.worker.distributed import EXIT_FORSAKEN, world
from backprop_tui.engine.worker.distributed_agent import end_with_agent, inherited
from backprop_tui.engine.worker.session import Session
from backprop_tui.protocol.changes import VARIABLE, Changes
from backprop_tui.protocol.commands import Command
from backprop_tui.protocol.errors import EXIT_FAILED, EXIT_OK, EXIT_USAGE
from backprop_tui.store.layout import RunDir


def main(arguments: list[str]) -> int:
    """Run the worker; returns its exit code."""
    try:
        (directory,) = arguments
        speaks = world().first
        events = inherited("BACKPROP_EVENTS_FD") if speaks else os.open(os.devnull, os.O_WRONLY)
        control = inherited("BACKPROP_CONTROL_FD") if speaks else -1
    except (ValueError, KeyError):
        sys.stderr.write("The worker is started by the engine host, with a run directory and two pipes.\n")
        return EXIT_USAGE
    os.umask(0o077)
    # Threads that wait for each other spin by default; on a machine that is shared, a step then takes thirty times as long.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    end_with_agent()
    faulthandler.enable()
    faulthandler.register(signal.SIGUSR1)
    sink = EventSink(events)
    run = RunDir(Path(directory).resolve())

    def abort(command: Command) -> None:
        # At once, whatever the training thread is doing: checkpoints are published whole or not at all.
        sink.command_done(command, True, "Aborted without saving.")
        session.end_aborted()
        sink.close(1.0)
        os._exit(EXIT_OK)

    inbox = Inbox(
        on_abort=abort,
        on_stop=lambda reason: sink.state("stopping", reason),
        on_bad_command=lambda identity, name, cause: sink.send(
            "command_done", id=identity, name=name, ok=False, detail=cause
        ),
    )
    changes = Changes.from_variable(os.environ.get(VARIABLE))
    resume = os.environ.get("BACKPROP_RESUME") or None
    session = Session(run, sink, inbox, resume=resume, changes=changes, own_process=True)
    signal.signal(signal.SIGTERM, lambda *_: inbox.request_stop("The engine was told to shut down."))
    signal.signal(signal.SIGINT, lambda *_: inbox.request_stop("The engine was interrupted."))
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    if speaks:
        inbox.listen(control)
    good = session.execute()
    sink.close()
    if session.forsaken:
        return EXIT_FORSAKEN
    return EXIT_OK if good else EXIT_FAILED


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
