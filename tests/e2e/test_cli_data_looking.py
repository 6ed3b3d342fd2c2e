"""`backprop data` looking at files: inspect, show, overlap, fingerprint and diff, from outside."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.data_cli import chat, data, facts, lines, write
from tests.support.terminal import BACKPROP, Terminal, backprop

EVIL = "\x1b]0;owned\x07 ⟦all trained⟧ \u202e"


def test_the_word_for_inspecting_may_be_left_out(chats: Path) -> None:
    code, printed, said = data(chats)
    assert (code, said) == (65, "")
    assert data("inspect", chats)[1] == printed
    words = backprop("data", "--json", str(chats), "--no-tokens")
    assert json.loads(words.stdout)["rows"] == 23


def test_inspecting_tells_everything_and_decides_by_its_exit_code(tmp_path: Path, chats: Path) -> None:
    found = facts("inspect", chats, "-m", "demo", code=65)
    assert found["rows"] == found["kept"] + sum(found["dropped"].values()) == 23
    assert found["dropped"] == {"damaged": 1, "unknown format": 1}
    assert (found["formats"], found["duplicates"], found["verdict"]) == ({"messages": 21}, 1, "bad")
    assert found["tokens"]["total"] > found["trained_tokens"] > 0
    assert found["packing"]["rows_per_sequence"] > 1
    problem = next(problem for problem in found["problems"] if problem["severity"] == "error")
    assert (problem["line"], problem["code"]) == (21, "DATA_LINE_NOT_JSON")
    assert problem["column"]
    assert problem["value"]
    _, printed, _ = data("inspect", chats)
    assert "line 21 column" in printed
    assert "21 kept of 23" in printed
    good = write(tmp_path / "good.jsonl", [chat(n, f"Write to me{n}@corp.com, please.") for n in range(3)])
    code, printed, _ = data("inspect", good, "--no-tokens")
    assert code == 0
    assert "email 3 (rows)" in printed
    assert "corp.com" not in printed
    assert "tokens" not in printed
    assert facts("inspect", good, "--max-length", "16")["cut_rows"] == 3


def test_problems_are_shown_as_many_as_asked_for(tmp_path: Path) -> None:
    broken = write(tmp_path / "broken.jsonl", [chat(0), *["{" for _ in range(15)]])
    for asked, shown, more in (((), 10, "5 more"), (("--problems", "2"), 2, "13 more"), (("--problems", "0"), 15, "")):
        code, printed, _ = data("inspect", broken, "--no-tokens", *asked)
        assert code == 65
        assert printed.count("DATA_LINE_NOT_JSON") == shown
        assert (f"… and {more} problems" in printed) is bool(more)


def test_several_files_and_what_is_passed_over_are_named(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    folder.mkdir()
    write(folder / "a.jsonl", [chat(1)])
    write(folder / "b.jsonl", [chat(2), "{"])
    (folder / "c.jsonl").symlink_to("/etc/passwd")
    found = facts("inspect", folder, "--no-tokens", code=65)
    assert [(file["name"], file["rows"], file["kept"]) for file in found["files"]] == [
        ("a.jsonl", 1, 1),
        ("b.jsonl", 2, 1),
    ]
    assert [entry["file"].rsplit("/", 1)[-1] for entry in found["skipped"]] == ["c.jsonl"]
    assert found["problems"][0]["file"] == "b.jsonl"
    _, printed, _ = data("inspect", folder, "--no-tokens")
    assert "b.jsonl line 2" in printed
    assert "not read" in printed


def test_columns_and_formats_can_be_said(tmp_path: Path) -> None:
    table = tmp_path / "table.csv"
    table.write_text("ask,reply,extra\nwhat?,that.,NA\nwho?,them.,\n")
    assert facts("inspect", table, "--no-tokens", code=65)["dropped"] == {"unknown format": 2}
    mapped = facts("inspect", table, "--no-tokens", "--columns", "user=ask assistant=reply")
    assert mapped["formats"] == {"columns": 2}
    shown = facts("columns", table)
    assert [(c["name"], c["filled"], c["share"], c["example"]) for c in shown["columns"]] == [
        ("ask", 2, 1.0, "what?"),
        ("reply", 2, 1.0, "that."),
        ("extra", 1, 0.5, "NA"),
    ]
    assert shown["mapping"] == "user=ask assistant=reply"
    assert "user=ask assistant=reply" in data("columns", table)[1]
    text = write(tmp_path / "text.jsonl", [{"text": "a"}, {"text": "b"}])
    assert facts("inspect", text, "--no-tokens", "--format", "alpaca", code=65)["kept"] == 0


def test_rows_show_what_is_trained_and_nothing_of_them_acts(tmp_path: Path) -> None:
    file = write(tmp_path / "evil.jsonl", [chat(1, EVIL), "{oops", chat(3)])
    code, printed, said = data("rows", file, "-m", "demo")
    assert (code, said) == (0, "")
    assert not [sign for sign in printed if sign != "\n" and not sign.isprintable()]
    first = printed.split("row 2")[0]
    # Marks of ours come in pairs around the answer; the row's own are shown by their numbers.
    assert first.count("⟦") == first.count("⟧") == 1
    assert "\\u27e6all trained\\u27e7" in first.partition("⟦")[2].partition("⟧")[0]
    assert "What is 1?" in first.partition("⟦")[0]
    assert "DATA_LINE_NOT_JSON" in printed
    shown = [json.loads(line) for line in data("rows", file, "-m", "demo", "--json")[1].splitlines()]
    assert [row["row"] for row in shown] == [1, 2, 3]
    assert "".join(piece["text"] for piece in shown[0]["pieces"] if piece["kind"] == "trained").startswith(EVIL[:20])
    assert shown[1]["problem"]["code"] == "DATA_LINE_NOT_JSON"
    assert shown[2]["tokens"] > shown[2]["trained"] > 0
    plain = data("rows", file, "--raw", "--from", "2", "--count", "1")[1]
    assert plain.rstrip().splitlines()[-1] == "{oops"
    assert "[[" in data("rows", file, "--from", "3", BACKPROP_ASCII="1")[1]
    cut = [json.loads(line) for line in data("rows", file, "--json", "--max-length", "16")[1].splitlines()]
    assert cut[0]["cut"] > 0
    assert cut[0]["tokens"] == 16


def test_rows_show_tokens(tmp_path: Path) -> None:
    file = write(tmp_path / "a.jsonl", [chat(1)])
    row = json.loads(data("rows", file, "--tokens", "--json")[1])
    assert len(row["token_list"]) == row["tokens"]
    assert sum(token["trained"] for token in row["token_list"]) == row["trained"]
    table = data("rows", file, "--tokens")[1].splitlines()
    assert sum(" + " in line for line in table) == row["trained"]


@pytest.mark.pty
def test_trained_text_has_a_colour_on_a_terminal(tmp_path: Path) -> None:
    file = write(tmp_path / "a.jsonl", [chat(1)])
    with Terminal([BACKPROP, "data", "rows", str(file)], columns=100, rows=20) as terminal:
        terminal.wait_for("It is 1")
        assert terminal.wait() == 0
    assert b"\x1b[32mIt is 1." in terminal.raw
    assert "⟦".encode() not in terminal.raw


def test_overlap_is_found_and_gates(tmp_path: Path) -> None:
    train = write(tmp_path / "train.jsonl", [chat(n) for n in range(10)])
    held = write(tmp_path / "held.jsonl", [chat(2), chat(5, "Another answer."), chat(99)])
    found = facts("overlap", train, held)
    assert (found["rows"], found["exact"], found["prompts"], found["share"]) == (10, 1, 1, 0.2)
    assert found["examples"][0] == {"row": 3, "file": "train.jsonl", "line": 3, "kind": "exact"}
    assert facts("overlap", train, held, "--max-overlap", "0.2")["exceeded"] is False
    assert facts("overlap", train, held, "--max-overlap", "0.1", code=65)["exceeded"] is True
    code, printed, _ = data("inspect", train, "--no-tokens", "--held-out", held, "--max-overlap", "0")
    assert code == 65
    assert "2 rows (20 %) are held out as well" in printed
    assert "train.jsonl line 3" in printed
    assert facts("inspect", train, "--no-tokens", "--held-out", held)["overlap"]["overlapping"] == 2


def test_fingerprints_and_differences(tmp_path: Path, chats: Path) -> None:
    first = facts("fingerprint", chats)
    code, printed, _ = data("fingerprint", chats)
    assert code == 0
    assert printed.splitlines()[0] == first["id"]
    moved = tmp_path / "moved.jsonl"
    chats.rename(moved)
    assert facts("fingerprint", moved)["id"] == first["id"]
    assert facts("fingerprint", moved, "--seed", "3")["id"] != first["id"]
    with_model = facts("fingerprint", moved, "-m", "demo")
    assert with_model["tokenizer"]
    assert with_model["train"]["tokens"] > 0
    assert "template" in data("fingerprint", moved, "-m", "demo")[1]
    kept = tmp_path / "then.json"
    kept.write_text(json.dumps(first))
    assert facts("diff", kept, moved, "--check")["same"] is True
    newer = write(tmp_path / "newer.jsonl", [*lines(moved)[1:], chat(77)])
    found = facts("diff", kept, newer, "--check", code=65)
    assert (found["rows"]["added"], found["rows"]["removed"]) == (1, 1)
    code, printed, _ = data("diff", moved, newer)
    assert code == 0
    assert "+ newer.jsonl line" in printed
    assert "- moved.jsonl line 1: " in printed
    assert facts("diff", moved, newer, "--format", "messages")["rows"]["added"] == 1
