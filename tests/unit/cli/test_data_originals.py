"""Rows written as they are: copied byte for byte, or as JSON that says the same; and results that are whole or not there."""

from __future__ import annotations

import json
import math
import os
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from backprop_tui.cli.data.originals import Originals, Places, as_json, lines_to
from backprop_tui.cli.data.reading import unchanged
from backprop_tui.data.finding.places import DataSet, read_set, resolve
from backprop_tui.protocol.errors import DataError, UsageError

SPELLINGS = (
    '{"text" : "a"}',
    '  {"text":"\\u00e9 \\ud83d\\ude00 é"}  ',
    '{"text":"n","n":1.10,"big":123456789012345678901234567890,"e":1E5}',
    '{"text":"lone \\ud800"}',
    '"only a string"',
    '{"text":"x","not_a_number":NaN}',
)
values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.characters(categories=["Cs"])),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(), inner, max_size=3)),
    max_leaves=8,
)


def write(path: Path, content: bytes) -> DataSet:
    path.write_bytes(content)
    return resolve(str(path))


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"], ids=["LF", "CRLF", "CR"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"], ids=["", "BOM"])
def test_rows_of_json_lines_are_copied_byte_for_byte(ending: str, mark: bytes, tmp_path: Path) -> None:
    content = mark + ending.join(SPELLINGS).encode()
    data = write(tmp_path / "a.jsonl", content)
    with Originals(data) as originals, ExitStack() as stack:
        places = Places(originals, tmp_path, stack)
        rows = list(read_set(data))
        assert [originals.line(row).decode() for row in rows] == list(SPELLINGS)
        for row in rows:
            places.remember(row)
        order = [3, 0, 5, 1, 4, 2]
        assert [line.decode() for line in places.lines(order)] == [SPELLINGS[number] for number in order]


def test_more_files_than_are_kept_open_are_copied_from(tmp_path: Path) -> None:
    for number in range(80):
        write(tmp_path / f"{number:02}.jsonl", b'{"text": "%d"}\n{"text": "again %d"}\n' % (number, number))
    data = resolve(str(tmp_path))
    with Originals(data) as originals, ExitStack() as stack:
        places = Places(originals, tmp_path, stack)
        for row in read_set(data):
            places.remember(row)
        order = [*range(0, 160, 2), *range(159, 0, -2)]
        before = len(os.listdir("/proc/self/fd"))
        texts = [json.loads(line)["text"] for line in places.lines(order)]
        assert len(os.listdir("/proc/self/fd")) - before <= 64
    assert texts == [str(n) for n in range(80)] + [f"again {n}" for n in range(79, -1, -1)]


@given(values)
@example({"a": [math.nan, -math.inf], "lone": "\ud800"})
def test_any_value_is_written_as_json_that_says_the_same(value: Any) -> None:
    written = as_json(value)
    assert b"\n" not in written
    expected = {"text": value} if isinstance(value, str) else value
    assert json.loads(written, parse_constant=_no_constant) == _finite(expected)


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {key: _finite(cell) for key, cell in value.items()}
    return [_finite(cell) for cell in value] if isinstance(value, list) else value


def _no_constant(name: str) -> Any:
    raise AssertionError(f"{name} is no JSON")


def test_a_result_without_rows_or_with_an_error_leaves_no_trace(tmp_path: Path) -> None:
    data = write(tmp_path / "a.jsonl", b'{"text": "a"}\n')
    for name in ("out.jsonl", "out.jsonl.gz"):
        with pytest.raises(DataError) as caught, lines_to(tmp_path / name, data):
            pass
        assert caught.value.code == "DATA_NOTHING_WRITTEN"
        with pytest.raises(ZeroDivisionError), lines_to(tmp_path / name, data) as lines:
            lines.add(b"%d" % (1 // 0))
    with pytest.raises(UsageError) as refused, lines_to(tmp_path / "out.csv", data):
        pass
    assert refused.value.code == "DATA_OUT_KIND"
    assert [path.name for path in tmp_path.iterdir()] == ["a.jsonl"]


def test_data_that_changes_while_it_is_read_is_refused(tmp_path: Path) -> None:
    data = write(tmp_path / "a.jsonl", b'{"text": "a"}\n')
    with unchanged(data):
        list(read_set(data))
    with pytest.raises(DataError) as caught, unchanged(data), data.files[0].open("ab") as file:
        file.write(b'{"text": "b"}\n')
    assert caught.value.code == "DATA_CHANGED"
    # What went wrong first is what is said.
    with pytest.raises(ZeroDivisionError), unchanged(data):
        data.files[0].rename(tmp_path / str(1 // 0))
