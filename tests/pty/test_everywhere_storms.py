"""A terminal that changes its size without end, one that is far away, and one nobody looks at."""

from __future__ import annotations

import os
import pty
import select
import signal
import sys
import time
from collections import deque
from pathlib import Path

import pytest

from tests.pty.test_quiet_screens import settled
from tests.support.escapes import foreign, not_restored
from tests.support.runs import FakeRun
from tests.support.terminal import BACKPROP, Terminal

pytestmark = [pytest.mark.pty, pytest.mark.timeout(240)]
_SIZES = ((120, 40), (80, 24), (61, 17), (200, 50), (1, 1), (500, 200), (30, 3), (79, 100), (2, 60))


def storm(terminal: Terminal, sizes: int, last: tuple[int, int]) -> None:
    """So many sizes, about two hundred a second where the machine is quick enough, ending in `last`."""
    for count in range(sizes):
        columns, rows = _SIZES[count % len(_SIZES)]
        terminal.resize(columns + count % 3, rows)
        time.sleep(0.005)
    terminal.resize(*last)


@pytest.mark.parametrize("room", ["1", "2", "3", "4"])
def test_a_storm_of_sizes_ends_in_a_whole_screen(room: str) -> None:
    fake = FakeRun(name="voyage").begin(total=400, gpus=2).train(60).measure().save()
    fake.journal.sync()
    title = {"1": "1 Data", "2": "2 Tune", "3": "3 Run", "4": "4 Runs"}[room]
    # Where Python does not buffer, an interrupted write must still be finished.
    with Terminal([BACKPROP, "attach", fake.run.short_id], env={"PYTHONUNBUFFERED": "1"}) as terminal:
        terminal.wait_for(r"\b60/400", timeout=40)
        terminal.send(room)
        terminal.wait_for(rf"\[{title}\]")
        for turn, last in enumerate(((120, 40), (1, 1), (500, 200), (80, 24))):
            storm(terminal, 100, last)
            fake.train()
            fake.journal.sync()
            settled(terminal, within=40)
            if last[0] >= 60:
                screen = terminal.wait_for(rf"\[{title}\]", timeout=40)
                assert "Help" in screen.split("\n")[last[1] - 1], screen
                if room == "3":
                    terminal.wait_for(rf"\b{61 + turn}/400")
        terminal.send("q")
        assert terminal.wait(20) == 0
        terminal.wait_for("goes on without")
        raw = terminal.everything()
    fake.let_go()
    assert not foreign(raw)
    assert not not_restored(raw)


def test_a_size_that_comes_back_unseen_is_drawn_again() -> None:
    fake = FakeRun(name="voyage").begin(total=400).train(60)
    fake.journal.sync()
    with Terminal([BACKPROP, "attach", fake.run.short_id]) as terminal:
        terminal.wait_for(r"\b60/400", timeout=40)
        settled(terminal)
        whole = terminal.text
        terminal.process.send_signal(signal.SIGSTOP)
        # The terminal loses what does not fit, the program never sees that size.
        terminal.resize(60, 20)
        terminal.resize(120, 40)
        assert terminal.text != whole
        terminal.process.send_signal(signal.SIGCONT)
        terminal.wait_for(lambda text: text == whole)
        terminal.send("q")
        assert terminal.wait(20) == 0
    fake.let_go()


def test_the_terminal_is_asked_for_its_size_not_the_environment() -> None:
    fake = FakeRun(name="voyage").begin(total=400).train(60)
    fake.journal.sync()
    with Terminal([BACKPROP, "attach", fake.run.short_id], env={"COLUMNS": "80", "LINES": "24"}) as terminal:
        terminal.wait_for(r"\b60/400", timeout=40)
        terminal.wait_for(lambda text: "Help" in text.split("\n")[39])
        terminal.resize(100, 30)
        terminal.wait_for(lambda text: "Help" in text.split("\n")[29])
        terminal.send("q")
        assert terminal.wait(20) == 0
    fake.let_go()


