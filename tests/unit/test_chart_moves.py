"""Moving about in a chart: the crosshair, jumps between marks, and the part in view."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backprop_tui.app.glyphs import ASCII, UNICODE
from backprop_tui.app.widgets.chart_words import exact
from tests.support.curves import BEGAN, chart_of, marked, text_of


def test_the_crosshair_reads_exact_values_and_says_where_they_are_from() -> None:
    model = chart_of(100, evals=30, loss=lambda n: 1.0 + n / 1000)
    model.put_cursor(97)
    words = text_of([model.facts(120, UNICODE)])
    assert "step 97  train 1.097 (ema " in words
    assert f"eval {1.2 + math.exp(-90 / 40):.7g} @90" in words
    model.put_cursor(7)
    assert "eval –" in text_of([model.facts(120, UNICODE)])


def test_exact_is_exact_about_what_is_no_number() -> None:
    assert [exact(value) for value in (None, math.nan, math.inf, -math.inf, 0.0)] == ["–", "nan", "inf", "-inf", "0"]
    assert exact(1.23456789) == "1.234568"
    assert exact(12345678.0) == "12,345,678"


def test_the_crosshair_moves_by_points_and_the_view_comes_along() -> None:
    model = chart_of(100)
    model.toggle_cursor()
    assert model.state.cursor == 100
    for by, at in ((-1, 99), (-10, 89), (-500, 1), (10, 11), (1 << 50, 100)):
        model.move_cursor(by)
        assert model.state.cursor == at
    model.show_range(50.0, 60.0)
    model.move_cursor(-95)
    start, stop = model.view()
    assert start <= 5 <= stop
    assert stop - start == pytest.approx(10.0)
    model.toggle_cursor()
    assert model.state.cursor is None


def test_marks_are_drawn_told_and_jumped_to() -> None:
    marks = marked(
        ("eval", 20, {"step": 20, "best": True}), ("checkpoint", 20, {"step": 20}), ("state", 50, {"state": "paused"}),
        ("attempt", 60, {"attempt": 2, "resume_step": 60}), ("alert", 70, {"message": "\x1b[31mspike"}),
        ("fault", 80, {"code": "OUT_OF_MEMORY"}), ("end", 100, {"outcome": "failed", "step": 100}),
    )  # fmt: skip
    model = chart_of(100, marks=marks)
    axis = text_of(model.paint(110, 12, UNICODE)).splitlines()[-2]
    assert [sign for sign in axis if sign in "○◆‖»!✗■"] == ["◆", "‖", "»", "!", "✗", "■"]
    found = []
    while (words := model.jump_mark(1)) is not None:
        found.append((model.state.cursor, words))
    assert [step for step, _ in found] == [20, 50, 60, 70, 80, 100]
    assert [words for _, words in found[:3]] == [
        "evaluation, the best so far, checkpoint saved",
        "paused",
        "attempt 2 begins",
    ]
    assert found[3][1].endswith("spike")
    assert [words for _, words in found[4:]] == ["OUT_OF_MEMORY", "failed"]
    assert "\x1b" not in found[3][1]
    assert model.jump_mark(-1) == "OUT_OF_MEMORY"
    assert "OUT_OF_MEMORY" in text_of([model.facts(140, UNICODE)])
    plain = text_of(model.paint(110, 12, ASCII)).splitlines()[-2]
    assert [sign for sign in plain if sign in 'o#">!x='] == ["#", '"', ">", "!", "x", "="]


def test_an_attempt_that_starts_at_nothing_is_no_restart() -> None:
    marks = marked(("attempt", 0, {"attempt": 1, "resume_step": None}))
    assert marks.ordered() == []
    assert marks.began == BEGAN


@given(
    st.lists(st.tuples(st.sampled_from(["eval", "checkpoint", "end", "fault", "x"]), st.integers(0, 50)), max_size=30)
)
def test_jumping_visits_every_step_once_in_order(moments: list[tuple[str, int]]) -> None:
    marks = marked(*((kind, at, {"step": at}) for kind, at in moments))
    seen, here = [], -1.0
    while (found := marks.next(here, 1)) is not None:
        seen.append(found)
        here = found
    assert seen == sorted({at for kind, at in moments if kind != "x"})
    back = []
    here = 99.0
    while (found := marks.next(here, -1)) is not None:
        back.append(found)
        here = found
    assert back == seen[::-1]


def test_zooming_keeps_the_place_under_the_mouse() -> None:
    model = chart_of(1000)
    model.zoom(4, around=300.0)
    start, stop = model.view()
    assert (300.0 - start) / (stop - start) == pytest.approx(0.3)
    assert not model.follow
    model.zoom(0.01)
    assert model.view() == (0.0, 1000.0)
    model.show_range(700.0, 200.0)
    assert model.view() == (200.0, 700.0)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.one_of(
    st.tuples(st.just("zoom"), st.floats(0.05, 20)), st.tuples(st.just("pan"), st.floats(-3, 3)),
    st.tuples(st.just("range"), st.floats(0, 120)), st.tuples(st.just("axis"), st.just(0.0)),
    st.tuples(st.just("fit"), st.just(0.0)), st.tuples(st.just("cursor"), st.floats(-200, 200)),
), max_size=12), st.booleans())  # fmt: skip
def test_whatever_is_pressed_the_view_is_a_view(keys: list[tuple[str, float]], live: bool) -> None:
    model = chart_of(100)
    model.live, model.total_steps = live, 500
    for what, amount in keys:
        if what == "zoom":
            model.zoom(amount)
        elif what == "pan":
            model.pan(amount)
        elif what == "range":
            model.show_range(amount, 60.0)
        elif what == "axis":
            model.next_axis()
        elif what == "fit":
            model.fit()
        else:
            model.toggle_cursor()
            model.move_cursor(int(amount))
        start, stop = model.view()
        assert 0 <= start < stop
        assert math.isfinite(stop)
        assert len(model.paint(60, 10, UNICODE)) == 10
