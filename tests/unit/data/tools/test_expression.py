"""Row filters: what they mean, what they refuse and how they say so."""

from __future__ import annotations

import math
import subprocess
import sys
import time
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backprop_tui.data.formats.conversation import Conversation, Message, Normalised, PlainText, Preference, ToolCall
from backprop_tui.data.tools.expression import DEEPEST, LONGEST, compile_filter, quality_filter
from backprop_tui.data.tools.facts import FACTS, facts_of
from backprop_tui.data.tools.functions import FUNCTIONS
from backprop_tui.protocol.errors import UsageError
from tests.unit.data.tools.rows import ROWS, chat

ROW = chat("What is 2 + 2?", "It is 4.", "Sure?", "Yes, I am.", system="Be brief.")


def keeps(text: str, row: Normalised = ROW, **value: Any) -> bool:
    return compile_filter(text).keep(facts_of(row, value=value, format="messages", index=7, line=8, file="a.jsonl"))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "  \n",
        "turns >= 2 and answer_chars > 10",
        "turns == 4 and answers == 2",
        "chars == 46 and words == 14",
        "user_chars == 19 and answer_chars == 18 and shortest_answer == 8",
        "has_system and has_answer and not has_tools and not has_reasoning",
        'user == "Sure?" and answer == "Yes, I am." and system == "Be brief."',
        '"2 + 2" in text and "3" not in text',
        'format in ("messages", "alpaca") and format not in ["text"]',
        'index == 7 and line == 8 and file == "a.jsonl"',
        "1 < turns <= 4 < chars",
        "not turns < 2 or false",
        "turns * 2 - 1 == 7 and turns % 3 == 1 and turns / 8 == 0.5 and -turns < +turns",
        "(turns + 1) * 2 == 10",
        "len(user) == 5 and len(column('tags')) == 2",
        'lower(answer) == "yes, i am." and startswith(answer, "Yes") and endswith(answer, ".")',
        'contains(text, "YES") and contains(text, ("nothing", "sure")) and not contains(text, "never")',
        'matches(answer, "^Yes, (I|you)") and matches(text, "\\\\d \\\\+ \\\\d") and not matches(answer, "yes")',
        "min(3, turns) == 3 and max(3, turns, 2) == 4 and abs(-turns) == 4 and round(1.26, 1) == 1.3",
        "score > 0.5 and column('my score') < 0 and 'x' in tags and label == true and price < 2",
        "missing == none and missing is None and not missing != none",
        "turns >= 2\n  and chars > 1",
    ],
)
def test_what_holds(text: str) -> None:
    value = {"score": 0.7, "my score": -1, "tags": ["x", "y"], "label": True, "price": Decimal("1.5")}
    assert keeps(text, **value)


@pytest.mark.parametrize(
    "text",
    [
        "missing > 0.5", "missing <= 0.5", "missing + 1 > 0", "missing", "not turns", "score > 1", "score <= 1",
        "name > 1", "name * 3 == 1", "name + name == 1", "chars / 0 > 1 or chars % 0 < 1", "nan > 1", "nan <= 1",
        "len(turns) > 0", "lower(turns) == 1", "contains(turns, 1)", "startswith(name, 1)", "min(name, 1) < 3",
        "abs(name) == 1", "round(name) == 1", "round(nan) == 1", "round(1.5, name) == 2", "1 in turns", "name in 3",
        "matches(turns, '1')", "tags in meta", "-name == 1", "huge * 1.5 > 1", "round(turns, 9999999999) > 0",
    ],
)  # fmt: skip
def test_what_can_not_be_worked_out_fails_and_stops_nothing(text: str) -> None:
    value = {"name": "text", "score": None, "nan": math.nan, "tags": ["a"], "meta": {"a": 1}, "huge": 10**400}
    assert not keeps(text, **value)


def test_facts_of_other_kinds() -> None:
    pair = Preference((Message("user", "q"),), (Message("assistant", "good"),), (Message("assistant", "terrible"),))
    assert keeps("turns == 2 and answers == 1 and answer == 'good' and chars == 13 and 'terrible' in text", pair)
    assert keeps("turns == 0 and not has_answer and shortest_answer == none and chars == 3", PlainText("abc"))
    called = Message("assistant", "", tool_calls=(ToolCall("find", {"city": "Rome"}),))
    row = Conversation((Message("user", "q"), called, Message("tool", "sun"), Message("assistant", "<think>x</think>")))
    assert keeps("has_tools and has_reasoning and answers == 2 and turns == 4 and 'Rome' in text", row)
    assert keeps("has_reasoning", Conversation((Message("assistant", "a", reasoning="because"),)))


