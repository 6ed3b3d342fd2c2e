"""Every mistake with `backprop data …` ends in one line with a code and a way out, and leaves the files alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from backprop_tui.cli.data import ACTIONS
from backprop_tui.cli.main import main


def chat(number: int, **more: Any) -> dict[str, Any]:
    turns = [{"role": "user", "content": f"What is {number}?"}, {"role": "assistant", "content": f"It is {number}."}]
    return {"messages": turns, "id": number, **more}


@pytest.fixture
def chats(tmp_path: Path) -> Path:
    rows = [chat(number, group=number // 5, score=number / 2) for number in range(20)]
    return write(tmp_path / "chats.jsonl", [*rows, '{"messages" :[', {"x": 1}])


def write(path: Path, rows: list[Any]) -> Path:
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return path


#: Every action with what it needs besides its data to do something.
_ENOUGH: dict[str, list[str]] = {
    "inspect": ["--no-tokens"], "rows": ["--raw"], "columns": [], "convert": ["--to", "messages"], "filter": ["--must-answer"],
    "dedup": [], "split": [], "sample": ["--rows", "2"], "shuffle": [], "sort": [], "score": ["-m", "demo"],
    "overlap": ["demo"], "fingerprint": [], "diff": ["demo"],
}  # fmt: skip
_WRITERS = ("convert", "filter", "dedup", "sample", "shuffle", "sort", "score")
_Mistake = tuple[list[str], int, str, str]


def _of_every_action(*words: str, code: int, name: str, way_out: str, but: tuple[str, ...] = ()) -> list[_Mistake]:
    """The same mistake with each action; the first word is the data."""
    return [
        ([action, words[0], *more, *words[1:]], code, name, way_out)
        for action, more in _ENOUGH.items()
        if action not in but
    ]


def _of_every_writer(*words: str, name: str, way_out: str) -> list[_Mistake]:
    """The same mistake with each action that writes one file."""
    return [([action, "{}/chats.jsonl", *_ENOUGH[action], *words], 2, name, way_out) for action in _WRITERS]


_MISTAKES: list[_Mistake] = [
    *_of_every_action("{}/chts.jsonl", code=65, name="DATA_FILE_MISSING", way_out="chats.jsonl"),
    *_of_every_action("{}/chats.jsonl", "--format", "nope", code=2, name="DATA_FORMAT_UNKNOWN", way_out="alpaca"),
    *_of_every_action("{}/chats.jsonl", "--columns", "user=", code=2, name="DATA_COLUMNS_INVALID", way_out="user="),
    *_of_every_action("{}/chats.jsonl", "--zzzz", code=2, name="USAGE", way_out="--help"),
    *_of_every_action(
        "{}/broken.jsonl", code=65, name="DATA_LINE_NOT_JSON", way_out="Mend", but=("inspect", "rows", "columns")
    ),
    *_of_every_writer("-o", "{}/there.jsonl", name="DATA_OUT_EXISTS", way_out="another name"),
    *_of_every_writer("-o", "{}/chats.jsonl", "--force", name="DATA_OUT_IS_INPUT", way_out="another name"),
    *_of_every_writer("-o", "{}/no/out.jsonl", name="DATA_OUT_FOLDER", way_out="Make it first"),
    *_of_every_writer("-o", "{}/out.xyz", name="DATA_OUT_KIND", way_out=".jsonl"),
    *_of_every_writer("-o", "", name="DATA_OUT_INVALID", way_out="out.jsonl"),
    (["inspect", "{}/chats.jsonl", "-m", "{}"], 65, "MODEL_NO_CONFIG", "directory"),
    (["inspect", "{}/chats.jsonl", "-m", "some/model"], 2, "MODEL_NOT_HERE", "hf download"),
    (["inspect", "{}/chats.jsonl", "--max-length", "1"], 2, "USAGE", "16"),
    (["inspect", "{}/chats.jsonl", "--problems", "-1"], 2, "USAGE", "--problems"),
    (["inspect", "{}/chats.jsonl", "--max-overlap", "0"], 2, "USAGE", "--held-out"),
    (["inspect", "{}/chats.jsonl", "--no-tokens", "--held-out", "{}/zzzz.dat"], 65, "DATA_FILE_MISSING", "path"),
    (["inspect", "some/dataset"], 69, "HUB_UNREACHABLE", "HF_HUB_OFFLINE"),
    (["inspect", ""], 2, "DATA_WORDS_INVALID", "Name a file"),
    (["rows", "{}/chats.jsonl", "--raw", "--from", "99"], 65, "DATA_ROW_MISSING", "--from"),
    (["rows", "{}/chats.jsonl", "--from", "0"], 2, "USAGE", "--from"),
    (["rows", "{}/chats.jsonl", "--raw", "--tokens"], 2, "USAGE", "not allowed"),
    (["rows", "{}/chats.jsonl", "-m", "../nowhere"], 65, "MODEL_MISSING", "path"),
    (["columns", "{}/plain.txt"], 65, "DATA_NO_COLUMNS", "inspect"),
    (["columns", "{}/chats.jsonl", "--columns", "user=mesages assistant=id"], 2, "DATA_COLUMNS_INVALID", "messages"),
    (["convert", "{}/chats.jsonl"], 2, "USAGE", "--to"),
    (["convert", "{}/chats.jsonl", "--to", "alpacca"], 2, "USAGE", "alpaca"),
    (["convert", "{}/chats.jsonl", "--to", "alpaca", "-m", "demo"], 2, "USAGE", "--to text"),
    (["convert", "{}/chats.jsonl", "--to", "messages", "-o", "{}/out.csv"], 2, "DATA_OUT_NOT_FLAT", "parquet"),
    (["convert", "{}/chats.jsonl", "--to", "text", "-o", "{}/out.jsonl"], 65, "DATA_NOTHING_WRITTEN", "turns in plain text"),
    (["filter", "{}/chats.jsonl"], 2, "DATA_FILTER_INVALID", "--where"),
    (["filter", "{}/chats.jsonl", "--where", "turns >"], 2, "DATA_FILTER_INVALID", "turns >= 2"),
    (["filter", "{}/chats.jsonl", "--where", "trns > 1"], 2, "DATA_FILTER_INVALID", "turns"),
    (["filter", "{}/chats.jsonl", "--where", "scoore > 1", "-o", "{}/out.jsonl"], 2, "DATA_FILTER_INVALID", "score"),
    (["filter", "{}/chats.jsonl", "--where", "open('x')"], 2, "DATA_FILTER_INVALID", "Known are"),
    (["filter", "{}/chats.jsonl", "--min-chars", "x"], 2, "USAGE", "--min-chars"),
    (["filter", "{}/chats.jsonl", "--where", "turns > 9", "-o", "{}/out.jsonl"], 65, "DATA_NOTHING_WRITTEN", "Leave fewer"),
    (["filter", "{}/chats.jsonl", "--percentile", "scoore", "5", "95"], 65, "DATA_COLUMN_MISSING", "score"),
    (["filter", "{}/chats.jsonl", "--percentile", "messages", "5", "95"], 65, "DATA_COLUMN_NO_NUMBERS", "another"),
    (["filter", "{}/chats.jsonl", "--percentile", "score", "95", "5"], 2, "PERCENTILES_INVALID", "5 95"),
    (["filter", "{}/chats.jsonl", "--percentile", "score", "nan", "5"], 2, "PERCENTILES_INVALID", "5 95"),
    (["filter", "{}/chats.jsonl", "--percentile", "score", "5"], 2, "USAGE", "--percentile"),
    (["dedup", "{}/chats.jsonl", "--near", "2"], 2, "USAGE", "0.9"),
    (["dedup", "--near", "{}/chats.jsonl"], 2, "USAGE", "before --near"),
    (["split", "{}/chats.jsonl", "-o", "{}/out.jsonl"], 2, "DATA_OUT_INVALID", "--held-out"),
    (["split", "{}/chats.jsonl", "-o", "{}/out.jsonl", "--held-out", "{}/./out.jsonl"], 2, "DATA_OUT_INVALID", "different"),
    (["split", "{}/chats.jsonl", "-o", "{}/out.jsonl", "--held-out", "{}/there.jsonl"], 2, "DATA_OUT_EXISTS", "another"),
    (["split", "{}/chats.jsonl", "--share", "1.5"], 2, "USAGE", "0.02"),
    (["split", "{}/chats.jsonl", "--share", "0"], 65, "DATA_NOTHING_HELD_OUT", "--share"),
    (["split", "{}/chats.jsonl", "--group-by", "grup"], 65, "DATA_GROUP_MISSING", "group"),
    (["split", "{}/chats.jsonl", "--seed", "-1"], 2, "USAGE", "--seed"),
    (["sample", "{}/chats.jsonl"], 2, "USAGE", "--rows"),
    (["sample", "{}/chats.jsonl", "--rows", "0"], 2, "USAGE", "--rows"),
    (["sample", "{}/chats.jsonl", "--rows", "1", "--share", "0.1"], 2, "USAGE", "not allowed"),
    (["sample", "{}/chats.jsonl", "--share", "nan"], 2, "USAGE", "0.02"),
    (["sample", "{}/chats.jsonl", "--share", "0", "-o", "{}/out.jsonl"], 65, "DATA_NOTHING_WRITTEN", "Leave fewer"),
    (["sort", "{}/chats.jsonl", "--by", "scor"], 65, "DATA_DIFFICULTY_MISSING", "score"),
    (["score", "{}/chats.jsonl", "-m", "some/model"], 2, "MODEL_NOT_HERE", "download"),
    (["score", "{}/chats.jsonl", "-m", "demo", "--batch-size", "0"], 2, "USAGE", "--batch-size"),
    (["overlap", "{}/chats.jsonl"], 2, "USAGE", "HELD_OUT"),
    (["overlap", "{}/chats.jsonl", "{}/zzzz.dat"], 65, "DATA_FILE_MISSING", "path"),
    (["overlap", "{}/chats.jsonl", "demo", "--max-overlap", "2"], 2, "USAGE", "0 to 1"),
    (["fingerprint", "{}/chats.jsonl", "-m", "some/model"], 2, "MODEL_NOT_HERE", "hf download"),
    (["diff", "{}/chats.jsonl"], 2, "USAGE", "B"),
    (["inspcet", "x"], 2, "DATA_ACTION_UNKNOWN", "`backprop data inspect`"),
    (["zzzz"], 2, "DATA_ACTION_UNKNOWN", "fingerprint"),
]  # fmt: skip


@pytest.mark.parametrize("mistake", _MISTAKES, ids=lambda mistake: " ".join(mistake[0]))
def test_a_mistake_is_one_line_with_a_code_and_a_way_out(
    mistake: tuple[list[str], int, str, str], tmp_path: Path, chats: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv, code, name, words = mistake
    write(tmp_path / "there.jsonl", [chat(1)])
    write(tmp_path / "broken.jsonl", ['{"a": oops}'])
    (tmp_path / "plain.txt").write_text("Only words.\n")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    filled = [word.replace("{}", str(tmp_path)) for word in argv]
    assert main(["data", *filled]) == code
    printed, said = capsys.readouterr()
    assert printed == ""
    assert said.startswith(f"{name}: ")
    assert said.count("\n") == 1
    assert words in said
    assert main(["data", *filled, "--json"]) == code
    printed, _ = capsys.readouterr()
    assert json.loads(printed)["error"]["code"] == name
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_every_action_explains_itself(capsys: pytest.CaptureFixture[str]) -> None:
    assert set(_ENOUGH) == set(ACTIONS)
    assert main(["data", "--help"]) == 0
    overview = capsys.readouterr().out
    for action in ACTIONS:
        assert f"\n  {action} " in overview
        assert main(["data", action, "--help"]) == 0
        assert capsys.readouterr().out.startswith(f"usage: backprop data {action}")


def test_every_action_on_real_data_exits_well(chats: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for action, more in _ENOUGH.items():
        if action == "score":
            continue
        assert main(["data", action, str(chats), *more]) == (65 if action == "inspect" else 0), action
        assert len(capsys.readouterr().out.splitlines()) > 2, action
