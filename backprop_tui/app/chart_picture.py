"""Charts as pictures: one description of lines, bands, points and words, written as SVG or drawn into pixels."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape as in_xml
from xml.sax.saxutils import quoteattr

from backprop_tui.app.chart_export import Picture, in_view
from backprop_tui.app.marks import KINDS
from backprop_tui.app.widgets.chart_metrics import metric_of
from backprop_tui.app.widgets.chart_parts import MARK_SIGNS, Drawn, Plot, Scale, measure, odd_places, scales_of
from backprop_tui.app.widgets.chart_plot import x_label, x_ticks

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

#: Size of one plot in pixels, alone and in a grid, and the room around its inside: left, top, right, bottom.
_ALONE, _SMALL = (1200, 640), (760, 420)
_ROOM = (92, 56, 84, 48)
_HEADING = 44
#: Shapes of series by slot, like their signs on the screen.
_SHAPES = ("disc", "triangle", "square", "diamond", "ring", "hollow triangle", "hollow square", "hollow diamond")
_RADIUS = 5.0
#: Pixels a mark takes.
_SIGN_WIDTH = 10
#: Pixels between two signs along one curve.
_SIGN_EVERY = 170


@dataclass(frozen=True, slots=True)
class Words:
    """Text around a point; `anchor` is start, middle or end."""

    x: float
    y: float
    text: str
    role: str
    anchor: str = "start"
    plain: str = ""


@dataclass(frozen=True, slots=True)
class Rule:
    """A thin straight line, level or upright."""

    x0: float
    y0: float
    x1: float
    y1: float
    role: str


@dataclass(frozen=True, slots=True)
class Band:
    """A curve: from `tops` to `bottoms` in each pixel column from `left` on; NaN where it is absent."""

    left: int
    tops: NDArray[np.float64]
    bottoms: NDArray[np.float64]
    role: str
    width: float


@dataclass(frozen=True, slots=True)
class Point:
    """A sign of a series."""

    x: float
    y: float
    shape: str
    role: str


Part = Words | Rule | Band | Point


def size_of(picture: Picture) -> tuple[int, int, int, int]:
    """Width and height of the picture and of one plot in pixels."""
    width, height = _ALONE if len(picture.plots) == 1 else _SMALL
    across = min(picture.across, len(picture.plots)) or 1
    return width * across, _HEADING + height * -(-len(picture.plots) // across), width, height


def parts_of(picture: Picture) -> Iterator[Part]:
    """Everything in the picture, what is behind first."""
    total, _, width, height = size_of(picture)
    yield Words(20, _HEADING / 2 + 4, picture.heading, "text")
    for index, plot in enumerate(picture.plots):
        across = total // width
        yield from _plot(plot, index % across * width, _HEADING + index // across * height, width, height)


def _plot(plot: Plot, left: int, top: int, width: int, height: int) -> Iterator[Part]:
    x0, y0 = left + _ROOM[0], top + _ROOM[1]
    wide, high = width - _ROOM[0] - _ROOM[2], height - _ROOM[1] - _ROOM[3]
    drawn = measure(plot, wide, max(2, high // 60))
    scales = scales_of(drawn)
    yield Words(left + 20, top + 14, plot.title, "text")
    words = "time (wall, with pauses)" if plot.axis == "time" else plot.axis
    yield Words(x0 + wide, top + 14, f"x: {words}   y: {'log' if plot.log else 'linear'}", "faint", "end")
    at = x0
    for one in drawn:
        smooth = "" if one.curve.smoothing == "raw" else f" ({one.curve.smoothing})"
        text = f"{one.curve.label}{smooth}"
        yield Point(at, top + 36, _shape(one), one.curve.role)
        yield Words(at + 12, top + 36, text, "muted")
        at += 40 + 12 * len(text)
    for side, scale in enumerate(scales[:2]):
        role = "muted" if len(scales) == 1 else next(one.curve.role for one in drawn if one.scale.unit == scale.unit)
        for tick, text in zip(scale.ticks, scale.labels, strict=True):
            y = _y(tick, scale, y0, high)
            if side == 0:
                yield Rule(x0, y, x0 + wide, y, "grid")
            yield Words(x0 - 10 if side == 0 else x0 + wide + 10, y, text, role, "start" if side else "end")
    yield Rule(x0, y0 + high, x0 + wide, y0 + high, "muted")
    for tick in x_ticks(plot.start, plot.stop, plot.axis, max(2, wide // 120)):
        x = x0 + (tick - plot.start) / (plot.stop - plot.start) * wide
        yield Words(x, y0 + high + 30, x_label(tick, plot.axis), "muted", "middle")
    yield from _curves(plot, drawn, x0, y0, wide, high)
    yield from _moments(plot, x0, y0, wide, high)


def _curves(plot: Plot, drawn: list[Drawn], x0: int, y0: int, wide: int, high: int) -> Iterator[Part]:
    import numpy as np

    def band(one: Drawn, low: NDArray[np.float64], up: NDArray[np.float64], role: str, width: float) -> Band:
        reach = one.scale.high - one.scale.low
        tops = y0 + np.clip((one.scale.high - up) / reach, 0, 1) * high
        return Band(x0, tops, y0 + np.clip((one.scale.high - low) / reach, 0, 1) * high, role, width)

    for one in drawn:
        if one.front is not None:
            yield band(one, one.low, one.high, "faint", 1.0)
    for one in reversed(drawn):
        yield band(one, *(one.front or (one.low, one.high)), one.curve.role, 2.0)
    for one in reversed(drawn):
        if one.curve.beside or metric_of(one.curve.metric).sparse:
            steps, values = in_view(one.curve, plot, "raw")
            x = one.curve.source.to_units(steps, plot.axis)
            for place, value in zip(x.tolist(), values.tolist(), strict=True):
                if math.isfinite(value) and (value > 0 or not plot.log):
                    y = _y(math.log10(value) if plot.log else value, one.scale, y0, high)
                    yield Point(
                        x0 + (place - plot.start) / (plot.stop - plot.start) * wide, y, _shape(one), one.curve.role
                    )
        elif plot.crowded:
            low, up = one.front or (one.low, one.high)
            for column in range(20 + one.curve.slot * 47 % _SIGN_EVERY, wide, _SIGN_EVERY):
                if math.isfinite(up[column]):
                    y = _y(float(low[column] + up[column]) / 2, one.scale, y0, high)
                    yield Point(x0 + column, y, _shape(one), one.curve.role)
        for place in odd_places(one.curve, plot):
            yield Words(x0 + (place - plot.start) / (plot.stop - plot.start) * wide, y0 + 8, "✗", "bad", "middle", "x")


def _moments(plot: Plot, x0: int, y0: int, wide: int, high: int) -> Iterator[Part]:
    source = plot.curves[0].source if plot.curves else None
    if plot.marks is None or source is None:
        return
    # One sign where several would cover one another; the later kind tells more.
    found: dict[int, Words] = {}
    for kind in KINDS:
        steps = plot.marks.steps(kind)
        for place in source.to_units(steps, plot.axis).tolist() if len(steps) else []:
            if plot.start <= place <= plot.stop:
                sign, plain, role = MARK_SIGNS[kind]
                x = x0 + (place - plot.start) / (plot.stop - plot.start) * wide
                found[round(x / _SIGN_WIDTH)] = Words(x, y0 + high + 10, sign, role, "middle", plain)
    yield from found.values()


def _y(value: float, scale: Scale, y0: int, high: int) -> float:
    return y0 + min(1.0, max(0.0, (scale.high - value) / (scale.high - scale.low))) * high


def _shape(one: Drawn) -> str:
    return "ring" if one.curve.beside else _SHAPES[one.curve.slot % 8]


def to_svg(picture: Picture) -> str:
    """The picture as an SVG document."""
    width, height, _, _ = size_of(picture)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
        'font-family="ui-monospace, Menlo, Consolas, monospace" font-size="14">',
        f"<title>{in_xml(picture.heading)}</title>",
        f'<rect width="100%" height="100%" fill="{picture.colors["ground"]}"/>',
    ]
    for part in parts_of(picture):
        color = quoteattr(picture.colors[part.role])
        if isinstance(part, Words):
            anchor = "" if part.anchor == "start" else f' text-anchor="{part.anchor}"'
            lines.append(f'<text x="{part.x:.1f}" y="{part.y + 5:.1f}" fill={color}{anchor}>{in_xml(part.text)}</text>')
        elif isinstance(part, Rule):
            lines.append(
                f'<path d="M{part.x0:.1f} {part.y0:.1f}L{part.x1:.1f} {part.y1:.1f}" stroke={color} stroke-width="0.6"/>'
            )
        elif isinstance(part, Band):
            path = _path(part)
            lines.append(
                f'<path d="{path}" fill="none" stroke={color} stroke-width="{part.width}" stroke-linejoin="round"/>'
            )
        else:
            lines.append(_svg_point(part, color))
    return "\n".join([*lines, "</svg>", ""])


def _path(band: Band) -> str:
    """Through every column's ends, the nearer one first, so that the line goes the way the values went."""
    words: list[str] = []
    last = None
    for index, (top, bottom) in enumerate(zip(band.tops.tolist(), band.bottoms.tolist(), strict=True)):
        if not (math.isfinite(top) and math.isfinite(bottom)):
            last = None
            continue
        first, second = (top, bottom) if last is None or abs(last - top) <= abs(last - bottom) else (bottom, top)
        x = band.left + index + 0.5
        words.append(f"{'M' if last is None else 'L'}{x:g} {first:.1f}")
        if abs(first - second) >= 0.1 or last is None:
            words.append(f"L{x:g} {second:.1f}")
        last = second
    return "".join(words)


