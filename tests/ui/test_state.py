"""Leaving and coming back: what was on the screen is there again, and no file of any shape can keep the app from starting."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backprop_tui.app.app import BackpropApp
from backprop_tui.app.screens.room import Room
from backprop_tui.app.screens.run import RunScreen
from backprop_tui.app.screens.runs import RunsScreen
from backprop_tui.app.state import LARGEST, SavedState, read_state, state_file, write_state
from backprop_tui.app.widgets.chart import Chart
from backprop_tui.app.widgets.log import LogView
from backprop_tui.store.layout import RunDir
from tests.support.runs import FakeRun, finished
from tests.ui.helpers import screen_text, shows, type_text, until


def again(room: str | None = None, run: RunDir | None = None) -> BackpropApp:
    """The app as `run_app` would start it."""
    saved = read_state()
    if run is None and saved.run:
        run = RunDir(Path(saved.run))
    return BackpropApp(room or saved.room or "data", run, saved=saved)


async def test_the_run_screen_comes_back_as_it_was_left() -> None:
    run = finished(200)
    app = BackpropApp("run", run, saved=SavedState())
    async with app.run_test(size=(120, 40)) as pilot:
        await shows(pilot, "completed")
        await pilot.press("y", "plus", "plus", "left")
        await pilot.press("tab", "tab", "tab", "v", "w")
        await pilot.press("z")
        await until(pilot, lambda: cast(RunScreen, app.screen).zoomed is not None)
        chart = app.screen.query_one(Chart).model.state.to_dict()
        assert chart["log_y"]
        assert chart["span"] is not None
        await pilot.press("q")
    assert stat.S_IMODE(state_file().stat().st_mode) == 0o600
    app = again()
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: getattr(app.screen, "zoomed", None) is not None)
        screen = cast(RunScreen, app.screen)
        assert screen.ROOM == "run"
        assert screen.zoomed is not None
        assert screen.zoomed.id == "log-panel"
        assert screen.query_one(Chart).model.state.to_dict() == chart
        log = screen.query_one(LogView)
        assert (log.level, log.wrap) == ("warn", True)
        assert log.has_focus


async def test_a_line_of_the_log_that_was_looked_at_is_looked_at_again() -> None:
    fake = FakeRun().begin(total=200)
    for number in range(120):
        fake.train(1)
        fake.add("log", level="info", source="worker", message=f"line number {number}")
    run = fake.end().run
    app = BackpropApp("run", run, saved=SavedState())
    async with app.run_test(size=(120, 40)) as pilot:
        await shows(pilot, "line number 119")
        app.screen.query_one(LogView).focus()
        await pilot.press("pageup", "pageup", "pageup", "pageup")
        log = app.screen.query_one(LogView)
        await until(pilot, lambda: log.row_at(log.cursor) is not None and "line number 119" not in screen_text(app))
        row = log.row_at(log.cursor)
        assert row is not None
        await pilot.press("q")
    app = again()
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: not app.screen.query_one(LogView).follow)
        log = app.screen.query_one(LogView)
        await until(pilot, lambda: (found := log.row_at(log.cursor)) is not None and found.seq == row.seq)


async def test_another_run_is_not_shown_as_the_one_before_was() -> None:
    first, second = finished(name="first"), finished(name="second")
    app = BackpropApp("run", first, saved=SavedState())
    async with app.run_test(size=(120, 40)) as pilot:
        await shows(pilot, "completed")
        await pilot.press("y", "z", "q")
    app = again("run", second)
    async with app.run_test(size=(120, 40)) as pilot:
        await shows(pilot, "second")
        await pilot.pause(0.2)
        assert not app.screen.query_one(Chart).model.state.log_y
        assert cast(RunScreen, app.screen).zoomed is None


async def test_filter_and_cursor_of_the_list_of_runs_come_back() -> None:
    for name in ("alpha", "beta", "gamma", "delta"):
        finished(8, name=name)
    app = BackpropApp("runs", saved=SavedState())
    async with app.run_test(size=(120, 40)) as pilot:
        await shows(pilot, "gamma")
        await pilot.press("slash")
        await type_text(pilot, "name~a")
        await pilot.press("enter", "G")
        screen = cast(RunsScreen, app.screen)
        await until(pilot, lambda: screen.selected() is not None)
        chosen = screen.selected()
        assert chosen is not None
        await pilot.press("q")
    app = again()
    async with app.run_test(size=(120, 40)) as pilot:
        screen = cast(RunsScreen, app.screen)
        await until(pilot, lambda: (entry := screen.selected()) is not None and entry.id == chosen.id)
        assert screen.wanted.text == "name~a"


async def test_what_was_being_prepared_comes_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    app = BackpropApp("tune", saved=SavedState())
    async with app.run_test(size=(120, 40)) as pilot:
        await shows(pilot, "learning rate")
        app.draft.set("rank", 8)
        app.draft.set("epochs", 5)
        await pilot.press("a", "down", "q")
    app = again()
    async with app.run_test(size=(120, 40)) as pilot:
        await shows(pilot, "target layers")
        assert app.draft.spec().lora.rank == 8
        assert app.draft.overrides == {"rank": 8, "epochs": 5}


async def test_the_folder_is_listed_again_only_where_it_was_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "inner").mkdir()
    for name in ("one", "two"):
        (tmp_path / "inner" / f"{name}.jsonl").write_text('{"prompt": "a", "completion": "b"}\n')
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    app = BackpropApp("data", saved=SavedState())
    async with app.run_test(size=(120, 40)) as pilot:
        await shows(pilot, "inner")
        screen: Any = app.screen
        screen.list_folder(tmp_path / "inner")
        await shows(pilot, "two")
        screen.table.select(next(row.key for row in screen.table.shown if "two" in row.key))
        await pilot.pause()
        await pilot.press("q")
    app = again()
    async with app.run_test(size=(120, 40)) as pilot:
        screen = app.screen
        await until(pilot, lambda: screen.table.current is not None and "two" in screen.table.current.key)
    monkeypatch.chdir(tmp_path / "elsewhere")
    app = again()
    async with app.run_test(size=(120, 40)) as pilot:
        await shows(pilot, "elsewhere")
        assert "two.jsonl" not in screen_text(app)


async def test_it_is_on_the_disk_soon_after_something_was_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backprop_tui.app.keeper.SOON_S", 0.05)
    app = BackpropApp("runs", saved=SavedState())
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.pause(0.2)
        assert not state_file().exists()
        await pilot.press("2")
        await until(pilot, lambda: read_state().room == "tune")


async def test_two_apps_write_one_state_and_the_last_one_wins() -> None:
    first, second = BackpropApp("runs", saved=SavedState()), BackpropApp("tune", saved=SavedState())
    async with first.run_test(size=(80, 24)) as one:
        await one.press("down")
        async with second.run_test(size=(80, 24)) as two:
            await two.press("down", "q")
            await until(one, lambda: read_state().room == "tune")
        await one.press("q")
    assert read_state().room == "runs"


async def test_without_a_memory_nothing_is_written() -> None:
    app = BackpropApp("runs")
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("down", "q")
    assert not state_file().exists()


@pytest.mark.parametrize(
    "content",
    [b"", b"[", b"[]", b"null", b'{"version": 99, "room": "run"}', b"\xff\xfe", b'{"version": 1}', b"[" * 5000,
     b'{"version": 1, "room": ["x"], "run": 3, "rooms": [1], "draft": "x"}', b" " * (LARGEST + 1)],
)  # fmt: skip
def test_a_damaged_file_is_as_if_there_were_none(content: bytes) -> None:
    state_file().write_bytes(content)
    assert read_state() == SavedState()


def test_neither_links_nor_pipes_nor_too_much_are_read_or_written(tmp_path: Path) -> None:
    target = tmp_path / "other.json"
    target.write_text(json.dumps({"version": 1, "room": "run"}))
    state_file().symlink_to(target)
    assert read_state() == SavedState()
    state_file().unlink()
    os.mkfifo(state_file())
    assert read_state() == SavedState()
    state_file().unlink()
    assert not write_state(SavedState("run", rooms={"run": {"x": "y" * LARGEST}}))
    assert not write_state(SavedState("run", rooms={"run": {"x": object()}}))
    assert not state_file().exists()
    assert write_state(SavedState("run", "/x", {"run": {"x": 1}}, {"preset": "fast"}))
    assert read_state() == SavedState("run", "/x", {"run": {"x": 1}}, {"preset": "fast"})


plain = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(max_size=8))
odd = st.recursive(
    plain, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
)
names = st.sampled_from(
    ["panel", "run", "zoomed", "samples", "chart", "log", "widgets", "filter", "cursor", "folder", "advanced", "field"]
)
words = st.dictionaries(names, odd, max_size=12)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    run_words=words,
    runs_words=words,
    tune_words=words,
    draft=st.dictionaries(st.sampled_from(["data", "model", "preset", "overrides", "mappings"]), odd),
)
async def test_whatever_is_remembered_the_rooms_come_up(
    run_words: dict[str, Any], runs_words: dict[str, Any], tune_words: dict[str, Any], draft: dict[str, Any]
) -> None:
    run = finished(8)
    saved = SavedState(
        "run", str(run.path),
        {"run": {**run_words, "run": str(run.path)}, "runs": runs_words, "tune": tune_words, "data": run_words}, draft,
    )  # fmt: skip
    app = BackpropApp("run", run, saved=saved)
    async with app.run_test(size=(120, 40)) as pilot:
        for key in ("3", "4", "2", "1"):
            await pilot.press(key)
            await pilot.pause()
            assert isinstance(app.screen, Room)


async def test_settings_of_another_version_are_dropped_and_the_data_is_kept(tmp_path: Path) -> None:
    saved = SavedState("tune", draft={"data": "demo", "preset": "gone", "overrides": {"rank": "many", "nothing": 1}})
    app = BackpropApp("tune", saved=saved)
    async with app.run_test(size=(120, 40)) as pilot:
        await shows(pilot, "learning rate")
        assert app.draft.data == "demo"
        assert app.draft.spec().lora.rank > 0
