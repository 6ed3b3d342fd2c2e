"""Tables and paragraphs: cells and lines are named, odd line breaks and byte order marks do no harm."""

from __future__ import annotations

from pathlib import Path

import pytest

from backprop_tui.data.readers.kinds import check_kind
from backprop_tui.data.rows import Problem
from backprop_tui.data.sources import check_source, read_rows
from backprop_tui.protocol.errors import DataError


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


@pytest.mark.parametrize("name", ["x.jsonl", "x.json", "x.csv", "x.txt"])
def test_a_byte_order_mark_is_noted_once(name: str, tmp_path: Path) -> None:
    content = {"x.jsonl": '{"a":1}\n{"a":2}', "x.json": '[{"a":1},{"a":2}]', "x.csv": "a\n1\n2", "x.txt": "a\n\nb"}[
        name
    ]
    notes: list[Problem] = []
    plain = [row.value for row in read_rows(write(tmp_path / name, content), on_note=notes.append)]
    assert not notes
    marked = [row.value for row in read_rows(write(tmp_path / name, "\ufeff" + content), on_note=notes.append)]
    assert marked == plain
    assert [(note.code, note.severity, note.line) for note in notes] == [("DATA_BOM", "warn", 1)]


@pytest.mark.parametrize("name", ["x.jsonl", "x.csv", "x.txt"])
def test_lone_carriage_returns_end_lines(name: str, tmp_path: Path) -> None:
    content = {"x.jsonl": '{"a":1}\n{"a":2}\n', "x.csv": 'a,b\n"1",2\n3,4\n', "x.txt": "a\nb\n\nc\n"}[name]
    usual = list(read_rows(write(tmp_path / name, content)))
    old = list(read_rows(write(tmp_path / name, content.replace("\n", "\r"))))
    assert old == usual
    if name != "x.csv":
        again = next(read_rows(tmp_path / name, start=old[1].start or 0, line=old[1].line or 0, index=1))
        assert again == old[1]


@pytest.mark.parametrize(
    ("content", "code", "line", "column", "value"),
    [
        ("a,b\n1,2\n3\n", "DATA_CSV_COLUMNS", 3, 2, "3"),
        ("a,b\n1,2,\x1b[2J,4\n", "DATA_CSV_COLUMNS", 2, 3, "\u241b[2J"),
        ('a,b\n1,"open\nx\ny\n', "DATA_CSV_BROKEN", 2, None, '1,"open'),
        (b"a,b\n1,\x00\n", "DATA_NUL_BYTES", 2, 3, "1,\u2400"),
        (b"a,b\n1,\xff\n", "DATA_NOT_UTF8", 2, 3, "1,\ufffd"),
    ],
)  # fmt: skip
def test_table_problems_name_the_cell(
    content: str | bytes, code: str, line: int, column: int | None, value: str, tmp_path: Path
) -> None:
    (problem,) = [row.problem for row in read_rows(write(tmp_path / "x.csv", content)) if row.problem]
    assert (problem.code, problem.line, problem.column, problem.value) == (code, line, column, value)


def test_a_quotation_mark_that_never_closes_says_what_it_costs(tmp_path: Path) -> None:
    rows = list(read_rows(write(tmp_path / "x.csv", 'a,b\n1,2\n"open,3\n4,5\n6,7\n')))
    assert rows[1].problem is not None
    assert "The 2 lines after it" in rows[1].problem.cause
    assert len(rows) == 2


def test_a_paragraph_above_the_limit_is_one_problem_and_loses_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backprop_tui.data.readers.plain.MAX_LINE", 100)
    rows = list(
        read_rows(write(tmp_path / "x.txt", "short\n\n" + "forty characters of text, more or less..\n" * 9 + "\nend"))
    )
    assert [(row.index, row.line, row.value, row.problem.code if row.problem else "") for row in rows] == [
        (0, 1, "short", ""), (1, 3, None, "DATA_LINE_TOO_LONG"), (2, 13, "end", ""),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "head", [b"PAR1 is a word", b"BZh", b"ORC slew", b"Rar! he said", b"GIF87a is old", b"ARROW1", b"\x80", b"PK"]
)
def test_words_are_not_mistaken_for_magic(head: bytes) -> None:
    check_kind(head, "x", ".txt")


def test_the_advice_can_be_followed(tmp_path: Path) -> None:
    import gzip

    path = write(tmp_path / "x.csv", gzip.compress(b"a\n1\n"))
    with pytest.raises(DataError, match=r"x\.jsonl\.gz") as error:
        check_source(path)
    assert error.value.code == "DATA_WRONG_KIND"
    assert error.value.cause.startswith("x.csv: ")
