"""Curves keep their spikes, their gaps and their place, whatever the numbers."""

from __future__ import annotations

import math
import time

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from backprop_tui.app.glyphs import Marks
from backprop_tui.app.widgets.axes import decimals_for, grown_end, label, linear_range, log_range
from backprop_tui.app.widgets.canvas import DOTS, Canvas, Window, pack, raster
from backprop_tui.app.widgets.decimate import Blocks, envelope

MARKS: list[Marks] = ["braille", "block", "ascii"]
values = st.lists(
    st.one_of(
        st.floats(-1e6, 1e6), st.just(math.nan), st.just(math.inf), st.just(-math.inf), st.floats(allow_nan=True)
    ),
    max_size=300,
)


def _draw(y: list[float], marks: Marks = "braille", width: int = 20, height: int = 6) -> Canvas:
    x = np.arange(len(y), dtype=float)
    finite = [value for value in y if math.isfinite(value)] or [0.0]
    low, high, _ = linear_range(min(finite), max(finite), 4)
    canvas = Canvas(width, height, Window(0.0, max(1.0, len(y) - 1.0), low, high), marks)
    canvas.curve(x, np.array(y, dtype=float), "series-1")
    return canvas


@settings(max_examples=150, deadline=None)
@given(y=values, marks=st.sampled_from(MARKS))
def test_every_finite_point_leaves_a_mark_in_its_own_cell(y: list[float], marks: Marks) -> None:
    if any(math.isfinite(v) and abs(v) > 1e300 for v in y):
        y = [v if not math.isfinite(v) or abs(v) <= 1e300 else 0.0 for v in y]
    canvas = _draw(y, marks)
    across, down = DOTS[marks]
    window = canvas.window
    rows = canvas.height * down
    for x, value in enumerate(y):
        if not math.isfinite(value):
            continue
        column = min(canvas.columns - 1, int((x - window.start) / (window.stop - window.start) * canvas.columns))
        dot = round((window.high - value) * ((rows - 1) / (window.high - window.low)))
        near = {
            chr(canvas.codes[min(rows - 1, max(0, d)) // down, c // across])
            for d in (dot - 1, dot, dot + 1)
            for c in (column - 1, column, column + 1)
            if 0 <= c < canvas.columns
        }
        assert near != {" "}, (x, value)


def test_one_outlier_among_a_million_is_drawn_at_the_top_and_quickly() -> None:
    y = np.full(1_000_000, 1.0)
    y[777_777] = 9.0
    canvas = Canvas(100, 28, Window(0.0, 999_999.0, 0.0, 9.0), "braille")
    began = time.perf_counter()
    canvas.curve(np.arange(1_000_000, dtype=float), y, "series-1")
    assert time.perf_counter() - began < 2.0
    assert np.flatnonzero(canvas.codes[0] != 32).tolist() == [77]


def test_a_value_that_is_not_finite_breaks_the_line() -> None:
    y = np.array([1.0, 1.0, math.nan, 1.0, 1.0])
    low, high = envelope(np.arange(5.0), y, np.linspace(0.0, 4.0, 17))
    assert np.isnan(low[5:11]).all()
    assert np.isnan(high[5:11]).all()
    assert np.isfinite(low[:4]).all()
    assert np.isfinite(low[12:]).all()
    joined, _ = envelope(np.arange(5), np.ones(5), np.linspace(0.0, 4.0, 17))
    assert np.isfinite(joined).all()


@pytest.mark.parametrize("marks", MARKS)
def test_edges_of_input(marks: Marks) -> None:
    for y in ([], [math.nan], [3.0], [3.0, 3.0], [math.inf, -math.inf], [1e308, -1e308], [5e-324, 0.0]):
        canvas = _draw(y, marks)
        drawn = bool((canvas.codes != 32).any())
        assert drawn == any(math.isfinite(value) for value in y), y
        assert all(sum(len(text) for text, _ in line) == canvas.width for line in canvas.lines())


def test_zooming_between_two_points_still_shows_the_line_that_joins_them() -> None:
    low, high = envelope(np.array([0, 100]), np.array([0.0, 100.0]), np.linspace(40.0, 60.0, 11))
    assert np.isfinite(low).all()
    assert low[0] == pytest.approx(40.0)
    assert high[-1] == pytest.approx(60.0)


def _packed(top: list[int], bottom: list[int], height: int, marks: Marks) -> list[str]:
    codes = pack(np.array(top, dtype=np.int16), np.array(bottom, dtype=np.int16), height, marks)
    return ["".join(map(chr, row)) for row in codes.tolist()]


def test_braille_bits_are_where_unicode_puts_them() -> None:
    assert _packed([4, 3], [-1, 3], 1, "braille") == ["⢀"]
    assert _packed([0, 0], [3, 3], 1, "braille") == ["⣿"]
    assert _packed([0, 8], [4, -1], 2, "braille") == ["⡇", "⠁"]
    assert _packed([0], [0], 1, "block") == ["▀"]
    assert _packed([1], [1], 1, "ascii") == ["."]
    assert _packed([2], [-1], 1, "ascii") == [" "]


def test_a_column_is_filled_from_its_lowest_to_its_highest() -> None:
    top, bottom = raster(np.array([0.0, math.nan]), np.array([1.0, math.nan]), Window(0, 1, 0.0, 2.0), 4)
    assert (top[0], bottom[0]) == (2, 3)
    assert top[1] > bottom[1]


@settings(deadline=None)
@given(st.floats(-1e9, 1e9), st.floats(-1e9, 1e9), st.integers(1, 12))
def test_ticks_are_round_and_hold_the_range(a: float, b: float, parts: int) -> None:
    low, high, ticks = linear_range(min(a, b), max(a, b), parts)
    slack = 1e-8 * (high - low)
    assert low <= min(a, b) + slack
    assert high >= max(a, b) - slack
    assert ticks == sorted(ticks)
    assert len(ticks) <= parts + 2
    assert ticks or parts < 3
    assert all(label(tick, 2) for tick in ticks)


@settings(deadline=None)
@given(st.floats(-10.0, 10.0), st.floats(1e-4, 2.0), st.integers(2, 12))
@example(0.4985, 0.003, 8)
def test_labels_tell_ticks_apart_however_close_they_are(low: float, share: float, parts: int) -> None:
    _, _, ticks = linear_range(low, low + max(abs(low), 1e-3) * share, parts)
    said = [label(tick, decimals_for(ticks)) for tick in ticks]
    assert len(set(said)) == len(said), said
    assert all(len(words) <= 10 for words in said)


def test_what_float32_rounds_is_drawn_as_a_constant() -> None:
    _, _, ticks = linear_range(-0.02, -0.02 + 1e-9, 6)
    assert len({label(tick, decimals_for(ticks)) for tick in ticks}) == len(ticks) > 2


@settings(deadline=None)
@given(st.floats(1e-12, 1e12), st.floats(1.0, 1e9))
def test_log_ticks_hold_the_range(low: float, factor: float) -> None:
    start, stop, ticks = log_range(low, low * factor, 6)
    assert start <= math.log10(low) + 1e-9
    assert stop >= math.log10(low * factor) - 1e-9
    assert start <= ticks[0] <= ticks[-1] <= stop


@settings(deadline=None)
@given(st.integers(1, 10**7), st.one_of(st.none(), st.integers(1, 10**7)))
def test_the_followed_axis_holds_the_newest_point_and_moves_rarely(newest: int, total: int | None) -> None:
    end = grown_end(newest, total)
    assert end >= newest
    if total is not None and newest <= total:
        assert end <= total
    assert len({grown_end(step, None) for step in range(1000, 2000)}) <= 20


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10**6), size=st.integers(300, 20_000), columns=st.integers(1, 12), cut=st.integers(0, 299),
    log=st.booleans(), odd=st.integers(0, 5),
)  # fmt: skip
def test_blocks_change_nothing_but_the_time(seed: int, size: int, columns: int, cut: int, log: bool, odd: int) -> None:
    rng = np.random.default_rng(seed)
    y = rng.standard_normal(size)
    y[rng.integers(0, size, odd)] = rng.choice([math.nan, math.inf, -math.inf, 1e30], odd)
    blocks = Blocks()
    for end in (cut, size // 2, size):
        blocks.update(y[:end])
    x = np.cumsum(rng.integers(1, 4, size))
    edges = np.linspace(float(x[cut]) - 0.5, float(x[-1]) - cut / 7, columns + 1)
    if edges[0] < edges[-1]:
        plain, quick = envelope(x, y, edges, log=log), envelope(x, y, edges, log=log, blocks=blocks)
        np.testing.assert_array_equal(plain, quick)
