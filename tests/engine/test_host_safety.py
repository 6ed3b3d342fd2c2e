"""The host's policies through the real host: a hot card pauses the worker, a cool one lets it go on, silence ends it.

The card is NVML's library replaced below pynvml; what it says stands in a file of the run directory.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pynvml
import pytest

from backprop_tui.launch.client import send_command
from backprop_tui.launch.start import launch_engine, resume_run
from backprop_tui.protocol.commands import Command, CommandName, ReplyStatus
from backprop_tui.store.layout import RunDir, create_run
from tests.support.engines import at_step, events, eventually, over, worker_pid

HOT = (sys.executable, str(Path(__file__).parents[1] / "support" / "hot_host.py"))
LIMITS = {"heat_readings": 2, "stall_s": 0}


def say(run: RunDir, **words: Any) -> None:
    """What the card says from here on."""
    part = run.path / ".sensor"
    part.write_text(json.dumps(words))
    part.rename(run.path / "sensor.json")


def started(limits: dict[str, Any] | None = None, temperature: int = 50, **script: Any) -> RunDir:
    script = {"steps": 100_000, "step_s": 0.02, "save_every": 1000, **script}
    spec = {"name": "hot", "model": {"base": "none", "method": "lora"}, "safety": {**LIMITS, **(limits or {})}}
    run = create_run({**spec, "script": script})
    say(run, temperature=temperature)
    launch_engine(run, engine=HOT)
    return run


def alerts(run: RunDir) -> list[str]:
    return [event.data["code"] for event in events(run, "alert")]


def state(run: RunDir) -> tuple[str, str]:
    last = events(run, "state")[-1].data
    return last["state"], last["reason"]


def ordered(run: RunDir) -> list[str]:
    return [event.data["name"] for event in events(run, "command") if event.data["id"].startswith("safety-")]


def test_a_hot_card_pauses_the_run_and_a_cool_one_lets_it_go_on() -> None:
    run = started()
    at_step(run, 3)
    say(run, temperature=84)
    eventually(lambda: "GPU_WARM" in alerts(run))
    assert state(run)[0] == "running"
    say(run, temperature=91)
    eventually(lambda: state(run)[0] == "paused")
    reason = state(run)[1]
    assert "GPU 0 is at 91 °C" in reason
    assert "80 °C" in reason
    held = events(run, "step")[-1].data["step"]
    readings = len(events(run, "telemetry"))
    say(run, temperature=81)
    eventually(lambda: len(events(run, "telemetry")) > readings + 8)
    assert state(run)[0] == "paused", "not cool enough"
    assert events(run, "step")[-1].data["step"] == held, "a pause is one"
    say(run, temperature=79)
    eventually(lambda: state(run)[0] == "running")
    at_step(run, held + 2)
    assert ordered(run) == ["pause", "resume"]
    assert alerts(run) == ["GPU_WARM", "GPU_HOT"]
    say(run, temperature=97)
    everything = over(run)
    assert everything[-1].data["outcome"] == "stopped"
    assert everything[-1].data["checkpoint"], "saved first"
    assert ordered(run) == ["pause", "resume", "stop"]


@pytest.mark.parametrize(
    "silence", [{"gone": True}, {"error": pynvml.NVML_ERROR_GPU_IS_LOST}], ids=["vanished", "erroring"]
)
def test_a_sensor_that_falls_silent_while_paused_lets_nothing_go_on(silence: dict[str, Any]) -> None:
    run = started({"cool_s": 1.0}, temperature=92)
    eventually(lambda: state(run)[0] == "paused")
    say(run, **silence)
    everything = over(run)
    assert everything[-1].data["outcome"] == "stopped"
    assert ordered(run) == ["pause", "stop"]
    assert "HEAT_UNKNOWN" in alerts(run)
    temperatures = [gpu["temperature"] for event in events(run, "telemetry") for gpu in event.data["gpus"]]
    assert 0 not in temperatures


def test_spikes_and_other_readings_do_nothing() -> None:
    run = started({"heat_readings": 1000})
    say(run, temperature=99, memory=[79 << 30, 80 << 30])
    eventually(lambda: len(events(run, "telemetry")) > 20)
    assert ordered(run) == []
    assert state(run)[0] == "running"
    send_command(run, Command(CommandName.ABORT))
    over(run)


def test_a_person_is_obeyed_before_the_policy() -> None:
    run = started(temperature=92)
    eventually(lambda: state(run)[0] == "paused")
    send_command(run, Command(CommandName.RESUME))
    eventually(lambda: len(ordered(run)) == 2)
    assert ordered(run) == ["pause", "pause"], "still hot, so paused again"
    eventually(lambda: state(run)[0] == "paused")
    say(run, temperature=40)
    eventually(lambda: state(run)[0] == "running")
    send_command(run, Command(CommandName.PAUSE))
    eventually(lambda: state(run)[0] == "paused")
    readings = len(events(run, "telemetry"))
    eventually(lambda: len(events(run, "telemetry")) > readings + 8)
    assert state(run)[0] == "paused", "a person's pause is not the policy's to end"
    send_command(run, Command(CommandName.ABORT))
    over(run)


def test_a_pause_asked_for_by_both_is_the_persons_to_end() -> None:
    run = started()
    at_step(run, 1)
    # As in a step that takes long: the worker does not answer yet.
    os.kill(worker_pid(run), signal.SIGSTOP)
    say(run, temperature=92)
    eventually(lambda: ordered(run) == ["pause"])
    assert send_command(run, Command(CommandName.PAUSE)).status is ReplyStatus.ACCEPTED
    os.kill(worker_pid(run), signal.SIGCONT)
    eventually(lambda: state(run)[0] == "paused")
    say(run, temperature=40)
    readings = len(events(run, "telemetry"))
    eventually(lambda: len(events(run, "telemetry")) > readings + 8)
    assert (state(run)[0], ordered(run)) == ("paused", ["pause"])
    send_command(run, Command(CommandName.ABORT))
    over(run)


@pytest.mark.parametrize("deaf", [False, True])
def test_a_worker_that_hangs_is_told_of_shown_and_ended(deaf: bool) -> None:
    run = started({"stall_s": 0.4, "stall_steps": 1, "stall_grace_s": 0.4}, hang=7, deaf=deaf)
    everything = over(run)
    (alert,) = [event.data for event in everything if event.kind == "alert"]
    assert alert["code"] == "WORKER_STUCK"
    assert "worker.log" in alert["cause"]
    (fault,) = [event.data for event in everything if event.kind == "fault"]
    assert fault["code"] == "WORKER_WEDGED"
    assert "resume from step" in fault["next"] or "begin again" in fault["next"]
    assert everything[-1].data["outcome"] == "failed"
    assert "in hang" in run.worker_log.read_text(), "the stack names the place"
    resume_run(run, engine=HOT)
    at_step(run, 9)
    send_command(run, Command(CommandName.ABORT))
    over(run)
