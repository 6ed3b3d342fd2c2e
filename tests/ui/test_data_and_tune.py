"""Data and Tune together: what one chooses the other shows, and nothing typed quickly or oddly is lost."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from textual.geometry import Region

from backprop_tui.app.app import BackpropApp
from backprop_tui.app.draft import Draft
from backprop_tui.app.looks import Looks
from backprop_tui.app.scans import Reading, Scans
from backprop_tui.app.screens.tune_words import find_words
from backprop_tui.app.widgets.table import LiveTable
from backprop_tui.config.recent import recent
from backprop_tui.protocol.errors import BackpropError
from tests.ui.helpers import BareApp, shows, type_text, until


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    rows = [{"prompt": f"question {n}", "completion": f"answer {n}"} for n in range(30)]
    (tmp_path / "own.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / ".hidden.jsonl").write_text(json.dumps(rows[0]) + "\n")
    (tmp_path / "weights.bin").write_text("x")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def regions(app: BackpropApp) -> dict[str, Region]:
    return {panel.id or "": panel.region for panel in app.screen.query("Panel")}


@pytest.mark.parametrize("size", [(120, 40), (80, 24)])
async def test_from_data_to_a_changed_setting_and_back(folder: Path, size: tuple[int, int]) -> None:
    app = BackpropApp("data")
    async with app.run_test(size=size) as pilot:
        await shows(pilot, "own.jsonl")
        before = regions(app)
        await type_text(pilot, "/own")
        await pilot.press("enter")
        await shows(pilot, "┃ answer 0")
        await pilot.press("enter")
        await shows(pilot, "own.jsonl · demo model")
        await until(pilot, lambda: recent("data"))
        assert recent("data") == [str(folder / "own.jsonl")]
        await type_text(pilot, "/lr")
        await pilot.press("enter", "right")
        await shows(pilot, "1 changed")
        await shows(pilot, "preset 5.0e-4")
        if size[0] > 100:
            await shows(pilot, " → ")
            await shows(pilot, "model, data and disk are ready")
        await pilot.press("1")
        await shows(pilot, "using own.jsonl")
        assert regions(app) == before, "another room's style rules must not move this one's panels"


async def test_every_press_of_n_counts_however_fast(folder: Path) -> None:
    app = BackpropApp("data")
    async with app.run_test(size=(120, 40)) as pilot:
        await shows(pilot, "own.jsonl")
        await type_text(pilot, "/own")
        await pilot.press("enter")
        await shows(pilot, "row 1 of 30")
        for _ in range(12):
            app.simulate_key("n")
        await shows(pilot, "row 13 of 30")
        for _ in range(40):
            app.simulate_key("n")
        await shows(pilot, "row 30 of 30")
        await shows(pilot, "The data has 30 rows; this is the last.")
        app.simulate_key("p")
        await shows(pilot, "row 29 of 30")


async def test_rows_are_read_again_when_the_model_or_the_length_changes(folder: Path) -> None:
    app = BackpropApp("data")
    async with app.run_test(size=(120, 40)) as pilot:
        await shows(pilot, "fits 2,048")
        await pilot.press("2")
        await shows(pilot, "as in the preset")
        app.draft.set("max_length", 24)
        await pilot.press("1")
        await shows(pilot, "fits 24")
        await shows(pilot, "×  is begin. Fair winds!<|im_end|>↵")
        await pilot.press("2")
        app.draft.use_model("nobody/nothing")
        await pilot.press("1")
        await shows(pilot, "tokens unknown, nobody/nothing is not here")
        await shows(pilot, " characters")
        await pilot.press("2")
        await shows(pilot, "begins by downloading it")


async def test_a_typed_path_is_opened_or_says_why_not(folder: Path) -> None:
    app = BackpropApp("data")
    async with app.run_test(size=(120, 40)) as pilot:
        await shows(pilot, "own.jsonl")
        for name, words in ((".hidden.jsonl", "row 1 of 1"), ("weights.bin", "(DATA_EXTENSION_UNKNOWN)")):
            await pilot.press("o")
            await shows(pilot, "A data file")
            app.screen.query_one("LineInput").value = str(folder / name)  # type: ignore[attr-defined]
            await pilot.press("enter")
            await shows(pilot, words)
            row = app.screen.query_one("#data-table", LiveTable).current
            assert row is not None
            assert row.key.endswith(f"/{name}")


async def test_a_name_that_is_not_text_can_be_used_all_the_same(folder: Path) -> None:
    name = os.fsdecode(b"odd-\xff.jsonl")
    (folder / "own.jsonl").rename(folder / name)
    app = BackpropApp("data")
    async with app.run_test(size=(120, 40)) as pilot:
        await shows(pilot, "odd-")
        await type_text(pilot, "/odd")
        await pilot.press("enter")
        await shows(pilot, "row 1 of 30")
        await pilot.press("enter")
        await shows(pilot, "model, data and disk are ready")
        assert app.draft.spec().data.path == str(folder / name)
        assert recent("data") == [str(folder / name)]


async def test_keys_that_arrive_together_go_where_they_were_meant() -> None:
    app = BackpropApp("tune")
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: app.focused is not None and app.focused.id == "form-lines")
        app.simulate_key("shift+tab")
        app.simulate_key("down")
        await until(pilot, lambda: app.draft.preset == "quality")
        assert app.draft.overrides == {}


def test_settings_are_found_by_name_alias_title_and_help() -> None:
    for words, key in (
        ("lr", "learning_rate"),
        ("batch", "batch_size"),
        ("warm", "warmup"),
        ("jumps", "learning_rate"),
    ):
        found = find_words(words)
        assert found is not None
        assert found.key == key
    assert find_words("flux capacitor") is None


class Patient(Scans):
    """Scans that say which file they were asked for, and wait to be let on."""

    def __init__(self) -> None:
        super().__init__()
        self.begun: list[str] = []
        self.given_up: list[str] = []
        self.go_on = False

    def inspect(self, path: str, reading: Reading, cancelled: Callable[[], bool], progress: object = None) -> object:  # type: ignore[override]
        import time

        self.begun.append(path)
        deadline = time.monotonic() + 20
        while not self.go_on and time.monotonic() < deadline:
            if cancelled():
                self.given_up.append(path)
                break
            time.sleep(0.005)
        raise BackpropError("X", path, "")


async def test_the_file_asked_for_comes_first_and_the_others_still_get_their_turn() -> None:
    app = BareApp()
    async with app.run_test() as pilot:
        draft, changed = Draft(), []
        scans = draft.scans = Patient()
        looks = Looks(app.screen, draft, changed.append)
        looks.wait(["a", "b"])
        await until(pilot, lambda: scans.begun == ["a"])
        looks.look("big")
        await until(pilot, lambda: scans.begun == ["a", "big"] and scans.given_up == ["a"])
        assert looks.get("a") is None
        assert looks.get("big") == "looking"
        looks.look("other")
        await until(pilot, lambda: scans.given_up == ["a", "big"])
        scans.go_on = True
        await until(pilot, lambda: set(looks.known) == {"other", "a", "b"})
        assert scans.begun == ["a", "big", "other", "a", "b"]
        assert all(isinstance(look, BackpropError) for look in looks.known.values())