def _svg_point(point: Point, color: str) -> str:
    x, y, r = point.x, point.y, _RADIUS
    fill = (
        f'fill="none" stroke={color} stroke-width="2"'
        if "hollow" in point.shape or point.shape == "ring"
        else f"fill={color}"
    )
    if point.shape in ("disc", "ring"):
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{r - 1}" {fill}/>'
    corners = {
        "triangle": ((0, -r), (r, r * 0.8), (-r, r * 0.8)),
        "square": ((-r, -r), (r, -r), (r, r), (-r, r)),
        "diamond": ((0, -r - 1), (r + 1, 0), (0, r + 1), (-r - 1, 0)),
    }[point.shape.rpartition(" ")[2]]
    places = " ".join(f"{x + dx:.1f},{y + dy:.1f}" for dx, dy in corners)
    return f'<polygon points="{places}" {fill}/>'


def to_png(picture: Picture) -> bytes:
    """The picture as a PNG file."""
    from backprop_tui.app.png import Image

    width, height, _, _ = size_of(picture)
    image = Image(width, height, picture.colors["ground"])
    for part in parts_of(picture):
        color = picture.colors[part.role]
        if isinstance(part, Words):
            image.text(part.plain or part.text, part.x, part.y, color, part.anchor)
        elif isinstance(part, Rule):
            mask = (
                _ones(1, max(1, round(part.x1 - part.x0)))
                if part.y0 == part.y1
                else _ones(max(1, round(part.y1 - part.y0)), 1)
            )
            image.blend(mask * 0.6, round(part.x0), round(part.y0), color)
        elif isinstance(part, Band):
            mask, top = _band_mask(part)
            image.blend(mask, part.left - 1, top, color)
        else:
            mask = _point_mask(part)
            image.blend(mask, round(part.x) - mask.shape[1] // 2, round(part.y) - mask.shape[0] // 2, color)
    return image.png()


def _ones(height: int, width: int) -> NDArray[np.float64]:
    import numpy as np

    return np.ones((height, width))


def _band_mask(band: Band) -> tuple[NDArray[np.float64], int]:
    """How much of each pixel a band of its width covers, and the first row. The ends of columns are soft: no stairs."""
    import numpy as np

    known = np.isfinite(band.tops) & np.isfinite(band.bottoms)
    if not known.any():
        return _ones(1, 1) * 0, 0
    half = band.width / 2
    first, last = (
        math.floor(float(band.tops[known].min()) - half) - 1,
        math.ceil(float(band.bottoms[known].max()) + half) + 1,
    )
    rows = np.arange(first, last)[:, None]
    tops, bottoms = np.where(known, band.tops - half, 1e9), np.where(known, band.bottoms + half, -1e9)
    inside = np.clip(np.minimum(rows + 1, bottoms) - np.maximum(rows, tops), 0, 1)
    mask = np.zeros((last - first, len(band.tops) + 2))
    mask[:, 1:-1] = inside
    if band.width > 1.5:
        # As wide across as down: steep parts are one column otherwise.
        mask[:, :-2] = np.maximum(mask[:, :-2], inside * 0.5)
        mask[:, 2:] = np.maximum(mask[:, 2:], inside * 0.5)
    return mask, first


def _point_mask(point: Point) -> NDArray[np.float64]:
    import numpy as np

    # Four samples per pixel and direction, averaged: round at any size.
    side = int(_RADIUS * 2) + 3
    at = (np.arange(side * 4) + 0.5) / 4 - side / 2
    x, y = at[None, :], at[:, None]
    kind = point.shape.rpartition(" ")[2]
    reach = {
        "disc": np.hypot(x, y) + 1, "ring": np.hypot(x, y) + 1, "square": np.maximum(abs(x), abs(y)) + 0.5,
        "diamond": abs(x) + abs(y) - 1, "triangle": np.maximum(abs(x) * 1.8 - y * 0.9, y * 1.2),
    }[kind]  # fmt: skip
    inside = reach <= _RADIUS
    if kind == "ring" or "hollow" in point.shape:
        inside &= reach > _RADIUS - 2
    mask: NDArray[np.float64] = inside.reshape(side, 4, side, 4).mean(axis=(1, 3))
    return mask
