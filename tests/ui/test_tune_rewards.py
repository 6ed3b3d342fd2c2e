"""A reward file is shown whole before a run executes it, and unless somebody says so nothing is started."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from textual.containers import VerticalScroll

from backprop_tui.app.app import BackpropApp
from backprop_tui.config import paths
from backprop_tui.config.trusted import is_trusted
from backprop_tui.launch.rewards import read_reward_file
from backprop_tui.store.layout import list_runs
from tests.ui.helpers import screen_text, shows, until


@pytest.fixture
def reward_file(tmp_path: Path) -> Path:
    file = tmp_path / "rewards.py"
    lines = [f"# line {number}" for number in range(3, 200)]
    witness = tmp_path / "ran"
    file.write_text(
        f"open({str(witness)!r}, 'w')\n# \x1b]0;owned\x07 [red]markup[/red] \u202e\n" + "\n".join(lines)
        + "\ndef reward(completions, **_): return [0.0] * len(completions)\n"
    )  # fmt: skip
    return file


def prepared(file: Path) -> BackpropApp:
    app = BackpropApp("tune")
    app.draft.use_preset("grpo")
    app.draft.set("reward_file", str(file))
    return app


async def launch(pilot: Any) -> None:
    await pilot.press("g")
    await shows(pilot, "Launch this run")
    await pilot.press("enter")


async def test_it_is_shown_whole_and_leaving_is_the_default(reward_file: Path) -> None:
    app = prepared(reward_file)
    sha256 = read_reward_file(str(reward_file)).sha256
    async with app.run_test(size=(120, 40)) as pilot:
        await shows(pilot, "model, data and disk are ready")
        await launch(pilot)
        await shows(pilot, "Run this reward file?")
        await shows(pilot, sha256)
        text = screen_text(app)
        assert "# ␛]0;owned␇ [red]markup[/red] \\u202e" in text
        assert "def reward" not in text, "the end is further down"
        body = app.screen.query_one("#body-scroll", VerticalScroll)
        for _ in range(20):
            await pilot.press("pagedown")
        await shows(pilot, "def reward(completions")
        await pilot.press("pageup")
        await until(pilot, lambda: body.scroll_y < body.max_scroll_y)
        await pilot.press("enter")
        await until(pilot, lambda: "Run this reward file?" not in screen_text(app))
        assert not is_trusted(sha256)
    assert list_runs() == []
    assert not (reward_file.parent / "ran").exists()


async def test_once_confirmed_it_is_not_asked_about_again_until_it_changes(reward_file: Path) -> None:
    app = prepared(reward_file)
    async with app.run_test(size=(120, 40)) as pilot:
        await shows(pilot, "model, data and disk are ready")
        # What comes after the confirmation is refused here: an engine would take longer than this test.
        shutil.rmtree(paths.runs_dir(), ignore_errors=True)
        paths.runs_dir().write_text("no directory")
        await launch(pilot)
        await shows(pilot, "Run this reward file?")
        await pilot.press("up", "enter")
        await shows(pilot, "Not started")
        assert "RUNS_DIR_NOT_WRITABLE" in screen_text(app)
        assert is_trusted(read_reward_file(str(reward_file)).sha256)
        await pilot.press("escape")
        await launch(pilot)
        await shows(pilot, "Not started")
        await pilot.press("escape")
        with reward_file.open("a") as file:
            file.write("# changed\n")
        await launch(pilot)
        await shows(pilot, "Run this reward file?")
    assert not (reward_file.parent / "ran").exists()


@pytest.mark.parametrize(("text", "code"), [("def reward(:\n", "REWARD_FILE_SYNTAX"), ("x = 1\n", "REWARD_NONE")])
async def test_a_file_that_will_not_do_is_told_before_the_launch(tmp_path: Path, text: str, code: str) -> None:
    file = tmp_path / "broken.py"
    file.write_text(text)
    app = prepared(file)
    async with app.run_test(size=(120, 40)) as pilot:
        await shows(pilot, code)
        await launch(pilot)
        await shows(pilot, "Not started")
    assert list_runs() == []


async def test_the_form_has_the_settings_of_grpo_and_of_no_other() -> None:
    app = BackpropApp("tune")
    app.draft.use_preset("grpo")
    async with app.run_test(size=(120, 60)) as pilot:
        await shows(pilot, "model, data and disk are ready")
        for title in ("rewards", "reward file", "group size", "answer length", "temperature", "KL weight"):
            await shows(pilot, title)
        assert "odds weight" not in screen_text(app)
        app.draft.use_preset("dpo")
        app.screen.refresh_all()  # type: ignore[attr-defined]
        await until(pilot, lambda: "group size" not in screen_text(app))