def test_columns_never_hide_facts_and_facts_are_worked_out_once() -> None:
    assert keeps("column('turns') == 'own' and turns == 4", turns="own")
    facts = facts_of(ROW, value={"a": 1})
    assert facts["text"] is facts["text"]
    assert set(facts) == {*FACTS, "column:a"}
    assert len(facts) == len(FACTS) + 1
    assert facts.get("nonsense", 3) == 3
    assert facts_of(ROW, value="plain text").get("column:a") is None
    used = compile_filter("turns > 1 and score > 2")
    assert (used.facts, used.columns) == ({"turns"}, {"score"})
    assert used.keep({"turns": 2, "column:score": 3})
    assert not used.keep({})


@pytest.mark.parametrize(
    ("text", "column", "word", "nearest"),
    [
        ("answer_char > 3", 1, "answer_char", "answer_chars"),
        ("\u00e9 > 1 and  turnz >= 2", 12, "turnz", "turns"),
        ("turns > 1 and lenn(text) > 2", 15, "lenn", "len"),
        ("turns.real > 1", 1, "turns.real", None),
        ("text.upper() == 'A'", 1, "text.upper", None),
        ("__import__('os')", 1, "__import__", None),
        ("text[0] == 'a'", 1, "text[0]", None),
        ("2 ** 9 > 1", 1, "2 ** 9", None),
        ("turns // 2 > 1", 1, "turns // 2", None),
        ("'a' * 1000000000 == text", 1, "'a'", None),
        ("1000000000 * 'a' == text", 14, "'a'", None),
        ("text == 'a' + 'b'", 9, "'a'", None),
        ("text % -'b'", 9, "'b'", None),
        ("[x for x in text]", 1, "[x for x in text]", None),
        ("lambda: 1", 1, "lambda: 1", None),
        ("1 if turns else 2", 1, "1 if turns else 2", None),
        ("(a := 3) > 1", 2, "a := 3", None),
        ("chars & 3 > 1", 1, "chars & 3", None),
        ("~chars", 1, "~chars", None),
        ("{1: 2}", 1, "{1: 2}", None),
        ("f'{text}' == 'a'", 1, "f'{text}'", None),
        ("b'a' == text", 1, "b'a'", None),
        ("3j == turns", 1, "3j", None),
        ("... == turns", 1, "...", None),
        ("min(1)", 1, "min(1)", None),
        ("len(text, 2)", 1, "len(text, 2)", None),
        ("round(1, digits=2)", 1, "round(1, digits=2)", None),
        ("min(*tags, 2)", 5, "*tags", None),
        ("len > 1", 1, "len", None),
        ("matches(text, answer)", 15, "answer", None),
        ("matches(text, '(')", 15, "'('", None),
        ("matches(text, '(a)\\\\1')", 15, "'(a)\\\\1'", None),
        ("column(text)", 8, "text", None),
        ("turns >= ", None, None, None),
        ("turns >= 2 and (chars", None, None, None),
        ("turns = 2", None, None, None),
        ("turns >= 2; chars", None, None, None),
        ("a\x00b", None, None, None),
        ("\ud800 > 1", None, None, None),
        ("(" * 300 + ")" * 300, None, None, None),
        ("not " * 400 + "turns", None, None, None),
        ("-" * 1900 + "1", None, None, None),
        ("+".join("1" * 500), None, None, None),
        (" or ".join(["turns > 1"] * 180), None, None, None),
        ("turns > 1 1", None, None, None),
        ("a" * (LONGEST + 1), None, None, None),
    ],
)
def test_what_is_refused(text: str, column: int | None, word: str | None, nearest: str | None) -> None:
    with pytest.raises(UsageError) as error:
        compile_filter(text)
    assert error.value.code == "DATA_FILTER_INVALID"
    assert error.value.cause
    assert error.value.next_step
    assert "\x00" not in str(error.value)
    if column is not None:
        assert error.value.detail == {"column": column, "word": word, "nearest": nearest}
        assert f"character {column} " in error.value.cause


