"""The real engine host with the scripted worker and short waiting times."""

from __future__ import annotations

import sys
from pathlib import Path

from backprop_tui.engine.host_main import main
from backprop_tui.engine.host_timings import Timings

WORKER = Path(__file__).with_name("scripted_worker.py")
TIMINGS = Timings(telemetry=0.2, sync=0.1, abort=0.5, kill=0.5, exit=1.0, stop=1.0, shutdown=1.0)

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], worker_command=(sys.executable, str(WORKER)), timings=TIMINGS))
