"""The app in a real pseudo-terminal: it leaves the terminal as it found it, survives odd input, and ends when nobody is there."""

from __future__ import annotations

import os
import signal
import sys
import termios
import time
from pathlib import Path

import pytest

from backprop_tui.protocol import events as ev
from tests.support.runs import HOSTILE, FakeRun, finished
from tests.support.terminal import Terminal

pytestmark = pytest.mark.pty
APP = [sys.executable, "-c", "import sys; from backprop_tui.app import run_app; sys.exit(run_app('run'))"]
#: What must have been switched off again: mouse, focus, paste, alternate screen, kitty keys; and the cursor back on.
RESTORED = [
    b"\x1b[?1000l",
    b"\x1b[?1003l",
    b"\x1b[?1006l",
    b"\x1b[?1004l",
    b"\x1b[?2004l",
    b"\x1b[?1049l",
    b"\x1b[?25h",
    b"\x1b[<u",
]


def _restored(terminal: Terminal) -> None:
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline and b"\x1b[?1004l" not in terminal.raw:
        time.sleep(0.02)
    last = bytes(terminal.raw)
    for sign in RESTORED:
        assert sign in last, sign
    assert last.rindex(b"\x1b[?1049l") > last.rindex(b"\x1b[?1049h")
    assert last.rindex(b"\x1b[?1000l") > last.rindex(b"\x1b[?1000h")
    assert last.rindex(b"\x1b[?25h") > last.rindex(b"\x1b[?25l")
    assert termios.tcgetattr(terminal.master)[3] & termios.ECHO


def test_q_leaves_the_terminal_as_it_was_and_says_that_the_run_goes_on() -> None:
    fake = FakeRun(name="voyage").begin().train(3)
    with Terminal(APP) as terminal:
        terminal.wait_for(r"voyage +● running")
        terminal.send("q")
        assert terminal.wait() == 0
        _restored(terminal)
        terminal.wait_for(f"backprop attach {fake.run.short_id}")
    fake.let_go()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_signals_restore_the_terminal(number: signal.Signals) -> None:
    finished()
    with Terminal(APP) as terminal:
        terminal.wait_for("completed")
        terminal.process.send_signal(number)
        assert terminal.wait() == 128 + number
        _restored(terminal)


def test_odd_mouse_bytes_are_survived() -> None:
    finished()
    with Terminal(APP) as terminal:
        terminal.wait_for("completed")
        terminal.send(b"\x1b[M C\x900\x1b[M\xff\xfe\xfd\x80\x81\xc3")
        terminal.send("?")
        terminal.wait_for("Esc close")
        terminal.send("q")
        terminal.wait_for(lambda text: "Esc close" not in text)
        terminal.send("q")
        assert terminal.wait() == 0


def test_a_vanished_terminal_ends_the_app() -> None:
    finished()
    with Terminal(APP) as terminal:
        terminal.wait_for("completed")
        terminal.hang_up()
        began = time.monotonic()
        terminal.process.wait(10)
        assert time.monotonic() - began < 2.5


def test_hostile_text_is_shown_literally(tmp_path: Path) -> None:
    fake = FakeRun(name=HOSTILE).begin(total=20).train(2)
    fake.add(ev.LOG, level="warn", source=HOSTILE, message=HOSTILE)
    fake.add(ev.PHASE, phase="load", status="start", detail=HOSTILE)
    fake.add(ev.PHASE, phase="load", status="end", seconds=1.0)
    fake.sample("base", HOSTILE, prompt=HOSTILE)
    fake.sample("tuned", HOSTILE, prompt=HOSTILE)
    fake.add(ev.FAULT, code="X[/INST]", cause=HOSTILE, next=HOSTILE)
    fake.end("failed", HOSTILE)
    with Terminal(APP, columns=140, rows=44) as terminal:
        terminal.wait_for(r"\[/INST\] \[@click=app\.quit\]x\[/\]")
        terminal.send("b")
        terminal.wait_for("ask ")
        terminal.send("?")
        terminal.wait_for("Esc close")
        terminal.send("q")
        terminal.wait_for(lambda text: "Esc close" not in text)
        terminal.send("q")
        assert terminal.wait() == 0
        raw = bytes(terminal.raw)
    assert b"\x1b]0;owned" not in raw
    assert b"\x1b[31mred" not in raw
    assert "\x9b".encode() not in raw
    assert "\u202e".encode() not in raw
    # The window's title, and the pointer's shape that Textual sets.
    assert all(words.startswith((b"0;backprop", b"22;")) for words in raw.split(b"\x1b]")[1:])


def test_no_color_means_no_colour() -> None:
    finished()
    with Terminal(APP, env={"NO_COLOR": "1"}) as terminal:
        terminal.wait_for("completed")
        terminal.send("q")
        assert terminal.wait() == 0
        raw = terminal.raw.decode("utf-8", "replace")
    for code in _sgr(raw):
        for number in code.split(";"):
            assert number in ("", "0", "1", "2", "3", "4", "7", "39", "49", "22", "24", "27"), code


def test_ascii_means_ascii() -> None:
    finished()
    with Terminal(APP, env={"LANG": "en_US.ISO-8859-1", "LC_ALL": "en_US.ISO-8859-1"}) as terminal:
        terminal.wait_for("completed")
        text = terminal.text
        terminal.send("q")
        terminal.wait()
    assert text.isascii(), sorted({sign for sign in text if not sign.isascii()})


def test_a_dumb_terminal_is_refused_kindly() -> None:
    code = (
        "import sys\nfrom backprop_tui.app import run_app\nfrom backprop_tui.protocol.errors import BackpropError\n"
        "try:\n    run_app('run')\nexcept BackpropError as error:\n    print(error); sys.exit(error.exit_code)"
    )
    with Terminal([sys.executable, "-c", code], env={"TERM": "dumb"}) as terminal:
        terminal.wait_for("TERMINAL_DUMB.*watch")
        assert terminal.wait() == 69
        assert b"\x1b" not in terminal.raw


def test_over_ssh_the_mouse_reports_no_motion() -> None:
    finished()
    with Terminal(APP, env={"SSH_CONNECTION": "10.0.0.1 1 10.0.0.2 22"}) as terminal:
        terminal.wait_for("completed")
        assert "ssh" in terminal.text.splitlines()[0]
        terminal.send("q")
        assert terminal.wait() == 0
        assert b"\x1b[?1000h" in terminal.raw
        assert b"\x1b[?1003h" not in terminal.raw


def test_the_run_grows_on_the_screen_and_its_death_is_told() -> None:
    fake = FakeRun(name="voyage").begin(total=50).train(5)
    with Terminal(APP, columns=80, rows=24) as terminal:
        terminal.wait_for(r"\b5/50")
        fake.train(4)
        fake.journal.sync()
        terminal.wait_for(r"\b9/50")
        fake.save()
        fake.let_go()
        terminal.wait_for(r"The engine is gone; step 9 .*")
        terminal.wait_for(r"\? crashed")
        terminal.send("q")
        assert terminal.wait() == 0
    assert os.path.exists(fake.run.journal_file)


def test_bytes_stay_within_the_budget() -> None:
    sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))
    from bytes_per_second import LIMITS, measure

    for (columns, rows), limit in LIMITS.items():
        assert 0 < measure(columns, rows, rate=1.0, seconds=5, gpus=2) <= limit
    assert measure(120, 40, rate=0.0, seconds=3, gpus=2) == 0


def _sgr(raw: str) -> set[str]:
    import re

    return set(re.findall(r"\x1b\[([0-9;]*)m", raw))
