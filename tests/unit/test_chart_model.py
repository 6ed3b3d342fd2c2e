"""What a chart shows: axes, smoothing, several metrics and runs; nothing is ever made up."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from backprop_tui.app.glyphs import ASCII, BLOCKS, UNICODE, Glyphs
from backprop_tui.app.marks import Marks
from backprop_tui.app.widgets.chart_data import Source
from backprop_tui.app.widgets.chart_grid import grid_shape
from backprop_tui.app.widgets.chart_metrics import in_order, metric_of, slots_for
from backprop_tui.app.widgets.chart_model import ChartModel, Other
from backprop_tui.app.widgets.chart_parts import SERIES_SIGNS, SERIES_SIGNS_ASCII
from backprop_tui.app.widgets.chart_state import LAYOUTS, X_AXES, ChartState
from backprop_tui.app.widgets.painted import width_of
from backprop_tui.app.widgets.smoothing import SMOOTHINGS, smoother
from backprop_tui.protocol.events import Event
from tests.support.curves import BEGAN, chart_of, marked, step, store_of, text_of

# -- what outlives the app --------------------------------------------------------------------------------------------


@given(
    st.builds(
        ChartState, layout=st.sampled_from(LAYOUTS), metric=st.text(min_size=1), axis=st.sampled_from(X_AXES),
        overlaid=st.lists(st.text(), max_size=4), log_y=st.booleans(), tight=st.booleans(),
        smoothing=st.sampled_from((None, *SMOOTHINGS)),
        follow=st.booleans(), start=st.floats(0, 1e9), span=st.floats(1e-3, 1e9), cursor=st.integers(0, 10**9),
    )
)  # fmt: skip
def test_a_state_comes_back_as_it_was(state: ChartState) -> None:
    assert ChartState.from_dict(json.loads(json.dumps(state.to_dict()))) == state


@given(st.dictionaries(st.sampled_from(tuple(ChartState().to_dict())), st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.lists(st.one_of(st.text(), st.integers()))
)))  # fmt: skip
@example({"span": 1.2e-241, "start": 0})
@example({"span": 1.7e308, "start": 1e308})
@example({"span": 1e-9, "start": 1e15})
def test_a_damaged_state_is_a_usable_one(words: dict[str, Any]) -> None:
    model = chart_of(30)
    model.state = ChartState.from_dict(words)
    lines = model.paint(60, 12, UNICODE)
    assert len(lines) <= 12
    assert model.facts(80, UNICODE)
    assert model.foot(UNICODE)


# -- axes -------------------------------------------------------------------------------------------------------------


def test_axes_carry_steps_over_and_back() -> None:
    source = Source("a", store_of(100), began=BEGAN)
    steps = np.array([1.0, 37.0, 100.0])
    for axis, expected in (("tokens", steps * 512), ("time", steps * 2), ("epoch", steps / 100), ("step", steps)):
        units = source.to_units(steps, axis)  # type: ignore[arg-type]
        np.testing.assert_allclose(units, expected, rtol=1e-6)
        np.testing.assert_allclose(source.to_steps(units, axis), steps, rtol=1e-6)  # type: ignore[arg-type]


def test_time_has_its_pauses() -> None:
    store = store_of(10)
    store.add([Event(11, BEGAN + 1000.0, 0.0, 1, "step", {"step": 11, "loss": 1.0, "step_s": 2.0})])
    assert Source("a", store, began=BEGAN).end("time", "loss") == pytest.approx(1000.0)


def test_a_clock_set_back_never_turns_a_curve_around() -> None:
    store = store_of(10)
    for number in range(11, 21):
        store.add([Event(number, BEGAN + number - 500.0, 0.0, 1, "step", {"step": number, "loss": 5.0})])
    source = Source("a", store, began=BEGAN)
    units = source.to_units(np.arange(1.0, 21.0), "time")
    assert (np.diff(units) >= 0).all()
    assert np.nanmax(source.envelope("loss", "raw", "time", (0.0, 20.0, 40), log=False)[1]) == 5.0


def test_an_axis_that_was_not_recorded_says_so() -> None:
    model = chart_of(20, tokens=None)
    model.state.axis = "tokens"
    assert "x:step (no tokens)" in text_of([model.facts(120, UNICODE)])
    assert model.view() == (0.0, 20.0)


# -- nothing is lost --------------------------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(
    at=st.integers(1, 3000),
    axis=st.sampled_from(X_AXES),
    width=st.integers(30, 160),
    smoothing=st.sampled_from(SMOOTHINGS),
)
def test_a_spike_shows_at_any_width_on_any_axis(at: int, axis: Any, width: int, smoothing: str) -> None:
    model = _SPIKY.setdefault(at, ChartModel())
    if model.store is None:
        model.store = _flat(3000, at)
    model.state.axis, model.state.smoothing = axis, smoothing
    lines = model.paint(width, 14, UNICODE)
    assert any("\u2801" <= sign <= "\u28ff" for sign in text_of(lines[:1])), text_of(lines)


_SPIKY: dict[int, ChartModel] = {}


def _flat(size: int, spike: int) -> Any:
    class Flat:
        seams: list[int] = []  # noqa: RUF012

        def get(self, metric: str) -> tuple[Any, Any]:
            steps = np.arange(1, size + 1)
            values = {
                "loss": np.where(steps == spike, 9.0, 1.0),
                "tokens": steps * 5.0,
                "wall": steps * 2.0,
                "epoch": steps / 7,
            }
            return (steps, values[metric]) if metric in values else (steps[:0], np.empty(0))

        def names(self) -> list[str]:
            return ["loss"]

    return Flat()


@settings(max_examples=30, deadline=None)
@given(
    cuts=st.lists(st.integers(1, 400), min_size=1, max_size=6), axis=st.sampled_from(X_AXES), log=st.booleans(),
    smoothing=st.sampled_from(("raw", "ema 0.9", "median 9")), columns=st.integers(1, 90), odd=st.integers(0, 400),
)  # fmt: skip
def test_a_picture_that_grows_is_the_picture_made_at_once(
    cuts: list[int], axis: Any, log: bool, smoothing: str, columns: int, odd: int
) -> None:
    store = store_of(1)
    growing = Source("a", store, began=BEGAN)
    view = (0.0, {"step": 400.0, "tokens": 400 * 512.0, "time": 800.0, "epoch": 4.0}[axis], columns)
    number = 1
    for end in [*sorted(cuts), 400]:
        while number < end:
            number += 1
            store.add([step(number, loss=float("nan") if number == odd else math.sin(number) + 0.5)])
        one = growing.envelope("loss", smoothing, axis, view, log=log)
        other = Source("b", store, began=BEGAN).envelope("loss", smoothing, axis, view, log=log)
        np.testing.assert_allclose(one, other, rtol=1e-6)


def test_a_past_that_is_written_anew_is_drawn_anew() -> None:
    store = store_of(100)
    source = Source("a", store)
    view = (0.0, 100.0, 50)
    before = source.envelope("loss", "ema 0.9", "step", view, log=False)[1]
    store.add([Event(200, BEGAN, 0.0, 2, "attempt", {"attempt": 2, "resume_step": 40})])
    for number in range(41, 101):
        store.add([step(number, loss=7.0 if number < 100 else 1.0 + math.exp(-2.5))])
    after = source.envelope("loss", "ema 0.9", "step", view, log=False)[1]
    assert after[30] > 3.0 > before[30]
    np.testing.assert_allclose(after, Source("b", store).envelope("loss", "ema 0.9", "step", view, log=False)[1])


def test_what_is_not_a_number_is_a_gap_and_a_sign_never_a_height() -> None:
    model = chart_of(40, loss=lambda n: math.nan if n in (20, 21) else 1.0)
    model.state.smoothing = "raw"
    lines = text_of(model.paint(90, 10, UNICODE)).splitlines()
    assert "✗" in lines[0]
    curve = max(lines[:-2], key=lambda line: sum("\u2801" <= sign <= "\u28ff" for sign in line))
    assert " " in curve.strip(" │┤").strip()


def test_a_log_axis_counts_what_it_leaves_out() -> None:
    model = chart_of(40, loss=lambda n: -1.0 if n == 5 else 0.0 if n == 6 else 10.0 ** (n % 3))
    model.state.log_y = True
    assert "y:log (2 not above 0 left out)" in text_of([model.facts(110, UNICODE)])
    assert "log (2 not above 0 left out)" in text_of([model.facts(60, UNICODE)])
    assert "1 ┤" in text_of(model.paint(70, 12, UNICODE))
    nothing = chart_of(5, loss=-1.0)
    nothing.state.log_y = True
    assert not any("\u2801" <= sign <= "\u28ff" for sign in text_of(nothing.paint(70, 12, UNICODE)))


@pytest.mark.parametrize("name", ["median 9", "median 25", "median 4"])
def test_the_median_is_the_median_of_the_last_points(name: str) -> None:
    rng = np.random.default_rng(3)
    y = rng.normal(size=9000)
    y[[3, 50, 8999]] = math.nan
    points = int(name.split()[1])
    finite = y[np.isfinite(y)]
    expected = [float(np.median(finite[max(0, end - points) : end])) for end in range(1, len(finite) + 1)]
    whole = smoother(name)
    grown = smoother(name)
    assert whole is not None
    assert grown is not None
    for end in (1, 2, 30, 31, 5000, 9000):
        part = grown.of(y[:end])
    np.testing.assert_allclose(part[np.isfinite(y)], expected, rtol=1e-6)
    np.testing.assert_allclose(whole.of(y)[np.isfinite(y)], expected, rtol=1e-6)
    assert np.isnan(part[~np.isfinite(y)]).all()


def test_huge_values_outgrow_single_precision() -> None:
    y = np.array([1.0, 2.0, 1e300, 1e300])
    assert np.isfinite(smoother("ema 0.9").of(y)).all()  # type: ignore[union-attr]
    assert smoother("ema 2") is None
    assert smoother("median x") is None


@pytest.mark.parametrize("glyphs", [UNICODE, ASCII], ids=["braille", "ascii"])
def test_a_tight_axis_cuts_outliers_and_says_where(glyphs: Glyphs) -> None:
    model = chart_of(400, loss=lambda n: 50.0 if n == 200 else -50.0 if n == 300 else 1.0 + n % 7 / 10)
    model.state.smoothing = "median 9"
    assert "y:lin   " in text_of([model.facts(110, glyphs)])
    wide = model.paint(80, 12, glyphs)
    assert glyphs.up not in text_of(wide[:1])
    model.state.tight = True
    lines = text_of(model.paint(80, 12, glyphs)).splitlines()
    assert "y:lin tight" in text_of([model.facts(110, glyphs)])
    assert 1 <= lines[0].count(glyphs.up) <= 2
    assert 1 <= lines[9].count(glyphs.down) <= 2
    assert {"1.0", "1.5"} & {line.split()[0] for line in lines[:-2]}


# -- several ----------------------------------------------------------------------------------------------------------


def test_metrics_of_different_units_have_scales_of_their_own() -> None:
    model = chart_of(100, evals=10)
    model.overlay("lr")
    assert model.metrics == ["loss", "lr"]
    text = text_of(model.paint(110, 20, UNICODE))
    assert "● loss" in text
    assert "▲ lr" in text
    assert "├" in text
    for name in ("grad_norm", "epoch", "tokens"):
        model.overlay(name)
    assert len(model.metrics) == 4
    for name in model.metrics[1:]:
        model.overlay(name)
    assert model.state.layout == "single"


def test_other_runs_have_a_sign_and_a_colour_of_their_own_and_keep_their_own_pace() -> None:
    model = chart_of(100)
    model.label = "first"
    model.others = [Other("second", store_of(300, tokens=lambda n: n * 10), 3, BEGAN)]
    assert model.view() == (0.0, 300.0)
    text = text_of(model.paint(100, 20, UNICODE))
    assert "● first" in text
    assert "◆ second" in text
    assert text.count("◆") > 2
    roles = {role for line in model.paint(100, 20, UNICODE) for _, role in line}
    assert {"series-1", "series-4"} <= roles
    model.state.axis = "tokens"
    assert model.view()[1] == pytest.approx(51200)
    model.store = None
    assert "second" not in text_of([model.facts(120, UNICODE)])
    assert "\u28c0" in text_of(model.paint(100, 20, UNICODE)) or "⠤" in text_of(model.paint(100, 20, UNICODE))


def test_a_run_keeps_its_slot_whoever_else_is_there() -> None:
    alone = slots_for(["a"])["a"]
    assert slots_for(["a", "b", "c"])["a"] == alone
    assert slots_for(["a"], taken=[alone])["a"] != alone
    assert len(set(slots_for([f"run-{n}" for n in range(8)]).values())) == 8
    assert len(slots_for([f"run-{n}" for n in range(30)])) == 30
    assert len(set(SERIES_SIGNS)) == len(set(SERIES_SIGNS_ASCII)) == 8


@pytest.mark.parametrize(
    ("width", "height", "count", "shape"),
    [(76, 22, 9, (2, 2)), (79, 9, 9, (2, 1)), (58, 14, 9, (1, 2)), (50, 10, 9, (1, 1)), (298, 70, 9, (3, 2)), (76, 34, 9, (2, 3)),
     (76, 22, 3, (2, 1)), (76, 22, 1, (1, 1))],
)  # fmt: skip
def test_a_grid_has_as_many_charts_as_fit_and_are_there(
    width: int, height: int, count: int, shape: tuple[int, int]
) -> None:
    assert grid_shape(width, height, count) == shape


@pytest.mark.parametrize("glyphs", [UNICODE, BLOCKS, ASCII], ids=["braille", "blocks", "ascii"])
@pytest.mark.parametrize("size", [(24, 4), (58, 14), (79, 9), (76, 22), (118, 34), (298, 74)])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_picture_fits_its_place(glyphs: Glyphs, size: tuple[int, int], layout: Any) -> None:
    model = chart_of(120, evals=5, marks=marked(("checkpoint", 60, {"step": 60})))
    model.state.layout, model.state.overlaid = layout, ["loss", "grad_norm", "lr"]
    model.state.cursor = 60
    lines = model.paint(*size, glyphs)
    assert len(lines) == size[1]
    assert all(width_of(line) <= size[0] for line in lines)
    if glyphs is ASCII:
        assert all(area.width > 0 for area in model.areas)
    for area in model.areas:
        assert area.plot.start <= area.x_at(area.left) < area.x_at(area.left + area.width - 1) <= area.plot.stop


def test_the_grid_pages_and_says_where_it_is() -> None:
    model = chart_of(50, evals=10)
    model.state.layout = "grid"
    model.paint(76, 22, UNICODE)
    assert len(model.areas) == 4
    first = [area.plot.title for area in model.areas]
    for _ in range(4):
        model.next_metric(1)
    model.paint(76, 22, UNICODE)
    assert [area.plot.title for area in model.areas] != first
    assert f"5/{len(model.names)} " in model.foot(UNICODE)


def test_metrics_nobody_has_heard_of_are_harmless_and_drawn() -> None:
    assert "\x1b" not in metric_of("reward/\x1b[31m").title
    assert in_order(["zeta", "tokens", "loss", "alpha"]) == ["loss", "alpha", "zeta", "tokens"]
    model = chart_of(30, reward=lambda n: n / 10)
    model.metric = "reward"
    assert "⠤" in text_of(model.paint(80, 12, UNICODE)) or "⣀" in text_of(model.paint(80, 12, UNICODE))


def test_an_empty_chart_says_why() -> None:
    model = ChartModel()
    model.empty = "The curve begins with the first step."
    assert "begins with" in text_of(model.paint(60, 10, UNICODE))
    assert model.facts(80, UNICODE)
    assert model.marks is None
    model.marks = Marks()
    assert model.jump_mark(1) is None
    model.toggle_cursor()
    assert model.state.cursor is None
    missing = chart_of(10)
    missing.metric = "perplexity"
    assert "perplexity was not recorded" in text_of(missing.paint(90, 10, UNICODE))


def test_an_empty_chart_costs_the_first_paint_no_numpy() -> None:
    code = (
        "import sys; from backprop_tui.app.glyphs import UNICODE; from backprop_tui.app.widgets.chart_model import ChartModel\n"
        "from backprop_tui.store.series import SeriesStore\n"
        "model = ChartModel(); model.store = SeriesStore(); model.live = True\n"
        "model.paint(80, 20, UNICODE), model.facts(80, UNICODE), model.foot(UNICODE), model.fit()\n"
        "sys.exit('numpy' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
