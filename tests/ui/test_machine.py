"""The machine's panel: every GPU in whatever room there is, one in detail, silent sensors with their reason."""

from __future__ import annotations

import re
from typing import Any

import pytest

from backprop_tui.app.app import BackpropApp
from backprop_tui.app.glyphs import ASCII, UNICODE
from backprop_tui.app.run_model import RunModel
from backprop_tui.app.terminal import PROFILES, Terminal
from backprop_tui.app.widgets.machine import Machine, detail_lines, machine_lines
from backprop_tui.app.widgets.machine_words import missing_words, trouble
from backprop_tui.app.widgets.painted import Line, width_of
from backprop_tui.protocol import events as ev
from backprop_tui.protocol.events import Event
from tests.support.runs import HOSTILE, FakeRun, gpu
from tests.ui.helpers import screen_text, shows, until

HOST = {
    "cpu": 41.0, "cores": 64, "load": 17.2, "temperature": 61.0, "temperature_high": 90.0, "memory_used": 212e9,
    "memory_total": 512e9, "swap_used": 0, "swap_total": 0, "worker_rss": 9e9, "run_cpu": 180.0, "run_memory": 11e9,
    "run_processes": 5, "disk_free": 812e9, "disk_total": 1.8e12, "disk_read": 120e6, "disk_written": 3e6,
    "network_in": 2e6, "network_out": 1e5, "unknown": {},
}  # fmt: skip


def card(index: int, **changes: Any) -> dict[str, Any]:
    return gpu(index, run_memory=5_000_000_000, throttle=[], memory_clock=2619.0, shutdown=92.0, **changes)


def model_of(*readings: list[dict[str, Any]], reason: str | None = None, host: Any = HOST) -> RunModel:
    model = RunModel()
    for at, cards in enumerate(readings):
        data = {"gpus": cards, "gpu_reason": reason, "host": host}
        model.apply([Event(at + 1, 100.0 + 10 * at, 10.0 * at, 0, ev.TELEMETRY, data)])
    return model


