"""Runs: live and past ones in one table, opened alike; a deletion names its folder and never touches a live run."""

from __future__ import annotations

import pytest
from rich.cells import cell_len

from backprop_tui.app.app import BackpropApp
from backprop_tui.app.screens.runs import folder_size
from tests.support.runs import HOSTILE, FakeRun, finished
from tests.ui.helpers import screen_text, shows, type_text, until

SIZES = [(120, 40), (80, 24), (60, 20)]


@pytest.mark.parametrize("size", SIZES)
async def test_an_empty_list_names_the_keys(size: tuple[int, int]) -> None:
    app = BackpropApp("runs")
    async with app.run_test(size=size) as pilot:
        await shows(pilot, "No run yet.  Pick data with 1, then press g in Tune.")
        for key in (
            "enter",
            "r",
            "d",
            "s",
            "S",
            "j",
            "G",
            "space",
            "u",
            "c",
            "t",
            "n",
            "R",
            "e",
            "a",
            "A",
            "z",
            "h",
            "l",
        ):
            await pilot.press(key)
        await pilot.pause()
        assert len(app.screen_stack) == 1


@pytest.mark.parametrize("size", SIZES)
async def test_live_and_past_runs_stand_together_in_words(size: tuple[int, int]) -> None:
    live = FakeRun(name="afloat").begin(total=100).train(3)
    FakeRun(name="wrecked", hold=False).begin().train(2)
    app = BackpropApp("runs")
    async with app.run_test(size=size) as pilot:
        await shows(pilot, "● running")
        await shows(pilot, "? crashed")
        text = screen_text(app)
        assert "afloat" in text
        assert "wrecked" in text
        assert all(cell_len(line) == size[0] for line in text.splitlines())
    live.let_go()


async def test_delete_asks_with_path_and_size_and_defaults_to_keeping() -> None:
    run = FakeRun(name="old", hold=False).begin().train(2).run
    app = BackpropApp("runs")
    async with app.run_test(size=(120, 40)) as pilot:
        await shows(pilot, "old")
        await pilot.press("d")
        await shows(pilot, "Delete old")
        assert run.id in screen_text(app)
        assert "kB" in screen_text(app)
        await pilot.press("enter")
        await pilot.pause(0.1)
        assert run.path.is_dir()
        await pilot.press("d")
        await shows(pilot, "Delete old")
        await pilot.press("d")
        await shows(pilot, "Deleted old.")
        assert not run.path.exists()
        await shows(pilot, "No run yet.")


async def test_a_live_run_is_neither_deleted_nor_resumed() -> None:
    fake = FakeRun(name="afloat").begin().train(2)
    app = BackpropApp("runs")
    async with app.run_test(size=(120, 40)) as pilot:
        await shows(pilot, "● running")
        await pilot.press("d")
        await shows(pilot, "Stop it first")
        await pilot.press("r")
        await shows(pilot, "nothing to resume")
        assert len(app.screen_stack) == 1
        assert fake.run.path.is_dir()
    fake.let_go()


async def test_filter_sort_and_open() -> None:
    for name in ("bravo", "alpha", "charlie"):
        FakeRun(name=name, hold=False).begin().train(1)
    app = BackpropApp("runs")
    opened: list[str] = []
    async with app.run_test(size=(120, 40)) as pilot:
        app.open_run = lambda run: opened.append(run.id)  # type: ignore[method-assign,assignment,misc]
        await shows(pilot, "charlie")
        await pilot.press("s", "s")
        await shows(pilot, "sort: name")
        text = screen_text(app)
        assert text.index("alpha") < text.index("bravo  ")
        await type_text(pilot, "/char")
        await pilot.press("enter")
        await shows(pilot, "1 of 1")
        await pilot.press("enter")
        await until(pilot, lambda: opened)
        await pilot.press("slash", "escape")
        await shows(pilot, "of 3")


async def test_hostile_names_are_shown_literally() -> None:
    FakeRun(name=HOSTILE, hold=False).begin().train(1)
    app = BackpropApp("runs")
    async with app.run_test(size=(160, 40)) as pilot:
        await shows(pilot, "␛]0;owned␇")
        await pilot.press("d")
        await shows(pilot, "Keep it")


def test_a_folders_size_does_not_follow_links(tmp_path: object) -> None:
    from pathlib import Path

    place = Path(str(tmp_path))
    (place / "run" / "in").mkdir(parents=True)
    (place / "big").write_bytes(b"x" * 10_000)
    (place / "run" / "in" / "a").write_bytes(b"x" * 10)
    (place / "run" / "link").symlink_to(place / "big")
    assert 10 <= folder_size(str(place / "run")) < 1000


async def test_a_run_is_played_again_from_the_list() -> None:
    from backprop_tui.app.screens.replay import ReplayScreen

    finished(5)
    app = BackpropApp("runs")
    async with app.run_test(size=(120, 40)) as pilot:
        await shows(pilot, "completed")
        await pilot.press("P")
        await until(pilot, lambda: isinstance(app.screen, ReplayScreen))
        await shows(pilot, "REPLAY")
