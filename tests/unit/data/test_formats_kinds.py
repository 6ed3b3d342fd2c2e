"""Tools, preference pairs, labelled answers and bare prompts, as the sets people have write them."""

from __future__ import annotations

from typing import Any

import pytest

from backprop_tui.data.formats import (
    Conversation,
    Message,
    Preference,
    PromptOnly,
    ToolCall,
    Unpaired,
    purpose_of,
    read_row,
)
from backprop_tui.data.rows import RowRejected

Q, A, B = Message("user", "q"), Message("assistant", "a"), Message("assistant", "b")
S = Message("system", "s")
TURNS_A = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]
TURNS_B = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "b"}]
TOOL: dict[str, Any] = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
CALL = ToolCall("f", {"x": 1}, "c1")
CALLED = Conversation((Q, Message("assistant", "", "", (CALL,)), Message("tool", "3", "", (), "f", "c1"), A), (TOOL,))


def openai(call: dict[str, Any], tools: Any = (TOOL,), content: Any = None) -> dict[str, Any]:
    return {
        "tools": list(tools) if isinstance(tools, tuple) else tools,
        "messages": [
            {"role": "user", "content": "q"},
            {"role": "assistant", "content": content, **call},
            {"role": "tool", "content": "3", "tool_call_id": "c1", "name": "f"},
            {"role": "assistant", "content": "a"},
        ],
    }


@pytest.mark.parametrize("arguments", ['{"x": 1}', {"x": 1}])
@pytest.mark.parametrize(
    "tools", [(TOOL,), '[{"type":"function","function":{"name":"f","parameters":{"type":"object"}}}]']
)
@pytest.mark.parametrize("content", [None, ""])
def test_openai_tools(arguments: Any, tools: Any, content: Any) -> None:
    call = {"tool_calls": [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": arguments}}]}
    assert read_row(openai(call, tools, content)) == ("messages", CALLED)


def test_words_beside_a_call_and_calls_side_by_side() -> None:
    calls = [{"id": name, "function": {"name": name, "arguments": "{}"}} for name in ("f", "g")]
    _, row = read_row(openai({"tool_calls": calls}, content="let me see"))
    assert isinstance(row, Conversation)
    assert row.messages[1] == Message("assistant", "let me see", "", (ToolCall("f", {}, "f"), ToolCall("g", {}, "g")))


def test_the_older_function_call() -> None:
    value = {
        "messages": [
            {"role": "user", "content": "q"},
            {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "not json"}},
            {"role": "function", "name": "f", "content": ""},
            {"role": "assistant", "content": "a"},
        ],
        "functions": [{"name": "f"}],
    }
    called = Message("assistant", "", "", (ToolCall("f", "not json"),))
    assert read_row(value)[1] == Conversation((Q, called, Message("tool", "", "", (), "f"), A), ({"name": "f"},))


@pytest.mark.parametrize("text", ['{"a": 1, "a": 2}', '{"a": NaN}', '{"a": 1e999}', "[1]", '"x"', ""])
def test_arguments_that_an_object_can_not_hold_stay_text(text: str) -> None:
    _, row = read_row(openai({"tool_calls": [{"function": {"name": "f", "arguments": text}}]}))
    assert isinstance(row, Conversation)
    assert row.messages[1].tool_calls[0].arguments == text


@pytest.mark.parametrize("key", ["reasoning_content", "reasoning", "thinking"])
def test_reasoning_apart_and_thoughts_inside(key: str) -> None:
    turns = [TURNS_A[0], {"role": "assistant", "content": "<think>\nt\n</think>\n\na", key: "because"}]
    _, row = read_row({"messages": turns})
    assert row == Conversation((Q, Message("assistant", "<think>\nt\n</think>\n\na", "because")))


def test_cells_that_tables_leave_empty_say_nothing() -> None:
    nothing = {"tool_calls": None, "name": None, "tool_call_id": None, "reasoning_content": float("nan"), "from": None}
    turns = [{**turn, **nothing} for turn in TURNS_A]
    assert read_row({"messages": turns, "tools": None, "chosen": None, "rejected": None})[1] == Conversation((Q, A))


@pytest.mark.parametrize(
    ("bad", "code"),
    [
        ({"tool_calls": [{"function": {"arguments": "{}"}}]}, "DATA_TOOL_CALL"),
        ({"tool_calls": ["f"]}, "DATA_TOOL_CALL"),
        ({"tool_calls": "f()"}, "DATA_TOOL_CALL"),
        ({"tool_calls": {"name": "f"}}, "DATA_TOOL_CALL"),
        ({"tool_calls": [{"function": {"name": "f", "arguments": [1]}}]}, "DATA_TOOL_CALL"),
        ({"tool_calls": [{"function": {"name": "f", "arguments": {"x": b"y"}}}]}, "DATA_TOOL_CALL"),
        ({"function_call": "f"}, "DATA_TOOL_CALL"),
        ({"tool_calls": []}, "DATA_CELL_NULL"),
        ({"content": ["x", {"type": "image_url"}]}, "DATA_PART_UNSUPPORTED"),
        ({"content": "x", "name": 3}, "DATA_NOT_TEXT"),
        ({"content": "x", "reasoning_content": {}}, "DATA_NOT_TEXT"),
    ],
)
def test_broken_calls_are_named(bad: dict[str, Any], code: str) -> None:
    with pytest.raises(RowRejected) as error:
        read_row(openai(bad))
    assert error.value.code == code


@pytest.mark.parametrize("tools", ["f", "{", '["x"]', [3], 7, [{"f": float("inf")}], '[{"a":1,"a":2}]'])
def test_broken_tools_are_named(tools: Any) -> None:
    with pytest.raises(RowRejected) as error:
        read_row({"messages": TURNS_A, "tools": tools})
    assert (error.value.code, error.value.reason) == ("DATA_TOOLS_INVALID", "broken tools")


@pytest.mark.parametrize(
    ("human", "gpt"),
    [("human", "gpt"), ("user", "assistant"), ("human", "chatgpt"), ("human", "bing"), ("human", "bard"), ("Human", " GPT "),
     ("prompter", "model"), ("user", "bot")],
)  # fmt: skip
def test_sharegpt_role_names(human: str, gpt: str) -> None:
    turns = [{"from": "system", "value": "s"}, {"from": human, "value": "q"}, {"from": gpt, "value": "a"}]
    assert read_row({"conversations": turns}) == ("sharegpt", Conversation((S, Q, A)))


def test_sharegpt_tools() -> None:
    value = {
        "system": "s",
        "tools": '[{"name": "f"}]',
        "conversations": [
            {"from": "human", "value": "q"},
            {"from": "function_call", "value": '{"name": "f", "arguments": {"x": 1}}'},
            {"from": "observation", "value": "3"},
            {
                "from": "function_call",
                "value": '[{"name": "f", "arguments": {}}, {"name": "g", "parameters": {"y": 2}}]',
            },
            {"from": "tool", "value": "4"},
            {"from": "function_call", "value": "f(5)"},
            {"from": "gpt", "value": "a"},
        ],
    }
    assert read_row(value)[1] == Conversation(
        (
            S,
            Q,
            Message("assistant", "", "", (ToolCall("f", {"x": 1}),)),
            Message("tool", "3"),
            Message("assistant", "", "", (ToolCall("f", {}), ToolCall("g", {"y": 2}))),
            Message("tool", "4"),
            Message("assistant", "f(5)"),
            A,
        ),
        ({"name": "f"},),
    )


def test_turns_written_as_json_text_in_a_table() -> None:
    import json

    assert read_row({"messages": json.dumps(TURNS_A), "id": "1"}) == ("messages", Conversation((Q, A)))
    said = [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}]
    assert read_row({"conversations": json.dumps(said)}) == ("sharegpt", Conversation((Q, A)))


