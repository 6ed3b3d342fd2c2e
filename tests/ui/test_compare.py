"""Compare: curves over one another, figures, settings, data, and an honest word on what explains the outcome."""

from __future__ import annotations

import json
import re

import pytest
from rich.cells import cell_len

from backprop_tui.app.app import BackpropApp
from backprop_tui.app.comparison import MOST_CURVES, letter
from backprop_tui.app.screens.compare import CompareChart, CompareScreen, CompareSheet
from backprop_tui.app.screens.runs import RunsScreen
from backprop_tui.app.screens.runs_list import RunList
from backprop_tui.app.widgets.chart import Chart
from backprop_tui.config import paths
from backprop_tui.store.layout import RunDir
from tests.support.runs import HOSTILE, FakeRun
from tests.ui.helpers import screen_text, shows, until


def run_of(name: str, *, rank: int, loss: float, end: bool = True, **more: object) -> FakeRun:
    fake = FakeRun(name=name, hold=not end)
    words = {"name": name, "model": {"base": "demo"}, "lora": {"rank": rank}, "data": {"path": "a.jsonl"}, **more}
    fake.run.spec_file.write_text(json.dumps(words))
    fake.begin(total=40).train(20).measure(loss=loss + 0.1).train(20).measure(loss=loss).save()
    return fake.end() if end else fake


async def ticked(app: BackpropApp, pilot: object, count: int) -> CompareScreen:
    runs = app.screen.query_one(RunList)
    await until(pilot, lambda: runs.line_count >= count)  # type: ignore[arg-type]
    runs.action_edge(-1)
    for _ in range(count):
        runs.action_tick()
    await pilot.press("c")  # type: ignore[attr-defined]
    await until(pilot, lambda: isinstance(app.screen, CompareScreen))  # type: ignore[arg-type]
    screen = app.screen
    assert isinstance(screen, CompareScreen)
    await until(pilot, lambda: screen._found is not None)  # type: ignore[arg-type]
    return screen


def sheet_of(screen: CompareScreen) -> str:
    sheet = screen.query_one(CompareSheet)
    return "\n".join("".join(text for text, _ in sheet.line(at, 0)).rstrip() for at in range(sheet.line_count))


@pytest.mark.parametrize("size", [(120, 40), (80, 24), (60, 20), (160, 16)])
async def test_two_runs_side_by_side_at_every_size(size: tuple[int, int]) -> None:
    run_of("small", rank=8, loss=1.5)
    run_of("large", rank=64, loss=0.9)
    app = BackpropApp("runs")
    async with app.run_test(size=size) as pilot:
        screen = await ticked(app, pilot, 2)
        await shows(pilot, "x:step" if size[0] > 70 else "loss")
        text = screen_text(app)
        assert all(cell_len(line) == size[0] for line in text.splitlines())
        await pilot.press("tab")
        await shows(pilot, "final figures")
        words = sheet_of(screen)
        assert re.search(r"[AB] small .* 1\.5000", words)
        assert re.search(r"rank +(8|64) +(64|8)\n", words)
        assert "Two runs explain nothing" in words
        assert "didn't note its data" in re.sub(r"\s+", " ", words)
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, RunsScreen))
        assert len(app.screen.query_one(RunList).ticked) == 2, "ticks stay"


async def test_curves_figures_and_reasons_of_many_runs() -> None:
    for rank in (4, 8, 16, 32, 64, 128, 24, 48, 96):
        run_of(f"rank-{rank}", rank=rank, loss=2.0 - rank / 200)
    app = BackpropApp("runs")
    async with app.run_test(size=(140, 50)) as pilot:
        screen = await ticked(app, pilot, 9)
        words = sheet_of(screen)
        assert "rank stands out over 9 runs" in words
        assert re.search(r"█{10} 1\.00  rank  stands out +larger goes with lower best eval loss", words)
        chart = screen.query_one(CompareChart).model
        assert len(chart.others) == MOST_CURVES - 1
        assert len({chart.slot, *(other.slot for other in chart.others)}) == MOST_CURVES, "each its own colour"
        await shows(pilot, "curves of the first 8")
        await pilot.press("w")
        await until(pilot, lambda: "which setting explains the eval loss" in sheet_of(screen))
        await pilot.press("m")
        await shows(pilot, "What the curves show.")
        await pilot.press("escape", "a")
        await shows(pilot, "x:tokens")


