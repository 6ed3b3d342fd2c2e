"""The real runner of the queue, whose entries become runs of the scripted worker: starts cost a fraction of a second.

Arguments: indices of the GPUs the machine is to have. With `start ID` it is the starter of one entry: what the real one does,
but without reading data. An entry's script may `refuse`, or have its starter die once the run is made (`starter_dies`: early,
before its engine is started, or late), which takes `starter_s` seconds.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

from backprop_tui.launch import queue_runner, queue_start
from backprop_tui.launch.queueing import queued_words
from backprop_tui.launch.start import launch_engine
from backprop_tui.protocol.errors import DataError
from backprop_tui.store.layout import RunDir, create_run
from backprop_tui.store.queue import Queued
from tests.support.engines import ENGINE

HERE = str(Path(__file__))


def start(entry: Queued) -> RunDir:
    script = entry.spec.get("script", {})
    if script.get("refuse"):
        raise DataError("DATA_CHANGED", "The data changed while the run waited in the queue.", "Add it anew.")
    time.sleep(script.get("starter_s", 0))
    run = create_run(entry.spec, queued=queued_words(entry))
    if script.get("starter_dies") == "early":
        os.kill(os.getpid(), signal.SIGKILL)
    launch_engine(run, engine=ENGINE)
    if script.get("starter_dies") == "late":
        os.kill(os.getpid(), signal.SIGKILL)
    return run


if __name__ == "__main__":
    if sys.argv[1:2] == ["start"]:
        sys.exit(queue_start.main(sys.argv[2:], start))
    starter = (sys.executable, HERE, "start")
    sys.exit(queue_runner.main(starter=starter, gpus=[int(word) for word in sys.argv[1:]]))
