"""JSON: every key counts, problems name the character, and the quick way says the same as the patient one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backprop_tui.data.readers import json_file
from backprop_tui.data.readers.json_words import MAX_DEPTH
from backprop_tui.data.readers.jsonl import parse_line
from backprop_tui.data.sources import read_rows
from backprop_tui.protocol.errors import DataError

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8"))
)
KEYS = st.text(st.sampled_from('ab"\\:{ \u00e9\u2028') | st.characters(codec="utf-8"), max_size=4)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4), max_leaves=25
)
TEXTS = st.text(st.sampled_from('"\\:{}[],\n ab\u00e9'), max_size=12)
ROWS = st.builds(
    lambda turns, extra: {"messages": turns, **extra},
    st.lists(st.fixed_dictionaries({"role": TEXTS, "content": TEXTS}), max_size=4),
    st.dictionaries(TEXTS, TEXTS, max_size=2),
)


@given(VALUES | ROWS, st.booleans(), st.sampled_from([None, (", ", " : "), (",", ":"), (" ,\t", "\t:  ")]))
def test_a_line_is_what_it_says(value: Any, escaped: bool, separators: tuple[str, str] | None) -> None:
    raw = json.dumps(value, ensure_ascii=escaped, separators=separators).encode()
    assert parse_line(raw, 2) == (value, None)


def written(pairs: list[tuple[str, Any]], space: str) -> str:
    """An object as text, keys in any number."""
    return "{" + ", ".join(f"{json.dumps(key)}{space}:{json.dumps(value)}" for key, value in pairs) + "}"


@given(
    st.lists(st.tuples(KEYS, TEXTS | st.integers() | st.none()), max_size=5),
    st.sampled_from(["", " ", "\t "]),
    st.booleans(),
    TEXTS,
)
def test_a_key_that_stands_twice_is_always_seen(
    pairs: list[tuple[str, Any]], space: str, hidden: bool, text: str
) -> None:
    raw = written(pairs, space)
    if hidden:
        raw = f'{{"messages": [{raw}], {json.dumps(text + "m")}: "\\u0022\\u0022\\""}}'
    value, problem = parse_line(raw.encode(), 7)
    keys = [key for key, _ in pairs]
    if len(set(keys)) == len(keys):
        assert problem is None
        assert value == json.loads(raw)
        return
    assert problem is not None
    assert (problem.code, problem.line, problem.severity, value) == ("DATA_DUPLICATE_KEY", 7, "error", None)
    first = next(place for place, key in enumerate(keys) if key in keys[:place])
    assert raw[(problem.column or 0) - 1 :].startswith(json.dumps(keys[first]))


@pytest.mark.parametrize(
    "raw",
    [
        '{"a":"\\u0022\\u0022","b":1,"b":2}',
        '{"a\\\\":1,"b":2,"b":3}',
        '{"x" :1,"x" :2,"y":":z"}',
        '{"a":"x","a":"\\u0022\\u0022\\u0022\\u0022"}',
        '{"messages":[{"role":"user","role":"\\u0022\\u0022"}]}',
        '{"messages":[],"messages":[{"content":"x"}]}',
    ],
)
def test_marks_that_could_hide_a_key(raw: str) -> None:
    _, problem = parse_line(raw.encode(), 1)
    assert problem is not None
    assert problem.code == "DATA_DUPLICATE_KEY"


@pytest.mark.parametrize(
    ("raw", "code", "column", "value"),
    [
        (b'{"a": 1, "b" 2}', "DATA_LINE_NOT_JSON", 14, '{"a": 1, "b" 2}'),
        (b"\xc3\xa9\xc3\xa9" + b'{"a"}', "DATA_LINE_NOT_JSON", 1, '\u00e9\u00e9{"a"}'),
        ('{"\u00e9\u00e9": "'.encode() + b"\xff", "DATA_NOT_UTF8", 9, '{"\u00e9\u00e9": "\ufffd'),
        (b'{"a": "\x00"}', "DATA_NUL_BYTES", 8, '{"a": "\u2400"}'),
        (b'{"a": "' + b"x" * 500 + b'" oops}', "DATA_LINE_NOT_JSON", 510, 'xxxxxxxxxxxxx" oops}'),
        (b'{"a": "\x1b[2J"}', "DATA_LINE_NOT_JSON", 8, '{"a": "\u241b[2J"}'),
        (b'{"a":1,"bb":2,"a":3}', "DATA_DUPLICATE_KEY", 15, '{"a":1,"bb":2,"a":3}'),
    ],
)  # fmt: skip
def test_problems_name_the_character(raw: bytes, code: str, column: int, value: str) -> None:
    got, problem = parse_line(raw, 3)
    assert got is None
    assert problem is not None
    assert (problem.code, problem.line, problem.column, problem.value) == (code, 3, column, value)


@pytest.mark.parametrize("opening", ["[", '{"a":'])
def test_depth(opening: str) -> None:
    closing = "]" if opening == "[" else "}"
    for levels, fine in ((MAX_DEPTH, True), (MAX_DEPTH + 1, False), (500, False), (100_000, False)):
        raw = f"{opening * levels}{'1' if closing == '}' else ''}{closing * levels}".encode()
        _, problem = parse_line(raw, 1)
        assert (problem is None) == fine
        assert fine or (problem is not None and problem.code == "DATA_TOO_DEEP")


def test_numbers_and_a_byte_order_mark() -> None:
    assert parse_line(b"9" * 30, 1) == (int("9" * 30), None)
    assert parse_line(b'\xef\xbb\xbf{"a":1}', 1) == ({"a": 1}, None)
    assert parse_line(b'\xef\xbb\xbf{"a":1}', 2)[1] is not None
    value, problem = parse_line(b'{"a":NaN}', 1)
    assert problem is None
    assert value["a"] != value["a"]


def test_places_in_an_array_over_several_lines(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text('[{"a":1},\n  {"b":1,\n   "b":2}, {"c":1, "c":2},\n {"d":1}\n  oops]')
    rows = list(read_rows(path))
    assert [row.value for row in rows] == [{"a": 1}, None, None, {"d": 1}, None]
    found = [(row.problem.code, row.problem.line, row.problem.column) for row in rows if row.problem]
    assert found == [("DATA_DUPLICATE_KEY", 3, 4), ("DATA_DUPLICATE_KEY", 3, 20), ("DATA_LINE_NOT_JSON", 5, 3)]


@given(st.lists(VALUES, max_size=5), st.sampled_from([None, 1]))
def test_arrays_and_lines_hold_the_same(values: list[Any], indent: int | None) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        array, lines = Path(folder) / "x.json", Path(folder) / "x.jsonl"
        array.write_text(json.dumps(values, indent=indent))
        lines.write_text("".join(json.dumps(value) + "\n" for value in values) or "\n")
        assert [row.value for row in read_rows(array)] == values == [row.value for row in read_rows(lines)]


def test_one_object_larger_than_memory_should_hold_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_file, "_MAX_OBJECT", 1000)
    path = tmp_path / "x.json"
    path.write_text(json.dumps({"train": {"rows": "x" * 1000}}, indent=1))
    with pytest.raises(DataError) as error:
        list(read_rows(path))
    assert error.value.code == "DATA_OBJECT_TOO_LARGE"
    assert "JSON Lines" in error.value.next_step
