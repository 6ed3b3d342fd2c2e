"""Scoring rows with a real model from the Data screen, and keeping those between two percentiles."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from backprop_tui.app.app import BackpropApp
from backprop_tui.data.finding.places import read_set, resolve
from tests.ui.helpers import shows


@pytest.mark.train
async def test_rows_that_a_model_predicts_too_badly_are_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [{"prompt": f"question {n}", "completion": "Aye, captain!" if n else "zqj xkv wqz"} for n in range(10)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    monkeypatch.chdir(tmp_path)
    app = BackpropApp("data")
    async with app.run_test(size=(120, 40)) as pilot:
        await shows(pilot, "rows.jsonl")
        assert app.screen.query_one("#data-table").select(f"data:{tmp_path / 'rows.jsonl'}")  # type: ignore[attr-defined]
        await shows(pilot, "row 1 of 10")
        await pilot.press("T", "p")
        await shows(pilot, "Score rows with")
        await pilot.press("enter")
        await shows(pilot, "Keep rows between two percentiles", timeout=120)
        app.screen.query_one("LineInput").value = "0 90"  # type: ignore[attr-defined]
        await pilot.press("enter")
        await shows(pilot, "Write to")
        app.screen.query_one("LineInput").value = str(tmp_path / "kept.jsonl")  # type: ignore[attr-defined]
        await pilot.press("enter")
        await shows(pilot, "Wrote 9 rows to")
    kept = [row.value["messages"][0]["content"] for row in read_set(resolve(str(tmp_path / "kept.jsonl")))]
    assert kept == [f"question {n}" for n in range(1, 10)]
