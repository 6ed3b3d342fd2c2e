"""Axes: round ticks, ranges that stay put while a run grows, and short numbers. Pure arithmetic."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)
#: A range whose ends differ by less than this share of their size is widened, so that a constant has a place to lie: what
#: float32 rounds is none, and no label could tell its ticks apart.
_FLAT = 1e-5
#: Digits after the point of a number without an exponent.
_FIXED = 7
#: Values beyond this are drawn at the edge: their differences would overflow.
_HUGE = 1e100


def nice_step(span: float, most: int) -> float:
    """The smallest of 1, 2, 2.5, 5 times a power of ten that cuts `span` > 0 into at most `most` parts."""
    raw = span / max(1, most)
    power = 10.0 ** math.floor(math.log10(raw))
    for factor in _STEPS:
        if factor * power >= raw * (1 - 1e-12):
            return factor * power
    return 10.0 * power


def linear_range(low: float, high: float, parts: int) -> tuple[float, float, list[float]]:
    """Ends around [low, high] rounded to a fifth of a tick's distance, and the round ticks between them."""
    low, high = max(low, -_HUGE), min(high, _HUGE)
    low, high = min(low, _HUGE), max(high, -_HUGE)
    if high - low <= max(_FLAT * max(abs(low), abs(high)), 1e-200):
        margin = abs(low) * 0.1 if abs(low) > 1e-200 else 1.0
        low, high = low - margin, high + margin
    step = nice_step(high - low, parts)
    fine = step / 5
    first, last = math.floor(low / fine + 1e-9), math.ceil(high / fine - 1e-9)
    ticks = [index * step for index in range(-(-first // 5), last // 5 + 1)]
    return first * fine, max(last, first + 1) * fine, ticks


def log_range(low: float, high: float, parts: int) -> tuple[float, float, list[float]]:
    """Like `linear_range` in decimal logarithms of positive values: ends and ticks are logarithms."""
    bottom, top = math.log10(low), math.log10(high)
    if top - bottom < 0.02:
        bottom, top = bottom - 0.1, top + 0.1
    if top - bottom >= 2:
        first, last = math.floor(bottom), math.ceil(top)
        stride = max(1, math.ceil((last - first) / max(1, parts)))
        return float(first), float(last), [float(power) for power in range(first, last + 1, stride)]
    ticks = [
        math.log10(factor * 10.0**power)
        for power in range(math.floor(bottom) - 1, math.ceil(top) + 1)
        for factor in (1, 1.5, 2, 3, 4, 5, 6, 7, 8, 9)
    ]
    below = [tick for tick in ticks if tick <= bottom + 1e-9]
    above = [tick for tick in ticks if tick >= top - 1e-9]
    start, stop = below[-1], above[0]
    within = [tick for tick in ticks if start <= tick <= stop]
    stride = max(1, math.ceil(len(within) / max(2, parts)))
    return start, stop, within[::stride]


def grown_end(newest: float, total: float | None) -> float:
    """The right end of an axis that follows a growing run.

    It moves in strides of about a tenth, so that most steps change one column and not the whole picture; once the run is
    past the middle of a known `total` the axis shows all of it.
    """
    if newest <= 0:
        return 1.0
    if total is not None and newest >= total / 2:
        return max(total, newest)
    power = 10.0 ** math.floor(math.log10(newest))
    stride = next(step for step in (0.1, 0.2, 0.5, 1.0) if newest / power <= step * 20) * power
    end = math.ceil(newest / stride + 0.25) * stride
    return min(end, total) if total is not None and total >= newest else end


def decimals_for(ticks: Sequence[float]) -> int:
    """Digits after the point that tell neighbouring ticks apart."""
    gaps = [abs(b - a) for a, b in pairwise(ticks) if b != a]
    if not gaps:
        return 2
    gap = min(gaps)
    for digits in range(8):
        if abs(round(gap, digits) - gap) <= gap * 1e-6:
            return digits
    return 8


def label(value: float, decimals: int) -> str:
    """A tick's number: fixed digits where that is short, else an exponent or a suffix.

    Args:
        value: of the tick.
        decimals: digits after the point that tell it from its neighbours; an exponent keeps as many as that takes.
    """
    size = abs(value)
    if size and (size < 1e-3 or decimals > _FIXED):
        digits = max(1, min(_FIXED, decimals + math.floor(math.log10(size))))
        return f"{value:.{digits}e}".replace("e-0", "e-").replace("e+0", "e+")
    if size >= 1e15:
        return f"{value:.1e}".replace("e+0", "e+")
    for unit, suffix in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e4, "k")):
        if size >= unit:
            return f"{value / (1e3 if suffix == 'k' else unit):.4g}{suffix}"
    return f"{value:,.{decimals}f}"


def nice_seconds(span: float, most: int) -> float:
    """Like `nice_step` for a span of seconds: parts people know, from a second to days."""
    raw = span / max(1, most)
    for step in (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400):
        if step >= raw:
            return float(step)
    return math.ceil(raw / 86400) * 86400.0


def duration(seconds: float) -> str:
    """A time along an axis: `45s`, `12m`, `3h20`."""
    if seconds < 60:
        return f"{seconds:.0f}s"
    minutes = round(seconds / 60)
    return f"{minutes}m" if minutes < 60 else f"{minutes // 60}h{minutes % 60:02d}"
