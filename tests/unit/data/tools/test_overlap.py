"""What is measured must not have been learnt: rows, questions and passages shared with held-out rows."""

from __future__ import annotations

import os
import pickle
import random
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backprop_tui.data.formats.conversation import Message, Normalised, PlainText, Preference, PromptOnly
from backprop_tui.data.tools import overlap
from backprop_tui.data.tools.overlap import BOILERPLATE, MOST_EXAMPLES, HeldOut, OverlapReport, exceeds
from tests.unit.data.tools.rows import ROWS, chat

WORDS = ["".join(random.Random(number).choices("abcdefghijklmnopqrstuvwxyz", k=5)) for number in range(5000)]


def words(seed: int, count: int) -> str:
    return " ".join(random.Random(seed).choices(WORDS, k=count))


@pytest.mark.parametrize(
    ("row", "kind"),
    [
        (chat("What is 2 + 2?", "Four."), "exact"),
        (chat("what is 2+2", "Five!"), "prompt"),
        (chat("What is 2 + 2?", "Four.", system="Be brief."), "prompt"),
        (chat("What is 2 + 3?", "Four."), None),
        (PromptOnly((Message("user", "WHAT IS 2 + 2?"),)), "prompt"),
        (Preference((Message("user", "What is 2+2?"),), (Message("assistant", "4"),), (Message("assistant", "5"),)), "prompt"),
        (PlainText("what is 2 2 four"), "ngram"),
        (PlainText("Please: what is 2 + 2? Four."), None),
        (chat("What is 2 + 2?", "Four.", "And 3 + 3?", "Six."), None),
        (chat("", ""), None),
    ],
)  # fmt: skip
def test_the_strongest_kind_is_named(row: Normalised, kind: str | None) -> None:
    assert HeldOut.from_rows([chat("What is 2 + 2?", "Four."), chat("", " ")]).check(row) == kind


@given(st.integers(0, 40), st.integers(0, 40), st.integers(8, 18), st.booleans())
def test_a_run_of_thirteen_words_tells_and_twelve_do_not(before: int, after: int, shared: int, shout: bool) -> None:
    held = HeldOut.from_rows([PlainText(f"{words(1, before)} {words(2, shared)} {words(3, after)}")])
    passage = words(2, shared)
    passage = passage.upper().replace(" ", " -- ") if shout else passage
    row = chat("A question of its own, asked at some length here?", f"{words(4, 30)}; {passage}. {words(5, 30)}")
    assert (held.check(row) == "ngram") == (shared >= 13)


def test_texts_longer_than_a_piece_are_seen_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overlap, "_PIECE", 200)
    long = f"{words(1, 400)} {'x' * 900} {words(2, 400)}"
    held = HeldOut.from_rows([PlainText(long)])
    parts = long.split()
    for start in [*range(0, 380, 7), *range(402, 780, 7), 389]:
        found = held.check(PlainText(" ".join([words(9, 20), *parts[start : start + 13], words(8, 20)])))
        assert found == ("ngram" if "x" * 900 not in parts[start : start + 13] else None), start


def test_what_all_rows_share_is_no_contamination() -> None:
    instruction = words(7, 25)
    several = [chat(f"{instruction} {words(100 + row, 20)}", "yes") for row in range(BOILERPLATE + 1)]
    other = chat(f"{instruction} {words(999, 20)}", "no")
    assert HeldOut.from_rows(several).check(other) is None
    assert HeldOut.from_rows(several[:BOILERPLATE]).check(other) == "ngram"
    assert HeldOut.from_rows(several[:1] * 50).check(other) == "ngram"
    assert HeldOut.from_rows([chat("a", "b", system=instruction)]).check(chat("c", "d", system=instruction)) is None


def test_scripts_without_spaces_and_beyond_ascii() -> None:
    chinese = "".join(chr(0x4E00 + place * 53 % 3000) for place in range(60))
    held = HeldOut.from_rows([PlainText(chinese), PlainText("\u00c9T\u00c9 " + words(1, 20))])
    assert held.check(PlainText("\u4e00\u4e01" + chinese[20:40] + "\u3002\u4e02")) == "ngram"
    assert held.check(PlainText("\u4e00\u4e01" + chinese[20:32] + "\u4e02")) is None
    assert held.check(PlainText("x \u00e9t\u00e9 " + words(1, 12) + " y")) == "ngram"


@given(st.lists(ROWS, max_size=6))
def test_held_out_rows_overlap_with_themselves(rows: list[Normalised]) -> None:
    held = HeldOut.from_rows(rows)
    report = held.report(rows)
    assert report.exact == report.rows == len(rows)
    assert HeldOut.from_rows([]).report(rows).overlapping == 0


def test_reports_count_everything_list_some_and_gate() -> None:
    held = HeldOut.from_rows([chat("q", "a")])
    report = held.report([chat("q", "a"), chat("q", "b"), chat("other", "a")] * 20)
    assert (report.rows, report.exact, report.prompts, report.ngrams) == (60, 20, 20, 0)
    assert report.share == pytest.approx(2 / 3)
    assert len(report.examples) == MOST_EXAMPLES
    assert report.examples[:3] == [(0, "exact"), (1, "prompt"), (3, "exact")]
    assert exceeds(report, 0.66)
    assert not exceeds(report, 2 / 3)
    assert exceeds(report, 0)
    assert not exceeds(OverlapReport(), 0)
    assert report.to_dict()["examples"][1] == {"place": 1, "kind": "prompt"}


def test_hashes_hold_in_another_process() -> None:
    """A set handed to a child with other string hashes finds the same."""
    held = HeldOut.from_rows([PlainText(words(1, 50)), chat("q", "a")])
    program = (
        "import pickle, sys\n"
        "from tests.unit.data.tools.test_overlap import *\n"
        "held = pickle.load(sys.stdin.buffer)\n"
        "rows = [PlainText('x ' + words(1, 20)), chat('q', 'a'), chat('q', 'b'), chat('z', 'y')]\n"
        "print([held.check(row) for row in rows])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        input=pickle.dumps(held),
        env={**os.environ, "PYTHONHASHSEED": "3"},
        capture_output=True,
        timeout=120,
        check=True,
    )
    assert done.stdout.decode().strip() == "['ngram', 'exact', 'prompt', None]"
