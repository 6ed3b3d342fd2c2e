"""The settings screen: made from the model, written to the person's file, in force at once where it says so."""

from __future__ import annotations

from typing import cast

import pytest
from textual.pilot import Pilot

from backprop_tui.app.app import BackpropApp
from backprop_tui.app.screens.settings import SettingsScreen
from backprop_tui.app.widgets.table import LiveTable
from backprop_tui.config.settings import Settings, settings_file
from tests.support.runs import finished
from tests.ui.helpers import screen_text, shows, until


def table(app: BackpropApp) -> LiveTable:
    return cast(SettingsScreen, app.screen).table


async def at(pilot: Pilot[object], app: BackpropApp, key: str) -> None:
    await shows(pilot, "braille")
    table(app).select(key)
    await pilot.pause()


async def test_every_setting_is_listed_with_where_it_comes_from(monkeypatch: pytest.MonkeyPatch) -> None:
    settings_file().write_text('theme = "backprop-light"\n')
    monkeypatch.setenv("BACKPROP_MARKS", "blocks")
    app = BackpropApp("runs")
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("f3")
        await shows(pilot, "backprop-light")
        text = screen_text(app)
        assert {row.key for row in table(app).shown} >= set(Settings.model_fields)
        assert "settings.toml" in text
        assert "BACKPROP_MARKS" in text
        assert "at the next start" in text
        await pilot.press("escape")
        await until(pilot, lambda: not isinstance(app.screen, SettingsScreen))


async def test_a_choice_is_written_and_counts_at_once_and_the_rest_of_the_file_stays() -> None:
    settings_file().write_text('# mine\nlater = 1  # of another version\nprofile = "local"  # fast\n')
    app = BackpropApp("runs")
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("comma")
        with pytest.raises(AssertionError):
            await shows(pilot, "braille", timeout=1.0)
        assert "CONFIG_UNKNOWN_KEY" in screen_text(app)
    settings_file().write_text('# mine\nprofile = "local"  # fast\n')
    app = BackpropApp("runs")
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("comma")
        await at(pilot, app, "profile")
        await pilot.press("right")
        await until(pilot, lambda: app.terminal.profile.name == "ssh")
        await shows(pilot, "profile is ssh, at once.")
        assert settings_file().read_text() == '# mine\nprofile = "ssh"  # fast\n'
        assert "ssh" in screen_text(app).splitlines()[0]
        await pilot.press("r")
        await until(pilot, lambda: settings_file().read_text() == "# mine\n")


async def test_signs_change_on_every_screen_at_once() -> None:
    finished()
    app = BackpropApp("run")
    async with app.run_test(size=(120, 40)) as pilot:
        await shows(pilot, "completed")
        await pilot.press("f3")
        await at(pilot, app, "ascii")
        await pilot.press("enter")
        await until(pilot, lambda: app.terminal.ascii)
        await pilot.press("escape")
        await until(pilot, lambda: screen_text(app).isascii())
        assert "ascii = true" in settings_file().read_text()


async def test_a_text_that_does_not_fit_is_told_and_nothing_is_written() -> None:
    app = BackpropApp("runs")
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("f3")
        await at(pilot, app, "model")
        await pilot.press("enter")
        for _ in range(4):
            await pilot.press("backspace")
        await pilot.press("enter")
        await shows(pilot, "at least 1 character")
        assert not settings_file().exists()
        await pilot.press("m", "enter")
        await shows(pilot, "model is m, with the next run prepared.")
        assert 'model = "m"' in settings_file().read_text()


async def test_what_the_environment_says_wins_and_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BACKPROP_NOTIFY", "bell")
    app = BackpropApp("runs")
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("f3")
        await at(pilot, app, "notify")
        await pilot.press("right")
        await shows(pilot, "notify stays bell: BACKPROP_NOTIFY wins over settings.toml.")


async def test_profiles_go_around_by_key_and_are_shown() -> None:
    app = BackpropApp("runs")
    async with app.run_test(size=(120, 40)) as pilot:
        for name in ("ssh", "low", "local"):
            await pilot.press("f4")
            await shows(pilot, f"Profile {name}")
            assert name in screen_text(app).splitlines()[0]
            assert app.terminal.profile.name == name


@pytest.mark.parametrize("size", [(80, 24), (60, 20)])
async def test_it_fits_small_screens(size: tuple[int, int]) -> None:
    app = BackpropApp("runs")
    async with app.run_test(size=size) as pilot:
        await pilot.press("f3")
        await shows(pilot, "braille")
        lines = screen_text(app).splitlines()
        assert len(lines) == size[1]
