"""Tune: from a preset to a launch, with the difference in view and nothing typed lost on the way."""

from __future__ import annotations

import asyncio
import tomllib
from pathlib import Path

import pytest
from rich.cells import cell_len

from backprop_tui.app.app import BackpropApp
from backprop_tui.app.screens.tune import TuneScreen
from backprop_tui.config import paths
from backprop_tui.store.layout import RunDir, list_runs
from tests.ui.helpers import screen_text, shows, type_text, until

SIZES = [(120, 40), (80, 24)]


@pytest.mark.parametrize("size", SIZES)
async def test_change_the_learning_rate_and_see_exactly_what_would_start(size: tuple[int, int]) -> None:
    app = BackpropApp("tune")
    async with app.run_test(size=size) as pilot:
        await shows(pilot, "as in the preset")
        await type_text(pilot, "/learning")
        await pilot.press("enter", "enter")
        for _ in range(8):
            await pilot.press("backspace")
        await type_text(pilot, "3e-4")
        await pilot.press("enter")
        await shows(pilot, "1 changed ●")
        await shows(pilot, "3.0e-4")
        if size[0] > 100:
            await shows(pilot, "5.0e-4 → 3.0e-4")
            await shows(pilot, "model, data and disk are ready")
        await pilot.press("g")
        await shows(pilot, "Launch this run")
        text = screen_text(app)
        for words in (
            "demo-lora-r32",
            "balanced, 1 changed",
            "learning rate: 5.0e-4 → 3.0e-4",
            "lora, rank 32, alpha 32",
        ):
            assert words in text
        await pilot.press("escape", "u")
        await shows(pilot, "as in the preset")
        assert list_runs() == []


@pytest.mark.parametrize("size", SIZES)
async def test_what_will_not_do_says_so_and_stays(size: tuple[int, int]) -> None:
    app = BackpropApp("tune")
    async with app.run_test(size=size) as pilot:
        await shows(pilot, "as in the preset")
        await type_text(pilot, "/rank")
        await pilot.press("enter", "enter")
        await type_text(pilot, "x")
        await pilot.press("enter")
        await shows(pilot, "Give a value from 1 to 1024.")
        await shows(pilot, "32x")
        await pilot.press("escape")
        await shows(pilot, "as in the preset")


async def test_presets_follow_the_cursor_once_and_stay() -> None:
    app = BackpropApp("tune")
    async with app.run_test(size=(120, 40)) as pilot:
        await shows(pilot, "as in the preset")
        await pilot.press("shift+tab", "down")
        await until(pilot, lambda: app.draft.preset == "quality")
        await pilot.press("up", "up")
        await until(pilot, lambda: app.draft.preset == "fast")
        before = app.draft.spec()
        await pilot.pause(0.3)
        assert app.draft.preset == "fast"
        assert app.draft.spec() is before
        await pilot.press("u")
        await until(pilot, lambda: app.draft.preset == "balanced")


async def test_choices_models_and_advanced_settings_by_keyboard() -> None:
    app = BackpropApp("tune")
    async with app.run_test(size=(120, 40)) as pilot:
        await shows(pilot, "as in the preset")
        await type_text(pilot, "/seed")
        await pilot.press("enter", "a")
        await shows(pilot, "gradient clip")
        await type_text(pilot, "/schedule")
        await pilot.press("enter", "enter")
        await shows(pilot, "Leave it")
        await pilot.press("down", "enter")
        await until(pilot, lambda: app.draft.spec().optim.schedule == "linear")
        await pilot.press("m")
        await shows(pilot, "type a folder or a hub id…")
        await pilot.press("t")
        await shows(pilot, "A folder on this machine, or a hub id.")
        await type_text(pilot, "Qwen/Qwen3-0.6B")
        await pilot.press("enter")
        await until(pilot, lambda: app.draft.model == "Qwen/Qwen3-0.6B")
        await shows(pilot, "Qwen/Qwen3-0.6B")


async def test_a_refusal_says_why_and_keeps_every_setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # A short name: where a long path wraps is not the matter here.
    monkeypatch.chdir(tmp_path)
    app = BackpropApp("tune")
    app.draft.use_data("gone [/INST].jsonl")
    app.draft.set("rank", 8)
    async with app.run_test(size=(120, 40)) as pilot:
        await shows(pilot, "DATA_GLOB_EMPTY")
        await pilot.press("g")
        await shows(pilot, "Launch this run")
        await pilot.press("enter")
        await shows(pilot, "Not started")
        assert "gone [/INST].jsonl" in screen_text(app)
        await pilot.press("enter")
        await pilot.pause()
        assert app.draft.overrides == {"rank": 8}
        assert list_runs() == []


