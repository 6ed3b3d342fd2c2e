"""Title, notification, clipboard, themes and memory in a real terminal and in a real tmux."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from backprop_tui.app import themes
from backprop_tui.app.state import read_state
from backprop_tui.config.files import replace_file
from backprop_tui.config.settings import settings_file
from tests.support.runs import FakeRun, finished
from tests.support.terminal import BACKPROP, Terminal

pytestmark = pytest.mark.pty
APP = [sys.executable, "-c", "import sys; from backprop_tui.app import run_app; sys.exit(run_app('run'))"]
FOCUS_IN, FOCUS_OUT = "\x1b[I", "\x1b[O"
PLAIN = {"TMUX": "", "STY": "", "TERM_PROGRAM": ""}


def wait_raw(terminal: Terminal, wanted: bytes, timeout: float = 20.0) -> None:
    """Wait for bytes."""
    deadline = time.monotonic() + timeout
    while wanted not in bytes(terminal.raw):
        assert time.monotonic() < deadline, (wanted, bytes(terminal.raw)[-300:])
        time.sleep(0.02)


def bells(terminal: Terminal) -> int:
    """Bells rung; the sign that ends a title or a pointer's shape is none."""
    return re.sub(rb"\x1b\][^\x07]*\x07", b"", bytes(terminal.raw)).count(b"\x07")


def quiet(terminal: Terminal, within: float = 20.0) -> int:
    """Bytes written once nothing has come for a second."""
    deadline = time.monotonic() + within
    size, since = terminal.size, time.monotonic()
    while time.monotonic() - since < 1.0:
        assert time.monotonic() < deadline, "it never comes to rest"
        time.sleep(0.05)
        if terminal.size != size:
            size, since = terminal.size, time.monotonic()
    return size


def test_the_title_tells_state_and_progress_and_goes_with_the_app() -> None:
    fake = FakeRun(name="voyage").begin(total=50).train(5)
    with Terminal(APP, env=PLAIN) as terminal:
        wait_raw(terminal, "\x1b]0;backprop ● 10% voyage\x07".encode())
        fake.train(10)
        fake.journal.sync()
        wait_raw(terminal, "\x1b]0;backprop ● 30% voyage\x07".encode())
        terminal.send("q")
        assert terminal.wait() == 0
        raw = bytes(terminal.raw)
        assert raw.index(b"\x1b[22;2t") < raw.index(b"\x1b]0;backprop") < raw.rindex(b"\x1b[23;2t")
    fake.let_go()


@pytest.mark.parametrize(
    ("notify", "sign"),
    [("bell", b"\x07"), ("osc9", b"\x1b]9;backprop: voyage is done"), ("osc777", b"\x1b]777;notify;")],
)
def test_an_end_is_told_while_the_terminal_is_not_focused(notify: str, sign: bytes) -> None:
    settings_file().write_text(f'notify = "{notify}"\ntitle = false\n')
    fake = FakeRun(name="voyage").begin(total=50).train(5)
    with Terminal(APP, env=PLAIN) as terminal:
        terminal.wait_for("voyage +● running")
        terminal.send(FOCUS_OUT)
        terminal.wait_for("held")
        before = quiet(terminal)
        fake.train(3)
        fake.journal.sync()
        time.sleep(1.5)
        assert terminal.size == before
        assert bells(terminal) == 0
        fake.end()
        if notify == "bell":
            terminal.wait_for("completed")
            assert bells(terminal) == 1
        else:
            wait_raw(terminal, sign)
            assert bytes(terminal.raw).count(sign) == 1
        terminal.send(FOCUS_IN + "q")
        assert terminal.wait() == 0


def test_nothing_rings_for_who_looks() -> None:
    settings_file().write_text('notify = "bell"\ntitle = false\n')
    fake = FakeRun(name="voyage").begin(total=50).train(5)
    with Terminal(APP, env=PLAIN) as terminal:
        terminal.wait_for("voyage +● running")
        terminal.send(FOCUS_IN)
        fake.end()
        terminal.wait_for("completed")
        terminal.send("q")
        assert terminal.wait() == 0
        assert bells(terminal) == 0


