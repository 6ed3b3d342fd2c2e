"""What a run learns is chosen in Tune like any setting; its own settings come and go with it, and data is judged by it."""

from __future__ import annotations

import json
from pathlib import Path

from backprop_tui.app.app import BackpropApp
from backprop_tui.store.layout import list_runs
from tests.ui.helpers import screen_text, shows, type_text, until


async def test_an_objective_brings_its_own_settings_and_its_own_rows() -> None:
    app = BackpropApp("tune")
    async with app.run_test(size=(120, 40)) as pilot:
        await shows(pilot, "as in the preset")
        await shows(pilot, "model, data and disk are ready")
        assert "packing" in screen_text(app)
        assert "odds weight" not in screen_text(app)
        await type_text(pilot, "/objective")
        await pilot.press("enter", "enter")
        await shows(pilot, "Leave it")
        await pilot.press("down", "down", "down", "enter")
        await until(pilot, lambda: app.draft.spec().task.objective == "orpo")
        await shows(pilot, "odds weight")
        await shows(pilot, "sft → orpo")
        await shows(pilot, "model, data and disk are ready")
        assert "packing" not in screen_text(app)
        await pilot.press("g")
        await shows(pilot, "Launch this run")
        assert "demo-orpo-lora-r32" in screen_text(app)
        await pilot.press("escape")
        assert list_runs() == []


async def test_pairs_are_no_chats_and_the_next_step_is_said(tmp_path: Path) -> None:
    rows = [{"prompt": f"What is {n}?", "chosen": f"It is {n}.", "rejected": "No."} for n in range(20)]
    file = tmp_path / "pairs.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    app = BackpropApp("tune")
    app.draft.use_data(str(file))
    async with app.run_test(size=(120, 40)) as pilot:
        await shows(pilot, "DATA_OTHER_PURPOSE")
        await shows(pilot, "Set objective=dpo")
    app = BackpropApp("tune")
    app.draft.use_data(str(file))
    app.draft.use_preset("dpo")
    async with app.run_test(size=(120, 40)) as pilot:
        await shows(pilot, "model, data and disk are ready")
        assert app.draft.spec().task.objective == "dpo"
