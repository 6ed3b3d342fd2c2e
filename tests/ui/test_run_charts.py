"""The chart of the Run screen: marks of a real journal, restarts, wall time, and saving what is seen."""

from __future__ import annotations

from pathlib import Path

import pytest

from backprop_tui.app.app import BackpropApp
from backprop_tui.app.terminal import PROFILES, Terminal
from backprop_tui.app.widgets.chart import Chart
from backprop_tui.protocol import events as ev
from backprop_tui.store.layout import RunDir
from tests.support.runs import HOSTILE, FakeRun, finished
from tests.ui.helpers import screen_text, shows, until


def app_on(run: RunDir) -> BackpropApp:
    return BackpropApp("run", run, Terminal(PROFILES["local"], False, "backprop-dark", {}, False))


async def test_what_happened_stands_under_the_curve() -> None:
    fake = FakeRun(name=HOSTILE).begin(total=100).train(30).measure().save()
    fake.train(10)
    fake.add(ev.STATE, state="paused", reason="asked")
    fake.train(10)
    fake.begin(total=100, resume=30).train(50)
    fake.add(ev.FAULT, code="DISK_FULL", cause=HOSTILE, next="Free some.", step=80)
    run = fake.end("failed").run
    async with app_on(run).run_test(size=(120, 40)) as pilot:
        await shows(pilot, "DISK_FULL")
        await shows(pilot, "»")
        chart = pilot.app.screen.query_one(Chart)

        def signs() -> str:
            axis = next((line for line in screen_text(pilot.app).splitlines() if "└" in line), "")
            return "".join(sign for sign in axis.partition("││")[0] if sign in "○◆‖»✗■")

        # The restart is drawn where the save was.
        await until(pilot, lambda: signs() == "»‖✗")
        assert "┊" in screen_text(pilot.app)
        chart.focus()
        await pilot.press("right_square_bracket")
        await shows(pilot, "step 30 ")
        assert chart.model.marks is not None
        assert {kind for _, kind, _ in chart.model.marks.ordered()} >= {
            "eval",
            "save",
            "pause",
            "restart",
            "fault",
            "end",
        }


async def test_time_is_by_the_clock_and_says_so() -> None:
    async with app_on(finished(40)).run_test(size=(160, 40)) as pilot:
        await shows(pilot, "x:step")
        await pilot.press("a", "a")
        await shows(pilot, "x:time (wall, with pauses)")
        await pilot.press("a")
        await shows(pilot, "x:epoch")


@pytest.mark.parametrize("ending", ["svg", "png", "csv"])
async def test_what_is_seen_is_saved_where_the_person_says(tmp_path: Path, ending: str) -> None:
    file = tmp_path / f"picture.{ending}"
    async with app_on(finished(40)).run_test(size=(120, 40)) as pilot:
        await shows(pilot, "x:step")
        await pilot.press("E")
        await shows(pilot, "save the chart")
        prompt = pilot.app.screen.query_one("LineInput")
        assert str(prompt.value).endswith("a-run-loss.svg")  # type: ignore[attr-defined]
        prompt.value = str(file)  # type: ignore[attr-defined]
        await pilot.press("enter")
        await until(pilot, file.exists)
        await shows(pilot, "Wrote ")
        before = file.read_bytes()
        await pilot.press("E")
        await shows(pilot, "save the chart")
        pilot.app.screen.query_one("LineInput").value = str(file)  # type: ignore[attr-defined]
        await pilot.press("enter")
        await shows(pilot, "That file is there already")
        await pilot.press("escape")
        assert file.read_bytes() == before


def written(folder: Path) -> list[Path]:
    return list(folder.iterdir())


async def test_a_place_that_will_not_do_is_said_before_anything_is_written(tmp_path: Path) -> None:
    async with app_on(finished(40)).run_test(size=(120, 40)) as pilot:
        await shows(pilot, "x:step")
        for words, said in (
            (str(tmp_path / "a.gif"), ".svg, .png or .csv"), (str(tmp_path / "no" / "a.svg"), "no such folder"),
            ("", "Type a file name"),
        ):  # fmt: skip
            await pilot.press("E")
            await shows(pilot, "save the chart")
            pilot.app.screen.query_one("LineInput").value = words  # type: ignore[attr-defined]
            await pilot.press("enter")
            await shows(pilot, said)
            await pilot.press("escape")
        assert not written(tmp_path)


async def test_another_run_starts_with_all_of_it_in_view_and_keeps_the_settings() -> None:
    first, second = finished(40, name="first"), finished(80, name="second")
    async with app_on(first).run_test(size=(120, 40)) as pilot:
        await shows(pilot, "↔ 0–40")
        await pilot.press("y", "plus", "c")
        screen = pilot.app.screen
        screen.open(second)  # type: ignore[attr-defined]
        await shows(pilot, "↔ 0–80")
        state = screen.query_one(Chart).model.state
        assert (state.log_y, state.cursor, state.span) == (True, None, None)


async def test_another_run_is_laid_over_and_taken_away() -> None:
    other, here = finished(120, name=HOSTILE), finished(40, name="here")
    async with app_on(here).run_test(size=(120, 40)) as pilot:
        await shows(pilot, "↔ 0–40")
        await pilot.press("v")
        await shows(pilot, "Up to seven runs")
        await pilot.press("enter")
        await shows(pilot, "↔ 0–120")
        model = pilot.app.screen.query_one(Chart).model
        assert [item.slot for item in model.others] != [model.slot]
        assert other.id
        text = screen_text(pilot.app)
        assert "● here" in text
        assert "\x1b" not in text
        await pilot.press("v")
        await shows(pilot, "take away what is laid over")
        await pilot.press("enter")
        await shows(pilot, "↔ 0–40")
