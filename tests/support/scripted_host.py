"""The real engine host with the scripted worker, short waiting times, and a kernel's counter of its own.

The counter is the file `vmstat` in the run directory, in the kernel's format.
"""

from __future__ import annotations

import sys
from pathlib import Path

from backprop_tui.engine import host_retry
from backprop_tui.engine.host_main import main
from backprop_tui.engine.host_timings import Timings

WORKER = Path(__file__).with_name("scripted_worker.py")
TIMINGS = Timings(telemetry=0.2, sync=0.1, abort=0.5, kill=0.5, exit=1.0, stop=1.0, shutdown=1.0)

if __name__ == "__main__":
    kernel = Path(sys.argv[1]) / "vmstat"
    sys.exit(
        main(
            sys.argv[1:],
            worker_command=(sys.executable, str(WORKER)),
            timings=TIMINGS,
            memory_kills=lambda: host_retry.memory_kills(kernel),
        )
    )
