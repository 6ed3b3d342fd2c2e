"""What changes after the first paint reaches the terminal: frames and panels repaint only some cells, and the right ones."""

from __future__ import annotations

import pytest

from tests.support.terminal import BACKPROP, Terminal

pytestmark = pytest.mark.pty


@pytest.mark.parametrize(("columns", "rows"), [(120, 40), (80, 24)])
def test_a_frame_tells_which_row_is_shown(columns: int, rows: int) -> None:
    with Terminal([BACKPROP], columns=columns, rows=rows) as app:
        app.wait_for(r"row 1 of 458")
        app.send("n")
        app.wait_for(r"row 2 of 458")
        app.send("p")
        app.wait_for(r"row 1 of 458")


def test_the_checks_of_a_room_opened_later_are_painted() -> None:
    with Terminal([BACKPROP]) as app:
        app.wait_for(r"row 1 of 458")
        app.send("2")
        app.wait_for(r"╭.? ?checks ─+ ready ─╮", timeout=30)
        app.wait_for(r"╭.? ?changes ─")
