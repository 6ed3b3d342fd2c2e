"""What deserves a look in rows that are kept."""

from __future__ import annotations

import timeit

import pytest

from backprop_tui.data.formats import (
    NOTES,
    Conversation,
    Message,
    Normalised,
    PlainText,
    Preference,
    PromptOnly,
    ToolCall,
    Unpaired,
    notes_of,
)

_ROLES = {"s": "system", "u": "user", "a": "assistant", "t": "tool"}


def turns(letters: str) -> Conversation:
    return Conversation(tuple(Message(_ROLES[role], f"turn number {place}") for place, role in enumerate(letters)))


@pytest.mark.parametrize("order", ["ua", "sua", "uaua", "suaua"])
def test_usual_orders_pass(order: str) -> None:
    assert notes_of(turns(order)) == ()


@pytest.mark.parametrize("order", ["uua", "uaa", "a", "sa", "aua", "uau", "usa", "uas", "ssua", "uta", "uat", "ta"])
def test_unusual_orders_are_noted(order: str) -> None:
    assert notes_of(turns(order)) == ("DATA_ROLE_ORDER",)


@pytest.mark.parametrize(
    "call",
    [
        Message("assistant", "", "", (ToolCall("f", {}),)),
        Message("assistant", '<tool_call>\n{"name": "f"}\n</tool_call>'),
    ],
)
def test_tools_may_answer_what_was_called(call: Message) -> None:
    question, last = turns("ua").messages
    result = Message("tool", "3")
    assert notes_of(Conversation((question, call, result, result, last))) == ()
    assert notes_of(Conversation((question, call, result, last, result, last))) == ("DATA_ROLE_ORDER",)


@pytest.mark.parametrize(
    "answer",
    ["", ".", "…!", "ok", "42", "n/a", "None.", "NULL", " - a - ", "_ _ _", "<think>\nlong thoughts\n</think>\n"],
)
def test_answers_that_say_next_to_nothing_are_noted(answer: str) -> None:
    question = Message("user", "what is it?")
    assert notes_of(Conversation((question, Message("assistant", answer)))) == ("DATA_ANSWER_SHORT",)


@pytest.mark.parametrize(
    "answer",
    [
        "yes",
        "1 2 3",
        "- a b c",
        "не знаю",
        "我不知道",
        "none of these",
        "<think>\n…\n</think>\n\nyes",
        "=" * 9 + " abc",
    ],
)
def test_answers_of_three_letters_pass(answer: str) -> None:
    assert notes_of(Conversation((Message("user", "what is it?"), Message("assistant", answer)))) == ()


def test_echoes_are_noted() -> None:
    assert notes_of(Conversation((Message("user", "say it"), Message("assistant", "say it")))) == ("DATA_SAME_TURNS",)


def test_several_notes_come_in_the_order_of_the_table() -> None:
    row = Conversation(
        (Message("assistant", "x"), Message("user", "no"), Message("assistant", "no"), Message("user", "?"))
    )
    assert notes_of(row) == tuple(NOTES)


def test_other_kinds_of_rows() -> None:
    question, answer = turns("ua").messages
    short, good = Message("assistant", "x"), Message("assistant", "it is so")
    rows: list[tuple[Normalised, tuple[str, ...]]] = [
        (PlainText("x"), ()),
        (Preference((question,), (good,), (answer,)), ()),
        (Preference((question,), (good,), (short,)), ("DATA_ANSWER_SHORT",)),
        (Preference((question, question), (good,), (short,)), ("DATA_ROLE_ORDER", "DATA_ANSWER_SHORT")),
        (Unpaired((question,), (short,), True), ("DATA_ANSWER_SHORT",)),
        (PromptOnly((question,)), ()),
        (PromptOnly((question, question)), ("DATA_ROLE_ORDER",)),
    ]
    for row, expected in rows:
        assert notes_of(row) == expected


def test_every_note_says_what_to_do() -> None:
    for code, note in NOTES.items():
        assert note.code == code
        assert note.cause.endswith(".")
        assert note.next_step.endswith(".")


def test_a_usual_row_costs_next_to_nothing() -> None:
    row = turns("uaua")
    # Under 1 µs where it was written; the bound leaves room for a slower or busier machine.
    assert min(timeit.repeat(lambda: notes_of(row), number=2000, repeat=7)) / 2000 < 8e-6
