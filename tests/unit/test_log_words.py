"""Words of the log: places somebody may go to, and lines that fit and lose nothing."""

from __future__ import annotations

import pytest

from backprop_tui.app.glyphs import UNICODE
from backprop_tui.app.log_places import Spot, read_spot, spot_problem
from backprop_tui.app.widgets.log_paint import Manner, highlighted, paint_row, split
from backprop_tui.app.widgets.painted import width_of
from backprop_tui.store.log_lines import LogRow


@pytest.mark.parametrize(
    ("text", "spot"),
    [
        ("50%", Spot("percent", 50.0)), ("1.5 %", Spot("percent", 1.5)), ("900%", Spot("percent", 100.0)),
        ("1200", Spot("step", 1200.0)), ("step 1,200", Spot("step", 1200.0)), ("s5", Spot("step", 5.0)),
        ("#300", Spot("line", 300.0)), ("line 7", Spot("line", 7.0)), ("", None), (",", None), ("25:00", None),
        ("noon", None), ("2026-13-01 10:00", None), ("-5", None),
    ],
)  # fmt: skip
def test_places_are_read(text: str, spot: Spot | None) -> None:
    assert read_spot(text, 1_700_000_000.0) == spot
    assert (spot_problem(text) is None) == (spot is not None)


def test_a_time_of_day_is_of_the_day_in_view() -> None:
    spot = read_spot("18:47", 1_700_000_000.0)
    assert spot is not None
    assert spot.kind == "time"
    assert abs(spot.value - 1_700_000_000.0) <= 86_400


def test_pieces_of_a_line_fit_and_lose_nothing() -> None:
    pieces = highlighted("Loss losses LOSS", "loss", "text")
    assert [text for text, role in pieces if role == "cursor"] == ["Loss", "loss", "LOSS"]
    assert "".join(text for text, _ in pieces) == "Loss losses LOSS"
    wide = "日本" * 30 + "é" * 10
    parts = split([(wide, "text")], 9)
    assert max(map(width_of, parts)) <= 9
    assert "".join(text for part in parts for text, _ in part) == wide
    row = LogRow(None, False, "info", "worker", wide, 1)
    for manner in (Manner(), Manner(wrap=True), Manner(times="start"), Manner(times="date", wrap=True, needle="本")):
        lines = paint_row(row, 60, manner, UNICODE, here=True)
        assert max(map(width_of, lines)) <= 60
        assert (len(lines) > 1) == manner.wrap
