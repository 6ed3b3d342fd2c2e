"""Heat, levels and silence as pure policies: what is told and done, and what is not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backprop_tui.engine.heat import Card, Deed, Heat, thresholds
from backprop_tui.engine.levels import Levels
from backprop_tui.engine.stall import Stall
from backprop_tui.protocol.limits import LIMITS, Limits
from backprop_tui.protocol.states import RunState

LIMIT = Limits(heat_readings=3)
RUNNING, PAUSED = RunState.RUNNING, RunState.PAUSED


class Run:
    """A run that does at once what it is told."""

    def __init__(self, limits: Limits = LIMIT) -> None:
        self.heat = Heat(limits)
        self.state, self.now = RUNNING, 0.0
        self.codes: list[str] = []

    def read(self, *celsius: float | None, times: int = 1, obey: bool = True, **facts: Any) -> list[Deed]:
        done: list[Deed] = []
        for _ in range(times):
            self.now += 2.0
            cards = [Card(index, value, **facts) for index, value in enumerate(celsius)]
            for deed in self.heat.take(cards, self.now, self.state):
                done.append(deed)
                if deed.verb == "alert":
                    self.codes.append(deed.code)
                elif obey and deed.verb != "log":
                    self.move({"pause": PAUSED, "resume": RUNNING, "stop": RunState.STOPPING}[deed.verb])
        return done

    def move(self, state: RunState) -> None:
        self.state = state
        self.heat.follow(state, self.now)

    def verbs(self, *celsius: float | None, **options: Any) -> list[str]:
        return [deed.verb for deed in self.read(*celsius, **options)]


def test_rising_heat_is_told_then_pauses_cools_and_goes_on() -> None:
    run = Run()
    assert run.verbs(79, times=10) == []
    assert run.verbs(82, times=10) == ["alert"]
    assert run.verbs(91, times=2) == []
    paused = run.read(91)
    assert [deed.verb for deed in paused] == ["alert", "pause"]
    assert "GPU 0 is at 91 °C" in paused[1].words
    assert "80 °C" in paused[1].words
    assert run.verbs(85, times=50) == []
    assert run.verbs(80, times=2) == []
    assert run.verbs(80) == ["log", "resume"]
    assert run.state is RUNNING
    assert run.codes == ["GPU_WARM", "GPU_HOT"]


def test_a_pause_that_a_person_asks_for_as_well_is_theirs_to_end() -> None:
    run = Run()
    assert run.verbs(91, times=3, obey=False) == ["alert", "alert", "pause"]
    run.heat.person_pauses()
    run.move(PAUSED)
    assert run.verbs(40, times=50) == []
    run.move(RUNNING)
    assert run.verbs(91, times=3)[-1] == "pause", "the next one is the policy's again"
    assert run.verbs(40, times=3) == ["log", "resume"]


def test_a_worker_that_ends_before_it_pauses_leaves_nothing_asked_for() -> None:
    run = Run()
    assert run.verbs(91, times=3, obey=False)[-1] == "pause"
    run.heat.begin()
    run.move(RUNNING)
    assert run.verbs(91)[-1] == "pause", "the next worker is asked as well"


def test_a_spike_does_nothing() -> None:
    run = Run()
    for _ in range(50):
        assert run.verbs(99, times=2) == []
        assert run.verbs(60) == []


def test_what_is_far_too_hot_is_saved_and_stopped_also_while_paused() -> None:
    run = Run()
    assert run.verbs(96, times=3)[-2:] == ["alert", "stop"]
    assert run.verbs(99, times=50) == [], "said once"
    run = Run()
    run.read(91, times=3)
    assert run.state is PAUSED
    assert run.verbs(96, times=3) == ["alert", "stop"]


def test_a_silent_sensor_is_unknown_never_cold() -> None:
    run = Run()
    assert run.verbs(None, times=2) == []
    (told,) = run.read(None, why="the driver does not answer")
    assert told.code == "HEAT_UNKNOWN"
    assert "the driver does not answer" in told.words
    assert run.verbs(None, times=50) == []
    run.read(91, times=3)
    assert run.state is PAUSED
    assert "resume" not in run.verbs(None, times=100)
    assert run.state is PAUSED
    # A reading between two silences is no agreement of three.
    for _ in range(20):
        run.read(70)
        run.read(None)
    assert run.state is PAUSED
    run.now += LIMIT.cool_s
    (alert, stop) = [deed for deed in run.read(None) if deed.code != "HEAT_UNKNOWN"]
    assert (alert.code, stop.verb) == ("HEAT_STOP", "stop")
    assert "can't be read" in stop.words


def test_hot_readings_with_silences_between_are_no_row() -> None:
    run = Run()
    for _ in range(30):
        run.read(93, times=2)
        run.read(None)
    assert run.state is RUNNING


def test_it_gives_up_after_so_many_pauses_unless_an_hour_was_cool() -> None:
    limits = replace(LIMIT, heat_tries=2)
    run = Run(limits)
    for _ in range(2):
        assert run.verbs(91, times=3)[-1] == "pause"
        assert run.verbs(70, times=3)[-1] == "resume"
    assert run.verbs(91, times=3)[-1] == "stop"
    run = Run(limits)
    for _ in range(5):
        run.now += 4000
        assert run.verbs(91, times=3)[-1] == "pause"
        assert run.verbs(70, times=3)[-1] == "resume"


def test_a_persons_pause_stays_and_a_persons_resume_counts() -> None:
    run = Run()
    run.state = PAUSED
    assert "resume" not in run.verbs(60, times=100)
    assert "stop" not in run.verbs(91, times=10)
    run = Run()
    run.read(91, times=3)
    run.move(RUNNING)
    assert run.verbs(91, times=2) == [], "obeyed at first"
    assert run.verbs(91)[-1] == "pause", "and paused again while it is hot"


def test_a_pause_that_has_not_taken_effect_is_not_asked_for_twice() -> None:
    run = Run()
    assert run.verbs(91, times=30, obey=False).count("pause") == 1


def test_one_cool_card_is_not_enough() -> None:
    run = Run()
    run.read(91, 60, times=3)
    assert run.verbs(75, 85, times=20) == ["alert"], "the second one is warm"
    assert run.verbs(75, 80, times=3)[-1] == "resume"


def test_the_cards_own_limits_count_where_they_are_lower() -> None:
    at = thresholds(LIMIT, Card(0, 50, slowdown=84, shutdown=92))
    assert (at.warn, at.pause, at.stop, at.cool) == (80, 84, 92, 74)
    at = thresholds(LIMIT, Card(0, 50, slowdown=105, shutdown=110))
    assert (at.warn, at.pause, at.stop) == (80, 90, 95)
    at = thresholds(replace(LIMIT, pause_celsius=0, stop_celsius=0, warn_celsius=0), Card(0, 50, slowdown=84))
    assert (at.warn, at.pause, at.stop) == (None, None, None)
    run = Run()
    assert run.verbs(85, times=3, slowdown=84.0)[-1] == "pause"


@given(
    st.lists(st.one_of(st.none(), st.floats(20, 120)), max_size=120),
    st.integers(1, 5),
    st.integers(1, 3),
    st.lists(st.booleans(), min_size=120, max_size=120),
)
def test_whatever_is_read_the_policy_keeps_its_word(
    readings: list[float | None], row: int, tries: int, meddled: list[bool]
) -> None:
    run = Run(replace(LIMIT, heat_readings=row, heat_tries=tries))
    pauses = 0
    for at, celsius in enumerate(readings):
        if meddled[at] and run.state in (RUNNING, PAUSED):
            run.move(RUNNING if run.state is PAUSED else PAUSED)
        before = run.state
        holding = run.heat.holding
        verbs = run.verbs(celsius)
        recent = readings[max(0, at - row + 1) : at + 1]
        if "pause" in verbs:
            pauses += 1
            assert before is RUNNING
            assert len(recent) == row
            assert all(value is not None and value >= 90 for value in recent)
        if "resume" in verbs:
            assert before is PAUSED
            assert holding
            assert all(value is not None and value <= 80 for value in recent)
        if run.state is RunState.STOPPING:
            break
    assert pauses <= tries


def test_full_memory_power_and_disk_are_told_once_an_episode() -> None:
    levels = Levels(replace(LIMIT, vram_percent=98, power_percent=105, ram_percent=95, disk_gb=2))
    gpu = {"index": 1, "memory_used": 99, "memory_total": 100, "power": 80, "power_limit": 100}
    host = {"memory_used": 50, "memory_total": 100, "disk_free": 5e9}

    def codes(times: int = 10) -> list[str]:
        return [deed.code for _ in range(times) for deed in levels.take([gpu], host)]

    assert codes() == ["GPU_MEMORY_HIGH"]
    gpu["memory_used"] = 97.5
    assert codes() == []
    gpu["memory_used"] = 99
    assert codes() == [], "it had not fallen far enough"
    gpu["memory_used"] = 90
    codes()
    gpu["memory_used"] = 99
    gpu["power"] = 110
    host |= {"memory_used": 96, "disk_free": 1.5e9}
    assert sorted(codes()) == ["DISK_LOW", "GPU_MEMORY_HIGH", "GPU_POWER_HIGH", "MEMORY_HIGH"]
    assert codes() == []
    for part in (gpu, host):
        part.update(dict.fromkeys(set(part) - {"index"}))
    assert codes() == [], "unknown is no number"


def test_silence_is_measured_by_the_runs_own_pace() -> None:
    stall = Stall(Limits(stall_s=60, stall_steps=10, stall_grace_s=30), 0.0)
    assert stall.look(300, RunState.STARTING) == "", "loading may take six times as long"
    assert stall.look(361, RunState.STARTING) == "stuck"
    assert stall.look(380, RunState.STARTING) == ""
    assert stall.look(392, RunState.STARTING) == "lost"
    assert stall.look(999, RunState.STARTING) == ""
    stall.begin(1000)
    for step in range(5):
        stall.heard("step", {"step_s": 20.0}, 1000 + 20 * step)
    assert stall.patience() == 200
    assert stall.look(1280, RUNNING) == ""
    assert stall.look(1281, RUNNING) == "stuck"
    stall.heard("log", {}, 1282)
    assert stall.silent_for(1290) > 200, "a line of the log is no progress"
    stall.heard("step", {"step_s": 20.0}, 1290)
    assert stall.look(1320, RUNNING) == "", "it goes on after all"
    stall.heard("phase", {"phase": "eval", "status": "start"}, 1320)
    assert stall.look(1320 + 1199, RUNNING) == ""
    stall.heard("phase", {"phase": "eval", "status": "end"}, 2519)
    assert stall.look(2519 + 201, RUNNING) == "stuck"


@pytest.mark.parametrize("state", [PAUSED, RunState.STOPPING])
def test_a_paused_or_stopping_run_is_not_stuck(state: RunState) -> None:
    stall = Stall(Limits(stall_s=1), 0.0)
    assert stall.look(1e6, state) == ""
    assert stall.look(1e6 + 1, RUNNING) == ""
    assert Stall(Limits(stall_s=0), 0.0).look(1e9, RUNNING) == "", "0 is never"


@given(st.dictionaries(st.sampled_from(sorted(LIMITS)), st.one_of(st.none(), st.floats(), st.text(), st.booleans())))
def test_limits_of_any_run_json_are_limits(part: dict[str, Any]) -> None:
    limits = Limits.of_spec({"safety": part})
    for name, limit in LIMITS.items():
        assert limit.low <= getattr(limits, name) <= limit.high
    assert Limits.of_spec({"safety": 3}) == Limits()
