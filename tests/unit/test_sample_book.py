"""Answers of every evaluation, read from the journal by place."""

from __future__ import annotations

from typing import Any

import pytest

from backprop_tui.app.glyphs import ASCII, UNICODE
from backprop_tui.app.widgets.painted import width_of
from backprop_tui.app.widgets.samples_text import answer_lines, compared, wrapped
from backprop_tui.protocol import events as ev
from backprop_tui.store.samples import Answer, SampleBook
from tests.support.runs import HOSTILE, FakeRun


def say(fake: FakeRun, source: str, output: str, index: int = 0, **changes: Any) -> None:
    fake.add(
        ev.SAMPLE,
        **{
            "step": fake.step, "index": index, "source": source, "prompt": f"question {index}", "reference": "Aye.",
            "output": output, "match": output == "Aye.", **changes,
        },
    )  # fmt: skip


def test_every_evaluation_is_there_with_the_bases_answers_of_its_time() -> None:
    fake = FakeRun().begin(total=100)
    book = SampleBook(fake.run.journal_file)
    book.extend()
    assert book.evaluations == []
    say(fake, "base", "No.")
    say(fake, "base", "Well.", 1)
    book.extend()
    assert [answer.tuned for answer in book.answers(0)] == [None, None]
    for number in range(3):
        fake.train(10).measure()
        say(fake, "tuned", f"Maybe {number}.")
        book.extend()
        say(fake, "tuned", "Aye.", 1)
    fake.begin(total=100, resume=20)
    say(fake, "base", "Nay.")
    fake.train(10)
    say(fake, "tuned", "Aye.")
    fake.let_go()
    book.extend()
    assert [(place.attempt, place.step) for place in book.evaluations] == [(1, 10), (1, 20), (1, 30), (2, 30)]
    second = book.answers(1)
    assert [(answer.base, answer.tuned, answer.tuned_match) for answer in second] == [
        ("No.", "Maybe 1.", False),
        ("Well.", "Aye.", True),
    ]
    assert book.answers(3)[0].base == "Nay."
    assert book.answers(2)[0].base == "No."


def test_words_that_look_like_a_sample_are_none() -> None:
    fake = FakeRun().begin()
    fake.add(ev.LOG, level="info", source="host", message='x,"kind":"sample",y')
    fake.add("of-the-future", kind="sample", other=1)
    say(fake, "tuned", "a" * 2_100_000)
    say(fake, "tuned", "after", 1)
    fake.let_go()
    book = SampleBook(fake.run.journal_file)
    book.extend()
    assert [sorted(place.tuned) for place in book.evaluations] in ([[1]], [[0, 1]])
    assert book.answers(0)[-1].tuned == "after"


def test_a_damaged_answer_is_left_out() -> None:
    fake = FakeRun().begin()
    say(fake, "tuned", "whole")
    say(fake, "tuned", "broken", 1)
    fake.let_go()
    file = fake.run.journal_file
    file.write_bytes(file.read_bytes().replace(b"broken", b"br\x00ken"))
    book = SampleBook(file)
    book.extend()
    assert [answer.tuned for answer in book.answers(0)] == ["whole"]


def test_no_journal_is_no_evaluation(tmp_path: Any) -> None:
    book = SampleBook(tmp_path / "none")
    book.extend()
    assert book.evaluations == []


def test_words_the_reference_does_not_have_are_marked() -> None:
    pieces = compared("Aye, captain! Paris it is.", "Aye, captain! Rome it is.", "strong")
    assert [text for text, role in pieces if role == "accent"] == ["Paris"]
    assert "".join(text for text, _ in pieces) == "Aye, captain! Paris it is."
    assert all(role == "strong" for _, role in compared("anything", "", "strong"))


def test_rewards_stand_below_the_answer_they_are_for() -> None:
    fake = FakeRun().begin()
    words = {"step": 0, "index": 0, "prompt": "q", "reference": "", "output": "a", "match": False}
    fake.add(ev.SAMPLE, **words, source="base", marks={"reward": 0.25, "\x1b[2Jown": None, "broken": "x"})
    fake.let_go()
    book = SampleBook(fake.run.journal_file)
    book.extend()
    (answer,) = book.answers(0)
    assert answer.base_marks == (("reward", 0.25), ("\x1b[2Jown", None), ("broken", None))
    assert answer.tuned_marks == ()
    for beside in (True, False):
        lines = [
            "".join(text for text, _ in line) for line in answer_lines([answer], 100, UNICODE, wrap=True, beside=beside)
        ]
        assert "reward 0.25, ␛[2Jown –, broken –" in "\n".join(lines)


@pytest.mark.parametrize("width", [12, 30, 60, 96, 200])
@pytest.mark.parametrize("wrap", [True, False])
@pytest.mark.parametrize("beside", [True, False])
def test_lines_fit_and_nothing_foreign_acts(width: int, wrap: bool, beside: bool) -> None:
    long = "one two three " * 40 + "x" * 150 + "\nsecond line 日本語のテキスト " * 3
    answers = [
        Answer(0, HOSTILE, "right", HOSTILE, False, long, False),
        Answer(1, long, "", None, False, "", True),
        Answer(2, "", "r", "b", True, None, False),
    ]
    for glyphs in (UNICODE, ASCII):
        lines = answer_lines(answers, width, glyphs, wrap=wrap, beside=beside)
        shown = "\n".join("".join(text for text, _ in line) for line in lines)
        assert not any(sign in shown for sign in "\x1b\x07\x9b\u202e\r")
        if width >= 30:
            assert "(empty)" in shown
            assert max(map(width_of, lines)) <= width


def test_wrapping_keeps_every_word() -> None:
    text = "a bb ccc  dddd\n\neeeee " + "f" * 25
    lines = wrapped([(text, "text")], 8)
    assert max(map(width_of, lines)) <= 8
    shown = "".join(part for line in lines for part, _ in line)
    assert shown.replace(" ", "") == text.replace(" ", "").replace("\n", "")
