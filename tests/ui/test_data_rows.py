"""Rows on the Data screen: three ways to show one, searches that end when told to, and looks that can be stopped."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from backprop_tui.app.app import BackpropApp
from backprop_tui.app.draft import Draft
from backprop_tui.app.looks import STOPPED, Looks
from backprop_tui.app.scans import Reading, Scans
from backprop_tui.app.screens.data_words import Browser
from backprop_tui.app.widgets.preview import stretches, token_lines
from backprop_tui.app.widgets.turns import meaning_lines
from backprop_tui.data.formats import read_row
from backprop_tui.data.rendering.encoded import EncodedRow, Piece, Rendered
from backprop_tui.protocol.spec import DataPart
from tests.ui.helpers import BareApp, screen_text, shows, type_text, until


def chat(question: str, answer: str) -> dict[str, object]:
    return {"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    rows: list[object] = [chat(f"question {n}", f"answer {n}") for n in range(60)]
    rows[20] = chat("where is the Needle", "here")
    rows[40] = chat("another needle", "there")
    rows[50] = {"nothing": "known"}
    rows[55] = chat("long", "word " * 4000)
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    monkeypatch.chdir(tmp_path)
    return tmp_path


async def opened(pilot: object, app: BackpropApp) -> None:
    await shows(pilot, "rows.jsonl")  # type: ignore[arg-type]
    table = app.screen.query_one("#data-table")
    assert table.select(next(row.key for row in table.shown if row.key.endswith("rows.jsonl")))  # type: ignore[attr-defined]
    await shows(pilot, "row 1 of 60")  # type: ignore[arg-type]


async def test_search_goes_from_hit_to_hit_and_round(folder: Path) -> None:
    app = BackpropApp("data")
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(pilot, app)
        await pilot.press("s")
        await shows(pilot, "Search rows")
        await type_text(pilot, "needle")
        await pilot.press("enter")
        await shows(pilot, "row 21 of 60")
        await pilot.press("S")
        await shows(pilot, "row 41 of 60")
        await pilot.press("s", "enter")
        await shows(pilot, "Row 21, counted from the beginning again.")
        await shows(pilot, "row 21 of 60")
        await pilot.press("s")
        app.screen.query_one("LineInput").value = "nowhere"  # type: ignore[attr-defined]
        await pilot.press("enter")
        await shows(pilot, "No row holds 'nowhere'.")
        assert "row 21 of 60" in screen_text(app)


async def test_bad_rows_are_found_refused_or_cut(folder: Path) -> None:
    app = BackpropApp("data")
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(pilot, app)
        await pilot.press("b")
        await shows(pilot, "row 51 of 60")
        await shows(pilot, "DATA_FORMAT_NONE")
        await pilot.press("b")
        await shows(pilot, "row 56 of 60")
        await pilot.press("b")
        await shows(pilot, "row 51 of 60")


async def test_one_key_shows_a_row_three_ways(folder: Path) -> None:
    app = BackpropApp("data")
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(pilot, app)
        await shows(pilot, "┃ answer 0<|im_end|>")
        await pilot.press("t")
        await shows(pilot, '"role": "user"')
        await pilot.press("t")
        await shows(pilot, "tokens trained")
        await shows(pilot, "tokens masked")
        await pilot.press("t")
        await shows(pilot, "as the model sees it")


def rendered() -> Rendered:
    encoded = EncodedRow([5, 6, 7, 8, 9], [False, False, True, True, False], 2, ())
    pieces = (Piece("user: hi\n", "masked"), Piece("ahoy", "trained"), Piece("\n", "masked"), Piece(" more", "cut"))
    return Rendered(encoded, pieces, (5, 9, 11, 13, 14))


def test_stretches_hold_their_own_tokens() -> None:
    shown = rendered()
    found = [(piece.text if piece else None, ids) for piece, ids in stretches(shown.encoded, shown.pieces)]
    assert found == [("user: hi\n", [5, 6]), ("ahoy", [7, 8]), ("\n", [9])]
    words = "\n".join("".join(text for text, _ in line) for line in token_lines(shown, 40))
    assert "░ 2 tokens masked" in words
    assert "░ user:│ hi↵" in words
    assert "┃ ah│oy" in words
    assert "┃ 2 tokens trained" in words
    assert "░ 1 token masked" in words
    assert "× 2 tokens cut off" in words
    # Where tokens add no text, ids are never put beside a text that is not theirs.
    assert stretches(shown.encoded, shown.pieces[:2])[0][0] is None


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (
            {"prompt": "which", "chosen": "this", "rejected": "that"},
            ["chosen: assistant", "  this", "rejected: assistant", "  that"],
        ),
        ({"prompt": "which", "completion": "this", "label": False}, ["not wanted: assistant", "  this"]),
        ({"prompt": "only", "answer_key": "7"}, ["user", "  only"]),
        (
            {
                "messages": [
                    {"role": "user", "content": "weather?"},
                    {
                        "role": "assistant",
                        "content": "",
                        "tool_calls": [{"function": {"name": "look", "arguments": '{"at": "sea"}'}}],
                    },
                    {"role": "tool", "name": "look", "content": "calm"},
                    {"role": "assistant", "content": "calm", "reasoning_content": "the tool said so"},
                ],
                "tools": [{"type": "function", "function": {"name": "look"}}],
            },
            [
                "tools (1)",
                "  look",
                '  calls look {"at": "sea"}',
                "tool look",
                "assistant (reasoning)",
                "  the tool said so",
            ],
        ),
        ({"text": "one\x1b[2J\ntwo"}, ["text", "  one␛[2J", "  two"]),
    ],
)
def test_every_kind_of_row_says_what_it_means(row: dict[str, object], words: list[str]) -> None:
    lines = ["".join(text for text, _ in line) for line in meaning_lines(read_row(row)[1], 60)]
    for line in words:
        assert line in lines


async def test_a_look_that_is_stopped_says_so_and_is_begun_again_when_asked_for() -> None:
    app = BareApp()
    async with app.run_test() as pilot:
        draft, changed = Draft(), []
        scans = draft.scans = Endless()
        looks = Looks(app.screen, draft, changed.append)
        assert not looks.stop()
        looks.look("big")
        looks.wait(["other"])
        await until(pilot, lambda: scans.begun == 1)
        assert looks.stop()
        await until(pilot, lambda: scans.ended == 1)
        assert looks.get("big") == STOPPED
        assert looks.get("other") is None
        looks.look("big")
        await until(pilot, lambda: scans.begun == 2)
        looks.stop()
        await until(pilot, lambda: scans.ended == 2)


class Endless(Scans):
    """Looks that only end when nobody waits for them any more."""

    begun = 0
    ended = 0

    def inspect(self, words: str, reading: Reading, cancelled: object, progress: object = None) -> object:  # type: ignore[override]
        import threading

        self.begun += 1
        while not cancelled():  # type: ignore[operator]
            threading.Event().wait(0.005)
        self.ended += 1
        raise InterruptedError


def test_rows_of_the_list_are_made_anew_only_when_they_differ() -> None:
    browser = Browser(False)
    first = browser.rows(None, ["/a.jsonl", "/b.jsonl"], [], {}, {}, "")
    second = browser.rows(None, ["/a.jsonl", "/b.jsonl"], [], {"/a.jsonl": "looking, 5 %"}, {}, "")
    assert [one is other for one, other in zip(first, second, strict=True) if one.rule is None] == [True, False, True]
    assert second[2].cells[1].text == "5 %"


def test_looks_are_remembered_while_every_file_of_the_set_stays_the_same(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    folder.mkdir()
    for name in ("a", "b"):
        (folder / f"{name}.jsonl").write_text(json.dumps({"prompt": name, "completion": "x"}) + "\n")
    scans = Scans()
    reading = Reading()

    def look() -> object:
        return scans.inspect(str(folder), reading, lambda: False)

    first = look()
    assert look() is first
    (folder / "b.jsonl").write_text(json.dumps({"prompt": "other", "completion": "y"}) + "\n")
    second = look()
    assert second is not first
    (folder / "c.jsonl").write_text(json.dumps({"prompt": "c", "completion": "x"}) + "\n")
    assert look().rows == 3  # type: ignore[attr-defined]
    assert scans.inspect(str(folder), Reading(columns="text=prompt"), lambda: False).formats == {"columns": 3}


def test_usable_rows_follow_the_settings_and_the_weights(tmp_path: Path) -> None:
    rows = [{"prompt": f"p{n % 5}", "completion": "x"} for n in range(10)]
    file, other = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    other.write_text(json.dumps({"prompt": "q", "completion": "x"}) + "\n")
    scans = Scans()

    def usable(**settings: object) -> int:
        return scans.usable_rows(DataPart(**settings), lambda: False)  # type: ignore[arg-type]

    assert usable(path=str(file)) == 10
    assert usable(path=str(file), duplicates="exact") == 5
    assert usable(path=f"2x {file} + 3x {other}") == 23
    assert usable(path=f"2x {file} + 3x {other}", duplicates="exact") == 13
    assert usable(path=str(file), filter="index < 4") == 4
