"""Data in a real terminal, with a file that takes its time: the first row comes at once, and no key waits for the scan."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from tests.pty.test_hostile_screens import HOSTILE, check
from tests.support.terminal import BACKPROP, Terminal

pytestmark = pytest.mark.pty

#: Bytes of the large file: with tokens, looking through it takes far longer than the test.
_LARGE = 300_000_000
#: From pressing a key to the first row of a file, whatever its size.
_FIRST_ROW_S = 0.3
#: From a key to what it does while all cores look through a file.
_KEY_S = 0.5


def large_file(path: Path) -> int:
    """A chat file of `_LARGE` bytes; returns its rows."""
    words = "the quick brown fox jumps over the lazy dog and comes back again for more of it "
    rows = []
    for number in range(500):
        turns = [
            {"role": "user", "content": f"question {number}: {words * 8}"},
            {"role": "assistant", "content": f"answer {number}: {words * 10}"},
        ]
        rows.append(json.dumps({"messages": turns}) + "\n")
    block = "".join(rows).encode()
    times = _LARGE // len(block) + 1
    with path.open("wb") as file:
        for _ in range(times):
            file.write(block)
        file.write(
            b'{"messages": [{"role": "user", "content": "needle"}, {"role": "assistant", "content": "found"}]}\n'
        )
    return times * 500 + 1


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_large_file_shows_its_first_row_at_once_and_never_holds_up_a_key(folder: Path) -> None:
    large_file(folder / "large.jsonl")
    with Terminal([BACKPROP], columns=120, rows=40) as terminal:
        terminal.wait_for(r"demo \(bundled\) +458")
        began = time.monotonic()
        terminal.send("G")
        terminal.wait_for("question 0: the quick brown fox")
        first = time.monotonic() - began
        terminal.wait_for(r"looking, \d+ %")
        # The scan is under way; keys are answered all the same.
        slowest = 0.0
        for number in range(2, 14):
            began = time.monotonic()
            terminal.send("n")
            terminal.wait_for(rf"row {number} ")
            slowest = max(slowest, time.monotonic() - began)
        terminal.wait_for("looking")
        began = time.monotonic()
        terminal.send("\x1b")
        terminal.wait_for("The look was stopped.")
        stopped = time.monotonic() - began
        terminal.send("q")
        assert terminal.wait() == 0
    assert first < _FIRST_ROW_S, f"{first * 1000:.0f} ms from the key to the first row"
    assert slowest < _KEY_S, f"{slowest * 1000:.0f} ms from a key to its row while the file was looked through"
    assert stopped < 1.0


def test_a_search_through_a_large_file_is_ended_by_a_key(folder: Path) -> None:
    large_file(folder / "large.jsonl")
    with Terminal([BACKPROP], columns=120, rows=40) as terminal:
        terminal.wait_for(r"demo \(bundled\) +458")
        terminal.send("G")
        terminal.wait_for("question 0: the quick brown fox")
        terminal.send("s")
        terminal.wait_for("Search rows")
        terminal.send("nowhere to be found\r")
        terminal.wait_for(r"Row [\d,]+: searching for")
        terminal.send("n")
        terminal.wait_for(r"row 2 ")
        terminal.send("s")
        terminal.wait_for("Search rows")
        terminal.send("\r")
        terminal.wait_for(r"Row [\d,]+: searching for")
        terminal.send("\x1b")
        terminal.wait_for("The search was stopped.")
        terminal.send("q")
        assert terminal.wait() == 0


@pytest.mark.parametrize("size", [(120, 40), (80, 24)])
def test_hostile_columns_lists_and_calls_are_shown_literally(folder: Path, size: tuple[int, int]) -> None:
    call = {"function": {"name": HOSTILE, "arguments": json.dumps({HOSTILE: HOSTILE})}}
    turns = [
        {"role": "user", "content": HOSTILE},
        {"role": "assistant", "content": "", "tool_calls": [call], "reasoning_content": HOSTILE},
        {"role": "tool", "name": HOSTILE, "content": HOSTILE},
        {"role": "assistant", "content": HOSTILE},
    ]
    tools = [{"type": "function", "function": {"name": HOSTILE}}]
    (folder / "a-odd.jsonl").write_text(json.dumps({f"ask {HOSTILE}": HOSTILE, "id": 1}) + "\n")
    (folder / "b-calls.jsonl").write_text(json.dumps({"messages": turns, "tools": tools}) + "\n")
    rows = [{"prompt": "a", "completion": "b"}]
    (folder / "c-lists.json").write_text(json.dumps({f"one {HOSTILE}": rows, f"two {HOSTILE}": rows}))
    with Terminal([BACKPROP], columns=size[0], rows=size[1]) as terminal:
        terminal.wait_for(r"a-odd\.jsonl")
        for name, shown in (("a-odd", "DATA_FORMAT_NONE"), ("b-calls", "zqx"), ("c-lists", "DATA_SEVERAL_LISTS")):
            terminal.send("/")
            terminal.wait_for("/ ")
            terminal.send("\x15")
            terminal.send(f"{name}\r")
            terminal.wait_for(rf"▌ {name}")
            terminal.wait_for(shown)
            if name == "b-calls":
                for _ in range(3):
                    terminal.send("t")
                terminal.send("d")
                terminal.wait_for("duplicates|dropped")
                continue
            terminal.send("e")
            terminal.wait_for("Enter accept|Which list")
            terminal.send("\x1b")
            terminal.wait_for(lambda text: "Esc cancel" not in text and "Which list" not in text)
        terminal.send("q")
        assert terminal.wait() == 0
        check(terminal)
