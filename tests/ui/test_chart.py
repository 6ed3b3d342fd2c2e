"""The chart under keys and mouse, by itself in a panel."""

from __future__ import annotations

from typing import Any

import pytest
from textual.app import ComposeResult
from textual.pilot import Pilot

from backprop_tui.app.keymap import chart as keymap
from backprop_tui.app.widgets.chart import Chart
from backprop_tui.app.widgets.panel import Panel
from tests.support.curves import chart_of, marked, step
from tests.ui.helpers import BareApp, screen_text, shows, until


class ChartApp(BareApp):
    """A chart on a run of 200 steps, evaluated every 50."""

    CSS = "Screen { layout: vertical; }"

    def compose(self) -> ComposeResult:
        chart = Chart()
        chart.model = chart_of(
            200, evals=50, marks=marked(("checkpoint", 100, {"step": 100}), ("fault", 150, {"code": "OOPS"}))
        )
        yield Panel("loss", chart)

    def on_mount(self) -> None:
        chart = self.query_one(Chart)
        chart.focus()
        self.call_after_refresh(chart.show)

    def on_chart_said(self, message: Chart.Said) -> None:
        self.sub_title = message.text


def model_of(pilot: Pilot[Any]) -> Any:
    return pilot.app.query_one(Chart).model


async def test_every_key_of_the_table_does_something_sensible() -> None:
    async with ChartApp().run_test(size=(100, 26)) as pilot:
        await shows(pilot, "train ─  eval ○")
        for action in keymap.ACTIONS:
            for key in action.keys.split(","):
                await pilot.press(key)
                await pilot.pause()
                if len(pilot.app.screen_stack) > 1:
                    pilot.app.pop_screen()
                    await pilot.pause()
        assert pilot.app.is_running
        assert {action.call.partition("(")[0] for action in keymap.ACTIONS} <= {
            name.removeprefix("action_") for name in dir(Chart) if name.startswith("action_")
        }


async def test_the_crosshair_by_keyboard() -> None:
    async with ChartApp().run_test(size=(100, 26)) as pilot:
        await shows(pilot, "train ─  eval ○")
        await pilot.press("c")
        await shows(pilot, "step 200  train 1.006738 (ema ")
        await pilot.press("left", "left", "shift+left")
        await shows(pilot, "step 188 ")
        await shows(pilot, " @150")
        await pilot.press("shift+right", "right", "home")
        await shows(pilot, "step 1 ")
        await shows(pilot, "eval –")
        await pilot.press("right_square_bracket")
        await shows(pilot, "step 100 ")
        await shows(pilot, "checkpoint saved")
        await pilot.press("right_square_bracket")
        await shows(pilot, "OOPS")
        await pilot.press("right_square_bracket")
        await until(pilot, lambda: "Nothing more" in pilot.app.sub_title)
        await pilot.press("left_square_bracket", "end")
        await shows(pilot, "step 200 ")
        await pilot.press("escape")
        await shows(pilot, "train ─  eval ○")


async def test_escape_goes_back_one_level_at_a_time() -> None:
    async with ChartApp().run_test(size=(100, 26)) as pilot:
        await shows(pilot, "train ─  eval ○")
        model = model_of(pilot)
        await pilot.press("g", "plus", "c")
        assert (model.state.layout, model.state.span is None, model.state.cursor is None) == ("grid", False, False)
        await pilot.press("escape")
        assert (model.state.layout, model.state.span is None, model.state.cursor is None) == ("grid", False, True)
        await pilot.press("escape")
        assert (model.state.layout, model.state.span is None) == ("grid", True)
        await pilot.press("escape")
        assert model.state.layout == "single"


async def test_the_grid_is_walked_and_one_of_it_opened() -> None:
    async with ChartApp().run_test(size=(100, 26)) as pilot:
        await shows(pilot, "train ─  eval ○")
        await pilot.press("g")
        await shows(pilot, "▸ loss")
        await shows(pilot, "tokens/s")
        assert len(model_of(pilot).areas) == 4
        await pilot.press("n")
        await shows(pilot, "▸ grad norm")
        await pilot.press("down")
        await shows(pilot, "▸ lr")
        await pilot.press("enter")
        await shows(pilot, "▸ lr ─")
        assert model_of(pilot).state.layout == "single"
        await pilot.press("enter")
        await shows(pilot, "tokens/s")


