"""Writing rows in the shapes other tools read, with every skipped row counted."""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from backprop_tui.data.formats import (
    Conversation,
    Message,
    Normalised,
    PlainText,
    Preference,
    PromptOnly,
    ToolCall,
    Unpaired,
)
from backprop_tui.data.writers import TARGETS, Target, Written, write_rows
from backprop_tui.protocol.errors import DataError, UsageError

Q, A, B, S = Message("user", "q"), Message("assistant", "a"), Message("assistant", "b"), Message("system", "s")


ONE = Conversation((Q, A))


LONG = Conversation((S, Q, A, Message("user", "more"), B))


TOOL: dict[str, Any] = {"name": "f", "description": "é"}


CALLED = Conversation(
    (Q, Message("assistant", "", "why", (ToolCall("f", {"x": 1}, "c1"),)), Message("tool", "3", "", (), "f", "c1"), A),
    (TOOL,),
)


PAIR = Preference((Q,), (A,), (B,))


KINDS: list[Normalised] = [ONE, PlainText("words"), PAIR, Unpaired((Q,), (A,), True), PromptOnly((Q,), {"n": 3})]


def written(folder: Path, row: Normalised, target: Target) -> Any:
    out = folder / "out.jsonl"
    write_rows([row], out, target, overwrite=True)
    return json.loads(out.read_text(encoding="utf-8"))


def test_shapes_are_those_other_tools_read(tmp_path: Path) -> None:
    turns = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]
    assert written(tmp_path, ONE, "messages") == {"messages": turns}
    assert written(tmp_path, ONE, "native") == {"messages": turns}
    said = [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}]
    assert written(tmp_path, ONE, "sharegpt") == {"conversations": said}
    assert written(tmp_path, ONE, "alpaca") == {"instruction": "q", "input": "", "output": "a"}
    assert written(tmp_path, LONG, "alpaca") == {
        "instruction": "more", "input": "", "output": "b", "system": "s", "history": [["q", "a"]],
    }  # fmt: skip
    assert written(tmp_path, ONE, "prompt-completion") == {"prompt": turns[:1], "completion": turns[1:]}
    assert written(tmp_path, ONE, "chatml") == {
        "text": "<|im_start|>user\nq<|im_end|>\n<|im_start|>assistant\na<|im_end|>\n"
    }
    assert written(tmp_path, PlainText("words"), "text") == {"text": "words"}
    assert written(tmp_path, PAIR, "native") == {
        "prompt": turns[:1], "chosen": turns[1:], "rejected": [{"role": "assistant", "content": "b"}],
    }  # fmt: skip
    assert written(tmp_path, KINDS[3], "native") == {"prompt": turns[:1], "completion": turns[1:], "label": True}
    assert written(tmp_path, KINDS[4], "native") == {"prompt": turns[:1], "n": 3}


def test_tools_are_written_as_their_readers_expect(tmp_path: Path) -> None:
    row = written(tmp_path, CALLED, "messages")
    assert row["tools"] == [TOOL]
    assert row["messages"][1] == {
        "role": "assistant",
        "content": "",
        "reasoning_content": "why",
        "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"x":1}'}}],
    }
    assert row["messages"][2] == {"role": "tool", "content": "3", "name": "f", "tool_call_id": "c1"}
    row = written(tmp_path, CALLED, "sharegpt")
    assert json.loads(row["tools"]) == [TOOL]
    assert (row["conversations"][1]["from"], row["conversations"][2]["from"]) == ("gpt", "observation")
    bare = Conversation((Q, Message("assistant", "", "", (ToolCall("f", {"x": 1}),))), (TOOL,))
    assert written(tmp_path, bare, "sharegpt")["conversations"][1] == {
        "from": "function_call", "value": '{"name":"f","arguments":{"x":1}}',
    }  # fmt: skip


