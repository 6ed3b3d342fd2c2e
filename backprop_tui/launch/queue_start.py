"""The start of one entry of the queue, in a process of its own: what a damaged file does to a reader ends with it.

The entry is taken as it was checked; it is checked again, because data and disks change while runs wait.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace

from backprop_tui.launch.queueing import queued_words
from backprop_tui.protocol.errors import EXIT_OK, BackpropError, DataError, RunFailed
from backprop_tui.protocol.text import safe_text
from backprop_tui.store.layout import RunDir
from backprop_tui.store.queue import Queue, Queued, QueueState

Start = Callable[[Queued], RunDir]


def start_entry(entry: Queued) -> RunDir:
    """Check the run once more and start it.

    Raises:
        DataError: DATA_CHANGED, the data is not what it was when the run was put into the queue.
        BackpropError: what preflight or the engine found wrong.
    """
    from backprop_tui.data.versions.launched import check_launched
    from backprop_tui.launch.start import start_run
    from backprop_tui.protocol.fields import validate_spec

    spec = validate_spec(entry.spec)
    try:
        check_launched(spec.data, entry.launched)
    except DataError as error:
        cause = error.cause.replace("since the run was launched", "while the run waited in the queue")
        raise DataError(error.code, cause, "Restore what was there, or add the run anew.", error.detail) from None
    run = start_run(spec, limited=False, trusted=entry.trusted, queued=queued_words(entry))
    if entry.sweep:
        _group(run, str(entry.sweep.get("sweep", "")))
    return run


def main(argv: Sequence[str], start: Start = start_entry) -> int:
    """Start the entry named in `argv`, and note in the queue what became of it."""
    for signum in (signal.SIGHUP, signal.SIGPIPE):
        signal.signal(signum, signal.SIG_IGN)
    os.umask(0o077)
    queue = Queue()
    entry = queue.get(argv[0])
    if entry is None or entry.state is not QueueState.STARTING:
        return EXIT_OK
    try:
        run = start(entry)
        after = replace(entry, state=QueueState.RUNNING, run=run.id)
    except BackpropError as error:
        after = replace(entry, state=QueueState.FAILED, problem=error.to_dict())
    except Exception as error:
        words = RunFailed(
            "UNEXPECTED",
            f"The start went wrong in a way that should not happen ({type(error).__name__}: {safe_text(error, limit=200)}).",
            f"{queue.runner_log} has the details.",
        )
        after = replace(entry, state=QueueState.FAILED, problem=words.to_dict())
        import traceback

        traceback.print_exc()
    with queue.edit():
        queue.put(after)
    return EXIT_OK


def _group(run: RunDir, name: str) -> None:
    """Put a trial under the heading of its sweep, where people look for it; its sweep is in run.json all the same."""
    from backprop_tui.store.notes import change_notes

    with contextlib.suppress(BackpropError):
        change_notes(run, lambda notes: notes.within(name))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
