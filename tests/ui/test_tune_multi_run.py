"""Tune as a person sees it: a multi-run is chosen, told of and launched with keys; the plan is readable in both sizes."""

from __future__ import annotations

import pytest

from backprop_tui.app.app import BackpropApp
from backprop_tui.app.screens.tune_plan import estimate_lines
from backprop_tui.store.layout import list_runs
from backprop_tui.store.summary import load_summary
from tests.support.engines import no_engine_left
from tests.ui.helpers import screen_text, shows, type_text, until


async def test_a_multi_run_is_launched_with_keys_and_has_its_matrix() -> None:
    app = BackpropApp("tune")
    for name, value in (("runs", "2"), ("steps", "2"), ("samples", "0"), ("name", "slices")):
        app.draft.set(name, value)
    with no_engine_left():
        async with app.run_test(size=(120, 40)) as pilot:
            await shows(pilot, "model, data and disk are ready")
            await type_text(pilot, "/multi-run")
            await pilot.press("enter", "right")
            await shows(pilot, "windows  (preset off)")
            await until(pilot, lambda: any("steps        4 " in line for line in screen_text(app).splitlines()))
            await pilot.press("g")
            await shows(pilot, "2, on slices of the data, merged by slao")
            assert "learns    sft, from chats or text" in screen_text(app)
            assert "steps     4, 16 rows each" in screen_text(app)
            await pilot.press("enter")
            await shows(pilot, "✓ completed", timeout=60)
            await pilot.press("M")
            await shows(pilot, "2 of 2 runs merged")
            await shows(pilot, "run 2 merged by slao")
    (run,) = list_runs()
    assert len(load_summary(run).view.multi["merges"]) == 2


@pytest.mark.parametrize("size", [(120, 40), (80, 24)])
async def test_the_plan_is_readable_with_its_verdict(size: tuple[int, int]) -> None:
    app = BackpropApp("tune")
    async with app.run_test(size=size) as pilot:
        await shows(pilot, "memory")
        await shows(pilot, "ready")
        wanted = [
            "own eval file",
            "29 an epoch",
            " process ",
            " activations ",
            "✓ fits: ",
            "✓ masks verified on all rows",
        ]
        for words in wanted if size[0] >= 120 else ["ready: press g", " of ", "time", "disk", "steps 58"]:
            await shows(pilot, words)
        lines = screen_text(app).splitlines()
        assert not any("before launch" in line and "problem" in line for line in lines)


async def test_what_speaks_against_a_run_stands_in_the_launch_dialog() -> None:
    app = BackpropApp("tune")
    app.draft.set("train_on", "everything")
    app.draft.set("path", "/nowhere.jsonl")
    async with app.run_test(size=(120, 40)) as pilot:
        await shows(pilot, "1 problem")
        await pilot.press("g")
        await shows(pilot, "Launch this run")
        assert "! DATA_FILE_MISSING" in screen_text(app)
        await pilot.press("escape")
    assert list_runs() == []


async def test_parts_without_room_are_summed_up() -> None:
    app = BackpropApp("tune")
    async with app.run_test(size=(120, 40)) as pilot:
        await shows(pilot, " activations ")
        screen = app.screen
        spec, prospect = app.draft.spec(), screen._prospect  # type: ignore[attr-defined]
        plan = prospect.plan(spec)
        whole, few = (estimate_lines(spec, prospect.estimate(spec), plan, 36, height) for height in (16, 12))
        texts = ["".join(text for text, _ in line) for line in few]
        assert len(few) == 12
        assert len(whole) == 16
        assert any(text.startswith(" others ") for text in texts)
        assert all(len("".join(text for text, _ in line)) <= 36 for line in [*whole, *few])
