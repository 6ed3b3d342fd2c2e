"""The next trial of a sweep, asked for in a process of its own: Optuna takes a second to import, and the runner stays small."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import replace

from backprop_tui.launch.sweep import ask_trial
from backprop_tui.protocol.errors import EXIT_OK, BackpropError
from backprop_tui.store.queue import Queue
from backprop_tui.store.sweeps import read_sweep, write_sweep


def main(argv: Sequence[str]) -> int:
    """Ask for the sweep named in `argv`; what is wrong is noted in its file, and nothing more is asked then."""
    for signum in (signal.SIGHUP, signal.SIGPIPE):
        signal.signal(signum, signal.SIG_IGN)
    os.umask(0o077)
    queue = Queue()
    try:
        ask_trial(argv[0], queue)
    except BackpropError as error:
        with queue.edit():
            sweep = read_sweep(argv[0], queue.root)
            if sweep.asking and error.code != "SWEEP_CHANGED":
                write_sweep(replace(sweep, problem=error.to_dict()), queue.root)
    return EXIT_OK


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
