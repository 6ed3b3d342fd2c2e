"""Parquet and Arrow: values as they are, JSON-able, a piece at a time, in bounded memory."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import ipc, parquet

from backprop_tui.data.readers import columnar, files
from backprop_tui.data.readers.cells import check_schema, python_values
from backprop_tui.data.sources import read_rows
from backprop_tui.protocol.errors import DataError

TURNS = [{"role": "user", "content": "q"}, {"role": "assistant", "content": None}]


def arrow_file(table: Any, path: Path, **how: Any) -> Path:
    with ipc.new_file(str(path), table.schema, **how) as out:
        out.write_table(table)
    return path


def arrow_stream(table: Any, path: Path) -> Path:
    with ipc.new_stream(str(path), table.schema) as out:
        out.write_table(table, 700)
    return path


def parquet_file(table: Any, path: Path) -> Path:
    parquet.write_table(table, path, row_group_size=900)
    return path


@pytest.mark.parametrize(
    ("name", "write"),
    [("x.parquet", parquet_file), ("x.arrow", arrow_file), ("x.feather", arrow_file), ("x.ipc", arrow_stream)],
)
def test_rows_and_progress(name: str, write: Any, tmp_path: Path) -> None:
    rows = [{"messages": TURNS[: n % 3], "n": n, "note": None} for n in range(2500)]
    path = write(pa.Table.from_pylist(rows), tmp_path / name)
    found = list(read_rows(path, index=5, file=2))
    assert [row.value for row in found] == rows
    assert [row.index for row in found] == list(range(5, 2505))
    assert {(row.line, row.start, row.file) for row in found} == {(None, None, 2)}
    ends = [row.end for row in found]
    assert ends == sorted(ends)
    assert path.stat().st_size * 0.9 <= ends[-1] <= path.stat().st_size


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (pa.array(["a", None, ""]), ["a", None, ""]),
        (pa.array([1.5, None, math.inf]), [1.5, None, math.inf]),
        (pa.array([b"\xff", None]), [b"\xff", None]),
        (pa.array(["a", "b", None, "a"]).dictionary_encode(), ["a", "b", None, "a"]),
        (pa.array([[("k", 1)], None], pa.map_(pa.string(), pa.int8())), [{"k": 1}, None]),
        (pa.array([[("k", 1), ("k", 2)]], pa.map_(pa.string(), pa.int8())), [[["k", 1], ["k", 2]]]),
        (pa.array([[(1, "x")]], pa.map_(pa.int8(), pa.string())), [[[1, "x"]]]),
        (pa.array([[1, 2], None, [3, 4]], pa.list_(pa.int8(), 2)), [[1, 2], None, [3, 4]]),
        (pa.array([date(2026, 1, 2), None]), ["2026-01-02", None]),
        (pa.array([[date(2026, 1, 2)], None, []]), [["2026-01-02"], None, []]),
        (pa.array([{"d": Decimal("1.50"), "s": "x"}, None]), [{"d": "1.50", "s": "x"}, None]),
        (pa.array([datetime(2026, 1, 2, tzinfo=UTC)], pa.timestamp("s", "Europe/Berlin")), ["2026-01-02 00:00:00Z"]),
        (pa.array([1], pa.timestamp("ns")), ["1970-01-01 00:00:00.000000001"]),
        (pa.array([time(1, 2)]), ["01:02:00.000000"]),
        (pa.array([timedelta(seconds=2)], pa.duration("s")), ["2 s"]),
        (pa.array([[1], [2, 3]], pa.large_list(pa.date32())), [["1970-01-02"], ["1970-01-03", "1970-01-04"]]),
        (pa.RunEndEncodedArray.from_arrays([2, 3], ["a", "b"]), ["a", "a", "b"]),
        (pa.array([{}, {}], pa.struct([])), [{}, {}]),
    ],
    ids=lambda value: str(value.type)[:30] if isinstance(value, pa.Array) else "",
)  # fmt: skip
def test_values(array: Any, expected: list[Any]) -> None:
    assert python_values(array) == expected
    for begin in range(len(array)):
        assert python_values(array.slice(begin)) == expected[begin:]
        assert python_values(array.slice(begin, 1)) == expected[begin : begin + 1]
    if not pa.types.is_binary(array.type):
        json.dumps(expected)


def test_nan_stays_nan() -> None:
    (value,) = python_values(pa.array([math.nan]))
    assert math.isnan(value)


def test_one_broken_cell_costs_one_row(tmp_path: Path) -> None:
    data = pa.array([b"fine"] * 700 + [b"b\xffd"] + [b"fine"] * 700, pa.binary())
    table = pa.table({"n": range(1401), "text": pa.Array.from_buffers(pa.string(), 1401, data.buffers())})
    rows = list(read_rows(parquet_file(table, tmp_path / "x.parquet")))
    bad = [row for row in rows if row.problem]
    assert len(rows) == 1401
    assert [(row.index, row.problem.code, row.problem.column) for row in bad if row.problem] == [
        (700, "DATA_NOT_UTF8", 2)
    ]


def test_schemas_that_would_lose_or_hide_something() -> None:
    deep = pa.int8()
    for _ in range(70):
        deep = pa.list_(deep)
    twice = [pa.field("a", pa.int8()), pa.field("a", pa.int8())]
    for schema, code in (
        (pa.schema(twice), "DATA_COLUMN_TWICE"),
        (pa.schema([("x", pa.list_(pa.struct(twice)))]), "DATA_COLUMN_TWICE"),
        (pa.schema([("x", deep)]), "DATA_TOO_DEEP"),
        (pa.schema([("x", pa.list_(pa.dense_union([pa.field("a", pa.int8())])))]), "DATA_COLUMN_TYPE"),
    ):
        with pytest.raises(DataError) as error:
            check_schema(schema)
        assert error.value.code == code


def test_giant_cells_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "MAX_LINE", 1000)
    table = pa.table({"n": [1, 2, 3], "more": [[{"text": "x"}], [{"text": "x" * 2000}], [{"text": "x"}]]})
    rows = list(read_rows(parquet_file(table, tmp_path / "x.parquet")))
    problem = rows[1].problem
    assert problem is not None
    assert (problem.code, problem.column, rows[1].value) == ("DATA_LINE_TOO_LONG", 2, None)
    assert [row.problem is None for row in rows] == [True, False, True]


@pytest.mark.parametrize("nested", [False, True])
def test_a_text_repeated_by_every_row_is_kept_once(nested: bool, tmp_path: Path) -> None:
    texts = pa.DictionaryArray.from_arrays(pa.array([0, 1] * 30_000, pa.int32()), pa.array(["x" * (4 << 20), "y"]))
    column = (
        texts
        if not nested
        else pa.ListArray.from_arrays(
            pa.array(range(60_001), pa.int32()), pa.StructArray.from_arrays([texts], ["content"])
        )
    )
    path = tmp_path / "x.parquet"
    parquet.write_table(pa.table({"c": column}), path, store_schema=False, dictionary_pagesize_limit=1 << 30)
    assert path.stat().st_size < 1 << 20
    script = (
        "import resource, sys; from pathlib import Path; from backprop_tui.data.sources import read_rows\n"
        "resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))\n"
        "print(sum(1 for row in read_rows(Path(sys.argv[1])) if row.value['c']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(path)], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.stdout, done.returncode) == ("60000\n", 0), done.stderr


def test_a_batch_as_large_as_the_file_is_told_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[int] = []
    honest = columnar.python_values
    monkeypatch.setattr(columnar, "python_values", lambda array: told.append(len(array)) or honest(array))
    path = arrow_file(pa.table({"text": ["x"] * 5000}), tmp_path / "x.arrow")
    assert len(list(read_rows(path))) == 5000
    assert max(told) == columnar.PIECE
