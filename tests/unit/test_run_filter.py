"""The filter of runs: each kind of word, honest about what is unknown, and errors that name the column."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backprop_tui.protocol.errors import UsageError
from backprop_tui.protocol.fields import settings
from backprop_tui.protocol.states import RunState
from backprop_tui.store.entry import Entry
from backprop_tui.store.filter import parse_filter
from backprop_tui.store.filter_fields import find_field
from backprop_tui.store.filter_hints import hints, occurring

NOW = 1_800_000_000.0
RUN = Entry(
    id="20261123-184705-k3f9", title="Pirate sweep", model="Qwen/Qwen3-8B", data="/data/alpaca clean.jsonl", method="lora",
    created=NOW - 3 * 86_400, state=RunState.FAILED, attempt=2, step=1240, total_steps=4000, epoch=0.9, loss=1.04,
    grad_norm=0.9, lr=1e-4, eval_loss=1.15, best=1.12, exact_match=None, tokens=18_700_000, tokens_per_s=12_400.0,
    seconds=5400.0, energy_wh=None, updated=NOW - 60, checkpoints=3, fault="CUDA_OUT_OF_MEMORY", tags=("good", "paper"),
    note="try again",
    experiment="sweep 1", archived=False,
    settings={"learning_rate": 2e-4, "rank": 32, "packing": 1, "schedule": "cosine", "revision": None, "optimizer": "sgd"},
)  # fmt: skip


@pytest.mark.parametrize(
    "text",
    [
        "", "  ", "pirate", "QWEN alpaca", "k3f9", "paper", "!llama", '"alpaca clean"', "loss<1.2", "loss<=1.04", "loss=1.04",
        "loss>1 loss<2", "eval>1.1", "best<1.2", "state:failed", "state:fail", "state=failed", "state:crashed,failed",
        "state!=running", "model~qwen", "model:qwen", "model~q*8b", "model!~llama", "age<7d", "age>2d", "age<1w", "age>70h",
        "time>1h", "time<90.5m", "quiet<5m", "tag:good", "tag:good,bad", "tag~pap", "!tag:bad", "tag!=bad", "lr>=1e-4",
        "lr=0.0002", "rank>16", "optim.learning_rate=2e-4", "learning-rate<1e-3", "packing:on", "packing=yes",
        "schedule:cos", "optimizer:sgd", "data:alpaca", 'data:"alpaca clean"', "name~sweep", "step>1000", "step>1k",
        "step>=1_240", "tokens>18M", "progress<50%", "has:eval", "has:eval has:tag has:fault has:note",
        "has:checkpoint has:experiment", "!has:match", "is:ended", "!is:live", "!live", "!archived", "is:resumed", "fault~memory",
        'experiment:"sweep 1"',
        "note~again", "!rank:16,64", "!loss>2", "!match<1",
    ],
)  # fmt: skip
def test_a_word_that_holds(text: str) -> None:
    assert parse_filter(text, now=NOW).matches(RUN)
    if text.strip() and " " not in text:
        turned = text[1:] if text.startswith("!") else f"!{text}"
        assert not parse_filter(turned, now=NOW).matches(RUN)


@pytest.mark.parametrize(
    "text",
    [
        "llama", "loss<1", "state:run", "age<1d", "tag:goo", "lr<1e-4", "packing:off", "archived", "live", "has:match",
        "has:nan", "match<1", "match>=0", "match!=1", "revision:abc", "revision!=abc", "warmup<1", "model=qwen", "step>2k",
        "loss:nan", "experiment=sweep", "name~p*x",
    ],
)  # fmt: skip
def test_a_word_that_does_not_hold(text: str) -> None:
    assert not parse_filter(text, now=NOW).matches(RUN)


def test_not_a_number_is_its_own_value() -> None:
    broken = replace(RUN, loss=math.nan)
    assert parse_filter("loss:nan has:nan").matches(broken)
    for text in ("loss<9", "loss>0", "loss=1"):
        assert not parse_filter(text).matches(broken)
    assert not parse_filter("loss:nan").matches(replace(RUN, loss=None))


@pytest.mark.parametrize(
    ("text", "code", "column", "words"),
    [
        ("los<1", "FILTER_UNKNOWN", 1, "Did you mean `loss`?"),
        ("qwen  lerning_rate>1", "FILTER_UNKNOWN", 7, "`learning_rate`"),
        ("!sate:failed", "FILTER_UNKNOWN", 2, "`state`"),
        ("http://x", "FILTER_UNKNOWN", 1, "quotes"),
        ("loss<", "FILTER_VALUE", 6, "no value"),
        ("loss<abc", "FILTER_VALUE", 6, "not a number"),
        ("a loss<1,2", "FILTER_VALUE", 8, "one value"),
        ("loss~1", "FILTER_SYNTAX", 6, "is a number"),
        ("loss>nan", "FILTER_VALUE", 6, "no order"),
        ("age<7", "FILTER_VALUE", 5, "duration"),
        ("age<7q", "FILTER_VALUE", 5, "duration"),
        ("state:faild", "FILTER_VALUE", 7, "Did you mean failed?"),
        ("state<failed", "FILTER_SYNTAX", 7, "no order"),
        ("schedule:sine", "FILTER_VALUE", 10, "cosine, linear, constant"),
        ("packing:maybe", "FILTER_VALUE", 9, "on or off"),
        ("has:evil", "FILTER_VALUE", 5, "Did you mean `has:eval`?"),
        ("has<eval", "FILTER_SYNTAX", 1, "colon"),
        ("x !", "FILTER_SYNTAX", 3, "stands alone"),
        ("<3", "FILTER_SYNTAX", 1, "no name"),
        ('name~"x', "FILTER_SYNTAX", 6, "not closed"),
    ],
)  # fmt: skip
def test_an_error_is_one_line_with_its_column(text: str, code: str, column: int, words: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_filter(text)
    assert caught.value.code == code
    assert caught.value.detail == {"column": column}
    assert f"Column {column}: " in caught.value.cause
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_every_setting_can_be_named_by_key_and_alias() -> None:
    for setting in settings():
        for name in (setting.key, setting.alias):
            assert not name or find_field(name) is not None
    assert parse_filter("lr<1 rank>2").settings == {"learning_rate", "rank"}
    assert parse_filter("loss<1 model~x").settings == frozenset()


def test_only_a_filter_that_speaks_of_archived_runs_shows_them() -> None:
    assert all(parse_filter(text).archived for text in ("archived", "!archived", "is:archived", "is:live,archived"))
    assert not any(parse_filter(text).archived for text in ("", "name~archived", '"archived"', "live"))


_PIECES = st.sampled_from(
    ["loss", "state", "lr", "age", "tag", "has", "is", "archived", "packing", "seed", "!", "<", "<=", "!=", "~", ":", "=", ",",
     '"', "'", " ", "1", "1e5", "7d", "nan", "*", "[", "failed", "\x1b", "\ud800", "é", "9" * 400, "-inf", "%"]
)  # fmt: skip


@given(st.one_of(st.text(max_size=40), st.lists(_PIECES, max_size=12).map("".join)), st.integers(0, 60))
def test_any_text_is_understood_or_refused(text: str, cursor: int) -> None:
    at = min(cursor, len(text))
    found = hints(text, at, occurring([RUN]))
    completed, now_at = found.completed(text, at)
    assert 0 <= now_at <= len(completed)
    refused = None
    try:
        wanted = parse_filter(text, now=NOW)
    except UsageError as error:
        refused = error
    if refused is not None:
        assert 1 <= refused.detail["column"] <= len(text) + 1
        assert "\x1b" not in str(refused)
        return
    for run in (RUN, replace(RUN, loss=None, eval_loss=math.inf, tags=(), settings={"seed": 10**400, "rank": "x"})):
        assert wanted.matches(run) in (True, False)


@pytest.mark.parametrize(
    ("typed", "candidate"),
    [
        ("lo", "loss<"), ("state:f", "failed"), ("state:crashed,fa", "failed"), ("tag:g", "good"), ("has:e", "eval"),
        ("!arch", "!archived"), ("packing:", "on"), ("schedule:c", "cosine"), ("age<", "1h"), ("learning_r", "learning_rate<"),
        ("experiment:", '"sweep 1"'), ("model~q", "Qwen/Qwen3-8B"),
    ],
)  # fmt: skip
def test_what_fits_is_offered(typed: str, candidate: str) -> None:
    text = f"loss<2 {typed}"
    found = hints(text, len(text), occurring([RUN]))
    assert candidate in found.candidates
    completed, cursor = found.completed(text, len(text))
    assert completed[:cursor].rstrip().endswith(found.candidates[0])
    assert completed.startswith("loss<2 ")


def test_a_completed_word_can_be_completed_again() -> None:
    text, cursor = hints("sta", 3, {}).completed("sta", 3)
    assert (text, cursor) == ("state:", 6)
    text, cursor = hints(text + "fa", cursor + 2, {}).completed(text + "fa", cursor + 2)
    assert text == "state:failed "
    parse_filter(text)
