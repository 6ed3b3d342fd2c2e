"""Keys that come before what they are meant for: they wait for a room that is being read, but not for ever, nor all of them."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest
from textual import events

from backprop_tui.app import typeahead
from backprop_tui.app.app import BackpropApp
from backprop_tui.app.draft_presets import Usual, read_usual
from backprop_tui.app.screens import tune_panels
from backprop_tui.app.widgets.form import Form
from backprop_tui.app.widgets.form_fields import FormField
from backprop_tui.app.widgets.table import LiveTable
from backprop_tui.data.finding import browse
from backprop_tui.store.index import Listing, RunIndex
from tests.support.runs import finished
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


async def test_what_is_typed_while_the_runs_are_read_is_for_what_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    finished(8, name="past")
    come, look = threading.Event(), RunIndex.look

    def slow(index: RunIndex, **words: Any) -> Listing:
        assert come.wait(20)
        return look(index, **words)

    monkeypatch.setattr(RunIndex, "look", slow)
    async with BackpropApp("runs").run_test(size=(120, 40)) as pilot:
        await pilot.press("enter")
        come.set()
        await shows(pilot, "[3 Run]")


async def test_what_is_typed_while_a_folder_is_read_is_for_what_is_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "chats.jsonl").write_text('{"question": "q", "answer": "a"}\n')
    monkeypatch.chdir(tmp_path)
    come, list_folder = threading.Event(), browse.list_folder

    def slow(folder: Path) -> browse.Folder:
        assert come.wait(20)
        return list_folder(folder)

    monkeypatch.setattr(browse, "list_folder", slow)
    app = BackpropApp("data")
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("end")
        come.set()
        await shows(pilot, "chats.jsonl")
        table = app.screen.query_one("#data-table", LiveTable)
        await until(pilot, lambda: table.current is not None and "chats.jsonl" in table.current.key)


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
        await shows(pilot, "[4 Runs]", timeout=5)
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
