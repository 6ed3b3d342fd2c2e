"""`python -P -m backprop_tui.engine <run dir>`: the engine host of one run."""

from __future__ import annotations

import sys

from backprop_tui.engine.host_main import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