async def test_a_metric_is_laid_over_and_taken_away() -> None:
    async with ChartApp().run_test(size=(100, 30)) as pilot:
        await shows(pilot, "train ─  eval ○")
        await pilot.press("o")
        await shows(pilot, "Up to four metrics")
        await pilot.press("enter")
        await shows(pilot, "loss + grad norm")
        await shows(pilot, "▲ grad norm")
        await pilot.press("o")
        await shows(pilot, "take away  loss")
        await pilot.press("up", "enter")
        await until(pilot, lambda: model_of(pilot).state.layout == "single")


async def test_the_mouse_chooses_a_range_zooms_and_points() -> None:
    async with ChartApp().run_test(size=(100, 26)) as pilot:
        await shows(pilot, "train ─  eval ○")
        chart = pilot.app.query_one(Chart)
        model, area = chart.model, chart.model.areas[0]
        await pilot.mouse_down(Chart, offset=(area.left + 20, 5))
        await pilot.hover(Chart, offset=(area.left + 40, 5))
        await until(pilot, lambda: model.selection is not None)
        await pilot.mouse_up(Chart, offset=(area.left + 40, 5))
        await until(pilot, lambda: model.selection is None and not model.follow)
        start, stop = model.view()
        assert (start, stop) == (area.x_at(area.left + 20), area.x_at(area.left + 40))
        await shows(pilot, "f follow" if pilot.app.screen.has_class("-wide") else "train")
        await pilot.press("0")
        await pilot.click(Chart, offset=(area.left + 30, 5))
        await until(pilot, lambda: model.state.cursor is not None)
        at = model.state.cursor
        assert abs(at - area.x_at(area.left + 30)) <= 1
        await pilot.click(Chart, offset=(area.left + 30, 5))
        await until(pilot, lambda: model.state.cursor is None)
        await pilot.hover(Chart, offset=(area.left + 50, 5))
        await until(pilot, lambda: model.hover is not None)
        await shows(pilot, f"step {model.hover:,} ")


async def test_the_wheel_zooms_where_it_is() -> None:
    from textual import events

    async with ChartApp().run_test(size=(100, 26)) as pilot:
        await shows(pilot, "train ─  eval ○")
        chart = pilot.app.query_one(Chart)
        area = chart.model.areas[0]
        here = area.left + area.width // 4

        def wheel(kind: type[Any], shift: bool = False) -> None:
            chart.post_message(kind(chart, here, 5, 0, 0, 0, shift, False, False, here, 5, None))

        place = area.x_at(here)
        wheel(events.MouseScrollUp)
        await until(pilot, lambda: chart.model.state.span is not None)
        start, stop = chart.model.view()
        assert (place - start) / (stop - start) == pytest.approx(place / 200.0, abs=0.01)
        wheel(events.MouseScrollUp, shift=True)
        await until(pilot, lambda: chart.model.view()[0] < start)
        for _ in range(3):
            wheel(events.MouseScrollDown)
        await until(pilot, lambda: chart.model.state.span is None)


async def test_one_more_step_repaints_a_few_spans_and_an_equal_picture_none() -> None:
    async with ChartApp().run_test(size=(100, 26)) as pilot:
        await shows(pilot, "train ─  eval ○")
        chart = pilot.app.query_one(Chart)
        chart.model.live, chart.model.total_steps = True, 400
        chart.show()
        await pilot.pause()
        asked: list[Any] = []
        refresh = chart.refresh
        chart.refresh = lambda *regions, **words: asked.extend(regions) or refresh(*regions, **words)  # type: ignore[method-assign]
        chart.show()
        assert asked == []
        chart.model.store.add([step(201)])
        chart.show()
        assert sum(region.area for region in asked) < 30
        await pilot.pause()
        assert "201" not in screen_text(pilot.app)


@pytest.mark.parametrize("size", [(30, 8), (60, 20), (300, 80)])
async def test_any_size_in_a_storm_of_resizes(size: tuple[int, int]) -> None:
    async with ChartApp().run_test(size=(100, 26)) as pilot:
        await shows(pilot, "train ─  eval ○")
        await pilot.press("g", "c")
        for width, height in ((20, 5), (150, 50), size, (79, 23), size):
            await pilot.resize_terminal(width, height)
        await pilot.pause()
        assert pilot.app.is_running
        assert chart_rows(pilot)


def chart_rows(pilot: Pilot[Any]) -> list[str]:
    return [line for line in screen_text(pilot.app).splitlines() if line.strip()]
