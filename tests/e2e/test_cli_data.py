"""`backprop data …` making files, from outside: real files, the real command, what is printed, written and refused."""

from __future__ import annotations

import gzip
import json
import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.support.data_cli import chat, data, facts, lines, write
from tests.support.terminal import BACKPROP, Terminal


def test_a_filter_keeps_rows_byte_for_byte_and_counts_the_others(tmp_path: Path, chats: Path) -> None:
    out = tmp_path / "out.jsonl"
    done = facts("filter", chats, "-o", out, "--where", "score >= 2 or id == 3", "--min-turns", "2", "--must-answer")
    assert done["filter"] == "(score >= 2 or id == 3) and turns >= 2 and (has_answer or turns == 0)"
    assert done["rows"] == done["kept"] + sum(done["dropped"].values()) == 23
    assert done["dropped"] == {"left out by the filter": 3, "damaged": 1, "unknown format": 1}
    assert done["out"] == {"file": str(out), "rows": 18, "bytes": out.stat().st_size}
    before = lines(chats)
    assert lines(out) == [before[3], *before[4:20], before[22]]


@pytest.mark.parametrize(
    ("options", "kept"),
    [
        (["--min-chars", "20"], 2), (["--max-chars", "20"], 2), (["--min-turns", "3"], 1), (["--max-turns", "2"], 3),
        (["--must-answer"], 3), (["--min-answer-chars", "10"], 2), (["--max-chars", "0"], 0),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)  # fmt: skip
def test_questions_of_quality_have_options(options: list[str], kept: int, tmp_path: Path) -> None:
    ask, tell = {"role": "user", "content": "Why?"}, {"role": "assistant", "content": "Because I say so."}
    rows = [
        {"messages": [ask, tell]},
        {"messages": [ask, tell, ask, tell]},
        {"messages": [ask, {"role": "assistant", "content": "No."}]},
        {"prompt": "Will you?"},
    ]
    rows[1]["messages"].append({"role": "user", "content": "And then?"})
    file = write(tmp_path / "a.jsonl", rows)
    done = facts("filter", file, *options)
    assert done["kept"] == kept
    assert done["out"] == {"file": None, "rows": kept, "bytes": None}
    assert list(tmp_path.iterdir()) == [file]


def test_extremes_of_a_score_are_left_out_on_both_sides(tmp_path: Path) -> None:
    rows = [chat(n, score=float(n)) for n in range(20)] + [chat(20), chat(21, score="inf"), chat(22, score="x")]
    file, out = write(tmp_path / "a.jsonl", rows), tmp_path / "out.jsonl"
    done = facts("filter", file, "-o", out, "--percentile", "score", "10", "90")
    assert done["dropped"] == {"below the percentile": 2, "above the percentile": 2}
    assert (done["percentile"]["low"], done["percentile"]["high"], done["percentile"]["unscored"]) == (2.0, 18.0, 2)
    assert [json.loads(line)["id"] for line in lines(out)] == [*range(2, 19), 20, 22]
    done = facts("filter", file, "--percentile", "score", "10", "90", "--need-number", "--where", "id > 0")
    assert done["dropped"]["no number in the column"] == 2
    assert done["dropped"]["left out by the filter"] == 1


def test_repeated_rows_are_left_out(tmp_path: Path, chats: Path) -> None:
    out = tmp_path / "out.jsonl"
    done = facts("dedup", chats, "-o", out)
    assert done["dropped"] == {"exact duplicate": 1, "damaged": 1, "unknown format": 1}
    assert lines(out) == lines(chats)[:20]
    long = "The quick brown fox jumps over the lazy dog while the sun is going down behind the hills. " * 3
    file = write(
        tmp_path / "near.jsonl", [{"text": long}, {"text": long + "Yes."}, {"text": "Something else entirely."}]
    )
    assert facts("dedup", file)["kept"] == 3
    done = facts("dedup", file, "--near")
    assert (done["near"], done["dropped"]) == (0.9, {"near duplicate": 1})
    assert facts("dedup", file, "--near", "1")["kept"] == 3


def test_a_split_is_disjoint_follows_groups_and_can_be_repeated(tmp_path: Path, chats: Path) -> None:
    train, held = tmp_path / "train.jsonl", tmp_path / "held.jsonl"
    argv = ["split", chats, "-o", train, "--held-out", held, "--share", "0.3", "--group-by", "group"]
    done = facts(*argv)
    assert done["out"]["rows"] + done["held_out"]["rows"] == done["kept"] == 21
    groups = [{json.loads(line)["group"] for line in lines(path)} for path in (train, held)]
    assert not groups[0] & groups[1]
    assert len(groups[1]) in (1, 2)
    assert set(lines(train)) | set(lines(held)) == {*lines(chats)[:20], lines(chats)[22]}
    first = held.read_text()
    assert facts(*argv, "--force")["held_out"] == done["held_out"]
    assert held.read_text() == first
    assert facts("split", chats, "--share", "0.3", "--seed", "1")["out"]["file"] is None
    assert facts("overlap", train, held)["exact"] == 0


def test_the_split_is_the_one_a_run_makes(tmp_path: Path) -> None:
    from backprop_tui.data.finding.places import resolve
    from backprop_tui.data.selection import scan, select
    from backprop_tui.protocol.spec import DataPart, RunSpec

    file = write(tmp_path / "a.jsonl", [chat(n) for n in range(100)])
    held = tmp_path / "held.jsonl"
    assert data("split", file, "-o", tmp_path / "train.jsonl", "--held-out", held)[0] == 0
    part = DataPart(path=str(file))
    chosen = select(scan(resolve(str(file)), part), part, RunSpec().optim.seed)
    assert [json.loads(line)["id"] for line in lines(held)] == list(chosen.held)


def test_samples_are_nested_and_packed_if_the_name_says_so(tmp_path: Path, chats: Path) -> None:
    small, large = tmp_path / "small.jsonl.gz", tmp_path / "large.jsonl"
    done = facts("sample", chats, "-o", small, "--rows", "4")
    assert done["dropped"]["not drawn"] == 17
    assert facts("sample", chats, "-o", large, "--share", "0.5")["kept"] == 11
    drawn = gzip.decompress(small.read_bytes()).decode().splitlines()
    assert set(drawn) < set(lines(large)) < set(lines(chats))
    again = small.read_bytes()
    assert data("sample", chats, "-o", small, "--rows", "4", "--force")[0] == 0
    assert small.read_bytes() == again
    assert facts("sample", chats, "--rows", "4", "--seed", "7")["seed"] == 7


@pytest.mark.parametrize("kind", ["jsonl", "jsonl.gz", "csv", "txt", "two files"])
def test_rows_of_any_file_are_put_in_any_order(kind: str, tmp_path: Path) -> None:
    texts = [f"text number {n} {'x' * (n * 7 % 11)}" for n in range(30)]
    file = tmp_path / f"a.{kind}"
    words = str(file)
    if kind == "csv":
        file.write_text("text,n\n" + "".join(f"{text},NA\n" for text in texts))
    elif kind == "txt":
        file.write_text("\n\n".join(texts))
    elif kind == "two files":
        write(tmp_path / "1.jsonl", [{"text": text} for text in texts[:20]])
        (tmp_path / "2.jsonl.gz").write_bytes(
            gzip.compress("".join(f'{{"text":"{t}"}}\n' for t in texts[20:]).encode())
        )
        words = f"{tmp_path / '1.jsonl'} + {tmp_path / '2.jsonl.gz'}"
    else:
        content = "".join(f'{{"text": "{text}"}}\n' for text in texts).encode()
        file.write_bytes(gzip.compress(content) if kind.endswith("gz") else content)
    out = tmp_path / "out" / "sorted.jsonl"
    out.parent.mkdir()
    assert facts("sort", words, "-o", out)["by"] == "length"
    rows = [json.loads(line) for line in lines(out)]
    assert sorted(row["text"] for row in rows) == sorted(texts)
    assert [len(row["text"]) for row in rows] == sorted(map(len, texts))
    assert all(row.get("n", "NA") == "NA" for row in rows)
    mixed = tmp_path / "out" / "mixed.jsonl"
    done = facts("shuffle", words, "-o", mixed)
    assert sorted(lines(mixed)) == sorted(lines(out))
    assert lines(mixed) != lines(out)
    # The order follows from the contents: what was sorted before is shuffled into the same order.
    again = tmp_path / "out" / "again.jsonl"
    assert facts("shuffle", out, "-o", again, "--seed", str(done["seed"]))["kept"] == 30
    assert lines(again) == lines(mixed)
    assert sorted(path.name for path in out.parent.iterdir()) == ["again.jsonl", "mixed.jsonl", "sorted.jsonl"]


def test_rows_are_sorted_by_words_and_by_columns(tmp_path: Path) -> None:
    rows = [chat(n, score=[3, "0.5", 2][n]) for n in range(3)]
    file, out = write(tmp_path / "a.jsonl", ["{broken", *rows]), tmp_path / "out.jsonl"
    assert facts("sort", file, "-o", out, "--by", "score")["dropped"] == {"damaged": 1}
    assert [json.loads(line)["id"] for line in lines(out)] == [1, 2, 0]
    assert facts("sort", file, "--by", "words")["kept"] == 3
    write(file, ["{broken", *rows, chat(4)])
    code, _, said = data("sort", file, "--by", "score")
    assert code == 65
    # Named by its number in the file, where the broken row counts.
    assert "row 5" in said


def test_rows_are_converted_unchanged_or_counted(tmp_path: Path, chats: Path) -> None:
    out = tmp_path / "out.jsonl"
    done = facts("convert", chats, "--to", "alpaca", "-o", out)
    assert done["kept"] == done["out"]["rows"] == 21
    assert json.loads(lines(out)[0]) == {"instruction": "What is 0?", "input": "", "output": "It is 0."}
    back = tmp_path / "back.parquet"
    assert facts("convert", out, "--to", "messages", "-o", back)["kept"] == 21
    assert facts("diff", chats, back)["rows"]["common"] == 21
    pair = {"prompt": "Hm?", "chosen": "Good.", "rejected": "Bad."}
    pairs = write(tmp_path / "pairs.jsonl", [pair, {"prompt": "Hm?", "completion": "So.", "label": False}])
    assert facts("convert", pairs, "--to", "sharegpt")["dropped"] == {"preference pair": 1, "labelled answer": 1}
    done = facts("convert", pairs, "--to", "sharegpt", "-o", out, "--prefer", "chosen", "--force")
    assert done["dropped"] == {"unwanted answer": 1}
    assert json.loads(lines(out)[0])["conversations"][1] == {"from": "gpt", "value": "Good."}
    assert facts("convert", pairs, "--to", "messages", "--prefer", "rejected")["kept"] == 2
    assert facts("convert", pairs, "--to", "native", "--prefer", "rejected")["kept"] == 2


def test_conversations_become_text_by_a_template(tmp_path: Path, chats: Path) -> None:
    out = tmp_path / "out.jsonl"
    code, _, said = data("convert", chats, "--to", "text")
    assert code == 0
    assert "-m MODEL" in said
    assert facts("convert", chats, "--to", "text", "-m", "demo", "-o", out)["kept"] == 21
    text = json.loads(lines(out)[0])["text"]
    assert text.index("user") < text.index("What is 0?") < text.index("It is 0.")


@pytest.mark.train
def test_scores_are_added_to_rows_and_serve_the_other_actions(tmp_path: Path) -> None:
    file = write(tmp_path / "a.jsonl", [chat(n, extra=n) for n in range(6)] + ["{", chat(7, tokens="mine")])
    out = tmp_path / "out.jsonl"
    code, printed, said = data(
        "score", file, "-m", "demo", "-o", out, "--max-length", "64", "--batch-size", "2", "--device", "cpu", "--json"
    )
    assert code == 0, said
    done = json.loads(printed)
    assert (done["kept"], done["dropped"], done["scores"]["scored"]) == (7, {"damaged": 1}, 7)
    rows = [json.loads(line) for line in lines(out)]
    assert [row["id"] for row in rows] == [0, 1, 2, 3, 4, 5, 7]
    assert all(row["perplexity"] > 1 and row["nll"] > 0 and row["tokens"] > 1 for row in rows)
    assert rows[4]["extra"] == 4
    assert "1 row had a column" in said
    everything = facts("score", file, "-m", "demo", "--what", "everything")
    assert everything["out"]["file"] is None
    order = tmp_path / "order.jsonl"
    assert facts("sort", out, "-o", order, "--by", "perplexity")["kept"] == 7
    assert [json.loads(line)["perplexity"] for line in lines(order)] == sorted(row["perplexity"] for row in rows)
    assert facts("filter", out, "--percentile", "perplexity", "20", "80")["kept"] == 5


def test_a_file_is_replaced_only_when_that_is_said(tmp_path: Path, chats: Path) -> None:
    out = write(tmp_path / "out.jsonl", ["precious"])
    assert data("dedup", chats, "-o", out)[0] == 2
    assert lines(out) == ["precious"]
    assert data("dedup", chats, "-o", out, "--dry-run", "--force")[0] == 0
    assert lines(out) == ["precious"]
    assert data("dedup", chats, "-o", out, "--force")[0] == 0
    assert len(lines(out)) == 20
    link = tmp_path / "link.jsonl"
    link.symlink_to(chats)
    code, _, said = data("dedup", link, "-o", chats, "--force")
    assert code == 2
    assert said.startswith("DATA_OUT_IS_INPUT")


def test_weights_are_said_to_count_for_nothing(tmp_path: Path, chats: Path) -> None:
    code, printed, said = data("dedup", f"2x {chats}", "--json")
    assert code == 0
    assert json.loads(printed)["rows"] == 23
    assert "every row counts once" in said


def _many(path: Path) -> Path:
    words = "the quick brown fox jumps over the lazy dog and runs away from it over the hills again"
    with path.open("w") as file:
        for number in range(12_000):
            file.write(json.dumps({"text": f"{number} {words} {number * 7919} {words[number % 40 :]} {number}"}) + "\n")
    return path


def test_an_interrupt_leaves_no_trace(tmp_path: Path) -> None:
    file, folder = _many(tmp_path / "many.jsonl"), tmp_path / "out"
    folder.mkdir()
    argv = [BACKPROP, "data", "dedup", str(file), "--near", "-o", str(folder / "out.jsonl")]
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        while not (begun := list(folder.iterdir())):
            assert process.poll() is None
            os.sched_yield()
        assert begun[0].name.startswith(".out.jsonl.")
        process.send_signal(signal.SIGINT)
        printed, said = process.communicate(timeout=30)
    finally:
        process.kill()
    assert (process.returncode, printed, said) == (130, "", "")
    assert list(folder.iterdir()) == []


@pytest.mark.pty
def test_what_takes_long_shows_how_far_it_is_and_takes_that_away_again(tmp_path: Path) -> None:
    file = _many(tmp_path / "many.jsonl")
    with Terminal([BACKPROP, "data", "dedup", str(file), "--near"], columns=80, rows=12) as terminal:
        terminal.wait_for(r"reading +\d.* of \d.* \d+ %", timeout=60)
        shown = terminal.wait_for("Nothing was written", timeout=120)
        assert terminal.wait() == 0
    assert "reading" not in shown
    assert "kept" in shown