def test_every_skipped_row_is_counted_by_reason(tmp_path: Path) -> None:
    rows: list[Normalised] = [
        *KINDS, LONG, CALLED, Conversation((Q, A, Q)), Conversation((Q, Message("assistant", "a", "why"))),
        Conversation((Q, Message("assistant", "a<|im_end|>"))), Conversation((Message("user", "q", name="Ann"), A)),
    ]  # fmt: skip
    done = write_rows(rows, tmp_path / "x.jsonl", "alpaca")
    assert done.rows == 3
    assert done.skipped == {
        "plain text": 1, "preference pair": 1, "labelled answer": 1, "prompt without answer": 1, "tool calls": 1,
        "turn order": 1, "separate reasoning": 1, "names of turns": 1,
    }  # fmt: skip
    done = write_rows(rows, tmp_path / "x.csv", "prompt-completion")
    assert done.rows == 2
    assert done.skipped["several turns"] == 1
    assert done.skipped["tools"] == 1
    done = write_rows(rows, tmp_path / "y.jsonl", "chatml")
    assert (done.rows, done.skipped["control tokens in text"]) == (3, 1)
    done = write_rows(rows, tmp_path / "z.jsonl", "native")
    assert (done.rows, done.skipped) == (len(rows), {})
    assert json.loads(json.dumps(done.to_dict())) == done.to_dict()


def test_less_usual_rows_are_not_bent_into_shape(tmp_path: Path) -> None:
    odd = Conversation((Message("user", "", "", (ToolCall("f", {}),)), A))
    turn = written(tmp_path, odd, "sharegpt")["conversations"][0]
    assert (turn["from"], turn["value"], len(turn["tool_calls"])) == ("human", "", 1)
    answered = Conversation((Q, A, Message("tool", "3", tool_call_id="c1"), A))
    done = write_rows([ONE, answered], tmp_path / "x.jsonl", "chatml")
    assert done.skipped == {"tool calls": 1}
    taken: list[Normalised] = [PromptOnly((Q,), {name: "x"}) for name in ("prompt", "system", "tools", "functions")]
    done = write_rows([PAIR, *taken], tmp_path / "y.jsonl", "native")
    assert done.skipped == {"column name taken": 4}


def test_pairs_and_labels_become_conversations_when_asked(tmp_path: Path) -> None:
    rows: list[Normalised] = [PAIR, Unpaired((Q,), (A,), True), Unpaired((Q,), (B,), False)]
    wanted, unwanted = [{"conversation": "a"}] * 2, [{"conversation": "b"}] * 2
    for prefer, expected, lost in (("chosen", wanted, "unwanted answer"), ("rejected", unwanted, "wanted answer")):
        out = tmp_path / f"{prefer}.jsonl"
        done = write_rows(rows, out, "messages", prefer=prefer)  # type: ignore[arg-type]
        lines = [json.loads(line) for line in out.read_text().splitlines()]
        assert [{"conversation": line["messages"][-1]["content"]} for line in lines] == expected
        assert done.skipped == {lost: 1}


def test_conversations_become_text_only_through_a_template(tmp_path: Path) -> None:
    with pytest.raises(DataError) as error:
        write_rows([ONE], tmp_path / "x.jsonl", "text")
    assert error.value.detail == {"skipped": {"turns in plain text": 1}}
    write_rows([ONE], tmp_path / "x.jsonl", "text", render=lambda row: f"{len(row.messages)} turns")
    assert json.loads((tmp_path / "x.jsonl").read_text()) == {"text": "2 turns"}


