"""Fixes and tools on the Data screen: each key changes the draft, says what becomes of the rows, and can be taken back."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from backprop_tui.app.app import BackpropApp
from backprop_tui.app.screens.data_checks import check_lines, recipe_words
from backprop_tui.data.finding.places import read_set, resolve
from backprop_tui.data.looking.findings import Inspection
from tests.ui.helpers import screen_text, shows, type_text, until


def write(path: Path, rows: list[object]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    pairs = [{"prompt": f"question {n}", "completion": f"answer {n} " + "so " * n, "user": n % 4} for n in range(20)]
    write(tmp_path / "twice.jsonl", [*pairs, *pairs[:5]])
    (tmp_path / "broken.jsonl").write_text(json.dumps(pairs[0]) + "\n{oops\n" + json.dumps(pairs[1]) + "\n")
    write(tmp_path / "odd.jsonl", [{"ask_me": f"how {n}", "tell_me": f"so {n}", "id": n} for n in range(6)])
    lists = {"train": pairs[:3], "test": pairs[:2]}
    (tmp_path / "lists.json").write_text(json.dumps(lists))
    monkeypatch.chdir(tmp_path)
    return tmp_path


async def to(pilot: object, app: BackpropApp, name: str) -> None:
    table = app.screen.query_one("#data-table")
    key = next(row.key for row in table.shown if row.key.endswith(name))  # type: ignore[attr-defined]
    assert table.select(key)  # type: ignore[attr-defined]


async def test_duplicates_go_by_one_key_and_come_back_by_undo(folder: Path) -> None:
    app = BackpropApp("data")
    async with app.run_test(size=(120, 40)) as pilot:
        await shows(pilot, "twice.jsonl")
        await to(pilot, app, "twice.jsonl")
        await shows(pilot, "5 exact duplicates (20 %)")
        await pilot.press("d")
        await shows(pilot, "25 → 20 usable rows")
        await shows(pilot, "5 exact duplicates are dropped")
        await shows(pilot, "25 rows read · 20 usable · 19 to train on, 1 held out")
        assert app.draft.spec().data.duplicates == "exact"
        await pilot.press("d")
        await shows(pilot, "near duplicates dropped")
        assert app.draft.spec().data.duplicates == "near"
        await pilot.press("2")
        await shows(pilot, "settings")
        await pilot.press("u")
        await until(pilot, lambda: app.draft.spec().data.duplicates == "exact")
        await pilot.press("1")
        await shows(pilot, "exact duplicates dropped")
        await pilot.press("d", "d")
        await until(pilot, lambda: app.draft.spec().data.duplicates == "keep")


@pytest.mark.parametrize("size", [(120, 40), (80, 24)])
async def test_damaged_rows_are_dropped_and_the_list_says_the_new_verdict(folder: Path, size: tuple[int, int]) -> None:
    app = BackpropApp("data")
    async with app.run_test(size=size) as pilot:
        await shows(pilot, "broken.jsonl")
        await to(pilot, app, "broken.jsonl")
        await shows(pilot, "1 damaged row")
        await shows(pilot, "x drops them")
        await pilot.press("x")
        await shows(pilot, "1 of 3 rows left out")
        assert app.draft.spec().data.damaged == "drop"
        await until(pilot, lambda: "✗" not in next(line for line in screen_text(app).splitlines() if "broken" in line))
        await pilot.press("enter")
        await until(pilot, lambda: app.current_mode == "tune")


async def test_a_mapping_is_typed_against_the_row_and_belongs_to_its_file(folder: Path) -> None:
    app = BackpropApp("data")
    async with app.run_test(size=(120, 40)) as pilot:
        await shows(pilot, "odd.jsonl")
        await to(pilot, app, "odd.jsonl")
        await shows(pilot, "row 1 of 6")
        await pilot.press("e")
        await shows(pilot, "user=ask_me assistant=tell_me")
        await until(pilot, lambda: "  how 0" in screen_text(app) and "  so 0" in screen_text(app))
        line = app.screen.query_one("LineInput")
        line.value = "user=ask_me assistant=tel"  # type: ignore[attr-defined]
        await shows(pilot, "DATA_COLUMN_MISSING")
        await shows(pilot, "Did you mean tell_me?")
        await pilot.press("enter")
        await pilot.pause()
        assert len(app.screen_stack) == 2, "a mapping that does not fit the row is not taken"
        line.value = "user=ask_me assistant=tell_me"  # type: ignore[attr-defined]
        await pilot.press("enter")
        await shows(pilot, "┃ so 0<|im_end|>")
        await shows(pilot, "format columns")
        # Another file has other columns: the mapping is not asked of it.
        await to(pilot, app, "twice.jsonl")
        await shows(pilot, "┃ answer 0")
        assert app.draft.columns_of(str(folder / "twice.jsonl")) == ""
        await to(pilot, app, "odd.jsonl")
        await shows(pilot, "┃ so 0")
        await pilot.press("enter")
        await until(pilot, lambda: app.current_mode == "tune")
        assert app.draft.spec().data.columns == "user=ask_me assistant=tell_me"
        app.draft.set("columns", "text=tell_me")
        await pilot.press("1")
        await until(pilot, lambda: "┃ so 0" in screen_text(app) and "  how 0" not in screen_text(app))
        app.draft.undo()
        app.draft.use_data(str(folder / "twice.jsonl"))
        assert app.draft.spec().data.columns == ""
        app.draft.use_data(str(folder / "odd.jsonl"))
        assert app.draft.spec().data.columns == "user=ask_me assistant=tell_me"


async def test_one_of_several_lists_is_chosen(folder: Path) -> None:
    app = BackpropApp("data")
    async with app.run_test(size=(120, 40)) as pilot:
        await shows(pilot, "lists.json")
        await to(pilot, app, "lists.json")
        await shows(pilot, "DATA_SEVERAL_LISTS")
        await pilot.press("e")
        await shows(pilot, "Which list holds the rows")
        await pilot.press("up", "up", "up", "down", "enter")
        await shows(pilot, "row 1 of 2")
        await pilot.press("enter")
        await until(pilot, lambda: app.draft.data == f"{folder / 'lists.json'}#test")


async def test_a_filter_counts_while_it_is_typed(folder: Path) -> None:
    app = BackpropApp("data")
    async with app.run_test(size=(120, 40)) as pilot:
        await shows(pilot, "twice.jsonl")
        await to(pilot, app, "twice.jsonl")
        await shows(pilot, "row 1 of 25")
        await pilot.press("T")
        await shows(pilot, "Score with a model…")
        await pilot.press("f")
        await shows(pilot, "Filter rows")
        line = app.screen.query_one("LineInput")
        line.value = "answer_chrs > 3"  # type: ignore[attr-defined]
        await shows(pilot, "answer_chars")
        await pilot.press("enter")
        await pilot.pause()
        assert app.draft.overrides == {}
        line.value = "user >= 2"  # type: ignore[attr-defined]
        line.value = "answer_chars > 20"  # type: ignore[attr-defined]
        await shows(pilot, "25 → 17 usable rows")
        await pilot.press("enter")
        await shows(pilot, "The filter is set: 25 → 17 usable rows")
        await shows(pilot, "set: filter")
        assert app.draft.spec().data.filter == "answer_chars > 20"


@pytest.mark.parametrize(
    ("keys", "typed", "words", "setting"),
    [
        ("sg", "user", "rows to train on", ("group_by", "user")),
        ("ss", "20%", "rows to train on", ("eval_split", 0.2)),
        ("sr", "7", "25 usable rows", ("seed", 7)),
        ("l", "10", "25 → 10 rows sampled", ("max_rows", 10)),
        ("dn", "0.8", "usable rows", ("near_threshold", 0.8)),
        ("occ", "user", "as before", ("difficulty", "user")),
    ],
)
async def test_tools_say_what_becomes_of_the_rows(
    folder: Path, keys: str, typed: str, words: str, setting: tuple[str, object]
) -> None:
    app = BackpropApp("data")
    async with app.run_test(size=(120, 40)) as pilot:
        await shows(pilot, "twice.jsonl")
        await to(pilot, app, "twice.jsonl")
        await shows(pilot, "row 1 of 25")
        await pilot.press("T")
        for key in keys:
            await pilot.pause()
            await pilot.press(key)
        await until(pilot, lambda: app.screen.query("CountModal LineInput") or app.screen.query("LineInput"))
        app.screen.query_one("LineInput").value = typed  # type: ignore[attr-defined]
        await shows(pilot, words)
        await pilot.press("enter")
        await until(pilot, lambda: len(app.screen_stack) == 1)
        assert app.draft.overrides[setting[0]] == setting[1]
        before = dict(app.draft.overrides)
        assert app.draft.undo()
        assert setting[0] not in app.draft.overrides
        assert len(app.draft.overrides) == 0, f"one undo takes all of {before} back"


async def test_a_column_that_is_not_there_is_said_before_it_is_taken(folder: Path) -> None:
    app = BackpropApp("data")
    async with app.run_test(size=(120, 40)) as pilot:
        await shows(pilot, "twice.jsonl")
        await to(pilot, app, "twice.jsonl")
        await shows(pilot, "row 1 of 25")
        await pilot.press("T", "s")
        await shows(pilot, "Column whose rows")
        await pilot.press("g")
        await shows(pilot, "Split by")
        await type_text(pilot, "nobody")
        await shows(pilot, "No row has a column 'nobody' to split by.")


async def test_rows_are_written_as_the_settings_leave_them(folder: Path) -> None:
    app = BackpropApp("data")
    async with app.run_test(size=(120, 40)) as pilot:
        await shows(pilot, "twice.jsonl")
        await to(pilot, app, "twice.jsonl")
        await shows(pilot, "row 1 of 25")
        await pilot.press("d")
        await shows(pilot, "25 → 20 usable rows")
        await pilot.press("T", "c")
        await shows(pilot, "Write as")
        await pilot.press("down", "down", "enter")
        await shows(pilot, "Write to")
        line = app.screen.query_one("LineInput")
        assert line.value.endswith("/twice-alpaca.jsonl")  # type: ignore[attr-defined]
        line.value = str(folder / "twice.jsonl")  # type: ignore[attr-defined]
        await pilot.press("enter")
        await shows(pilot, "There is a file of that name already")
        line.value = str(folder / "out.jsonl")  # type: ignore[attr-defined]
        await pilot.press("enter")
        await shows(pilot, "Wrote 20 rows to")
        await shows(pilot, "out.jsonl")
    rows = [row.value for row in read_set(resolve(str(folder / "out.jsonl")))]
    assert len(rows) == 20
    assert rows[3]["instruction"] == "question 3"


def test_what_is_set_is_said_in_one_line() -> None:
    settings = {"filter": "turns > 2", "duplicates": "exact", "order": "curriculum", "max_rows": 1200, "seed": 3}
    assert recipe_words(settings, "·") == "filter · exact duplicates dropped · 1,200 rows at most · curriculum"
    assert recipe_words({"duplicates": "keep", "damaged": "refuse", "columns": ""}, "·") == ""


def test_checks_warn_of_secrets_and_of_a_mask_that_leaves_nothing() -> None:
    look = Inspection("x", 10, max_length=100)
    look.rows = look.kept = 3
    look.purpose = "sft"
    look.formats["messages"] = 3
    look.sensitive["email"] = 2
    look.trained_tokens, look.trained_share = 0, 0.0
    words = "\n".join(
        "".join(text for text, _ in line)
        for line in check_lines(look, 100, False, with_tokens=False, spark="▁█", settings={})
    )
    assert "! may hold personal data or secrets: email 2 (rows)" in words
    assert "✗ no token would be trained on" in words
    look.trained_tokens, look.trained_share, look.answers_only = 30, 1.0, True
    words = "\n".join(
        "".join(text for text, _ in line)
        for line in check_lines(look, 100, False, with_tokens=False, spark="▁█", settings={})
    )
    assert "✗ every token would be trained on, prompts too" in words
