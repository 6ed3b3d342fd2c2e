"""What is told outside the screen: when, to whom, and in sequences that no name can break out of."""

from __future__ import annotations

import base64
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backprop_tui.app.clipboard import screen_sequence
from backprop_tui.app.notify import Outside, sign_of, signal, title_words, told_words
from backprop_tui.protocol.states import RunState
from tests.support.runs import HOSTILE


@pytest.fixture(autouse=True)
def plain_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TMUX", "STY", "TERM_PROGRAM"):
        monkeypatch.delenv(name, raising=False)


def outside(notify: str = "bell", *, title: bool = False) -> tuple[Outside, list[str]]:
    written: list[str] = []
    now: Callable[[Callable[[], None]], None] = lambda work: work()  # noqa: E731
    found = Outside(written.append, now)
    found.use(notify=notify, title=title, ascii=False)
    return found, written


def hear(found: Outside, *states: RunState, share: float | None = 0.5, title: str = "voyage") -> None:
    for state in states:
        found.hear("/runs/one", title, state, share, "1.0")


@pytest.mark.parametrize(
    "ending", [RunState.COMPLETED, RunState.FAILED, RunState.CRASHED, RunState.PAUSED, RunState.STOPPED]
)
def test_an_end_nobody_sees_is_told_once(ending: RunState) -> None:
    found, written = outside()
    found.looked_at(False)
    hear(found, RunState.RUNNING, ending, ending)
    assert written == ["\x07"]


def test_nothing_is_told_to_who_looks_or_of_what_was_over() -> None:
    found, written = outside()
    found.looked_at(True)
    hear(found, RunState.RUNNING, RunState.COMPLETED)
    found.looked_at(False)
    hear(found, RunState.COMPLETED)
    found.hear("/runs/two", "other", RunState.FAILED, None, "1.0")
    hear(found, RunState.STOPPING, RunState.ABORTED)
    assert written == []


def test_where_the_focus_is_unknown_a_key_means_that_somebody_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [1000.0]
    monkeypatch.setattr("backprop_tui.app.notify.time.monotonic", lambda: clock[0])
    found, written = outside()
    found.key()
    hear(found, RunState.RUNNING, RunState.PAUSED)
    assert written == []
    clock[0] += 3600
    hear(found, RunState.RUNNING, RunState.COMPLETED)
    assert written == ["\x07"]


def test_off_is_silent() -> None:
    found, written = outside("off")
    found.looked_at(False)
    hear(found, RunState.RUNNING, RunState.COMPLETED)
    assert "".join(written) == ""


def test_a_title_is_written_only_when_it_differs_and_without_the_focus_only_with_the_state() -> None:
    found, written = outside(title=True)
    written.clear()
    found.looked_at(True)
    for share in (0.1, 0.101, 0.109, 0.11):
        hear(found, RunState.RUNNING, share=share)
    assert written == ["\x1b]0;backprop ● 10% voyage\x07", "\x1b]0;backprop ● 11% voyage\x07"]
    written.clear()
    found.looked_at(False)
    hear(found, RunState.RUNNING, share=0.5)
    assert written == []
    hear(found, RunState.COMPLETED, share=1.0)
    assert written == ["\x1b]0;backprop ✓ completed voyage\x07", "\x07"]
    written.clear()
    found.end()
    found.end()
    assert written == ["\x1b[23;2t"]


def test_switching_the_title_off_gives_the_old_one_back() -> None:
    found, written = outside(title=True)
    assert written == ["\x1b[22;2t", "\x1b]0;backprop\x07"]
    found.use(notify="bell", title=False, ascii=False)
    hear(found, RunState.RUNNING)
    assert written[2:] == ["\x1b[23;2t"]


@pytest.mark.parametrize(
    ("environ", "way"),
    [
        ({}, "bell"), ({"TERM_PROGRAM": "WezTerm"}, "osc9"), ({"TERM": "xterm-kitty"}, "osc9"), ({"TERM": "foot"}, "osc777"),
        ({"TERM_PROGRAM": "WezTerm", "TMUX": "x"}, "bell"), ({"STY": "x", "TERM": "screen"}, "bell"),
        ({"TERM_PROGRAM": "ghostty"}, "osc9"), ({"TERM": "linux"}, "bell"),
    ],
)  # fmt: skip
def test_auto_takes_what_the_terminal_is_known_to_show(environ: dict[str, str], way: str) -> None:
    assert sign_of("auto", environ) == way
    assert sign_of("osc777", environ) == "osc777"


def test_through_tmux_every_escape_is_doubled() -> None:
    assert signal("osc9", "done", wrap="tmux") == "\x1bPtmux;\x1b\x1b]9;backprop: done\x07\x1b\\"
    assert signal("osc777", "a;b") == "\x1b]777;notify;backprop;a,b\x07"
    assert signal("off", "x") == ""


@pytest.mark.parametrize("allowed", [True, False])
def test_tmux_is_asked_and_a_bell_rings_where_it_passes_nothing_on(
    monkeypatch: pytest.MonkeyPatch, tmp_path: object, allowed: bool
) -> None:
    from pathlib import Path

    folder = Path(str(tmp_path))
    (folder / "tmux").write_text(f"#!/bin/sh\necho {'on' if allowed else 'off'}\n")
    (folder / "tmux").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    monkeypatch.setenv("TMUX", "x")
    found, written = outside("osc9")
    found.looked_at(False)
    hear(found, RunState.RUNNING, RunState.COMPLETED)
    assert written == ["\x1bPtmux;\x1b\x1b]9;backprop: voyage is done, loss 1.0\x07\x1b\\" if allowed else "\x07"]


@given(st.text(max_size=200) | st.just(HOSTILE), st.sampled_from(["osc9", "osc777"]))
def test_no_name_breaks_out_of_a_sequence(name: str, way: str) -> None:
    for state in RunState:
        words = signal(way, told_words(name, state, "1.0"))
        assert words.count("\x1b") == 1
        assert words.count("\x07") == 1
        assert words.endswith("\x07")
        title = title_words(name, state, 0.5)
        assert not set(title) & {chr(code) for code in (*range(32), *range(127, 160))}
        assert len(title) <= 800


@given(st.binary(max_size=3000))
def test_screen_gets_the_clipboard_in_pieces_that_join_to_the_whole(content: bytes) -> None:
    encoded = base64.b64encode(content).decode()
    pieces = screen_sequence(encoded).split("\x1b\\")[:-1]
    assert all(piece.startswith("\x1bP") and len(piece) <= 702 for piece in pieces)
    assert "".join(piece[2:] for piece in pieces) == f"\x1b]52;c;{encoded}\x07"