def test_known_columns_refuse_every_other_name() -> None:
    assert compile_filter("socre > 1").columns == {"socre"}
    assert compile_filter("score > 1", ["score"]).columns == {"score"}
    with pytest.raises(UsageError, match="Did you mean score") as error:
        compile_filter("socre > 1", ["score", "\x1b[2J"])
    assert error.value.detail["nearest"] == "score"
    with pytest.raises(UsageError, match="Known are chars"):
        compile_filter("zzz > 1", [])


def test_nesting_up_to_the_bound_is_fine() -> None:
    assert keeps("not " * (DEEPEST - 2) + "turns > 1")


def test_a_pattern_takes_no_longer_than_its_text() -> None:
    """Nested repetition, which takes Python's own `re` longer than the age of the universe here."""
    took = time.perf_counter()
    assert not keeps("matches(text, '(a+)+$') or matches(text, '(a|aa)*b(.*.*)*c')", PlainText("a" * 5000 + "!"))
    assert time.perf_counter() - took < 5


@pytest.mark.parametrize("name", FUNCTIONS)
def test_usages_shown_in_errors_work(name: str) -> None:
    usage = FUNCTIONS[name].usage.replace("(number", "(turns").replace("digits", "1")
    compile_filter(usage).keep(facts_of(ROW))


def test_quality_questions_as_text() -> None:
    assert quality_filter() == ""
    text = quality_filter(min_chars=5, max_chars=99, min_turns=2, max_turns=6, must_answer=True, min_answer_chars=8)
    assert text == (
        "chars >= 5 and chars <= 99 and turns >= 2 and turns <= 6 and (has_answer or turns == 0)"
        " and (shortest_answer >= 8 or turns == 0)"
    )
    assert keeps(text)
    assert not keeps(quality_filter(min_answer_chars=9))
    assert not keeps(quality_filter(must_answer=True), chat("only asked"))
    assert keeps(quality_filter(must_answer=True, min_answer_chars=5), PlainText("plain"))
    assert not keeps(quality_filter(min_chars=47))


_ATOMS = st.sampled_from(["turns", "score", "text", "none", "'a'", "3", "0.5", "true", "tags", "column('x y')"])
_EXPRESSIONS = st.recursive(
    _ATOMS,
    lambda inner: st.one_of(
        st.builds(
            "({} {} {})".format,
            inner,
            st.sampled_from(["+", "-", "*", "/", "%", "<", ">=", "==", "!=", "in", "not in", "and", "or"]),
            inner,
        ),
        st.builds("(not {})".format, inner),
        st.builds("(-{})".format, inner),
        st.builds("{}({})".format, st.sampled_from(["len", "lower", "abs", "round"]), inner),
        st.builds(
            "{}({}, {})".format, st.sampled_from(["min", "max", "contains", "startswith", "endswith"]), inner, inner
        ),
    ),
    max_leaves=12,
)


@given(
    _EXPRESSIONS,
    st.dictionaries(
        st.sampled_from(["score", "tags", "x y"]),
        st.sampled_from([None, 0, 3, -1.5, math.nan, math.inf, "a", "", [1], ["a"], {"a": 1}, True, 10**30]),
    ),
    ROWS,
)
@settings(max_examples=400)
def test_no_row_stops_a_filter(text: str, value: dict[str, Any], row: Normalised) -> None:
    try:
        compiled = compile_filter(text)
    except UsageError as error:
        outcome: object = error.code
    else:
        outcome = compiled.keep(facts_of(row, value=value))
    assert outcome in (True, False, "DATA_FILTER_INVALID")


@given(st.text(max_size=60))
def test_no_text_stops_the_reader(text: str) -> None:
    try:
        compile_filter(text)
    except UsageError as error:
        outcome = error.code
    else:
        outcome = ""
    assert outcome in ("", "DATA_FILTER_INVALID")


def test_reading_a_filter_is_quick_to_import() -> None:
    program = (
        "import sys\nfrom backprop_tui.data.tools import "
        "content, duplicates, expression, order, overlap, percentiles, sampling, sensitive, split\n"
        "print(sorted({'numpy', 'pyarrow', 'rensa', 'torch', 'textual', 'rich'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"


def test_a_cell_of_text_becomes_a_number_where_it_is_one() -> None:
    keep = compile_filter("number(score) >= 2.5").keep
    assert [keep({"column:score": value}) for value in ("3", " 2.5 ", 7, "n/a", None, "1e400", "9" * 500)] == [
        True, True, True, False, False, True, False,
    ]  # fmt: skip
