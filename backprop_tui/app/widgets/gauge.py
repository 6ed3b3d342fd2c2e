"""Bars and sparklines as pieces of a line."""

from __future__ import annotations

import math
from collections.abc import Iterable

from backprop_tui.app.glyphs import Glyphs
from backprop_tui.app.widgets.painted import Piece


def bar(share: float | None, width: int, glyphs: Glyphs, role: str = "series-1") -> list[Piece]:
    """A filled bar of `width` cells; unknown is an empty one."""
    if share is None or not math.isfinite(share):
        return [(glyphs.gauge_rest * width, "frame")]
    full = round(min(1.0, max(0.0, share)) * width)
    return [(glyphs.gauge_full * full, role), (glyphs.gauge_rest * (width - full), "frame")]


def progress(share: float | None, width: int, glyphs: Glyphs, role: str = "series-1") -> list[Piece]:
    """The thin line of a run's progress, with a head while it is under way."""
    if share is None:
        return [(glyphs.bar_rest * width, "frame")]
    full = int(min(1.0, max(0.0, share)) * width)
    head = glyphs.bar_head if full < width else ""
    return [(glyphs.bar_full * full + head, role), (glyphs.bar_rest * (width - full - len(head)), "frame")]


def spark(
    values: Iterable[float | None], width: int, glyphs: Glyphs, *, low: float | None = None, high: float | None = None
) -> str:
    """The newest `width` values as little columns; unknown and non-finite ones are blank.

    The scale is the values' own unless `low` and `high` are given.
    """
    newest = list(values)[-width:] if width > 0 else []
    known = [value for value in newest if value is not None and math.isfinite(value)]
    if not known:
        return " " * max(0, width)
    bottom = min(known) if low is None else low
    top = max(known) if high is None else high
    signs = glyphs.spark
    out = []
    for value in newest:
        if value is None or not math.isfinite(value):
            out.append(" ")
        elif top <= bottom:
            out.append(signs[0])
        else:
            share = min(1.0, max(0.0, (value / 2 - bottom / 2) / (top / 2 - bottom / 2)))
            out.append(signs[min(len(signs) - 1, int(share * len(signs)))])
    return "".join(out).rjust(width)