def test_alpaca_with_history() -> None:
    row = Conversation((S, Q, A, Message("user", "more"), B))
    value = {"instruction": "more", "input": "", "output": "b", "system": "s", "history": [["q", "a"]]}
    assert read_row(value) == ("alpaca", row)
    assert read_row({**value, "history": '[["q", "a"]]'}) == ("alpaca", row)
    assert read_row({"Instruction": "q", "Output": "a"}) == ("alpaca", Conversation((Q, A)))


HH = "\n\nHuman: q\n\nAssistant: one\n\nHuman: more\n\nAssistant: "


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"prompt": "q", "chosen": "a", "rejected": "b"}, Preference((Q,), (A,), (B,))),
        ({"question": "q", "response_j": "a", "response_k": "b"}, Preference((Q,), (A,), (B,))),
        ({"Prompt": "q", "chosen_response": "a", "rejected_response": "b"}, Preference((Q,), (A,), (B,))),
        ({"system": "s", "question": "q", "chosen": "a", "rejected": "b"}, Preference((S, Q), (A,), (B,))),
        ({"prompt": [TURNS_A[0]], "chosen": [TURNS_A[1]], "rejected": [TURNS_B[1]]}, Preference((Q,), (A,), (B,))),
        ({"chosen": TURNS_A, "rejected": TURNS_B}, Preference((Q,), (A,), (B,))),
        ({"prompt": " q ", "chosen": TURNS_A, "rejected": TURNS_B}, Preference((Q,), (A,), (B,))),
        (
            {"chosen": [*TURNS_A, *TURNS_A], "rejected": [*TURNS_A, *TURNS_B]},
            Preference((Q, A, Q), (A,), (B,)),
        ),
        ({"chosen": TURNS_A, "rejected": [*TURNS_A, *TURNS_B]}, Preference((Q,), (A,), (A, Q, B))),
        (
            {"chosen": f"{HH}a ", "rejected": f"{HH}b"},
            Preference((Q, Message("assistant", "one"), Message("user", "more")), (Message("assistant", "a "),), (B,)),
        ),
        ({"prompt": "\n\nHuman: q\n\nAssistant:", "chosen": "a", "rejected": "b"}, Preference((Q,), (A,), (B,))),
        (
            {
                "input": {"messages": [TURNS_A[0]], "tools": [TOOL]},
                "preferred_output": [TURNS_A[1]],
                "non_preferred_output": [TURNS_B[1]],
            },
            Preference((Q,), (A,), (B,), (TOOL,)),
        ),
        (
            {
                "conversations": [{"from": "human", "value": "q"}],
                "chosen": {"from": "gpt", "value": "a"},
                "rejected": {"from": "gpt", "value": "b"},
            },
            Preference((Q,), (A,), (B,)),
        ),
        ({"messages": TURNS_A, "chosen": TURNS_A, "rejected": TURNS_B}, Preference((Q,), (A,), (B,))),
    ],
)
def test_preference_pairs(value: dict[str, Any], expected: Preference) -> None:
    assert read_row(value) == ("preference", expected)
    assert purpose_of(expected) == "preference"


