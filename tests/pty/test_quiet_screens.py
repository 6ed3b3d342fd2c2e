"""Screens on which nothing changes send nothing, although Runs looks at the disk every two seconds."""

from __future__ import annotations

import time

import pytest

from tests.support.terminal import BACKPROP, Terminal

pytestmark = pytest.mark.pty

#: Longer than the time between two looks at the disk.
_WATCHED_S = 2.5


def settled(terminal: Terminal, within: float = 15.0) -> int:
    """Bytes written once nothing more has come for a second."""
    deadline = time.monotonic() + within
    size, since = terminal.size, time.monotonic()
    while time.monotonic() - since < 1.0:
        assert time.monotonic() < deadline, "the screen never comes to rest"
        time.sleep(0.05)
        if terminal.size != size:
            size, since = terminal.size, time.monotonic()
    return size


@pytest.mark.parametrize("size", [(120, 40), (80, 24)])
def test_nothing_is_sent_while_nothing_changes(size: tuple[int, int]) -> None:
    with Terminal([BACKPROP], columns=size[0], rows=size[1]) as terminal:
        for key, ready in (("", "458"), ("2", "ready"), ("4", "No run yet")):
            terminal.send(key)
            terminal.wait_for(ready)
            before = settled(terminal)
            time.sleep(_WATCHED_S)
            assert terminal.size == before, f"{terminal.size - before} bytes on the screen with {ready!r}"
        terminal.send("q")
        assert terminal.wait() == 0
