"""The quick way for plain chats decides nothing the general way would decide otherwise."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backprop_tui.data.formats import Conversation, read_row
from backprop_tui.data.looking import look
from backprop_tui.data.looking.chat_lines import plain_chat
from backprop_tui.data.looking.part import How
from backprop_tui.data.readers.jsonl import parse_line
from backprop_tui.data.rows import RowRejected
from backprop_tui.data.sources import read_rows

CONTENT = st.one_of(
    st.text(max_size=12), st.sampled_from(["", "  ", 'say "hi"', "\\", '\\"', "<think>x</think>y"]), st.none()
)
TURN = st.one_of(
    st.fixed_dictionaries(
        {"role": st.sampled_from(["user", "assistant", "system", "tool", "human", "x"]), "content": CONTENT}
    ),
    st.fixed_dictionaries({"role": st.just("assistant"), "content": CONTENT, "name": st.text(max_size=3)}),
    st.fixed_dictionaries({"content": CONTENT}),
)
ROW = st.one_of(
    st.fixed_dictionaries({"messages": st.lists(TURN, max_size=4)}),
    st.fixed_dictionaries({"messages": st.lists(TURN, max_size=2), "tools": st.none()}),
    st.just({"question": "q", "answer": "a"}),
)


def general(raw: bytes) -> Any:
    value, problem = parse_line(raw, 1)
    if problem is not None:
        return problem.code
    try:
        return read_row(value)
    except RowRejected as error:
        return error.code


@settings(max_examples=400, deadline=None)
@given(row=ROW, escaped=st.booleans(), spaced=st.booleans())
def test_what_is_read_quickly_is_what_the_general_way_reads(row: Any, escaped: bool, spaced: bool) -> None:
    text = json.dumps(row, ensure_ascii=escaped, separators=(" , ", " : ") if spaced else None)
    raw = text.encode(errors="surrogatepass")
    quick = plain_chat(raw)
    if quick is not None:
        assert general(raw) == ("messages", quick)


def test_ordinary_lines_do_go_quickly() -> None:
    raw = (
        b'{"messages": [{"role": "user", "content": "say \\"hi\\""}, {"role": "assistant", "content": "hi \\u00e9"}]}\r'
    )
    assert isinstance(plain_chat(raw), Conversation)


@pytest.mark.parametrize(
    "raw",
    [
        b'{"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a", "content": "b"}]}',
        b'{"messages": [], "messages": [{"role": "assistant", "content": "a"}]}',
        b'{"messages": [{"role": "user", "content": "\\u0022\\u0022"}, {"role": "assistant", "content": "a", "role": "assistant"}]}',  # noqa: E501
        b'{"messages": [{"role": "user", "content": "\\u0022\\u0022\\u0022\\u0022"}, {"role": "assistant", "role": "user", "content": "a"}]}',  # noqa: E501
    ],
)
def test_a_key_that_stands_twice_goes_the_general_way(raw: bytes) -> None:
    assert plain_chat(raw) is None
    assert general(raw) == "DATA_DUPLICATE_KEY"


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(ROW, min_size=1, max_size=80))
def test_lines_and_rows_of_a_file_give_the_same_findings(tmp_path: Path, rows: list[Any]) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes(b"\n".join(json.dumps(row).encode() for row in rows))
    lines = look.look_at_lines(path, 0, path.stat().st_size, How(), None)
    plain = look.Look(How())
    plain.take(read_rows(path))
    other = plain.part()
    other.lines, other.sensitive = lines.lines, lines.sensitive
    assert lines == other
