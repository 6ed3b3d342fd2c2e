"""Hostile text on every screen, through a real terminal: shown literally, and not one foreign escape among the bytes."""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path

import pytest

from backprop_tui.config import paths
from tests.support.runs import FakeRun
from tests.support.terminal import Terminal

pytestmark = pytest.mark.pty

#: Sets the title, writes the clipboard, recolours, clears; C1 forms; reordering; markup that acts, vanishes or crashes.
MARK = "zqx"
HOSTILE = (
    f"\x1b]0;{MARK}title\x07\x1b]52;c;{MARK}clip\x07\x1b[31;1m{MARK}red\x9b2J\x9d0;{MARK}c1\x9c\u202e{MARK}rtl "
    f"[/INST] [@click=app.quit]x[/] [bold]{MARK}end"
)
FILE_NAME = f"\x1b]0;{MARK}file\x07[red]\u202e[INST].jsonl"
#: Any of our marks inside a control sequence, or right behind an escape or C1 byte, would mean that text acted.
FOREIGN = [
    re.compile(rb"\x1b\][^\x07\x1b]*zqx"),
    re.compile(rb"\x1b\]52"),
    re.compile(rb"\x1b\[31;1m"),
    re.compile(rb"\xc2[\x80-\x9f]"),
    re.compile("\u202e".encode()),
    re.compile(rb"\x1b\[2J(?=.{0,40}zqx)"),
]


def app(screen: str, *prepare: str) -> list[str]:
    lines = ["import sys", "from backprop_tui.app import run_app", *prepare, f"sys.exit(run_app({screen!r}))"]
    return [sys.executable, "-c", "\n".join(lines)]


def check(terminal: Terminal) -> None:
    raw = bytes(terminal.raw)
    for pattern in FOREIGN:
        found = pattern.search(raw)
        assert found is None, raw[max(0, found.start() - 60) : found.end() + 60]


def leave(terminal: Terminal, dialog: str) -> None:
    """Esc, and wait: an escape byte followed at once by a letter is another key."""
    terminal.send("\x1b")
    terminal.wait_for(lambda text: dialog not in text)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    rows = [
        {"messages": [{"role": "user", "content": HOSTILE}, {"role": "assistant", "content": HOSTILE}]},
        {"prompt": HOSTILE, HOSTILE: HOSTILE},
    ]
    (tmp_path / FILE_NAME).write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    (tmp_path / f"folder {HOSTILE.replace('/', '')}"[:80]).mkdir()
    os.close(os.open(os.fsencode(tmp_path) + b"/bytes-\xff\x9b2J.jsonl", os.O_CREAT | os.O_WRONLY))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("size", [(120, 40), (80, 24)])
def test_rows_and_file_names_on_the_data_screen(folder: Path, size: tuple[int, int]) -> None:
    with Terminal(app("data"), columns=size[0], rows=size[1]) as terminal:
        terminal.wait_for(r"demo \(bundled\)")
        terminal.send("/")
        terminal.wait_for("part of a name")
        terminal.send("zqxfile")
        terminal.send("\r")
        terminal.wait_for(r"▌ ␛\]0;zqxfil")
        terminal.wait_for(r"row 1 of 2")
        screen = terminal.wait_for(r"\[/INST\] ")
        assert "␛]0;zqxtitle␇" in screen
        terminal.send("t")
        terminal.wait_for(r"raw")
        terminal.send("n")
        terminal.wait_for(r"row 2 of 2")
        terminal.send("\t\t")
        terminal.send("g")
        terminal.wait_for("Go to row")
        leave(terminal, "Go to row")
        terminal.send("\x1b[200~\x1b]0;zqxpaste\x07\x1b[201~")
        terminal.send("q")
        assert terminal.wait() == 0
        check(terminal)


@pytest.mark.parametrize("size", [(120, 40), (80, 24)])
def test_data_model_preset_and_run_names_on_the_tune_screen(folder: Path, size: tuple[int, int]) -> None:
    presets = paths.config_dir() / "presets"
    presets.mkdir()
    (presets / f"own \x1b]0;{MARK}preset\x07[INST].toml").write_text(
        f"title = {json.dumps(HOSTILE)}\nabout = {json.dumps(HOSTILE)}\n[settings]\nrank = 8\n"
    )
    prepare = (
        "from backprop_tui.app.draft import Draft",
        f"hostile, file = {HOSTILE!r}, {str(folder / FILE_NAME)!r}",
        "begin = Draft.begin",
        "def loaded(self, **words):",
        "    begin(self, **words); self.use_data(file); self.use_model(hostile); self.set('name', hostile)",
        "Draft.begin = loaded",
    )
    with Terminal(app("tune", *prepare), columns=size[0], rows=size[1]) as terminal:
        terminal.wait_for("1 changed")
        terminal.wait_for("MODEL_NAME_INVALID|neither a directory")
        terminal.send("m")
        terminal.wait_for("type a folder or a hub id")
        leave(terminal, "type a folder or a hub id")
        terminal.send("g")
        terminal.wait_for("Launch this run")
        terminal.wait_for(lambda text: "Launch this run" in text and text.count("␛]0;zqxtitle␇") >= 2)
        terminal.send("\r")
        terminal.wait_for("Not started")
        terminal.send("\r")
        terminal.wait_for(lambda text: "Not started" not in text)
        terminal.send("\x1b[Z")
        # Both axes move in the list; the own one stands before the classic presets and the two that sort after its name.
        terminal.send("\x1b[F" + "\x1b[D\x1b[A" * 2 + "\x1b[D")
        terminal.wait_for(r"own ␛\]")
        terminal.send("q")
        assert terminal.wait() == 0
        check(terminal)


@pytest.mark.parametrize("size", [(120, 40), (80, 24)])
def test_run_names_reasons_and_faults_on_the_runs_screen(size: tuple[int, int]) -> None:
    fake = FakeRun(name=HOSTILE, hold=False).begin().train(2)
    fake.add("fault", code=HOSTILE, cause=HOSTILE, next=HOSTILE)
    fake.add("end", outcome="failed", step=2, reason=HOSTILE, checkpoint=None)
    with Terminal(app("runs"), columns=size[0], rows=size[1]) as terminal:
        terminal.wait_for("✗ failed")
        terminal.wait_for(r"␛\]0;zqx")
        terminal.send("d")
        screen = terminal.wait_for("Keep it")
        assert "␛]0;zqxtitle␇" in screen
        leave(terminal, "Keep it")
        terminal.send("q")
        assert terminal.wait() == 0
        check(terminal)


def test_the_check_itself_can_fail() -> None:
    program = [sys.executable, "-c", f"import sys; sys.stdout.write({HOSTILE!r}); sys.stdout.flush()"]
    with Terminal(program) as terminal:
        terminal.wait()
        terminal.wait_for(lambda _: b"zqxend" in terminal.raw)
        with pytest.raises(AssertionError):
            check(terminal)
