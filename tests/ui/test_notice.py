"""What stands above the panels while a run is not simply running: whole sentences in every width, and the keys that fit."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from backprop_tui.app.app import BackpropApp
from backprop_tui.app.terminal import PROFILES, Terminal
from backprop_tui.app.widgets.notice import folded
from backprop_tui.protocol import events as ev
from tests.support.runs import FakeRun
from tests.ui.helpers import screen_text, shows, until


def app_of(fake: FakeRun) -> BackpropApp:
    fake.journal.sync()
    return BackpropApp("run", fake.run, Terminal(PROFILES["local"], False, "backprop-dark", {}, False))


@given(st.lists(st.text(max_size=200), min_size=1, max_size=2), st.integers(8, 130), st.integers(2, 4))
def test_sentences_keep_their_lines_and_their_width(texts: list[str], width: int, most: int) -> None:
    lines = folded([(text, "text") for text in texts], width, most, "…")
    assert len(texts) <= len(lines) <= most
    assert all(cell_len(line) <= width for line, _ in lines)


def test_a_sentence_is_broken_before_it_is_cut() -> None:
    words = [
        ("‖ Paused at step 12. R goes back to step 10 with half the learning rate, x stops.", "bad"),
        ("! Odd.", "warn"),
    ]
    assert [line for line, _ in folded(words, 130, 4, "…")] == [text for text, _ in words]
    assert [line for line, _ in folded(words, 78, 4, "…")] == [
        "‖ Paused at step 12. R goes back to step 10 with half the learning rate, x", "  stops.", "! Odd.",
    ]  # fmt: skip
    assert [line for line, _ in folded(words, 40, 2, "…")] == ["‖ Paused at step 12. R goes back to ste…", "! Odd."]


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
async def test_after_a_loss_that_is_no_number_the_keys_are_those_that_help(size: tuple[int, int]) -> None:
    fake = FakeRun().begin(total=1000).train(10).save()
    app = app_of(fake)
    async with app.run_test(size=size) as pilot:
        await shows(pilot, "p Pause")
        assert "Resume, lr/2" not in screen_text(app)
        fake.train(2)
        cause = "The loss of step 12 is no number. The last good checkpoint is that of step 10."
        fake.add(ev.FAULT, code="LOSS_NOT_FINITE", cause=cause, next="Press R.", step=12, detail={})
        fake.add(ev.STATE, state="paused", reason=f"{cause} Press R.")
        fake.journal.sync()
        await shows(pilot, "R Resume, lr/2")
        await shows(pilot, "stops.")
        await until(pilot, lambda: "p Go on" in screen_text(app))
        text = screen_text(app)
        assert "Save now" not in text
        assert "Eval now" not in text
        assert "R goes back to step 10 with half the learning rate" in text
    fake.let_go()


async def test_keys_follow_what_is_learnt_after_the_state() -> None:
    """Of a long journal the state is known before the fault that explains it."""
    fake = FakeRun().begin(total=100).train(10).save()
    fake.add(ev.STATE, state="paused", reason="It is NaN.")
    app = app_of(fake)
    async with app.run_test(size=(120, 40)) as pilot:
        await shows(pilot, "p Go on")
        assert "s Save now" in screen_text(app)
        fake.add(ev.FAULT, code="LOSS_NOT_FINITE", cause="It is NaN.", next="Press R.", step=10, detail={})
        fake.journal.sync()
        await shows(pilot, "R Resume, lr/2")
    fake.let_go()
