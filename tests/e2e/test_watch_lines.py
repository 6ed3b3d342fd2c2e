"""`watch` for status bars, scripts and screen readers, through the real command, a real terminal and a real tmux."""

from __future__ import annotations

import re
import shutil
import subprocess
import uuid

import pytest

from tests.support.runs import HOSTILE, FakeRun, finished
from tests.support.terminal import BACKPROP, Terminal, backprop


def test_once_with_a_format_prints_one_line() -> None:
    finished(steps=40)
    done = backprop("watch", "--once", "--format", "{state} {step}/{total} {loss:.3f} {eta} {gpu_temp:.0f}")
    assert (done.returncode, done.stderr) == (0, "")
    assert re.fullmatch(r"completed 40/40 \d\.\d{3} – –\n", done.stdout)


def test_a_wrong_field_is_one_line_with_the_nearest() -> None:
    done = backprop("watch", "--once", "--format", "{los:.3f}")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "FORMAT_FIELD_UNKNOWN: There is no field {los}. Did you mean {loss}?\n"


def test_help_names_every_field() -> None:
    from backprop_tui.cli.watch_format import FIELDS

    said = backprop("watch", "--help").stdout
    assert all(re.search(rf"^  {name} +\S", said, re.MULTILINE) for name in FIELDS)
    assert "status-right '#(backprop watch --once --format \"{loss:.3f} {percent:.0f}%% {eta}\")'" in said


def test_lines_follow_a_run_without_moving_the_cursor() -> None:
    fake = FakeRun(name="voyage").begin(total=20).train(2)
    with Terminal([BACKPROP, "watch", "--format", "{name} {step}/{total} {state}", "--every", "0"]) as terminal:
        terminal.wait_for("voyage 2/20 running")
        fake.train(3)
        fake.journal.sync()
        terminal.wait_for("voyage 5/20 running")
        fake.end("stopped")
        terminal.wait_for("voyage 5/20 stopped")
        assert terminal.wait() == 0
        assert b"\x1b" not in terminal.raw


def test_sentences_for_a_screen_reader_are_few_and_plain() -> None:
    fake = FakeRun(name=HOSTILE).begin(total=40).train(2).measure()
    with Terminal([BACKPROP, "watch", "--words"], columns=400) as terminal:
        terminal.wait_for(
            r"is running\. Step 2 of 40, 5 percent\. Loss \d\.\d+\. Held-out loss \d\.\d+\. About \d+ seconds left\."
        )
        for _ in range(5):
            fake.train()
            fake.journal.sync()
        fake.end()
        terminal.wait_for("is completed. Step 7 of 40")
        assert terminal.wait() == 0
        raw = bytes(terminal.raw)
    assert b"\x1b" not in raw
    assert "\x9b".encode() not in raw
    # The first look, and the end; the steps between came within the time of one line.
    assert len(raw.splitlines()) == 2, raw


def test_what_came_too_soon_is_shown_when_its_time_has_come() -> None:
    fake = FakeRun().begin(total=20).train(2)
    with Terminal([BACKPROP, "watch", "--format", "at {step}", "--every", "1"]) as terminal:
        terminal.wait_for("at 2")
        fake.train()
        fake.journal.sync()
        # No event follows that could bring this line along.
        terminal.wait_for("at 3")
        fake.end()
        assert terminal.wait() == 0


@pytest.mark.parametrize(
    "argv", [["--line", "--words"], ["--line", "--format", "x"], ["--every", "-1"], ["--every", "soon"]]
)
def test_choices_that_contradict_are_refused(argv: list[str]) -> None:
    done = backprop("watch", *argv)
    assert done.returncode == 2
    assert done.stderr.startswith("USAGE: ")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.pty
def test_the_example_of_the_help_works_in_a_real_tmux() -> None:
    if shutil.which("tmux") is None:
        pytest.skip("tmux is not installed")
    fake = FakeRun().begin(total=40).train(10)
    socket = f"bp-{uuid.uuid4().hex[:8]}"
    example = re.search(r"status-right '(.*)'$", backprop("watch", "--help").stdout, re.MULTILINE)
    assert example is not None
    shown = example.group(1).replace("backprop ", f"{BACKPROP} ", 1)
    commands = ["set", "-g", "status-right-length", "60", ";", "set", "-g", "status-interval", "1", ";"]
    try:
        with Terminal(
            [
                "tmux",
                "-L",
                socket,
                "-f",
                "/dev/null",
                "new-session",
                "sh",
                ";",
                *commands,
                "set",
                "-g",
                "status-right",
                shown,
            ]
        ) as tmux:
            tmux.wait_for(r"1\.\d{3} 25% 30 s", timeout=40)
            fake.train(10)
            fake.journal.sync()
            tmux.wait_for(r"1\.\d{3} 50% 20 s", timeout=40)
    finally:
        fake.end()
        subprocess.run(["tmux", "-L", socket, "kill-server"], check=False, stderr=subprocess.DEVNULL)
