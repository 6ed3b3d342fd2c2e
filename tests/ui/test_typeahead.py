"""Keys that come before what they are meant for: they wait for a room that is being read, but not for ever, nor all of them."""

from __future__ import annotations

import asyncio
import threading

import pytest
from textual import events

from backprop_tui.app import typeahead
from backprop_tui.app.app import BackpropApp
from backprop_tui.app.draft_presets import Usual, read_usual
from backprop_tui.app.screens import tune_panels
from backprop_tui.app.widgets.form import Form
from backprop_tui.app.widgets.form_fields import FormField
from tests.ui.helpers import shows, until

KEYS = ["slash", *"steps", "enter", "enter", "ctrl+u", "7", "enter"]


class SlowDisk:
    """Presets that are read once `come` is set."""

    def __init__(self) -> None:
        self.come = threading.Event()

    def __call__(self) -> Usual:
        assert self.come.wait(20)
        return read_usual()


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> SlowDisk:
    found = SlowDisk()
    monkeypatch.setattr(tune_panels, "read_usual", found)
    return found


async def test_what_is_typed_while_the_settings_are_read_is_done_once_they_are_there(disk: SlowDisk) -> None:
    app = BackpropApp("tune")
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press(*KEYS)
        assert app.draft.overrides == {}
        disk.come.set()
        await shows(pilot, "7  (preset by epochs)")
        assert app.draft.overrides["steps"] == 7


async def test_a_key_to_another_room_does_not_wait_for_this_one(disk: SlowDisk) -> None:
    app = BackpropApp("tune")
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("4")
        await shows(pilot, "[4 Runs]", timeout=1.5)
        assert not disk.come.is_set()
        disk.come.set()


async def test_nobody_waits_for_ever_for_a_slow_disk(disk: SlowDisk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(typeahead, "_PATIENCE", 0.05)
    app = BackpropApp("tune")
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press(*"jkjkjkjkjkjk4")
        await shows(pilot, "[4 Runs]")
        assert not disk.come.is_set()
        disk.come.set()


async def test_a_key_waits_for_the_one_before_it_however_long_that_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    """What opens a field imports its parts, or the whole machine is busy: the next key is meant for that field all the same."""
    monkeypatch.setattr(typeahead, "_PATIENCE", 0.02)
    opened = Form.edit

    def held_up(form: Form, field: FormField) -> None:
        form.call_later(asyncio.sleep, 0.2)
        form.call_later(opened, form, field)

    monkeypatch.setattr(Form, "edit", held_up)
    app = BackpropApp("tune")
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: getattr(app.screen, "filled", False))
        for key in KEYS:
            app.post_message(events.Key(key, key if len(key) == 1 else "/" if key == "slash" else None))
        await shows(pilot, "7  (preset by epochs)")
