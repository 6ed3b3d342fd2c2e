"""Mixing on the Data screen: ticks and weights make one set, shown with its rows, and used with Enter."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backprop_tui.app.app import BackpropApp
from backprop_tui.app.screens.data_mix import WEIGHTS, Mix
from backprop_tui.app.screens.data_open import absolute_words
from backprop_tui.app.wording import data_name, is_mix
from backprop_tui.config.recent import remember
from backprop_tui.data.finding.places import resolve
from tests.support.hub_server import Hub
from tests.ui.helpers import screen_text, shows, type_text, until


def rows_file(path: Path, rows: int) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text(
        "".join(json.dumps({"prompt": f"{path} {n}", "completion": f"answer {n}"}) + "\n" for n in range(rows))
    )
    return path


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    rows_file(tmp_path / "aa.jsonl", 10)
    rows_file(tmp_path / "bb.jsonl", 7)
    rows_file(tmp_path / "sub" / "cc.jsonl", 3)
    rows_file(tmp_path / "sub" / "dd.jsonl", 2)
    (tmp_path / "bad.jsonl").write_text("{oops\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


async def to(pilot: object, app: BackpropApp, name: str) -> None:
    """Put the cursor on a row of the list."""
    table = app.screen.query_one("#data-table")
    key = next(row.key for row in table.shown if row.key.endswith(name))  # type: ignore[attr-defined]
    assert table.select(key)  # type: ignore[attr-defined]


@pytest.mark.parametrize("size", [(120, 40), (80, 24)])
async def test_ticked_files_are_used_together_with_their_weights(folder: Path, size: tuple[int, int]) -> None:
    app = BackpropApp("data")
    async with app.run_test(size=size) as pilot:
        await shows(pilot, "aa.jsonl")
        await to(pilot, app, "aa.jsonl")
        await pilot.press("space")
        await shows(pilot, "✓ aa.jsonl")
        await to(pilot, app, "bb.jsonl")
        await pilot.press("space", "plus", "plus")
        await shows(pilot, "✓ 2x bb.jsonl")
        await shows(pilot, "mix aa.jsonl + 2x bb.jsonl 24 rows")
        if size[0] > 100:
            await shows(pilot, "mix of 2")
        # Other screens and other folders leave the ticks alone.
        await pilot.press("2")
        await shows(pilot, "settings")
        await pilot.press("1")
        await shows(pilot, "mix aa.jsonl + 2x bb.jsonl 24 rows")
        await to(pilot, app, "/sub")
        await pilot.press("enter")
        await shows(pilot, "cc.jsonl")
        await shows(pilot, "✓ 2x ")
        await to(pilot, app, "cc.jsonl")
        await pilot.press("enter")
        await until(pilot, lambda: app.current_mode == "tune")
        words = f"{folder / 'aa.jsonl'} + 2x {folder / 'bb.jsonl'}"
        assert app.draft.data == words
        assert [source.weight for source in resolve(words).sources] == [1, 2]
        if size[0] > 100:
            # 24 rows with repeats; the estimate splits off two per cent of them.
            await shows(pilot, "23")


async def test_a_mix_is_looked_through_as_one_set(folder: Path) -> None:
    app = BackpropApp("data")
    async with app.run_test(size=(120, 40)) as pilot:
        await shows(pilot, "bb.jsonl")
        for name in ("aa.jsonl", "bb.jsonl"):
            await to(pilot, app, name)
            await pilot.press("space")
        await shows(pilot, "mix of 2")
        await pilot.press("home")
        await shows(pilot, "row 1 of 17")
        await pilot.press("space")
        await shows(pilot, "Tick the datasets themselves.")
        await pilot.press("escape")
        await shows(pilot, "Nothing is ticked.")
        assert "mix of 2" not in screen_text(app)


async def test_a_mix_with_an_unusable_part_is_not_used(folder: Path) -> None:
    app = BackpropApp("data")
    async with app.run_test(size=(120, 40)) as pilot:
        await shows(pilot, "bb.jsonl")
        for name in ("aa.jsonl", "bad.jsonl"):
            await to(pilot, app, name)
            await pilot.press("space")
        await until(pilot, lambda: "✗" in screen_text(app))
        await pilot.press("enter")
        await shows(pilot, "bad.jsonl can't be trained on")
        assert app.current_mode == "data"
        assert not app.draft.data_chosen


async def test_a_folder_is_one_set_and_can_be_ticked(folder: Path) -> None:
    app = BackpropApp("data")
    async with app.run_test(size=(120, 40)) as pilot:
        await shows(pilot, "sub/")
        await to(pilot, app, "/sub")
        await shows(pilot, "f takes all its files as one dataset.")
        await pilot.press("space")
        await shows(pilot, "✓ sub/")
        await shows(pilot, "mix sub 5 rows")
        await pilot.press("space", "f")
        await shows(pilot, "row 1 of 5")
        await pilot.press("g")
        await type_text(pilot, "4")
        await pilot.press("enter")
        await shows(pilot, "row 4 of 5")
        await shows(pilot, "dd.jsonl · prompt-completion")
        await pilot.press("enter")
        await until(pilot, lambda: app.draft.data == str(folder / "sub"))


async def test_a_pattern_and_several_files_can_be_typed(folder: Path) -> None:
    app = BackpropApp("data")
    async with app.run_test(size=(120, 40)) as pilot:
        await shows(pilot, "bb.jsonl")
        for words, rows in (("sub/*.jsonl", "row 1 of 5"), ("aa.jsonl + 2x sub/cc.jsonl", "row 1 of 13")):
            await pilot.press("o")
            await shows(pilot, "A data file or a folder")
            app.screen.query_one("LineInput").value = words  # type: ignore[attr-defined]
            await pilot.press("enter")
            await shows(pilot, rows)
        await pilot.press("enter")
        await until(pilot, lambda: app.draft.data == f"{folder / 'aa.jsonl'} + 2x {folder / 'sub' / 'cc.jsonl'}")


async def test_a_dataset_of_the_hub_says_in_one_line_that_it_is_out_of_reach(folder: Path) -> None:
    app = BackpropApp("data")
    async with app.run_test(size=(120, 40)) as pilot:
        await shows(pilot, "bb.jsonl")
        await pilot.press("h")
        await shows(pilot, "Hugging Face")
        await type_text(pilot, "not an id")
        await pilot.press("enter")
        await shows(pilot, "Write org/name")
        app.screen.query_one("LineInput").value = "nobody/nothing"  # type: ignore[attr-defined]
        await pilot.press("enter")
        await shows(pilot, "HUB_UNREACHABLE")
        assert app.current_mode == "data"


async def test_a_dataset_of_the_hub_is_fetched_when_asked_for_and_never_by_passing_over_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants
    from huggingface_hub.utils import close_session

    row = json.dumps({"prompt": "q", "completion": "a"}).encode() + b"\n"
    remember("data", "org/plain")
    with Hub({"org/plain": {"main": {"README.md": b"# A dataset", "train.jsonl": row * 3}}}).serving() as hub:
        template = constants.HUGGINGFACE_CO_URL_TEMPLATE.replace("https://huggingface.co", hub.url)
        monkeypatch.setattr(constants, "ENDPOINT", hub.url)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(folder / "hub"))
        close_session()
        app = BackpropApp("data")
        async with app.run_test(size=(120, 40)) as pilot:
            await shows(pilot, "org/plain")
            await to(pilot, app, "org/plain")
            await shows(pilot, "Enter fetches this dataset")
            await shows(pilot, "Not looked at yet.")
            assert hub.asked == []
            await pilot.press("enter")
            await shows(pilot, "row 1 of 3")
            assert app.current_mode == "data"
            await pilot.press("enter")
            await until(pilot, lambda: app.draft.data == "org/plain")
    close_session()


def test_only_what_is_no_file_is_taken_for_a_mix(folder: Path) -> None:
    odd = rows_file(folder / "a + 2x b.jsonl", 1)
    assert not is_mix(str(odd))
    assert is_mix("a.jsonl + b.jsonl")
    assert is_mix("2x a.jsonl")
    assert not is_mix("3xyz.jsonl")
    assert data_name("/data/a.jsonl + 0.5x /data/b") == "a.jsonl + 0.5x b"


def test_typed_words_mean_the_same_from_everywhere(folder: Path) -> None:
    assert absolute_words("aa.jsonl + 2x sub/") == f"{folder / 'aa.jsonl'} + 2x {folder / 'sub'}"
    assert absolute_words("demo + 0.5x hf://datasets/org/name") == "demo + 0.5x hf://datasets/org/name"
    assert absolute_words("org/name") == "org/name"
    assert absolute_words("sub/*.jsonl") == f"{folder / 'sub' / '*.jsonl'}"


@given(st.lists(st.tuples(st.sampled_from(["a", "b", "c"]), st.sampled_from([1, -1, 0])), max_size=40))
def test_weights_stay_on_the_ladder_and_rows_add_up(steps: list[tuple[str, int]]) -> None:
    mix = Mix()
    for words, by in steps:
        if by:
            mix.weigh(words, by)
        else:
            mix.toggle(words)
    assert set(mix.weights.values()) <= set(WEIGHTS)
    assert mix.rows(lambda _: 100) == sum(round(100 * weight) for weight in mix.weights.values())
    assert mix.rows(lambda _: None) == (None if mix else 0)
    assert len(mix.words.split(" + ")) == max(1, len(mix.weights))
