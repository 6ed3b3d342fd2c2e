"""The real command against a real engine host; a scripted worker stands in for training where training is not the point."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from backprop_tui.launch.start import resume_run
from backprop_tui.library import Run
from backprop_tui.protocol.states import RunState
from backprop_tui.store.layout import create_run
from tests.support.engines import ENGINE, at_step, events, eventually, identity, no_engine_left, over, started
from tests.support.terminal import BACKPROP, Terminal, backprop

HOSTILE = "\x1b]0;owned\x07\x9b31m\u202e[/INST][@click=app.quit]x[/]\nsecond"


@pytest.fixture(autouse=True)
def _tidy() -> Iterator[None]:
    with no_engine_left():
        yield


def words_of(done: subprocess.CompletedProcess[str]) -> tuple[int, str, str]:
    return done.returncode, done.stdout, done.stderr


def test_a_live_run_is_listed_watched_steered_and_ended() -> None:
    run = started(steps=100_000, step_s=0.02)
    at_step(run, 2)
    (listed,) = json.loads(backprop("runs", "--json").stdout)
    assert (listed["id"], listed["state"]) == (run.id, "running")
    assert "● running" in backprop("watch", "--once").stdout
    line = backprop("watch", run.short_id, "--once", "--line").stdout
    assert line.count("\n") == 1
    assert run.short_id in line

    code, _, said = words_of(backprop("pause", "--wait"))
    assert code == 0
    assert "pause done" in said
    assert json.loads(backprop("show", "--json").stdout)["state"] == "paused"
    code, _, said = words_of(backprop("pause"))
    assert code == 75
    assert said.startswith("COMMAND_NOT_NOW: ")
    assert backprop("resume", run.id[:17]).returncode == 0
    eventually(lambda: Run(run).state is RunState.RUNNING)

    assert backprop("set", "lr=3e-5", run.short_id).returncode == 0
    assert events(run, "command")[-1].data["args"] == {"learning_rate": 3e-5}
    answer = json.loads(backprop("checkpoint", "--wait", "--json").stdout)
    assert answer["ok"] is True
    code, _, said = words_of(backprop("delete", run.short_id, "--yes"))
    assert code == 75
    assert run.path.exists()

    assert backprop("stop", "--wait").returncode == 0
    assert Run(run).state is RunState.STOPPED
    code, _, said = words_of(backprop("stop"))
    assert code == 75
    assert "backprop resume" in said
    code, _, said = words_of(backprop("delete", run.short_id))
    assert code == 2
    assert "--yes" in said
    assert backprop("delete", run.short_id, "--yes").returncode == 0
    assert not run.path.exists()
    assert backprop("runs").returncode == 0


def test_following_shows_every_phase_and_ends_with_the_run() -> None:
    run = started(steps=12, step_s=0.02)
    code, printed, said = words_of(backprop("attach", "--headless"))
    assert code == 0
    assert printed.splitlines()[-1].split() == ["end", "completed", "at", "step", "12"]
    assert f"backprop save {run.short_id}" in said
    lines = [json.loads(line) for line in backprop("watch", "--json").stdout.splitlines()]
    assert [line["seq"] for line in lines[:-1]] == list(range(1, len(lines)))
    assert lines[-1]["kind"] == "summary"
    assert lines[-1]["data"]["state"] == "completed"


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_leaving_the_follower_leaves_the_run_and_says_so(signum: signal.Signals, code: int) -> None:
    run = started(steps=100_000, step_s=0.02)
    with subprocess.Popen(
        [BACKPROP, "attach", "--headless"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as follower:
        assert follower.stdout is not None
        follower.stdout.readline()
        at_step(run, 40)
        follower.send_signal(signum)
        _, said = follower.communicate(timeout=20)
    assert follower.returncode == code
    assert "goes on" in said
    assert "Traceback" not in said
    before = Run(run).summary.view.step
    at_step(run, before + 5)


def test_a_reader_that_leaves_ends_the_command_quietly() -> None:
    for _ in range(30):
        create_run({"name": "x" * 100})
    with subprocess.Popen(
        f"{BACKPROP} presets --settings --json | head -c 1; exit ${{PIPESTATUS[0]}}",
        shell=True, executable="/bin/bash", stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as pipe:  # fmt: skip
        _, said = pipe.communicate(timeout=30)
    assert said == ""
    assert pipe.returncode in (0, 141)


def test_crashes_are_told_in_words_with_the_next_step() -> None:
    run = started(steps=50, step_s=0.01, crash={"step": 7, "how": "segv"})
    over(run)
    code, printed, said = words_of(backprop("attach", "--headless"))
    assert code == 1
    assert "Traceback" not in said + printed
    assert "failed" in backprop("runs").stdout
    killed = started(steps=100_000, step_s=0.02)
    at_step(killed, 6)
    os.kill(identity(killed).pid, signal.SIGKILL)
    over(killed)
    listed = backprop("runs").stdout
    assert "crashed" in listed
    assert "running" not in listed
    assert f"backprop resume {killed.short_id}" in backprop("watch", killed.short_id, "--once").stdout


def test_hostile_names_are_shown_and_do_nothing() -> None:
    create_run(
        {"name": HOSTILE, "preset": HOSTILE, "model": {"base": HOSTILE, "method": HOSTILE}, "data": {"path": HOSTILE}}
    )
    shown = "".join(
        backprop(*argv).stdout for argv in (["runs"], ["show"], ["watch", "--once"], ["watch", "--once", "--line"])
    )
    assert "[/INST][@click=app.quit]x[/]" in shown
    assert not {"\x1b", "\x07", "\x9b", "\u202e"} & set(shown)


def test_listing_in_ascii_without_unicode_in_the_locale() -> None:
    create_run({"name": "café"})
    for env in ({"PYTHONIOENCODING": "ascii"}, {"BACKPROP_ASCII": "1"}):
        done = backprop("runs", **env)
        assert done.returncode == 0
        assert done.stdout.splitlines()[1].startswith("? crashed")


def test_waiting_in_python_hears_every_event_and_reports_a_failure() -> None:
    heard: list[int] = []
    run = started(steps=12, step_s=0.01)
    done = Run(run).wait(60, on_event=lambda event: heard.append(event.seq))
    assert heard == list(range(1, len(heard) + 1))
    assert done.state is RunState.COMPLETED
    assert [step for step, _ in done.losses] == list(range(1, 13))
    assert done.checkpoint == run.checkpoint(12)


def test_ctrl_c_in_python_stops_with_a_checkpoint() -> None:
    run = started(steps=100_000, step_s=0.02)
    code = "import sys\nfrom backprop_tui import Run\nRun(sys.argv[1]).wait(on_event=lambda event: print(event.kind, flush=True))"
    with subprocess.Popen(
        [sys.executable, "-c", code, run.id], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as waiter:
        assert waiter.stdout is not None
        assert "run" in waiter.stdout.readline()
        at_step(run, 3)
        waiter.send_signal(signal.SIGINT)
        _, said = waiter.communicate(timeout=30)
    assert said.strip().endswith("KeyboardInterrupt")
    assert Run(run).state is RunState.STOPPED
    assert Run(run).checkpoint is not None


def test_losses_after_a_resume_have_each_step_once() -> None:
    run = started(steps=20, step_s=0.005, crash={"step": 13, "how": "kill"})
    over(run)
    resume_run(run, engine=ENGINE)
    over(run)
    assert [step for step, _ in Run(run).losses] == list(range(1, 21))


@pytest.mark.pty
def test_watch_redraws_in_place_and_only_what_changed() -> None:
    run = started(steps=100_000, step_s=0.02)
    at_step(run, 2)
    with Terminal([BACKPROP, "watch"], columns=80, rows=24) as terminal:
        terminal.wait_for(r"step \d+/")
        terminal.wait_for(lambda text: "paused" not in text)
        backprop("pause", "--wait")
        text = terminal.wait_for("‖ paused")
        assert text.count("paused") == 1
        assert "\x1b[?1049h" not in terminal.raw.decode(errors="replace")
        mark, readings = terminal.size, len(events(run, "telemetry"))
        eventually(lambda: len(events(run, "telemetry")) >= readings + 4)
        rewritten = bytes(terminal.raw[mark:]).decode().split("\x1b[2K")[1:]
        assert all(line.startswith("host") for line in rewritten), rewritten
        backprop("stop", "--wait")
        terminal.wait_for("stopped")
        assert terminal.wait() == 0
