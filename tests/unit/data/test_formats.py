"""Every way rows are written comes to the same turns, and every rejected row says why."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backprop_tui.data.formats import FORMATS, Conversation, Message, PlainText, detect, normalise, read_row
from backprop_tui.data.rows import RowRejected
from backprop_tui.protocol.errors import UsageError
from backprop_tui.protocol.spec import DataPart

ONE = Conversation((Message("user", "q"), Message("assistant", "a")))
WITH_SYSTEM = Conversation((Message("system", "s"), *ONE.messages))


@pytest.mark.parametrize(
    ("value", "format", "expected"),
    [
        ({"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]}, "messages", ONE),
        ({"conversations": [{"role": "human", "content": "q"}, {"role": "gpt", "content": "a"}]}, "messages", ONE),
        (
            {
                "messages": [
                    {"role": "developer", "content": "s"},
                    {"role": "user", "content": [{"type": "text", "text": "q"}]},
                    {"role": "assistant", "content": "a"},
                ]
            },
            "messages",
            WITH_SYSTEM,
        ),
        ({"conversations": [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}]}, "sharegpt", ONE),
        (
            {"system": "s", "conversations": [{"from": "user", "value": "q"}, {"from": "model", "value": "a"}]},
            "sharegpt",
            WITH_SYSTEM,
        ),
        ({"instruction": "q", "input": "", "output": "a"}, "alpaca", ONE),
        ({"instruction": "q", "output": "a", "system": "s"}, "alpaca", WITH_SYSTEM),
        (
            {"instruction": "q", "input": "x", "output": "a"},
            "alpaca",
            Conversation((Message("user", "q\n\nx"), ONE.messages[1])),
        ),
        ({"prompt": "q", "completion": "a"}, "prompt-completion", ONE),
        (
            {"prompt": [{"role": "user", "content": "q"}], "completion": [{"role": "assistant", "content": "a"}]},
            "prompt-completion",
            ONE,
        ),
        ({"Question": "q", "Answer": "a"}, "question-answer", ONE),
        ({"query": "q", "response": "a", "system_prompt": "s"}, "question-answer", WITH_SYSTEM),
        (
            {"question": "q", "answer": "a", "context": "x"},
            "question-answer",
            Conversation((Message("user", "x\n\nq"), ONE.messages[1])),
        ),
        ({"text": "<|im_start|>user\nq<|im_end|>\n<|im_start|>assistant\na<|im_end|>\n"}, "chatml", ONE),
        ("<|im_start|>user\nq<|im_end|>\n<|im_start|>assistant\na", None, None),
        ("<|im_start|>user\nq<|im_end|><|im_start|>assistant\na", "chatml", ONE),
        ({"text": "words"}, "text", PlainText("words")),
        ("words", "text", PlainText("words")),
    ],
)
def test_row_comes_to_its_turns(value: Any, format: str | None, expected: Any) -> None:
    if format is None:
        assert read_row(value)[0] == "chatml"
        return
    assert read_row(value) == (format, expected)


@pytest.mark.parametrize(
    ("value", "code", "reason"),
    [
        ({"messages": [{"role": "user", "content": "q"}]}, "DATA_NO_ASSISTANT", "no answer turn"),
        ({"messages": []}, "DATA_NO_ASSISTANT", "no answer turn"),
        ({"conversations": []}, "DATA_NO_ASSISTANT", "no answer turn"),
        ({"messages": [{"role": "wizard", "content": "q"}]}, "DATA_ROLE_UNKNOWN", "unknown role"),
        ({"messages": [{"role": None, "content": "q"}]}, "DATA_ROLE_UNKNOWN", "unknown role"),
        ({"messages": [{"role": "user", "content": "q"}, 3]}, "DATA_TURN_INVALID", "broken turn"),
        (
            {"messages": [{"role": "assistant", "content": None, "tool_calls": [{}]}]},
            "DATA_TOOL_CALL",
            "broken tool call",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]},
            "DATA_PART_UNSUPPORTED",
            "not text",
        ),
        ({"instruction": "q", "output": " "}, "DATA_ANSWER_EMPTY", "empty answer"),
        ({"instruction": "", "output": "a"}, "DATA_TURN_EMPTY", "empty prompt"),
        ({"instruction": "q", "output": None}, "DATA_CELL_NULL", "missing value"),
        ({"prompt": 3, "completion": "a"}, "DATA_NOT_TEXT", "not text"),
        ({"prompt": float("nan"), "completion": "a"}, "DATA_CELL_NULL", "missing value"),
        ({"prompt": "\ud800", "completion": "a"}, "DATA_LONE_SURROGATE", "broken character"),
        ({"text": ""}, "DATA_TEXT_EMPTY", "empty text"),
        ({"text": None}, "DATA_CELL_NULL", "missing value"),
        ({"text": "x <|im_start|>user\nq<|im_end|>"}, "DATA_CHATML_BROKEN", "broken ChatML"),
        ({"prompt": "q", "chosen": "a", "rejected": "a"}, "DATA_PAIR_EQUAL", "equal pair"),
        ({"prompt": "q", "chosen": "a", "rejected": None}, "DATA_CELL_NULL", "missing value"),
        ({"chosen": "a", "rejected": "b"}, "DATA_PREFERENCE_PROMPT", "no common prompt"),
        ({"prompt": "q", "completion": "a", "label": "good"}, "DATA_LABEL_INVALID", "label unclear"),
        ({"prompt": "q", "completion": "a", "label": None}, "DATA_CELL_NULL", "missing value"),
        ({"prompt": " "}, "DATA_TURN_EMPTY", "empty prompt"),
        ({"instruction": "q", "output": "a", "history": ["x"]}, "DATA_HISTORY_INVALID", "broken history"),
        ({"messages": None}, "DATA_CELL_NULL", "missing value"),
        ({"messages": "words"}, "DATA_FORMAT_NONE", "unknown format"),
        ({}, "DATA_FORMAT_NONE", "unknown format"),
        (None, "DATA_FORMAT_NONE", "unknown format"),
        (7, "DATA_FORMAT_NONE", "unknown format"),
        ([], "DATA_FORMAT_NONE", "unknown format"),
    ],
)
def test_rejected_row_says_why(value: Any, code: str, reason: str) -> None:
    with pytest.raises(RowRejected) as error:
        read_row(value)
    assert (error.value.code, error.value.reason) == (code, reason)
    assert error.value.cause.endswith(".")


def test_hostile_names_are_harmless_in_errors() -> None:
    with pytest.raises(RowRejected) as error:
        read_row({"\x1b]0;x\x07": 1})
    assert "\x1b" not in str(error.value)
    with pytest.raises(RowRejected) as error:
        read_row({"messages": [{"role": "\x1b[31m", "content": ""}]})
    assert "\x1b" not in str(error.value)


def test_spec_offers_the_formats_that_exist() -> None:
    offered = DataPart.model_json_schema()["properties"]["format"]["enum"]
    assert set(offered) == {"auto", "columns", *(entry.name for entry in FORMATS)}
    with pytest.raises(UsageError):
        normalise({}, "yaml")


@pytest.mark.parametrize("format", [entry.name for entry in FORMATS])
def test_a_row_of_another_format_is_rejected_by_name(format: str) -> None:
    with pytest.raises(RowRejected):
        read_row({"something": "else"}, format)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ({"prompt": 30**30, "completion": "a"}, str(30**30)),
        ({"prompt": 10**5000, "completion": "a"}, "a very long number"),
        ({"prompt": float("nan"), "completion": "a"}, "nan"),
        ({"prompt": None, "completion": "a"}, "null"),
        ({"prompt": {"a": 1}, "completion": "a"}, "{…}"),
        ({"prompt": b"x", "completion": "a"}, "bytes"),
        ({"messages": [{"role": "wiz\x1bard", "content": "q"}]}, "wiz␛ard"),
        ({"messages": [{"role": "user", "content": "q"}, 3]}, "3"),
        ({"prompt": "q", "completion": "a", "label": "x" * 99}, "x" * 60 + "…"),
    ],
)
def test_rejected_row_names_the_value(value: Any, shown: str) -> None:
    with pytest.raises(RowRejected) as error:
        read_row(value)
    assert error.value.value == shown


def test_nan_is_told_from_null() -> None:
    causes = []
    for cell in (None, float("nan")):
        with pytest.raises(RowRejected) as error:
            read_row({"question": "q", "answer": cell})
        causes.append(error.value.cause)
    assert causes == ["The answer is missing.", "The answer is NaN, the mark of an empty cell."]


_solid = st.text(min_size=1).filter(lambda text: bool(text.strip()) and "<|im_" not in text)


@given(st.lists(st.tuples(_solid, _solid), min_size=1, max_size=4), st.one_of(st.just(""), _solid))
def test_every_chat_format_carries_the_same_conversation(pairs: list[tuple[str, str]], system: str) -> None:
    messages = [Message("system", system)] if system else []
    for question, answer in pairs:
        messages += [Message("user", question), Message("assistant", answer)]
    wanted = Conversation(tuple(messages))
    names = {"user": "human", "assistant": "gpt", "system": "system"}
    written = {
        "messages": {"messages": [{"role": m.role, "content": m.content} for m in messages]},
        "sharegpt": {"conversations": [{"from": names[m.role], "value": m.content} for m in messages]},
        "chatml": {"text": "".join(f"<|im_start|>{m.role}\n{m.content}<|im_end|>\n" for m in messages)},
    }
    for name, row in written.items():
        back = json.loads(json.dumps(row))
        assert detect(back) == name
        assert normalise(back, name) == wanted
