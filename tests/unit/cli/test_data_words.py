"""How actions on data are named, completed and told about."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from backprop_tui.cli.completions import candidates
from backprop_tui.cli.data import ACTIONS, action_parser
from backprop_tui.cli.data.filter import expression
from backprop_tui.cli.data.progress import Progress
from backprop_tui.cli.data.reading import Tally
from backprop_tui.cli.data.report import percent
from backprop_tui.cli.main import main
from backprop_tui.cli.output import Output


def test_actions_and_their_options_are_completed() -> None:
    assert candidates(["data", ""]) == list(ACTIONS)
    assert candidates(["data", "s"]) == ["split", "sample", "shuffle", "sort", "score"]
    assert candidates(["data", "chats"]) == ["__files__"]
    assert candidates(["data", "filter", ""]) == ["__files__"]
    assert candidates(["data", "filter", "chats.jsonl", "--min-t"]) == ["--min-turns"]
    assert candidates(["data", "filter", "chats.jsonl", "-o", ""]) == ["__files__"]
    assert candidates(["data", "overlap", "chats.jsonl", ""]) == ["__files__"]
    assert "parquet" not in candidates(["data", "convert", "chats.jsonl", "--to", ""])
    assert candidates(["data", "convert", "chats.jsonl", "--to", "al"]) == ["alpaca"]
    assert candidates(["data", "chats.jsonl", "--no-t"]) == ["--no-tokens"]


def test_a_file_called_like_an_action_has_a_way_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    row = {"messages": [{"role": "user", "content": "Why?"}, {"role": "assistant", "content": "Because."}]}
    (tmp_path / "filter").mkdir()
    (tmp_path / "filter" / "a.jsonl").write_text(json.dumps(row) + "\n")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "a.jsonl").write_text(json.dumps(row) + "\n")
    assert main(["data", "filter"]) == 2
    assert main(["data", "./filter", "--no-tokens"]) == 0
    # A word that is there is data, however much it looks like a slip of the pen.
    assert main(["data", "mine", "--no-tokens"]) == 0
    capsys.readouterr()
    assert main(["data", "zzz"]) == 2


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ([], ""),
        (["--where", " turns > 1 "], "turns > 1"),
        (["--min-chars", "2"], "chars >= 2"),
        (["--where", "a or b", "--must-answer"], "(a or b) and (has_answer or turns == 0)"),
    ],
)
def test_options_and_expression_are_one_filter(options: list[str], text: str) -> None:
    assert expression(action_parser("filter").parse_args(["demo", *options])) == text


def test_something_is_never_shown_as_nothing_nor_as_everything() -> None:
    shown = [percent(share) for share in (0, 1e-9, 0.004, 0.5, 0.996, 1 - 1e-9, 1)]
    assert shown == ["0 %", "< 0.1 %", "0.4 %", "50 %", "99.6 %", "> 99.9 %", "100 %"]


def test_rows_read_are_rows_kept_and_rows_left_out() -> None:
    tally = Tally(rows=5)
    tally.drop("damaged")
    tally.drop("not drawn", rows=2)
    tally.drop("nobody", rows=0)
    assert tally.to_dict() == {"rows": 5, "kept": 2, "dropped": {"not drawn": 2, "damaged": 1}}


def test_without_a_terminal_no_progress_is_shown(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backprop_tui.cli.data.progress.PATIENCE", 0.0)
    with Progress(Output(io.StringIO(), io.StringIO())) as progress:
        progress.bytes_read(1, 2)
        progress.rows("scoring", 1, None)
    assert capsys.readouterr().err == ""
