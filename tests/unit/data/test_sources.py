"""Files as people really have them, and files that are out to break the reader."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path
from typing import Any

import pytest

from backprop_tui.data.readers import files, json_window
from backprop_tui.data.sources import EXTENSIONS, Row, check_source, read_rows
from backprop_tui.protocol.errors import DataError

ROWS = [{"question": f"q{n} \u00e9\u2028", "answer": "a\nb" * (n % 5) + "."} for n in range(300)]
CHAT = {"messages": [{"role": "user", "content": "x"}]}


def values(path: Path) -> list[Any]:
    return [row.value for row in read_rows(path)]


def problems(path: Path) -> list[tuple[str, int | None]]:
    return [(row.problem.code, row.problem.line) for row in read_rows(path) if row.problem]


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


@pytest.mark.parametrize("breaks", ["\n", "\r\n"])
@pytest.mark.parametrize("bom", ["", "\ufeff"])
@pytest.mark.parametrize("last", [True, False])
def test_json_lines(breaks: str, bom: str, last: bool, tmp_path: Path) -> None:
    lines = breaks.join(json.dumps(row, ensure_ascii=False) for row in ROWS)
    path = write(tmp_path / "x.jsonl", bom + lines + (breaks if last else ""))
    rows = list(read_rows(path))
    assert [row.value for row in rows] == ROWS
    assert [row.line for row in rows] == list(range(1, 301))
    assert rows[-1].end == path.stat().st_size


def test_json_lines_can_be_entered_at_any_row(tmp_path: Path) -> None:
    path = write(tmp_path / "x.jsonl", "\n\n".join(json.dumps(row) for row in ROWS))
    middle = list(read_rows(path))[137]
    assert middle.start is not None
    assert middle.line is not None
    again = next(read_rows(path, start=middle.start, line=middle.line, index=137))
    assert again == middle


@pytest.mark.parametrize("indent", [None, 2])
def test_json_array_is_read_in_pieces(indent: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "x.json", "\ufeff" + json.dumps(ROWS, indent=indent, ensure_ascii=False))
    monkeypatch.setattr(json_window, "_CHUNK", 7)
    rows = list(read_rows(path))
    assert [row.value for row in rows] == ROWS
    text = path.read_text("utf-8-sig").split("\n")
    if indent:
        assert all("{" in text[(row.line or 0) - 1] for row in rows)
    assert rows[-1].end <= path.stat().st_size


def test_numbers_are_not_torn_between_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_window, "_CHUNK", 1)
    assert values(write(tmp_path / "x.json", "[1234, 5.25, -3]")) == [1234, 5.25, -3]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (json.dumps({"version": 1, "data": ROWS[:3]}), ROWS[:3]),
        ("\n".join(json.dumps(row) for row in ROWS[:3]), ROWS[:3]),
        (json.dumps(ROWS[0]), ROWS[:1]),
        ("[]", []),
        (json.dumps(CHAT, indent=1), [CHAT]),
    ],
    ids=["nested list", "lines under the wrong name", "one object", "empty array", "one chat"],
)  # fmt: skip
def test_json_shapes(content: str, expected: list[Any], tmp_path: Path) -> None:
    assert values(write(tmp_path / "x.json", content)) == expected


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.jsonl", '{"a":1}\n{"a":\n{"a":2}\n', [("DATA_LINE_NOT_JSON", 2)]),
        ("a.jsonl", '{"a":1}\n\n{"a":2}\n{"a"', [("DATA_LINE_NOT_JSON", 4)]),
        ("a.jsonl", b'{"a":1}\n{"a":"\xff"}\n', [("DATA_NOT_UTF8", 2)]),
        ("a.jsonl", "[" * 200_000 + "\n{}", [("DATA_TOO_DEEP", 1)]),
        ("a.jsonl", '{"a":' + "9" * 5000 + "}\n{}", [("DATA_NUMBER_TOO_LONG", 1)]),
        ("a.json", '[{"a":1},\n{"a":2}\n{"a":3}]', [("DATA_LINE_NOT_JSON", 3)]),
        ("a.json", '[{"a":1},\n{"a":\n oops}]', [("DATA_LINE_NOT_JSON", 3)]),
        ("a.json", '[{"a":1},\n{"a":2}', [("DATA_LINE_NOT_JSON", 2)]),
        ("a.json", "[" * 200_000, [("DATA_TOO_DEEP", 1)]),
        ("a.json", '{"a":\n', [("DATA_LINE_NOT_JSON", 2)]),
        ("a.json", '{"a":' * 100_000, [("DATA_TOO_DEEP", 1)]),
        ("a.csv", 'q,a\n1,2\n3\n4,5,6\n"x\ny",z\n7', [("DATA_CSV_COLUMNS", 3), ("DATA_CSV_COLUMNS", 4), ("DATA_CSV_COLUMNS", 7)]),
        ("a.csv", 'q,a\n"op"en,1\nfine,2\n"never closed', [("DATA_CSV_BROKEN", 2), ("DATA_CSV_BROKEN", 4)]),
        ("a.csv", b"q,a\nfine,1\n\xe9,2\n", [("DATA_NOT_UTF8", 3)]),
        ("a.txt", b"fine\n\n\xff\n\nfine", [("DATA_NOT_UTF8", 3)]),
    ],
)  # fmt: skip
def test_damage_is_named_with_its_line(
    name: str, content: str | bytes, expected: list[tuple[str, int]], tmp_path: Path
) -> None:
    assert problems(write(tmp_path / name, content)) == expected


def test_reading_goes_on_after_a_broken_line(tmp_path: Path) -> None:
    path = write(tmp_path / "x.jsonl", '{"a":1}\nbroken\n{"a":2}')
    rows = [(row.index, row.line, row.value) for row in read_rows(path)]
    assert rows == [(0, 1, {"a": 1}), (1, 2, None), (2, 3, {"a": 2})]


@pytest.mark.parametrize(
    ("name", "content", "code"),
    [
        ("a.jsonl", "", "DATA_FILE_EMPTY"),
        ("a.yaml", "x", "DATA_EXTENSION_UNKNOWN"),
        ("noextension", "x", "DATA_EXTENSION_UNKNOWN"),
        ("a.jsonl", '{"a":"x"}'.encode("utf-16"), "DATA_NOT_UTF8"),
        ("a.json", "[1]".encode("utf-16-le").replace(b"[", b"\xff\xfe[", 1), "DATA_NOT_UTF8"),
        ("a.json", b'[{"a":"\xff"}]', "DATA_NOT_UTF8"),
        ("a.json", '{"a":[{"x":1}],"b":[{"x":1}]}', "DATA_SEVERAL_LISTS"),
        ("a.csv", "a,a\n1,2\n", "DATA_CSV_HEADER"),
        ("a.csv", "\n1,2\n", "DATA_CSV_HEADER"),
        ("a.parquet", "not parquet at all", "DATA_PARQUET_BROKEN"),
    ],
)
def test_unreadable_files_are_refused_by_name(name: str, content: str | bytes, code: str, tmp_path: Path) -> None:
    path = write(tmp_path / name, content)
    with pytest.raises(DataError) as error:
        list(read_rows(path))
    assert error.value.code == code
    assert error.value.next_step
    assert name in error.value.cause


def test_what_is_no_file_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo.jsonl")
    (tmp_path / "folder.jsonl").mkdir()
    (tmp_path / "device.jsonl").symlink_to("/dev/zero")
    (tmp_path / "nowhere.jsonl").symlink_to("/does/not/exist")
    with socket.socket(socket.AF_UNIX) as server:
        here = Path.cwd()
        os.chdir(tmp_path)
        server.bind("socket.jsonl")
        os.chdir(here)
        for name in ("fifo", "folder", "device", "socket"):
            with pytest.raises(DataError) as error:
                check_source(tmp_path / f"{name}.jsonl")
            assert error.value.code == "DATA_NOT_A_FILE", name
    with pytest.raises(DataError) as error:
        check_source(tmp_path / "nowhere.jsonl")
    assert error.value.code == "DATA_FILE_MISSING"


def test_missing_file_names_the_nearest(tmp_path: Path) -> None:
    write(tmp_path / "training.jsonl", "{}")
    with pytest.raises(DataError, match=r"Did you mean training\.jsonl") as error:
        check_source(tmp_path / "trainin.jsonl")
    assert error.value.code == "DATA_FILE_MISSING"


@pytest.mark.parametrize("content", [None, "", "a,a\n", "\n"])
def test_hostile_names_are_harmless_in_errors(content: str | None, tmp_path: Path) -> None:
    path = tmp_path / "\x1b]0;owned\x07[INST].csv"
    if content is not None:
        write(path, content)
    with pytest.raises(DataError) as error:
        list(read_rows(path))
    assert "\x1b" not in f"{error.value}{error.value.detail}"


def test_long_lines_are_capped_and_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("jsonl", "plain", "table"):
        monkeypatch.setattr(f"backprop_tui.data.readers.{'files' if name == 'jsonl' else name}.MAX_LINE", 1000)
    path = write(tmp_path / "x.jsonl", '{"a":1}\n{"a":"' + "x" * 5_000_000 + '"}\n{"a":2}')
    rows = list(read_rows(path))
    assert [row.value for row in rows] == [{"a": 1}, None, {"a": 2}]
    assert rows[1].problem is not None
    assert (rows[1].problem.code, rows[1].problem.line) == ("DATA_LINE_TOO_LONG", 2)
    assert rows[2].end == path.stat().st_size
    assert files.MAX_LINE == 1000
    assert [code for code, _ in problems(write(tmp_path / "x.txt", "word\n" * 500))] == ["DATA_LINE_TOO_LONG"]
    assert [code for code, _ in problems(write(tmp_path / "x.csv", f"a,b\n{'x' * 3000},1\n"))] == ["DATA_LINE_TOO_LONG"]


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_tables_keep_text_as_it_is(separator: str, tmp_path: Path) -> None:
    lines = [["question", "answer"], ["NA", "null"], ["007", ""], ['"two\nlines"', "nan"]]
    path = write(tmp_path / "x.csv", "\n".join(separator.join(line) for line in lines))
    rows = list(read_rows(path))
    assert [tuple(row.value.values()) for row in rows] == [("NA", "null"), ("007", ""), ("two\nlines", "nan")]
    assert [row.line for row in rows] == [2, 3, 4]


def test_paragraphs(tmp_path: Path) -> None:
    path = write(tmp_path / "x.md", "# One\ntwo\n\n \n\nthree\r\nfour\n")
    assert [(row.line, row.value) for row in read_rows(path)] == [(1, "# One\ntwo"), (6, "three\nfour")]
    last = list(read_rows(path))[1]
    assert last.start is not None
    assert next(read_rows(path, start=last.start, line=6, index=1)) == last


def test_parquet(tmp_path: Path) -> None:
    import pyarrow
    from pyarrow import parquet

    turns = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]
    rows = [{"messages": turns, "note": None}] * 2500
    parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "x.parquet")
    found = list(read_rows(tmp_path / "x.parquet"))
    assert [row.value for row in found] == rows
    assert [row.index for row in found] == list(range(2500))
    whole = (tmp_path / "x.parquet").read_bytes()
    with pytest.raises(DataError):
        list(read_rows(write(tmp_path / "torn.parquet", whole[: len(whole) // 2])))


def test_every_reader_is_registered_once() -> None:
    assert len(set(EXTENSIONS)) == len(EXTENSIONS) == 11
    assert Row(0, 1).problem is None