async def test_saving_and_copying(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TMUX", raising=False)
    app = BackpropApp("tune")
    async with app.run_test(size=(120, 40)) as pilot:
        await shows(pilot, "as in the preset")
        app.draft.set("rank", 8)
        await pilot.press("y")
        await shows(pilot, "copied-settings.toml")
        assert tomllib.loads(app.clipboard)["settings"]["rank"] == 8
        await pilot.press("ctrl+s")
        await shows(pilot, "Save as a preset")
        await type_text(pilot, "fast")
        await pilot.press("enter")
        await shows(pilot, "There is a preset called fast already.")
        await type_text(pilot, "-mine")
        await pilot.press("enter")
        await shows(pilot, "── yours")
        assert app.draft.preset == "fast-mine"
        assert (paths.config_dir() / "presets" / "fast-mine.toml").exists()


@pytest.mark.parametrize("size", [*SIZES, (60, 20)])
async def test_every_line_fills_the_screen_and_every_key_answers(size: tuple[int, int]) -> None:
    app = BackpropApp("tune")
    async with app.run_test(size=size) as pilot:
        await until(pilot, lambda: app.focused is not None and app.focused.id == "form-lines")
        for key in ("j", "k", "G", "home", "pagedown", "left", "right", "a", "U", "u", "u", "u", "tab", "shift+tab"):
            await pilot.press(key)
        await pilot.pause(0.1)
        assert len(app.screen_stack) == 1
        assert all(cell_len(line) == size[0] for line in screen_text(app).splitlines())


@pytest.mark.train
async def test_a_launch_starts_the_run_that_was_shown() -> None:
    from backprop_tui.launch.session import send_command
    from backprop_tui.protocol.commands import Command, CommandName
    from backprop_tui.store.summary import load_summary

    app = BackpropApp("tune")
    opened: list[RunDir] = []
    async with app.run_test(size=(120, 40)) as pilot:
        await shows(pilot, "as in the preset")
        app.draft.use_preset("demo")
        app.draft.set("learning_rate", 3e-4)
        app.open_run = opened.append  # type: ignore[method-assign]
        await pilot.press("g")
        await shows(pilot, "Launch this run")
        await pilot.press("enter")
        await until(pilot, lambda: opened, timeout=60)
    run = opened[0]
    try:
        assert run.read_spec()["optim"]["learning_rate"] == 3e-4
        assert run.read_spec()["preset"] == "demo"
        assert load_summary(run).state.live
    finally:
        await asyncio.to_thread(send_command, run, Command(CommandName.ABORT), 20.0)


@pytest.mark.parametrize("size", SIZES)
async def test_the_plan_follows_what_is_typed(size: tuple[int, int]) -> None:
    from backprop_tui.app import wording
    from backprop_tui.launch.plan.looking import judge

    app = BackpropApp("tune")
    async with app.run_test(size=size) as pilot:
        await shows(pilot, "as in the preset")
        before = judge(app.draft.spec()).plan
        await shows(
            pilot, f"{wording.size(before.peak)} of" if size[0] > 100 else f"memory {wording.size(before.peak)}"
        )
        await type_text(pilot, "/batch")
        await pilot.press("enter", "enter", "backspace")
        await type_text(pilot, "64")
        await pilot.press("enter")
        after = judge(app.draft.spec()).plan
        assert after.peak is not None
        assert before.peak is not None
        assert after.peak > before.peak
        await shows(pilot, wording.size(after.peak))
        if size[0] > 100:
            text = screen_text(app)
            for word in ("logits", "activations", "tokens", "time", "disk", "fits:"):
                assert word in text


async def test_a_launch_asked_for_at_once_says_more_as_it_becomes_known() -> None:
    app = BackpropApp("tune")
    async with app.run_test(size=(120, 40)) as pilot:
        await shows(pilot, "as in the preset")
        await shows(pilot, "ready")
        # Both before anything else can happen: the plan of 64 rows a pass can't be known yet.
        assert isinstance(app.screen, TuneScreen)
        app.draft.set("batch_size", 64)
        app.screen.refresh_all()
        app.screen.action_launch()
        await shows(pilot, "Launch this run")
        await shows(pilot, "of memory")


async def test_a_run_that_does_not_fit_says_so_before_the_launch(monkeypatch: pytest.MonkeyPatch) -> None:
    from backprop_tui.hardware.host import HostSampler

    read = HostSampler.read
    monkeypatch.setattr(
        HostSampler, "read", lambda self: {**read(self), "memory_total": 1 << 30, "memory_used": 1 << 29}
    )
    app = BackpropApp("tune")
    async with app.run_test(size=(120, 40)) as pilot:
        await shows(pilot, "✗ takes ")
        await shows(pilot, "1 problem")
