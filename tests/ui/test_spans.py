"""Only the cells that changed are sent, and the screen is the same as if everything were."""

from __future__ import annotations

import io
import random

import pyte
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from rich.console import Console
from rich.segment import Segment
from rich.style import Style
from textual._compositor import ChopsUpdate
from textual.strip import Strip

from backprop_tui.app.spans import SpanUpdate, whole_cells

WIDTH, HEIGHT = 24, 3
_TEXT = st.text(st.sampled_from("ab 你é漢…─"), min_size=0, max_size=14)
_STYLES = (Style(color="red"), Style(bold=True), Style())


def strip_of(parts: list[str], width: int) -> Strip:
    segments = [Segment(part, _STYLES[at % 3]) for at, part in enumerate(parts)]
    return Strip(segments).adjust_cell_length(width)


def drawn(update: ChopsUpdate, before: str) -> tuple[list[str], int]:
    screen = pyte.Screen(WIDTH, HEIGHT)
    stream = pyte.Stream(screen)
    stream.feed(before)
    console = Console(file=io.StringIO(), force_terminal=True, color_system="truecolor", width=WIDTH)
    sent = update.render_segments(console)
    stream.feed(sent)
    return list(screen.display), len(sent.encode())


def whole(strips: list[Strip]) -> str:
    console = Console(file=io.StringIO(), force_terminal=True, color_system="truecolor", width=WIDTH)
    return "".join(f"\x1b[{y + 1};1H{strip.render(console)}" for y, strip in enumerate(strips))


@hypothesis_settings(max_examples=200, deadline=None)
@given(st.lists(_TEXT, min_size=HEIGHT * 2, max_size=HEIGHT * 2), st.integers(0, 2**32))
def test_the_screen_is_the_same_whatever_is_cut(texts: list[str], seed: int) -> None:
    dice = random.Random(seed)
    cut = dice.randrange(4, WIDTH - 4)
    old: list[Strip] = []
    new: list[Strip] = []
    chops: list[dict[int, Strip | None]] = []
    spans: list[tuple[int, int, int]] = []
    for y in range(HEIGHT):
        left, right = strip_of([texts[y][:7], texts[y + HEIGHT]], cut), strip_of([texts[y]], WIDTH - cut)
        chops.append({0: left, cut: right})
        new.append(Strip.join([left, right]))
        start = dice.randrange(WIDTH)
        stop = dice.randrange(start + 1, WIDTH + 1)
        # What differs must be inside the span: the rest of the old line is already the new one.
        spans.append((y, start, stop))
        at, to = whole_cells(new[y], start, stop)
        old.append(Strip.join([new[y].crop(0, at), strip_of(["x" * WIDTH], to - at), new[y].crop(to, WIDTH)]))
    ends = [[cut, WIDTH] for _ in range(HEIGHT)]
    before = whole(old)
    ours, _ = drawn(SpanUpdate(chops, spans, ends), before)
    expected, _ = drawn(ChopsUpdate(chops, [(y, 0, WIDTH) for y in range(HEIGHT)], ends), before)
    assert ours == expected


def test_a_digit_at_the_right_costs_no_row() -> None:
    strip = strip_of(["name of a run", " 100/400 "], WIDTH)
    arguments = ([{0: strip}], [(0, 20, 22)], [[WIDTH]])
    before = whole([strip])
    plain, much = drawn(ChopsUpdate(*arguments), before)
    ours, little = drawn(SpanUpdate(*arguments), before)
    assert ours == plain
    assert little < much - 10


@pytest.mark.parametrize(
    ("start", "stop", "expected"), [(0, 1, (0, 2)), (1, 2, (0, 2)), (2, 3, (2, 3)), (3, 5, (3, 6))]
)
def test_a_wide_character_is_never_cut(start: int, stop: int, expected: tuple[int, int]) -> None:
    assert whole_cells(Strip([Segment("你a"), Segment("b漢c")]), start, stop) == expected
