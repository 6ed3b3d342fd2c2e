"""Every command from outside: help, exit codes, streams, settings."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from backprop_tui import __version__
from backprop_tui.cli.registry import COMMANDS
from tests.support.terminal import BACKPROP, Terminal
from tests.support.terminal import backprop as run_backprop


def backprop(*argv: str, **env: str) -> tuple[int, str, str]:
    done = run_backprop(*argv, **env)
    return done.returncode, done.stdout, done.stderr


def test_help_names_every_command_and_each_explains_itself(capsys: pytest.CaptureFixture[str]) -> None:
    from backprop_tui.cli.main import main

    code, overview, said = backprop("--help")
    assert (code, said) == (0, "")
    for name in COMMANDS:
        assert f"\n  {name} " in overview
        assert main([name, "--help"]) == 0
        assert capsys.readouterr().out.startswith(f"usage: backprop {name}")
    assert backprop("--version")[1] == f"backprop {__version__}\n"


@pytest.mark.parametrize(
    ("argv", "code", "words"),
    [
        (["trian"], 2, "`backprop train`"),
        (["--thme", "x"], 2, "--theme"),
        (["runs", "--jsno"], 2, "--json"),
        (["watch", "nope"], 2, "no run yet"),
        (["presets", "fats"], 2, "`fast`"),
        (["config", "set", "thme", "x"], 2, "`theme`"),
        (["config", "set", "profile", "slow"], 2, "auto, local, ssh, low"),
        (["set", "rank=3"], 2, "lr"),
        (["set", "lr=fast"], 2, "1e-4"),
        (["data", "inspect", "nowhere.jsonl"], 65, "nowhere.jsonl"),
        (["save"], 2, "RUN"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_a_mistake_is_one_line_with_a_way_out(argv: list[str], code: int, words: str) -> None:
    got, printed, said = backprop(*argv)
    assert got == code
    assert printed == ""
    assert said.count("\n") == 1
    assert words.lower() in said.lower()


def test_without_a_terminal_the_app_says_what_else_there_is() -> None:
    code, printed, said = backprop()
    assert (code, printed) == (69, "")
    assert "backprop watch" in said


def test_errors_in_json_are_on_stdout_too() -> None:
    code, printed, said = backprop("show", "--json")
    assert code == 2
    assert json.loads(printed)["error"]["code"] == said.split(":")[0] == "RUN_NONE"


def test_settings_are_shown_with_their_sources_and_changed(home: Path) -> None:
    assert backprop("config", "set", "preset", "fast")[0] == 0
    shown = json.loads(backprop("config", "--json", BACKPROP_THEME="mono")[1])
    assert shown["settings"]["preset"] == {"value": "fast", "source": str(home / "config" / "settings.toml")}
    assert shown["settings"]["theme"] == {"value": "mono", "source": "BACKPROP_THEME"}
    assert shown["places"]["data"] == str(home / "data")
    assert backprop("config", "path")[1].strip() == str(home / "config" / "settings.toml")
    assert "BACKPROP_THEEM" in backprop("config", BACKPROP_THEEM="x")[2]


def test_a_broken_settings_file_stops_no_listing(home: Path) -> None:
    (home / "config" / "settings.toml").write_text("theme = [")
    assert backprop("runs")[0] == 0
    code, _, said = backprop("config")
    assert code == 2
    assert said.startswith("CONFIG_INVALID: ")


def test_doctor_reports_as_json() -> None:
    code, printed, _ = backprop("doctor", "--json")
    checks = {check["name"]: check for check in json.loads(printed)}
    assert code == 0
    assert {"python", "[train]", "runs", "runtime", "terminal"} <= checks.keys()


def test_inspecting_data_counts_and_locates(tmp_path: Path) -> None:
    code, printed, _ = backprop("data", "inspect", "demo")
    assert code == 0
    assert "messages" in printed
    assert "tokens" in printed
    broken = tmp_path / "broken.jsonl"
    broken.write_text('{"text": "fine"}\n{oops\n')
    code, printed, _ = backprop("data", "inspect", str(broken))
    assert code == 65
    assert "line 2" in printed
    code, printed, _ = backprop("data", "inspect", str(broken), "--json")
    assert code == 65
    assert json.loads(printed)["problems"][0]["line"] == 2


@pytest.mark.pty
def test_deleting_asks_and_defaults_to_no(home: Path) -> None:
    from backprop_tui.store.layout import create_run

    run = create_run({"name": "keep me"})
    for answer, left in (("\r", True), ("y\r", False)):
        with Terminal([BACKPROP, "delete", run.short_id], columns=100, rows=10) as terminal:
            terminal.wait_for(r"\[y/N\]")
            terminal.send(answer)
            assert terminal.wait() == (1 if left else 0)
        assert run.path.exists() is left


@pytest.mark.pty
def test_a_left_over_terminal_is_reset() -> None:
    with Terminal([BACKPROP, "doctor", "--reset-terminal"]) as terminal:
        assert terminal.wait() == 0
        terminal.wait_for("terminal is reset")
    for sequence in (b"\x1b[?1049l", b"\x1b[?1003l", b"\x1b[?2004l", b"\x1b[?25h"):
        assert sequence in terminal.raw
