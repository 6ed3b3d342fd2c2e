"""Mappings written by people: what they mean, what is wrong with them, and what is proposed."""

from __future__ import annotations

from typing import Any

import pytest

from backprop_tui.data.formats import (
    Conversation,
    Message,
    Normalised,
    PlainText,
    Preference,
    PromptOnly,
    Unpaired,
    parse_columns,
    read_row,
    suggest_columns,
)
from backprop_tui.data.rows import RowRejected
from backprop_tui.protocol.errors import UsageError

Q, A, B, S = Message("user", "q"), Message("assistant", "a"), Message("assistant", "b"), Message("system", "s")
TURNS = [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}]


@pytest.mark.parametrize(
    ("columns", "value", "expected"),
    [
        ("user=x assistant=y", {"x": "q", "y": "a"}, Conversation((Q, A))),
        ("  user = x   assistant= y ", {"x": "q", "y": "a"}, Conversation((Q, A))),
        ("prompt=x completion=y system=z", {"x": "q", "y": "a", "z": "s"}, Conversation((S, Q, A))),
        ("user=x assistant=y system=z", {"x": "q", "y": "a", "z": None}, Conversation((Q, A))),
        ("user=x assistant=y system=z", {"x": "q", "y": "a"}, Conversation((Q, A))),
        ('user="my \\"x\\"" assistant="y=+z"', {'my "x"': "q", "y=+z": "a"}, Conversation((Q, A))),
        ("user=data.q assistant=data.deep.a", {"data": {"q": "q", "deep": {"a": "a"}}}, Conversation((Q, A))),
        ("user=data.q assistant=a", {"data.q": "q", "data": {"q": "no"}, "a": "a"}, Conversation((Q, A))),
        ("user=t+b assistant=y", {"t": "q", "b": "w", "y": "a"}, Conversation((Message("user", "q\n\nw"), A))),
        ("user=t + b assistant=y", {"t": "q", "b": " ", "y": "a"}, Conversation((Q, A))),
        ("user=t+b assistant=y", {"t": "q", "y": "a"}, Conversation((Q, A))),
        ("text=x", {"x": "words"}, PlainText("words")),
        ("text=x+y", {"x": "words", "y": "more"}, PlainText("words\n\nmore")),
        ("messages=x", {"x": TURNS}, Conversation((Q, A))),
        ("messages=x tools=y", {"x": TURNS, "y": '[{"name": "f"}]'}, Conversation((Q, A), ({"name": "f"},))),
        ("messages=x label=y", {"x": TURNS, "y": "no"}, Unpaired((Q,), (A,), False)),
        ("user=x assistant=y label=z", {"x": "q", "y": "a", "z": 1}, Unpaired((Q,), (A,), True)),
        ("prompt=x chosen=y rejected=z", {"x": "q", "y": "a", "z": "b"}, Preference((Q,), (A,), (B,))),
        (
            "chosen=y rejected=z",
            {"y": TURNS, "z": [TURNS[0], {"from": "gpt", "value": "b"}]},
            Preference((Q,), (A,), (B,)),
        ),
        ("user=x", {"x": "q", "y": 3}, PromptOnly((Q,), {"y": 3})),
        ("user=d.q", {"d": {"q": "q", "y": 3}}, PromptOnly((Q,), {"d": {"q": "q", "y": 3}})),
    ],
)
def test_mapping_reads_the_row(columns: str, value: Any, expected: Normalised) -> None:
    assert read_row(value, "auto", columns) == ("columns", expected)
    assert read_row(value, "columns", columns) == ("columns", expected)


def test_a_mapping_comes_before_what_the_names_say() -> None:
    value = {"question": "a", "answer": "q"}
    assert read_row(value, columns="user=answer assistant=question")[1] == Conversation((Q, A))