def _relay(argv: list[str], delay: float) -> None:
    """Run a program in a pty of its own and pass its bytes on, both ways, `delay` seconds late. Ends with the program."""
    import fcntl
    import termios
    import tty

    pid, master = pty.fork()
    if pid == 0:
        os.execvp(argv[0], argv)
    fcntl.ioctl(master, termios.TIOCSWINSZ, fcntl.ioctl(0, termios.TIOCGWINSZ, b"\0" * 8))
    tty.setraw(0)
    ways = {0: (1, deque[tuple[float, bytes]]()), 1: (0, deque[tuple[float, bytes]]())}
    open_ends = {0: 0, master: 1}
    while master in open_ends or ways[1][1]:
        dues = [queue[0][0] for _, queue in ways.values() if queue]
        wait = max(0.0, min(dues) - time.monotonic()) if dues else None
        for end in select.select(list(open_ends), [], [], wait)[0]:
            try:
                data = os.read(end, 65536)
            except OSError:
                data = b""
            if data:
                ways[open_ends[end]][1].append((time.monotonic() + delay, data))
            else:
                del open_ends[end]
        for direction, (_, queue) in ways.items():
            while queue and queue[0][0] <= time.monotonic():
                try:
                    os.write(master if direction == 0 else 1, queue.popleft()[1])
                except OSError:
                    queue.clear()
    os._exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) & 0xFF)


def test_keys_typed_ahead_arrive_over_a_slow_link() -> None:
    fake = FakeRun(name="voyage").begin(total=400).train(60)
    fake.journal.sync()
    root = Path(__file__).resolve().parents[2]
    code = (
        f"import sys; sys.path.insert(0, {str(root)!r}); from tests.pty.test_everywhere_storms import _relay; "
        f"_relay([{BACKPROP!r}, 'attach', {fake.run.short_id!r}], 0.3)"
    )
    with Terminal([sys.executable, "-c", code]) as terminal:
        terminal.wait_for(r"\b60/400", timeout=40)
        # All in one breath, blind: to Runs, filter for the run, take the filter, open it, ask for help.
        began = time.monotonic()
        terminal.send("4/voyage\r\r")
        terminal.send("?")
        terminal.wait_for("Choose the metric", timeout=60)
        assert time.monotonic() - began >= 0.6, "the link is slow"
        terminal.send("qq")
        assert terminal.wait(20) == 0
        terminal.wait_for("goes on without the screen")
        assert not not_restored(terminal.everything())
    fake.let_go()


@pytest.mark.parametrize("profile", ["local", "ssh"])
def test_without_the_focus_nothing_is_sent_until_something_ends(profile: str) -> None:
    fake = FakeRun(name="voyage").begin(total=400, gpus=2).train(60)
    fake.journal.sync()
    with Terminal([BACKPROP, "attach", fake.run.short_id], env={"BACKPROP_PROFILE": profile}) as terminal:
        terminal.wait_for(r"\b60/400", timeout=40)
        settled(terminal)
        terminal.send("\x1b[O")
        terminal.wait_for(r"held ·")
        before = settled(terminal)
        for _ in range(15):
            fake.train()
            fake.telemetry(2)
            fake.journal.sync()
            time.sleep(0.2)
        assert terminal.size == before, terminal.size - before
        # The focus comes back: what happened meanwhile is there at once, and for less than a whole screen.
        terminal.send("\x1b[I")
        terminal.wait_for(r"\b75/400")
        terminal.wait_for(lambda text: "held ·" not in text)
        terminal.send("\x1b[O")
        terminal.wait_for(r"held ·")
        before = settled(terminal)
        # Another size is drawn, the focus or not.
        terminal.resize(100, 30)
        terminal.wait_for(lambda text: "held ·" in text.split("\n")[0] and "Help" in text.split("\n")[29])
        before = settled(terminal)
        fake.end()
        terminal.wait_for("✓ completed")
        settled(terminal)
        terminal.send("q")
        assert terminal.wait(20) == 0
        assert not not_restored(terminal.everything())


def test_who_wants_it_live_gets_it_live() -> None:
    fake = FakeRun(name="voyage").begin(total=400).train(60)
    fake.journal.sync()
    with Terminal([BACKPROP, "attach", fake.run.short_id], env={"BACKPROP_UNFOCUSED": "live"}) as terminal:
        terminal.wait_for(r"\b60/400", timeout=40)
        terminal.send("\x1b[O")
        settled(terminal)
        fake.train()
        fake.journal.sync()
        terminal.wait_for(r"\b61/400")
        assert "held ·" not in terminal.text
        terminal.send("q")
        assert terminal.wait(20) == 0
    fake.let_go()
