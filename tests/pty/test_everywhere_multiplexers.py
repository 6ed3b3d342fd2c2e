"""Inside real tmux and real GNU screen, with 256 and 16 colours, without synchronised output."""

from __future__ import annotations

import os
import shutil
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.runs import FakeRun
from tests.support.terminal import BACKPROP, Terminal

pytestmark = [pytest.mark.pty, pytest.mark.timeout(240)]


@pytest.fixture
def run() -> Iterator[FakeRun]:
    fake = FakeRun(name="voyage").begin(total=400, gpus=2).train(60).measure().save()
    fake.journal.sync()
    yield fake
    fake.let_go()


@pytest.fixture
def tmux() -> Iterator[list[str]]:
    if shutil.which("tmux") is None:
        pytest.skip("tmux is not installed (apt-get install tmux)")
    command = ["tmux", "-L", f"bp-{uuid.uuid4().hex[:8]}", "-f", "/dev/null"]
    yield command
    subprocess.run([*command, "kill-server"], check=False, stderr=subprocess.DEVNULL)


def go_round(terminal: Terminal) -> None:
    """Open every room and the help, and leave; a new step is seen on the way."""
    for key, room in (("4", "4 Runs"), ("2", "2 Tune"), ("1", "1 Data"), ("3", "3 Run")):
        terminal.send(key)
        terminal.wait_for(rf"\[{room}\]", timeout=60)
    terminal.wait_for(r"\b60/400")
    terminal.send("?")
    terminal.wait_for("Choose the metric")
    terminal.send("q")
    terminal.wait_for(lambda text: "Choose the metric" not in text)


@pytest.mark.parametrize("term", ["tmux-256color", "screen-256color", "screen", "xterm"])
def test_tmux(tmux: list[str], term: str, run: FakeRun) -> None:
    # The shell behind it keeps the pane, so that what the app leaves on it is seen.
    start = f"{BACKPROP} attach {run.run.short_id}; echo left with $?; cat"
    argv = [
        *tmux,
        "set",
        "-g",
        "default-terminal",
        term,
        ";",
        "set",
        "-s",
        "focus-events",
        "off",
        ";",
        "new-session",
        start,
    ]
    with Terminal(argv, env={"COLORTERM": "", "TMUX": ""}) as terminal:
        terminal.wait_for(r"\b60/400", timeout=60)
        go_round(terminal)
        run.train()
        run.journal.sync()
        terminal.wait_for(r"\b61/400")
        assert "─" in terminal.text
        true = terminal.raw.find(b"\x1b[38;2;")
        assert true < 0, bytes(terminal.raw[max(0, true - 80) : true + 80])
        terminal.resize(80, 24)
        terminal.wait_for(lambda text: "Help" in text.splitlines()[22])
        terminal.send("q")
        terminal.wait_for("left with 0")
        modes = subprocess.run(
            [*tmux, "display", "-p", "#{alternate_on} #{mouse_any_flag} #{mouse_standard_flag} #{cursor_flag}"],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert modes.stdout.split() == ["0", "0", "0", "1"]


def test_a_pane_without_focus_holds_still_where_tmux_tells(tmux: list[str], run: FakeRun) -> None:
    argv = [
        *tmux, "set", "-s", "focus-events", "on", ";", "new-session", f"{BACKPROP} attach {run.run.short_id}", ";",
        "split-window", "-v", "-l", "5", "cat", ";", "select-pane", "-t", "0",
    ]  # fmt: skip
    with Terminal(argv, rows=46, env={"TMUX": ""}) as terminal:
        terminal.wait_for(r"\b60/400", timeout=60)
        terminal.send("\x1b[I")
        subprocess.run([*tmux, "select-pane", "-t", "1"], check=True)
        terminal.wait_for("held ·")
        subprocess.run([*tmux, "select-pane", "-t", "0"], check=True)
        terminal.wait_for(lambda text: "held ·" not in text)
        run.train()
        run.journal.sync()
        terminal.wait_for(r"\b61/400")


@pytest.mark.parametrize("term", ["screen-256color", "screen"])
def test_gnu_screen(term: str, run: FakeRun, tmp_path: Path) -> None:
    if shutil.which("screen") is None:
        pytest.skip("GNU screen is not installed (apt-get install screen)")
    folder = tmp_path / "sockets"
    folder.mkdir(mode=0o700)
    rc = tmp_path / "rc"
    rc.write_text(f"startup_message off\nterm {term}\ndefutf8 on\naltscreen on\n")
    start = f"{BACKPROP} attach {run.run.short_id}; echo left with $?; cat"
    env = {"SCREENDIR": str(folder), "COLORTERM": "", "STY": ""}
    name = f"bp-{uuid.uuid4().hex[:8]}"
    try:
        with Terminal(["screen", "-U", "-c", str(rc), "-S", name, "sh", "-c", start], env=env) as terminal:
            terminal.wait_for(r"\b60/400", timeout=60)
            go_round(terminal)
            run.train()
            run.journal.sync()
            terminal.wait_for(r"\b61/400")
            assert "─" in terminal.text
            terminal.send("q")
            terminal.wait_for("left with 0")
            terminal.wait_for("goes on without the screen")
    finally:
        subprocess.run(
            ["screen", "-S", name, "-X", "quit"], check=False, env={**os.environ, **env}, stdout=subprocess.DEVNULL
        )
