"""Keys on the screen: movement, jump mode, the palette that reaches every action, and a person's own keys."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backprop_tui.app.actions import registry
from backprop_tui.app.app import BackpropApp
from backprop_tui.app.jump import LETTERS, labels
from backprop_tui.app.palette import commands
from backprop_tui.app.screens.help import HelpScreen
from backprop_tui.app.screens.run import RunScreen
from backprop_tui.app.screens.runs_list import RunList
from backprop_tui.app.terminal import PROFILES, Terminal
from backprop_tui.app.widgets.chart import Chart
from backprop_tui.app.widgets.form import FormLines
from backprop_tui.app.widgets.log import LogView
from backprop_tui.app.widgets.sheet import LongSheet
from tests.support.runs import finished
from tests.ui.helpers import screen_text, shows, until


@given(st.integers(0, len(LETTERS) ** 2))
def test_no_label_begins_another(count: int) -> None:
    found = labels(count)
    assert len(found) == count
    assert len(set(found)) == count
    assert not {one for one in found for other in found if one != other and other.startswith(one)}


async def test_vims_letters_move_in_a_list_and_in_a_text() -> None:
    for number in range(6):
        finished(4, name=f"run-{number}")
    app = BackpropApp("runs")
    async with app.run_test(size=(120, 30)) as pilot:
        await shows(pilot, "run-0")
        runs = app.screen.query_one(RunList)
        await until(pilot, lambda: runs.place == 1)
        for keys, place in (("j", 2), ("j", 3), ("k", 2), ("G", 6), ("g", 1), ("end", 6), ("home", 1), ("ctrl+d", 6)):
            await pilot.press(keys)
            await until(pilot, lambda place=place: runs.place == place)
        await pilot.press("question_mark")
        await until(pilot, lambda: isinstance(app.screen, HelpScreen))
        sheet = app.screen.query_one(LongSheet)
        await until(pilot, lambda: sheet.line_count > 20)
        await pilot.press("j", "j")
        await until(pilot, lambda: sheet.top == 2)
        await pilot.press("G")
        await until(pilot, lambda: sheet.top > 10)
        await pilot.press("g")
        await until(pilot, lambda: sheet.top == 0)


async def test_a_letter_the_room_needs_keeps_its_meaning() -> None:
    app = BackpropApp("tune")
    async with app.run_test(size=(120, 40)) as pilot:
        await shows(pilot, "ready")
        lines = app.screen.query_one(FormLines)
        await pilot.press("G")
        await until(pilot, lambda: lines.cursor > 5)
        await pilot.press("g")
        await shows(pilot, "Launch")
        await pilot.press("escape")
        await pilot.pause()
        assert lines.cursor > 5
        await pilot.press("home")
        await until(pilot, lambda: lines.cursor == 0)


async def test_a_room_without_its_letter_gives_it_to_the_list() -> None:
    terminal = Terminal(PROFILES["local"], False, "backprop-dark", {"tune.launch": "ctrl+g"}, False)
    app = BackpropApp("tune", None, terminal)
    async with app.run_test(size=(120, 40)) as pilot:
        await shows(pilot, "ready")
        lines = app.screen.query_one(FormLines)
        await pilot.press("G")
        await until(pilot, lambda: lines.cursor > 5)
        await pilot.press("g")
        await until(pilot, lambda: lines.cursor == 0)


async def test_jump_mode_goes_to_panels_and_entries_and_leaves_no_trace() -> None:
    for number in range(4):
        finished(4, name=f"run-{number}")
    app = BackpropApp("runs")
    async with app.run_test(size=(120, 40)) as pilot:
        await shows(pilot, "checkpoints")
        runs = app.screen.query_one(RunList)
        before = screen_text(app)
        await pilot.press("apostrophe")
        await pilot.pause()
        assert screen_text(app) != before
        await pilot.press("escape")
        await pilot.pause()
        assert screen_text(app) == before
        await pilot.press("apostrophe")
        await pilot.pause()
        row = next(line for line in screen_text(app).splitlines() if "run-1" in line)
        letter = row.strip("│").lstrip()[0]
        assert letter in LETTERS
        await pilot.press(letter)
        await until(pilot, lambda: (entry := runs.current) is not None and entry.title == "run-1")
        assert not any(letter_row.jump_marks for letter_row in app.screen.query(RunList))


async def test_jump_mode_reaches_each_panel() -> None:
    finished(8)
    app = BackpropApp("run")
    async with app.run_test(size=(120, 40)) as pilot:
        await shows(pilot, "completed")
        await pilot.press("apostrophe")
        await pilot.pause()
        line = next(line for line in screen_text(app).splitlines() if "log " in line and "follow" in line)
        await pilot.press(line[1])
        await until(pilot, lambda: isinstance(app.focused, LogView))


async def test_two_letters_where_one_is_not_enough() -> None:
    for number in range(30):
        finished(4, name=f"run-{number}")
    app = BackpropApp("runs")
    async with app.run_test(size=(120, 50)) as pilot:
        await shows(pilot, "run-29")
        await shows(pilot, "run-0 ")
        runs = app.screen.query_one(RunList)
        await pilot.press("apostrophe")
        await pilot.pause()
        row = next(line for line in screen_text(app).splitlines() if "run-0 " in line)
        label = row.strip("│").lstrip()[:2]
        assert label.strip() in labels(40)
        await pilot.press(*label.strip())
        await until(pilot, lambda: (entry := runs.current) is not None and entry.title == "run-0")


@pytest.mark.parametrize("room", ["data", "tune", "run", "runs"])
async def test_the_palette_reaches_every_action_from_every_room(room: str) -> None:
    finished(8)
    app = BackpropApp(room)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.pause(0.2)
        offered = [f"{command.title} {command.help}" for command in commands(app, app.screen)]
        for action in registry().values():
            assert any(action.title in words and action.help in words for words in offered), action.id


async def test_the_palette_acts_in_another_panel_and_in_another_room() -> None:
    finished(20)
    app = BackpropApp("runs")
    async with app.run_test(size=(120, 40)) as pilot:
        await shows(pilot, "a-run")
        command = next(c for c in commands(app, app.screen) if c.title == "Chart: Linear or log y")
        command.callback()
        await until(pilot, lambda: isinstance(app.screen, RunScreen) and bool(app.screen.query(Chart)))
        await until(pilot, lambda: app.screen.query_one(Chart).model.state.log_y)
        app.screen.query_one(LogView).focus()
        await pilot.pause()
        command = next(c for c in commands(app, app.screen) if c.title == "Chart: Linear or log y")
        command.callback()
        await until(pilot, lambda: not app.screen.query_one(Chart).model.state.log_y)


async def test_what_is_wrong_with_a_persons_keys_is_said_once_at_the_start() -> None:
    keys = {"run.stop": "m", "run.paus": "P"}
    app = BackpropApp("runs", None, Terminal(PROFILES["local"], False, "backprop-dark", keys, False))
    async with app.run_test(size=(160, 30)) as pilot:
        await shows(pilot, "backprop config keys")
        assert "2 such" in screen_text(app)
        await pilot.press("down")
        await until(pilot, lambda: "2 such" not in screen_text(app))