def test_themes_that_do_not_change_cost_no_byte_and_changed_ones_are_seen() -> None:
    folder = themes.own_themes_dir()
    folder.mkdir()
    words = 'name = "mine"\n[colors]\nprimary = "#ff0000"\nbackground = "#101010"\n'
    replace_file(folder / "mine.toml", words)
    settings_file().write_text('theme = "mine"\n')
    finished(8)
    with Terminal(APP, env={**PLAIN, "COLORTERM": "truecolor"}) as terminal:
        terminal.wait_for("completed")
        before = quiet(terminal)
        time.sleep(4.5)
        assert terminal.size == before
        replace_file(folder / "mine.toml", words.replace("#101010", "#123456"))
        wait_raw(terminal, b"48;2;18;52;86")
        replace_file(folder / "mine.toml", words.replace("primary", "primery"))
        terminal.wait_for(r"mine\.toml: colors\.primery is unknown; did you mean primary\?")
        terminal.send("q")
        assert terminal.wait() == 0


def test_leaving_and_coming_back_and_fresh() -> None:
    run = finished(40)
    with Terminal([BACKPROP, "attach", run.short_id], env=PLAIN) as terminal:
        terminal.wait_for("completed")
        terminal.send("y")
        terminal.wait_for("y:log")
        terminal.send("q")
        assert terminal.wait() == 0
    assert read_state().room == "run"
    for argv, back in (([], True), (["attach", run.short_id], True), (["--fresh", "attach", run.short_id], False)):
        with Terminal([BACKPROP, *argv], env=PLAIN) as terminal:
            terminal.wait_for("completed")
            terminal.wait_for("y:log" if back else "y:lin")
            terminal.process.terminate()
            assert terminal.wait() == 143


def test_a_killed_app_had_written_what_was_done_before() -> None:
    finished(8)
    with Terminal(APP, env=PLAIN) as terminal:
        terminal.wait_for("completed")
        terminal.send("4")
        terminal.wait_for("newest")
        deadline = time.monotonic() + 20
        while read_state().room != "runs":
            assert time.monotonic() < deadline
            time.sleep(0.05)
        terminal.process.kill()
        terminal.wait()
    with Terminal([BACKPROP], env=PLAIN) as terminal:
        terminal.wait_for(r"\[4 Runs\]")


def test_jump_mode_sends_little() -> None:
    finished(8)
    with Terminal(APP, env=PLAIN) as terminal:
        terminal.wait_for("completed")
        before = quiet(terminal)
        terminal.send("'")
        there = quiet(terminal)
        assert 0 < there - before < 1500
        terminal.send("\x1b")
        assert 0 < quiet(terminal) - there < 1500


def test_the_mouse_can_be_left_to_the_terminal() -> None:
    settings_file().write_text("mouse = false\n")
    finished(8)
    with Terminal(APP, env=PLAIN) as terminal:
        terminal.wait_for("completed")
        assert b"\x1b[?1000h" not in terminal.raw
        terminal.send("q")
        assert terminal.wait() == 0


def test_replay_by_command() -> None:
    run = finished(40)
    with Terminal([BACKPROP, "replay", run.short_id, "--speed", "1000"], env=PLAIN) as terminal:
        terminal.wait_for(r"REPLAY over 100%")
        terminal.send("q")
        terminal.wait_for(r"\[4 Runs\]")
        terminal.send("q")
        assert terminal.wait() == 0


@pytest.fixture
def tmux(home: Path) -> Iterator[list[str]]:
    """A private tmux server with a terminal around it."""
    if shutil.which("tmux") is None:
        pytest.skip("tmux is not installed")
    command = ["tmux", "-S", str(home / "tmux"), "-f", "/dev/null"]
    yield command
    subprocess.run([*command, "kill-server"], capture_output=True, check=False)


def test_in_tmux_the_clipboard_takes_the_buffer_and_says_so(tmux: list[str]) -> None:
    env = {**os.environ, "TERM": "xterm-256color", "LANG": "C.UTF-8"}
    with Terminal([*tmux, "new-session", "-x", "120", "-y", "40", BACKPROP], env=env) as terminal:
        terminal.wait_for("datasets")
        terminal.send("2")
        terminal.wait_for("ready")
        terminal.send("y")
        terminal.wait_for("Copied with tmux, to its buffer and the clipboard")
        shown = subprocess.run([*tmux, "show-buffer"], capture_output=True, text=True, check=True).stdout
        assert "rank" in shown
        terminal.send("q")
