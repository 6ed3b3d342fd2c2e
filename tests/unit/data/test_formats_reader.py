"""The reader for many rows: whatever it remembers and skips, it says what a look from scratch says."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backprop_tui.data.formats import (
    FORMATS,
    Conversation,
    Reader,
    detect,
    normalise,
    read_row,
    row_reader,
    suggest_columns,
)
from backprop_tui.data.formats.columns import parse_columns
from backprop_tui.data.rows import RowRejected
from backprop_tui.protocol.errors import UsageError

_KEYS = (
    "messages", "conversations", "conversation", "chat", "role", "content", "from", "value", "text", "prompt", "completion",
    "instruction", "output", "input", "history", "question", "answer", "context", "system", "tools", "functions", "label",
    "chosen", "rejected", "response_j", "response_k", "tool_calls", "function_call", "function", "name", "arguments", "id",
    "type", "reasoning", "Prompt", "Chosen", " Rejected ", "LABEL", "anything",
)  # fmt: skip
_ROLES = ("user", "assistant", "system", "human", "gpt", "tool", "function_call", "User", " gpt ", "wizard", "")
_texts = st.one_of(
    st.text(max_size=4),
    st.sampled_from(
        [
            *_ROLES,
            "\ud800",
            '[{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]',
            '{"name": "f", "arguments": {}}',
            "<|im_start|>user\nq<|im_end|>\n<|im_start|>assistant\na<|im_end|>",
            "\n\nHuman: q\n\nAssistant: a",
            "true",
        ]
    ),
)
_scalars = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), _texts)
values = st.recursive(
    _scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(_KEYS), inner, max_size=5)),
    max_leaves=15,
)
_content = st.one_of(_texts, st.none(), st.just("\n"), st.lists(_texts, max_size=2), st.integers())
_openai = st.fixed_dictionaries(
    {"role": st.sampled_from(_ROLES), "content": _content},
    optional={"name": _texts, "tool_calls": values, "reasoning_content": _content},
)
_sharegpt = st.fixed_dictionaries({"from": st.sampled_from(_ROLES), "value": _content}, optional={"name": _texts})
_turns = st.one_of(st.lists(_openai, max_size=4), st.lists(_sharegpt, max_size=4), st.lists(values, max_size=2))
#: Rows one step from being plain: each turn whole but perhaps for what it says or who says it.
_near_plain = st.sampled_from([("messages", "role", "content"), ("conversations", "from", "value")]).flatmap(
    lambda names: st.lists(
        st.fixed_dictionaries(
            {
                names[1]: st.sampled_from(["user", "assistant", "gpt", "Human", "wizard"]),
                names[2]: st.sampled_from(["x", "é", "", " ", "\u3000", "\ud800", "a\ud800", None, 3]),
            },
            optional={"name": st.sampled_from(["n", None])},
        ),
        max_size=3,
    ).map(lambda turns: {names[0]: turns})
)
#: Rows close to real ones: lists of turns under usual names, with columns beside them that may change what they are.
likely = st.dictionaries(
    st.sampled_from(_KEYS), st.one_of(_turns, _content, values), max_size=4
) | st.fixed_dictionaries(
    {"messages": _turns}, optional={"id": _texts, "system": _content, "chosen": _turns, "Rejected": _turns, "tools": values}
)  # fmt: skip


def outcome(read: Reader, value: Any) -> tuple[Any, ...]:
    try:
        return read(value)
    except RowRejected as error:
        rejected = error
    assert rejected.reason
    assert rejected.code.startswith("DATA_")
    assert rejected.cause.endswith(".")
    assert len(rejected.value) <= 61
    assert "\x1b" not in f"{rejected}{rejected.value}"
    return (rejected.code, rejected.reason, rejected.cause, rejected.value)


def from_scratch(value: Any) -> Any:
    name = detect(value)
    return read_row(value) if name is None else (name, normalise(value, name))


@given(st.lists(st.one_of(likely, values, _near_plain), min_size=1, max_size=4))
@settings(max_examples=600, deadline=None)
def test_reader_says_what_a_look_from_scratch_says(rows: list[Any]) -> None:
    read = row_reader()
    for value in rows:
        assert outcome(read, value) == outcome(from_scratch, value)


@given(st.one_of(likely, values, _near_plain), st.sampled_from([entry.name for entry in FORMATS]))
@settings(max_examples=400, deadline=None)
def test_a_named_format_is_read_or_rejected(value: Any, format: str) -> None:
    def long_way(value: Any) -> Any:
        return format, normalise(value, format)

    assert outcome(row_reader(format), value) == outcome(long_way, value)


@given(
    st.one_of(likely, values),
    st.sampled_from(
        [
            "user=prompt assistant=completion",
            "messages=chat tools=tools",
            "user=input+context assistant=data.answer system=system",
            "prompt=prompt chosen=chosen rejected=rejected",
            "text=text",
            "prompt=prompt",
            "messages=messages label=label",
            'user=" Rejected " assistant=answer label=LABEL',
        ]
    ),
)
@settings(max_examples=400, deadline=None)
def test_a_mapping_reads_or_rejects(value: Any, columns: str) -> None:
    outcome(row_reader("columns", columns), value)


@given(st.one_of(likely, values, st.dictionaries(st.text(max_size=5), st.one_of(_texts, values), max_size=5)))
@settings(max_examples=400, deadline=None)
def test_a_proposed_mapping_is_one(value: Any) -> None:
    proposed = suggest_columns(value)
    if proposed:
        parse_columns(proposed).check(value)
        outcome(row_reader("columns", proposed), value)


@pytest.mark.parametrize("text", ["", "\n", "\u3000", "\ud800", "x\udfff", None, 3, ["x"]])
@pytest.mark.parametrize("place", [0, 1])
def test_the_straight_way_lets_nothing_through(place: int, text: Any) -> None:
    for column, role, content in (("messages", "role", "content"), ("conversations", "from", "value")):
        turns: list[dict[str, Any]] = [{role: "user", content: "q"}, {role: "assistant", content: "a"}]
        turns[place][content] = text
        assert outcome(row_reader(), {column: turns}) == outcome(from_scratch, {column: turns})


def test_each_format_is_found_by_one_of_its_columns() -> None:
    for entry in FORMATS:
        assert all(name == name.strip().lower() for name in entry.columns)


@pytest.mark.parametrize(
    "beside",
    [
        {"chosen": "a", "rejected": "b"},
        {"Chosen": "a", "Rejected": "b"},
        {"prompt": "q", "completion": "a", "label": 1},
        {"conversations": [{"from": "human", "value": "other"}, {"from": "gpt", "value": "one"}]},
        {"tools": [{"name": "f"}]},
        {"functions": '[{"name": "f"}]'},
        {"system": "s"},
        {"system_prompt": "s"},
    ],
)
def test_a_column_with_a_say_is_not_passed_over(beside: dict[str, Any]) -> None:
    plain = {"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]}
    assert read_row({**plain, **beside}) != read_row(plain)
    assert read_row({**plain, "id": 3}) == read_row(plain)


def test_rows_of_any_depth_are_read_or_rejected() -> None:
    deep: Any = "x"
    for _ in range(900):
        deep = {"arguments": deep, "name": "f"}
    turns = [{"role": "user", "content": "q"}, {"role": "assistant", "content": None, "tool_calls": [deep]}]
    for value in (
        deep,
        [deep],
        {"messages": turns},
        {"messages": turns[:1], "tools": [deep]},
        {"prompt": "q", "x": deep},
    ):
        with pytest.raises(RowRejected):
            read_row(value)


def test_unknown_names_are_refused_before_the_first_row() -> None:
    for name, columns, code in (
        ("yaml", "", "DATA_FORMAT_UNKNOWN"),
        ("columns", "", "DATA_COLUMNS_INVALID"),
        ("alpaca", "user=a assistant=b", "DATA_COLUMNS_MISPLACED"),
    ):
        with pytest.raises(UsageError) as error:
            row_reader(name, columns)
        assert error.value.code == code


def test_plain_rows_of_turns_cost_next_to_nothing() -> None:
    import timeit

    row = {"messages": [{"role": "user", "content": "x" * 300}, {"role": "assistant", "content": "y" * 800 + "é"}]}
    read = row_reader()
    assert isinstance(read(row)[1], Conversation)
    # About 1 µs where it was written; the bound leaves room for a slower or busier machine.
    assert min(timeit.repeat(lambda: read(row), number=2000, repeat=7)) / 2000 < 10e-6