def text_of(lines: list[Line]) -> str:
    return "\n".join("".join(text for text, _ in line) for line in lines)


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 8, 12, 16])
@pytest.mark.parametrize("size", [(40, 11), (80, 2), (80, 1), (60, 15), (118, 30), (42, 6), (100, 9)])
def test_every_gpu_is_there_without_scrolling(count: int, size: tuple[int, int]) -> None:
    width, height = size
    cards = [card(index, temperature=40.0 + index, utilisation=50.0 + index) for index in range(count)]
    lines = machine_lines(model_of(cards), width, height, UNICODE)
    assert len(lines) <= height
    assert all(width_of(line) <= width for line in lines)
    text = text_of(lines)
    if f"{count} GPUs" in text:
        assert re.search(rf"{count} GPUs [▁-█]{{{count}}} ", text)
        assert height <= -(-count // (width // 12))
    else:
        for index in range(count):
            assert re.search(rf"(?m)(GPU| |^){index}\b", text), (index, text)
            assert re.search(rf"\b{50 + index} ?%", text), (index, text)
            assert re.search(rf"\b{40 + index}°", text), (index, text)


def test_more_room_shows_more() -> None:
    model = model_of([card(index) for index in range(2)])
    full = text_of(machine_lines(model, 40, 25, UNICODE))
    assert "lately" in full
    assert "of 87°C" in full
    assert "1,980 MHz" in full
    rows = machine_lines(model, 80, 2, UNICODE)
    assert "612 W" in text_of(rows)
    assert "free" in text_of(rows)


def test_a_hot_card_says_so_without_colour() -> None:
    hot = card(0, temperature=90.0)
    slowed = card(1, temperature=50.0) | {"throttle": ["heat"]}
    for size, mark in (((60, 12), "HOT"), ((40, 3), "!"), ((22, 1), "2 HOT")):
        assert mark in text_of(machine_lines(model_of([hot, slowed]), *size, UNICODE)), size
    assert "warm" in text_of(machine_lines(model_of([card(0, temperature=82.0)]), 40, 11, UNICODE))


def test_unknown_is_a_dash_with_the_reason_and_ages_after_a_value() -> None:
    silent = card(0, temperature=None, power=None, unknown={"power": "not supported by this GPU", "temperature": "x"})
    never = model_of([silent])
    text = text_of(machine_lines(never, 40, 11, UNICODE))
    assert "–°C" in text
    assert "– W" in text
    assert " 0°C" not in text
    assert missing_words(never.view.telemetry["gpus"]) == "°C –: x"
    aged = model_of([card(0)], [silent], [silent])
    assert "71°C 20s ago" in text_of(machine_lines(aged, 40, 11, UNICODE))
    _, body = detail_lines(aged, 80, 40, UNICODE, 0)
    assert "–  612 20s ago, not supported by this GPU" in text_of(body)


def test_the_one_thing_that_can_not_wait() -> None:
    assert trouble(model_of([card(0)]).view.telemetry, 101.0) is None
    stale = trouble(model_of([card(0)]).view.telemetry, 160.0)
    assert stale == ("readings are 60s old", "warn")
    gone = {"index": 1, "temperature": None, "unknown": {"": "the GPU is lost (fallen off the bus)"}}
    assert trouble(model_of([card(0), gone]).view.telemetry, 100.0) == ("GPU1: the GPU is lost", "bad")
    slowed = card(0) | {"throttle": ["power_cap", "heat_hardware"]}
    assert trouble(model_of([slowed]).view.telemetry, 100.0) == ("GPU0 slowed: heat (hardware)", "bad")
    broken = card(0, ecc_uncorrected=3)
    words = trouble(model_of([broken]).view.telemetry, 100.0)
    assert words is not None
    assert "3 uncorrected" in words[0]


def test_detail_tells_everything_known() -> None:
    full = card(
        0, clock_max=1980.0, memory_clock_max=2619.0, max_operating=85.0, pcie_generation=4, pcie_generation_max=5,
        pcie_width=8, pcie_width_max=16, ecc_corrected=2, ecc_uncorrected=0, others=3,
        processes=[{"pid": 4711, "name": HOSTILE, "memory": 5e9, "ours": True}, {"pid": 9, "name": None, "memory": None}],
        unknown={"fan": "not supported by this GPU"},
    )  # fmt: skip
    full["throttle"] = ["power_cap"]
    for width in (58, 118):
        head, body = detail_lines(model_of([full]), width, 40, UNICODE, 0)
        text = text_of([*head, *body])
        for words in (
            "slows at 87, off at 92, made for 85", "5.0 GB", "612/700 W", "1,980 of 1,980 MHz", "power cap",
            "–  not supported by this GPU", "generation 4 of 5, 8 of 16 lanes", "2 corrected, 0 not", "4711", "this run",
            "and 3 more", "61°C   high is 90", "17.20 on 64 cores", "5 processes", "120 MB/s read",
        ):  # fmt: skip
            assert words in text, (width, words, text)
        assert "\x1b" not in text
        assert all(width_of(line) <= width for line in body if "4711" not in text_of([line]))


def test_without_a_gpu_the_reason_and_the_host() -> None:
    model = model_of([], reason="no NVIDIA driver", host=HOST | {"disk_read": None, "disk_written": None,
                     "unknown": {"disk_read": "the run's disk is no device"}})  # fmt: skip
    text = text_of(machine_lines(model, 40, 11, UNICODE))
    assert "no NVIDIA driver  training on the CPU" in text
    assert "–  the run's disk is no device" in text
    assert "11.0 GB  cpu 180 %  5 processes" in text
    assert text_of(machine_lines(model, 80, 2, UNICODE)).count("\n") == 1
    assert "load" in text_of(detail_lines(model, 80, 20, UNICODE, 0)[1])


def test_odd_readings_and_hostile_names_are_drawn() -> None:
    odd = {
        "index": 0,
        "name": HOSTILE,
        "temperature": "hot",
        "power": [],
        "memory_used": "nan",
        "unknown": 7,
        "throttle": 3,
    }
    model = model_of([odd, {"index": "x"}, 5], host=[])  # type: ignore[list-item]
    for width, height in ((40, 11), (80, 2), (30, 1), (118, 30)):
        for glyphs in (UNICODE, ASCII):
            machine_lines(model, width, height, glyphs)
            head, body = detail_lines(model, width, height, glyphs, 0)
            assert "\x1b" not in text_of([*head, *body])


def app_on(fake: FakeRun) -> BackpropApp:
    return BackpropApp("run", fake.run, Terminal(PROFILES["local"], False, "backprop-dark", {}, False))


@pytest.mark.parametrize("size", [(120, 40), (80, 24), (60, 20)])
async def test_enter_goes_into_detail_and_back_and_arrows_choose_the_card(size: tuple[int, int]) -> None:
    fake = FakeRun(name="voyage").begin(total=50, gpus=16).train(7)
    app = app_on(fake)
    async with app.run_test(size=size) as pilot:
        await shows(pilot, "7/50")
        await pilot.press("tab")
        machine = app.screen.query_one(Machine)
        await until(pilot, lambda: machine.has_focus)
        await pilot.press("enter")
        await shows(pilot, "GPU0  H100")
        await pilot.press("down")
        await shows(pilot, "GPU1  H100")
        await pilot.press("up", "up")
        await shows(pilot, "GPU15  H100")
        await pilot.press("home")
        await shows(pilot, "GPU0  H100")
        if "more lines" in screen_text(app):
            await pilot.press("pagedown", "pagedown", "pagedown", "pagedown", "pagedown", "pagedown")
            await shows(pilot, "network")
        await pilot.press("enter")
        await until(pilot, lambda: "another card" not in screen_text(app))
        await pilot.press("z")
        if size[0] >= 80:
            await shows(pilot, "another card")
    fake.let_go()


async def test_the_frame_names_the_trouble_and_the_missing_sensor() -> None:
    fake = FakeRun(name="voyage").begin(total=50, gpus=2).train(7)
    app = app_on(fake)
    async with app.run_test(size=(120, 40)) as pilot:
        await shows(pilot, "gpus 2")
        silent = card(1, temperature=None, unknown={"temperature": "the driver took too long"})
        fake.add(ev.TELEMETRY, gpus=[card(0) | {"throttle": ["heat"]}, silent], gpu_reason=None, host=HOST)
        await shows(pilot, "GPU0 slowed: heat")
        await shows(pilot, "°C –: the driver took too long")
        fake.add(ev.TELEMETRY, gpus=[], gpu_reason="the NVIDIA driver has not answered for 9 s", host=HOST)
        await shows(pilot, "all GPUs: the NVIDIA driver")
    fake.let_go()
