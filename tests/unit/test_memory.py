"""Large blocks go back to the system when they are freed, also after glibc has seen one."""

from __future__ import annotations

import subprocess
import sys

import pytest

SCRIPT = """
import sys
from backprop_tui.store.memory import let_large_blocks_go

def own():
    for line in open("/proc/self/status"):
        if line.startswith("RssAnon"):
            return int(line.split()[1]) / 1000

if sys.argv[1] == "told":
    assert let_large_blocks_go()
before = own()
first = b"x" * (24 << 20)
del first
pins = []
for _ in range(4):
    large = b"x" * (12 << 20)
    # What is allocated next lies behind it and holds the end of the heap, as the small arrays of a picture do.
    pins.append([b"x" * 2000 for _ in range(500)])
    del large
print(own() - before)
"""


def grown(how: str) -> float:
    done = subprocess.run([sys.executable, "-c", SCRIPT, how], capture_output=True, text=True, timeout=60, check=True)
    return float(done.stdout)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="told to glibc")
def test_large_blocks_go_back() -> None:
    left_alone, told = grown("left-alone"), grown("told")
    assert told < 8
    assert left_alone > told + 8, "without being told glibc keeps them, else this is not needed"