@pytest.mark.parametrize(
    ("columns", "cause", "next_step"),
    [
        ("", "The mapping is empty.", "Write pairs"),
        ("usr=x assistant=y", "A column can't hold 'usr'.", "Did you mean user?"),
        ("zzz=x", "A column can't hold 'zzz'.", "There are user, assistant"),
        ("user=x", "", ""),
        ("assistant=y", "The mapping lacks user (or prompt).", "Write pairs"),
        ("user=x chosen=y", "The mapping lacks rejected.", "Write pairs"),
        ("user=x prompt=z assistant=y", "prompt is given twice.", "user and prompt are one thing"),
        ("text=x user=y", "Text and user (or prompt) do not make a row together.", "Write pairs"),
        ("system=x", "System makes no row by itself.", "Write pairs"),
        ("user x", "There is no `key=column` at 'user'.", "Write pairs"),
        ("user=", "There is no `key=column` at 'user'.", "Write pairs"),
        ("user== assistant=y", "A column's name is missing before '='.", "Write pairs"),
        ("user=x+", "Nothing follows the last +.", "Write pairs"),
        ('user="x assistant=y', "A quotation mark is not closed:", "Write pairs"),
        ("\x1b[31m=x", "A column can't hold '␛[31m'.", "There are"),
    ],
)
def test_what_is_wrong_with_a_mapping_is_said(columns: str, cause: str, next_step: str) -> None:
    if not cause:
        parse_columns(columns)
        return
    with pytest.raises(UsageError) as error:
        parse_columns(columns)
    assert error.value.code == "DATA_COLUMNS_INVALID"
    assert error.value.cause.startswith(cause)
    assert error.value.next_step.startswith(next_step)


def test_columns_of_the_file_are_checked_with_the_nearest_name() -> None:
    mapping = parse_columns("user=questoin assistant=data.answer")
    with pytest.raises(UsageError) as error:
        mapping.check({"question", "data"})
    assert (error.value.code, error.value.next_step) == ("DATA_COLUMNS_INVALID", "Did you mean question?")
    parse_columns("user=question assistant=data.answer").check({"question", "data", "data.x"})


@pytest.mark.parametrize(
    ("columns", "value", "code", "next_step"),
    [
        ("user=questoin assistant=b", {"question": "q", "b": "a"}, "DATA_COLUMN_MISSING", "Did you mean question?"),
        ("user=d.x assistant=b", {"d": "q", "b": "a"}, "DATA_COLUMN_MISSING", "There are d, b."),
        ("user=a assistant=b", {"a": "q", "b": None}, "DATA_CELL_NULL", ""),
        ("user=a+c assistant=b", {"a": None, "c": None, "b": "a"}, "DATA_CELL_NULL", ""),
        ("user=a+c assistant=b", {"a": 3, "c": "q", "b": "a"}, "DATA_NOT_TEXT", ""),
        ("user=a assistant=b", "words", "DATA_FORMAT_MISMATCH", ""),
        ("messages=a", {"a": "words"}, "DATA_TURN_INVALID", ""),
        ("messages=a", {"a": None}, "DATA_CELL_NULL", ""),
        ("prompt=a chosen=b rejected=c", {"a": None, "b": "a", "c": "b"}, "DATA_CELL_NULL", ""),
        ("messages=a label=b", {"a": TURNS, "b": None}, "DATA_CELL_NULL", ""),
    ],
)
def test_rows_a_mapping_does_not_fit_are_named(columns: str, value: Any, code: str, next_step: str) -> None:
    with pytest.raises(RowRejected) as error:
        read_row(value, columns=columns)
    assert error.value.code == code
    assert error.value.next_step.startswith(next_step)


@pytest.mark.parametrize(
    ("value", "proposed"),
    [
        ({"id": "1", "user question": "q", "model.reply": "a"}, 'user="user question" assistant="model.reply"'),
        ({"title": "t", "body": "b" * 50, "tags": ["x"]}, "user=title assistant=body"),
        ({"id": "x" * 40, "left": "long " * 9, "right": "longer " * 9, "lang": "en"}, "user=left assistant=right"),
        ({"data": {"question": "q", "answer": "a"}, "n": 3}, "user=data.question assistant=data.answer"),
        ({"thread": TURNS, "id": 1}, "messages=thread"),
        (
            {"my_prompt": "q", "the_chosen": "a", "the_rejected": "b"},
            "prompt=my_prompt chosen=the_chosen rejected=the_rejected",
        ),
        ({"sys_system": "s", "q1": "long question", "r1": "long answer"}, "user=q1 assistant=r1 system=sys_system"),
        ({"passage": "words"}, "text=passage"),
        ({"n": 3, "empty": " "}, ""),
        ([1], ""),
    ],
)
def test_a_mapping_is_proposed(value: Any, proposed: str) -> None:
    assert suggest_columns(value) == proposed


def test_a_row_no_format_fits_is_told_how_to_map_it() -> None:
    with pytest.raises(RowRejected) as error:
        read_row({"title": "t", "verdict": "v v v"})
    assert error.value.next_step == "Say which column is what, for example columns='user=title assistant=verdict'."