async def test_data_is_compared_with_the_reference() -> None:
    runs: list[RunDir] = []
    for name, size in (("one", 100), ("two", 120), ("three", 100)):
        run = run_of(name, rank=8, loss=1.0).run
        file = {"name": "a.jsonl", "bytes": size, "sha256": f"{size:064}"}
        run.write_dataset({"sources": [{"sources": [{"files": [file]}], "usable": size, "rows_sha256": str(size)}]})
        runs.append(run)
    app = BackpropApp("runs")
    async with app.run_test(size=(120, 50)) as pilot:
        screen = await ticked(app, pilot, 3)
        assert screen._found is not None
        order = [one.entry.title for one in screen._found.runs]
        for _ in range(3):
            reference = screen._found.reference
            same = {order[reference], *({"one", "three"} if order[reference] != "two" else set())}
            for title, lines in zip(order, screen._found.data, strict=True):
                assert (lines == []) == (title in same)
            assert f"data, against {letter(reference)}" in sheet_of(screen)
            assert "a.jsonl changed (1" in sheet_of(screen)
            await pilot.press("b")
            await until(pilot, lambda reference=reference: screen._found.reference != reference)  # type: ignore[union-attr]


async def test_a_live_run_goes_on_in_the_comparison(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backprop_tui.app.screens.compare._LOOK_S", 0.05)
    run_of("past", rank=8, loss=1.0)
    live = run_of("afloat", rank=16, loss=1.2, end=False)
    app = BackpropApp("runs")
    async with app.run_test(size=(120, 40)) as pilot:
        screen = await ticked(app, pilot, 2)
        live.train(10).measure(loss=0.5)
        await until(pilot, lambda: "0.5000" in sheet_of(screen))
        series = next(one.series for one in screen._found.runs if one.entry.title == "afloat")  # type: ignore[union-attr]
        assert series is not None
        assert series.get("loss")[0][-1] == 50
        live.end()
        await until(pilot, lambda: screen._found is not None and not screen._found.live)
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, RunsScreen))


async def test_zoom_copy_and_the_way_back() -> None:
    run_of("small", rank=8, loss=1.5)
    run_of("large", rank=64, loss=0.9)
    app = BackpropApp("runs")
    async with app.run_test(size=(120, 40)) as pilot:
        screen = await ticked(app, pilot, 2)
        await pilot.press("tab", "z")
        await until(pilot, lambda: not screen.query_one(Chart).is_on_screen)
        await pilot.press("Y")
        await shows(pilot, "compare.txt")
        copied = (paths.cache_dir() / "compare.txt").read_text()
        assert "settings that differ" in copied
        assert "rank" in copied
        await pilot.press("escape")
        await until(pilot, lambda: screen.query_one(Chart).is_on_screen)
        await pilot.press("tab", "c", "escape")
        assert isinstance(app.screen, CompareScreen), "the crosshair goes first"
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, RunsScreen))


async def test_hostile_and_empty_runs_are_compared_literally() -> None:
    FakeRun(name=HOSTILE, hold=False)
    run = FakeRun(name="x", hold=False).run
    run.spec_file.write_text(json.dumps({"name": HOSTILE, "model": {"base": HOSTILE, HOSTILE: "\ud800"}, "data": 7}))
    run.write_dataset({"sources": [{"sources": [{"files": [{"name": HOSTILE}]}]}], "settings": {HOSTILE: HOSTILE}})
    app = BackpropApp("runs")
    async with app.run_test(size=(140, 40)) as pilot:
        screen = await ticked(app, pilot, 2)
        await shows(pilot, "These runs recorded no steps.")
        assert "\x1b" not in sheet_of(screen)
        assert "\x1b" not in screen_text(app)
        await pilot.press("m", "E", "w", "b", "tab", "Y")
        await pilot.pause(0.1)
        assert "\x1b" not in screen_text(app)


def test_letters_go_on_after_z() -> None:
    assert [letter(at) for at in (0, 25, 26, 51, 52, 701, 702)] == ["A", "Z", "AA", "AZ", "BA", "ZZ", "AAA"]
