"""Data: a folder is listed and looked through, rows are shown the way they are learnt, and Enter goes on to Tune."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from backprop_tui.app.app import BackpropApp
from backprop_tui.app.screens.data_checks import histogram
from backprop_tui.app.widgets.preview import piece_lines
from backprop_tui.app.widgets.turns import fold
from backprop_tui.data.rendering.encoded import Piece
from backprop_tui.protocol.text import safe_text
from tests.ui.helpers import screen_text, shows, type_text, until

SIZES = [(120, 40), (80, 24)]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    chat = {"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "ahoy there"}]}
    (tmp_path / "chat.jsonl").write_text("".join(json.dumps(chat | {"n": n}) + "\n" for n in range(5)))
    (tmp_path / "broken.jsonl").write_text('{"prompt": "a", "completion": "b"}\n{oops\n')
    (tmp_path / "empty.csv").write_text("")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "note.txt").write_text("first text\n\nsecond text\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("size", SIZES)
async def test_a_dataset_is_looked_through_and_used(folder: Path, size: tuple[int, int]) -> None:
    app = BackpropApp("data")
    async with app.run_test(size=size) as pilot:
        await shows(pilot, "chat.jsonl")
        await type_text(pilot, "/chat")
        await pilot.press("enter")
        await shows(pilot, "┃ ahoy there<|im_end|>")
        await shows(pilot, "░ <|im_start|>user↵")
        await shows(pilot, "row 1 of 5")
        await pilot.press("n")
        await shows(pilot, "row 2 of 5")
        await pilot.press("p", "p")
        await shows(pilot, "This is the first row.")
        await pilot.press("g")
        await type_text(pilot, "5")
        await pilot.press("enter")
        await shows(pilot, "row 5 of 5")
        await pilot.press("t")
        await shows(pilot, '"role": "assistant"')
        await pilot.press("enter")
        await until(pilot, lambda: app.current_mode == "tune")
        assert app.draft.data == str(folder / "chat.jsonl")


@pytest.mark.parametrize("size", SIZES)
async def test_a_bad_file_says_where_and_is_not_used(folder: Path, size: tuple[int, int]) -> None:
    app = BackpropApp("data")
    async with app.run_test(size=size) as pilot:
        await shows(pilot, "broken.jsonl")
        await type_text(pilot, "/broken")
        await pilot.press("enter")
        await shows(pilot, "DATA_LINE_NOT_JSON" if size[0] > 100 else "line 2")
        await pilot.press("enter")
        await shows(pilot, "can't be trained on")
        assert app.current_mode == "data"
        await pilot.press("slash", "escape")
        await type_text(pilot, "/empty")
        await pilot.press("enter")
        await shows(pilot, "(DATA_FILE_EMPTY)")
        await pilot.press("enter")
        await pilot.pause()
        assert app.current_mode == "data"
        assert not app.draft.data_chosen


async def test_folders_open_and_close_and_paths_can_be_typed(folder: Path) -> None:
    app = BackpropApp("data")
    async with app.run_test(size=(80, 24)) as pilot:
        await shows(pilot, "sub/")
        await type_text(pilot, "/sub")
        await pilot.press("enter", "enter")
        await shows(pilot, "note.txt")
        await pilot.press("backspace")
        await shows(pilot, "chat.jsonl")
        await pilot.press("o")
        line = app.screen.query_one("LineInput")
        line.value = str(folder / "nowhere.txt")  # type: ignore[attr-defined]
        await pilot.press("enter")
        await shows(pilot, "There is no file or folder of that name.")
        line.value = str(folder / "sub" / "note.txt")  # type: ignore[attr-defined]
        await pilot.press("enter")
        await shows(pilot, "▌ note.txt")
        await shows(pilot, "first text")


@pytest.mark.parametrize("size", [*SIZES, (60, 20)])
async def test_every_key_of_the_footer_answers(folder: Path, size: tuple[int, int]) -> None:
    app = BackpropApp("data")
    async with app.run_test(size=size) as pilot:
        await shows(pilot, "demo (bundled)")
        for key in ("j", "k", "G", "home", "pagedown", "tab", "shift+tab", "n", "p", "r", "t", "t"):
            await pilot.press(key)
        for key in ("o", "g"):
            await pilot.press(key)
            await pilot.pause()
            await pilot.press("escape")
            await pilot.pause()
        assert len(app.screen_stack) == 1
        assert all(cell_len(line) == size[0] for line in screen_text(app).splitlines())


@given(st.text(max_size=200), st.integers(4, 40))
def test_folding_loses_nothing(text: str, width: int) -> None:
    lines = fold(text, width)
    assert "".join(lines) == safe_text(text)
    assert all(cell_len(line) <= width for line in lines)


def test_trained_and_masked_differ_by_their_mark() -> None:
    pieces = (Piece("<user>\nhello\n", "masked"), Piece("ahoy", "trained"), Piece(" and more", "cut"))
    for ascii_only, marks in ((False, "░░┃×"), (True, "::|x")):
        lines = piece_lines(pieces, 40, ascii_only=ascii_only)
        assert "".join(line[0][0][0] for line in lines) == marks


def test_one_row_in_a_thousand_is_still_visible() -> None:
    lines = histogram([(10, 1000), (20, 1), (30, 0)], 3, 2, "▁▂▃▄▅▆▇█")
    assert lines == ["█  ", "█▁ "]


async def test_a_filter_typed_while_the_folder_is_read_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import threading

    from backprop_tui.data.finding import browse

    for name in ("apple.jsonl", "pear.jsonl"):
        (tmp_path / name).write_text('{"question": "q", "answer": "a"}\n')
    monkeypatch.chdir(tmp_path)
    read, listing = threading.Event(), browse.list_folder

    def slowly(path: Path, *, everything: bool = False) -> browse.Folder:
        read.wait(20)
        return listing(path, everything=everything)

    monkeypatch.setattr(browse, "list_folder", slowly)
    app = BackpropApp("data")
    async with app.run_test(size=(120, 40)) as pilot:
        await shows(pilot, "demo (bundled)")
        await pilot.press("slash")
        await type_text(pilot, "pear")
        read.set()
        await shows(pilot, "pear.jsonl")
        await type_text(pilot, "s")
        await until(pilot, lambda: "pear.jsonl" not in screen_text(app))
        assert app.is_running