def test_a_table_of_text(tmp_path: Path) -> None:
    tricky = Conversation((Message("user", 'a "b",\n; c'), Message("assistant", " NA")))
    write_rows([tricky, ONE], tmp_path / "x.csv", "alpaca")
    with (tmp_path / "x.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert rows[0] == {"instruction": 'a "b",\n; c', "input": "", "output": " NA", "system": ""}
    done = write_rows([ONE, PlainText("x")], tmp_path / "y.csv", "alpaca")
    assert done.skipped == {"plain text": 1}
    rows_with_breaks: list[Normalised] = [PlainText("a\rb"), PlainText("a\x00b"), PlainText("ab")]
    done = write_rows(rows_with_breaks, tmp_path / "z.csv", "text")
    assert done.skipped == {"carriage return in a table": 1, "NUL in a table": 1}


def test_gzip_holds_the_same_and_is_the_same_each_time(tmp_path: Path) -> None:
    for ending in ("jsonl", "csv"):
        plain, packed, again = (
            tmp_path / f"{name}.{ending}{gz}" for name, gz in (("a", ""), ("b", ".gz"), ("c", ".gz"))
        )
        for out in (plain, packed, again):
            write_rows([ONE] * 50, out, "alpaca")
        assert gzip.decompress(packed.read_bytes()) == plain.read_bytes()
        assert packed.read_bytes() == again.read_bytes()
        assert packed.read_bytes()[3:8] == bytes(5)  # neither a name nor the time of writing


def test_parquet_keeps_one_kind_and_reads_elsewhere(tmp_path: Path) -> None:
    from pyarrow import parquet

    rows: list[Normalised] = [PAIR, ONE, PAIR, PromptOnly((Q,), {"chosen": "x", "rejected": "y"})]
    done = write_rows(rows, tmp_path / "x.parquet", "native")
    assert (done.rows, done.skipped) == (2, {"other kind of row in one table": 2})
    table = parquet.read_table(tmp_path / "x.parquet")
    assert table.column_names == ["prompt", "chosen", "rejected", "tools"]
    assert done.bytes == (tmp_path / "x.parquet").stat().st_size
    prompts: list[Normalised] = [PromptOnly((Q,), {"x": text}) for text in ("3", None)]
    rows = [*prompts, PromptOnly((Q,)), PromptOnly((Q,), {"x": "4", "y": "5"}), PromptOnly((Q,), {"x": 4})]
    done = write_rows(rows, tmp_path / "p.parquet", "native")
    assert done.skipped == {"other kind of row in one table": 2, "columns that are not text": 1}
    many = [ONE] * 2500 + [CALLED]
    assert write_rows(many, tmp_path / "y.parquet", "messages").rows == 2501
    table = parquet.read_table(tmp_path / "y.parquet")
    assert table.num_rows == 2501
    assert json.loads(table["tools"][2500].as_py()) == [TOOL]
    assert parquet.ParquetFile(tmp_path / "y.parquet").num_row_groups > 1


def test_unknown_targets_and_endings_are_refused_at_once(tmp_path: Path) -> None:
    def never() -> Iterator[Normalised]:
        raise AssertionError("no row is read before the file's name is known to be usable")
        yield ONE

    for name, target, code in (
        ("x.jsonl", "yaml", "DATA_TARGET_UNKNOWN"),
        ("x.xlsx", "messages", "DATA_OUT_KIND"),
        ("x", "messages", "DATA_OUT_KIND"),
        ("x.parquet.gz", "messages", "DATA_OUT_KIND"),
        ("x.csv", "messages", "DATA_OUT_NOT_FLAT"),
        ("x.csv", "native", "DATA_OUT_NOT_FLAT"),
        ("no/x.jsonl", "messages", "DATA_OUT_FOLDER"),
        ("a\x00b.jsonl", "messages", "DATA_OUT_FOLDER"),
        (f"{'x' * 300}.jsonl", "messages", "DATA_OUT_FOLDER"),
    ):
        with pytest.raises(UsageError) as error:
            write_rows(never(), tmp_path / name, target)  # type: ignore[arg-type]
        assert error.value.code == code
    assert list(tmp_path.iterdir()) == []
    assert set(TARGETS) >= {"messages", "alpaca", "sharegpt", "text", "prompt-completion", "chatml"}


def test_result_counts_every_row(tmp_path: Path) -> None:
    done = write_rows(KINDS, tmp_path / "x.jsonl", "messages")
    assert done == Written(tmp_path / "x.jsonl", "messages", 1, done.skipped, (tmp_path / "x.jsonl").stat().st_size)
    assert done.rows + sum(done.skipped.values()) == len(KINDS)
    surrogate = Conversation((Q, Message("assistant", "\ud800")))
    deep: Any = {}
    for _ in range(100_000):
        deep = {"x": deep}
    assert write_rows([ONE, surrogate], tmp_path / "y.jsonl", "messages").skipped == {"broken character": 1}
    done = write_rows([ONE, Conversation((Q, A), (deep,))], tmp_path / "z.jsonl", "messages")
    assert done.skipped == {"nested too deeply": 1}
    while deep:
        deep = deep.pop("x")
