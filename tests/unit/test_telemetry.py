"""Readings put together, silent sensors that age, and energy folded from the journal."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from backprop_tui.protocol import figures
from backprop_tui.protocol import telemetry as tele
from backprop_tui.protocol.codec import to_json
from backprop_tui.protocol.events import Event
from backprop_tui.protocol.figures import Prices
from backprop_tui.protocol.view import RunView


def card(index: int = 0, **changes: Any) -> dict[str, Any]:
    return {
        "index": index, "temperature": 60.0, "utilisation": 90.0, "memory_used": 10, "run_memory": 8, "power": 300.0,
        "fan": None, "clock": 1900.0, "memory_clock": 2600.0, "throttle": [], **changes,
    }  # fmt: skip


class Tape:
    """Events of one attempt, as many seconds apart as asked."""

    def __init__(self) -> None:
        self.seq = 0
        self.mono = 100.0
        self.attempt = 1

    def __call__(self, kind: str, /, after: float = 2.0, **data: Any) -> Event:
        self.seq += 1
        self.mono += after
        return Event(self.seq, 1e9 + self.mono, self.mono, self.attempt, kind, json.loads(to_json(data)))

    def reading(self, *cards: dict[str, Any], after: float = 2.0, reason: str | None = None) -> Event:
        return self("telemetry", after=after, gpus=list(cards), gpu_reason=reason, host={"cpu": 5.0})

    def begin(self, **plan: Any) -> list[Event]:
        return [
            self("run", run="r", name="n", version="0", host="h"),
            self("attempt", attempt=self.attempt, pid=1, resume_step=None),
            self("plan", total_steps=100, device="NVIDIA H100 80GB HBM3", dtype="bfloat16", **plan),
            self("state", state="running", reason=""),
        ]


def test_what_was_said_before_need_not_be_said_again() -> None:
    first = tele.merged({}, {"gpus": [card(name="A", slowdown=90, unknown={"fan": "no fan"})], "gpu_reason": None}, 1.0)
    second = tele.merged(first, {"gpus": [card(temperature=61.0)], "gpu_reason": None}, 3.0)
    (gpu,) = second["gpus"]
    assert (gpu["name"], gpu["slowdown"], gpu["temperature"]) == ("A", 90, 61.0)
    assert tele.why_unknown(gpu, "fan") == "no fan"


def test_slimming_and_merging_give_back_every_reading() -> None:
    from backprop_tui.engine.host_telemetry import Slimmer

    facts = dict.fromkeys(tele.FACTS) | {"name": "A", "processes": [], "others": 0, "unknown": {}}
    readings = [
        [card(**facts), card(1, **facts)],
        [card(**facts), card(1, **facts)],
        [card(**facts | {"power_limit": 500.0, "unknown": {"fan": "x"}}), card(1, **facts)],
        [card(**facts | {"power_limit": None}), card(1, **facts)],
        [],
        [card(**facts), card(1, **facts)],
    ]
    slimmer, state = Slimmer(), {}
    sizes = []
    for reading in readings:
        slim = slimmer.slim(reading)  # type: ignore[arg-type]
        sizes.append(len(json.dumps(slim)))
        state = tele.merged(state, {"gpus": slim, "gpu_reason": None if reading else "it hangs"}, 1.0)
        if reading:
            seen = [{key: value for key, value in gpu.items() if key != "seen"} for gpu in state["gpus"]]
            assert seen == reading
        else:
            assert [tele.why_unknown(gpu, "power") for gpu in state["gpus"]] == ["it hangs"] * 2
    assert sizes[1] < sizes[0] / 2


def test_a_silent_sensor_keeps_its_last_value_and_its_age_grows() -> None:
    state = tele.merged({}, {"gpus": [card()], "gpu_reason": None}, 10.0)
    for wall in (12.0, 14.0, 40.0):
        state = tele.merged(state, {"gpus": [card(temperature=None)], "gpu_reason": None}, wall)
        assert state["gpus"][0]["temperature"] is None
        assert tele.last_known(state["gpus"][0], "temperature", wall) == (60.0, wall - 10.0)
    assert tele.last_known(state["gpus"][0], "temperature", 10.0 + tele.FORGOTTEN + 1) is None
    state = tele.merged(state, {"gpus": [card()], "gpu_reason": None}, 42.0)
    assert tele.last_known(state["gpus"][0], "temperature", 42.0) is None
    assert tele.last_known(state["gpus"][0], "fan", 42.0) is None


def test_a_driver_that_goes_leaves_the_cards_with_its_reason() -> None:
    state = tele.merged({}, {"gpus": [card(), card(1)], "gpu_reason": None}, 1.0)
    state = tele.merged(state, {"gpus": [], "gpu_reason": "no NVIDIA driver"}, 3.0)
    assert [gpu["power"] for gpu in state["gpus"]] == [None, None]
    assert tele.why_unknown(state["gpus"][1], "power") == "no NVIDIA driver"
    assert tele.last_known(state["gpus"][1], "power", 3.0) == (300.0, 2.0)


def test_hot_is_what_the_card_says() -> None:
    assert not tele.is_hot(card(temperature=86.0, slowdown=87.0))
    assert tele.is_hot(card(temperature=87.0, slowdown=87.0))
    assert tele.is_hot(card(temperature=50.0, throttle=["heat"]))
    assert not tele.is_hot(card(temperature=120.0))


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
keys = st.sampled_from([*tele.FACTS, *tele.AGEING, "index", "seen", "throttle"])


@given(st.lists(st.dictionaries(keys, anything, max_size=6) | anything, max_size=4), anything, anything)
def test_foreign_readings_break_nothing(gpus: list[Any], reason: Any, host: Any) -> None:
    tape = Tape()
    view = RunView().apply([*tape.begin(), tape.reading(card())])
    for _ in range(2):
        view.apply([tape("telemetry", gpus=gpus, gpu_reason=reason, host=host)])
    view.apply([tape.reading(card())])
    assert view.telemetry["gpus"][0]["temperature"] == 60.0
    for gpu in view.telemetry["gpus"]:
        for key in tele.AGEING:
            tele.last_known(gpu, key, view.updated)
            tele.why_unknown(gpu, key)
        tele.is_hot(gpu)
    figures.energy_wh(view)
    json.dumps(view.to_dict(), default=str)


def test_energy_is_the_power_over_time_of_the_runs_cards() -> None:
    tape = Tape()
    view = RunView().apply(tape.begin())
    idle = card(1, run_memory=0, power=1000.0)
    view.apply([tape.reading(card(power=300.0), idle), tape.reading(card(power=500.0), idle, after=36.0)])
    assert view.energy_wh == 400.0 * 36 / 3600
    assert view.run_gpus == [0]
    assert not figures.energy_wh(view).about or figures.energy_share(view) < 0.98


def test_time_without_a_reading_is_not_covered() -> None:
    tape = Tape()
    view = RunView().apply([*tape.begin(), tape.reading(card()), tape.reading(card(), after=50.0)])
    view.apply(
        [
            tape.reading(card(power=None), after=50.0),
            tape.reading(card(), after=50.0),
            tape.reading(card(), after=500.0),
        ]
    )
    assert view.energy_s == 50.0
    assert view.gpu_s == 150.0
    assert 0.05 < figures.energy_share(view) < 0.1
    assert figures.energy_wh(view).about


def test_another_attempt_is_another_machine() -> None:
    tape = Tape()
    view = RunView().apply([*tape.begin(), tape.reading(card()), tape.reading(card(), after=36.0)])
    before = view.energy_wh
    tape.attempt, tape.mono = 2, 5.0
    view.apply([tape("attempt", attempt=2, pid=2, resume_step=3)])
    assert view.telemetry == {}
    view.apply([tape("state", state="running", reason=""), tape.reading(card(), after=30.0)])
    assert view.energy_wh == before
    assert 60 < view.held_s < 90


def test_a_cpus_energy_and_cost_are_unknown_with_the_reason() -> None:
    tape = Tape()
    view = RunView().apply(tape.begin())
    view.plan["device"] = "cpu"
    view.apply([tape.reading(card(run_memory=0)), tape.reading(card(run_memory=0))])
    assert figures.energy_wh(view).value is None
    assert "CPU" in figures.energy_wh(view).why
    assert figures.cost(view, Prices(per_gpu_hour=2.0)).why == "the run holds no GPU"
    assert "no price" in figures.cost(view, Prices()).why


def test_a_run_whose_processes_nobody_names_is_charged_what_the_plan_says() -> None:
    tape = Tape()
    view = RunView().apply(
        [*tape.begin(), tape.reading(card(run_memory=0)), tape.reading(card(run_memory=0), after=36.0)]
    )
    assert view.energy_wh == 3.0
    two = [card(run_memory=None), card(1, run_memory=None)]
    tape = Tape()
    view = RunView().apply([*tape.begin(), tape.reading(*two), *(tape.reading(*two, after=36.0) for _ in range(20))])
    assert figures.energy_share(view) > 0.98
    assert figures.energy_wh(view).about


def test_cost_adds_hours_and_energy() -> None:
    tape = Tape()
    view = RunView().apply([*tape.begin(), tape.reading(card(), after=0.0)])
    for _ in range(100):
        view.apply([tape.reading(card(), after=36.0)])
    hours = view.held_s / 3600
    cost = figures.cost(view, Prices(per_kwh=0.3, per_gpu_hour=2.0, currency="€"))
    assert cost.value is not None
    assert abs(cost.value - (2.0 * hours + 0.3 * 0.3 * 1.0)) < 1e-6


def test_pauses_are_held_but_told_apart() -> None:
    tape = Tape()
    view = RunView().apply(tape.begin())
    view.apply([tape("state", state="paused", reason=""), tape("state", after=100.0, state="running", reason="")])
    assert view.paused_s == 100.0
    assert view.held_s == 106.0
    again = RunView.from_dict(json.loads(to_json(view.to_dict())))
    assert again.to_dict() == view.to_dict()