@pytest.mark.parametrize(
    ("value", "code"),
    [
        ({"chosen": TURNS_A, "rejected": TURNS_A}, "DATA_PAIR_EQUAL"),
        ({"chosen": f"{HH}a", "rejected": f"{HH}a"}, "DATA_PAIR_EQUAL"),
        ({"chosen": "same start a", "rejected": "same start b"}, "DATA_PREFERENCE_PROMPT"),
        ({"chosen": TURNS_A, "rejected": [{"role": "user", "content": "p"}, TURNS_B[1]]}, "DATA_PREFERENCE_PROMPT"),
        ({"prompt": "other", "chosen": TURNS_A, "rejected": TURNS_B}, "DATA_PREFERENCE_PROMPT"),
        ({"prompt": [], "chosen": "a", "rejected": "b"}, "DATA_PREFERENCE_PROMPT"),
        ({"prompt": "q", "chosen": "a", "rejected": " "}, "DATA_ANSWER_EMPTY"),
        ({"prompt": "q", "chosen": "a", "rejected": 3}, "DATA_NOT_TEXT"),
        ({"prompt": "q", "chosen": [TURNS_A[0]], "rejected": "b"}, "DATA_NO_ASSISTANT"),
        ({"prompt": "q", "chosen": "a"}, "DATA_FORMAT_NONE"),
    ],
)
def test_broken_pairs_are_named(value: dict[str, Any], code: str) -> None:
    with pytest.raises(RowRejected) as error:
        read_row(value)
    assert error.value.code == code


@pytest.mark.parametrize(
    ("label", "wanted"), [(True, True), (0, False), (1.0, True), ("false", False), (" True ", True)]
)
def test_labelled_answers(label: Any, wanted: bool) -> None:
    row = Unpaired((Q,), (A,), wanted)
    assert read_row({"prompt": "q", "completion": "a", "label": label}) == ("unpaired", row)
    assert read_row({"prompt": [TURNS_A[0]], "completion": [TURNS_A[1]], "label": label}) == ("unpaired", row)
    assert purpose_of(row) == "unpaired"


@pytest.mark.parametrize("label", [2, 0.5, "good", "", [], {}, 10**400])
def test_a_label_that_is_neither_is_refused(label: Any) -> None:
    with pytest.raises(RowRejected) as error:
        read_row({"prompt": "q", "completion": "a", "label": label})
    assert error.value.code == "DATA_LABEL_INVALID"


def test_bare_prompts_keep_other_columns() -> None:
    row = PromptOnly((S, Q), {"solution": "3", "tests": [{"n": 1}], "level": None})
    value = {"prompt": "q", "solution": "3", "tests": [{"n": 1}], "level": float("nan"), "system": "s"}
    assert read_row(value) == ("prompt", row)
    assert read_row({"prompt": [TURNS_A[0]]}) == ("prompt", PromptOnly((Q,)))
    assert purpose_of(row) == "prompt"
    # An answer makes a row to learn from, unless bare prompts are asked for.
    assert read_row({"prompt": "q", "answer": "a"}) == ("question-answer", Conversation((Q, A)))
    assert read_row({"prompt": "q", "answer": "a"}, "prompt")[1] == PromptOnly((Q,), {"answer": "a"})


def test_columns_beside_a_prompt_that_json_can_not_hold() -> None:
    import datetime

    with pytest.raises(RowRejected) as error:
        read_row({"prompt": "q", "image": b"\x89PNG"})
    assert (error.value.code, error.value.reason) == ("DATA_COLUMN_NOT_JSON", "column not JSON")
    day = datetime.date(2026, 11, 24)
    assert read_row({"prompt": "q", "day": day})[1] == PromptOnly((Q,), {"day": "2026-11-24"})


def test_a_prompt_of_turns_with_an_answer_in_text() -> None:
    value = {"prompt": [{"role": "system", "content": "s"}, TURNS_A[0]], "answer": "a", "context": "x"}
    assert read_row(value)[1] == Conversation((S, Message("user", "x\n\nq"), A))


def test_questions_after_the_last_answer_are_kept() -> None:
    value = {"messages": [*TURNS_A, {"role": "user", "content": "more"}]}
    assert read_row(value)[1] == Conversation((Q, A, Message("user", "more")))
