"""The queue on the Runs screen: its order, moved by keys; taken out, held, started; and put in from Tune."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from backprop_tui.app.app import BackpropApp
from backprop_tui.store.queue import Queue, QueueState
from tests.support.engines import no_engine_left
from tests.support.queues import emptied, names, no_runner_left, waiting
from tests.support.runs import HOSTILE, finished
from tests.ui.helpers import screen_text, shows, until


@pytest.fixture(autouse=True)
def _held(home: object) -> Iterator[None]:
    # Held, so that what waits keeps waiting.
    Queue().hold("It was stopped by hand.")
    with no_engine_left(), no_runner_left():
        yield


@pytest.mark.parametrize("size", [(120, 40), (80, 24), (60, 20)])
async def test_what_waits_stands_before_the_runs_and_is_moved_by_keys(size: tuple[int, int]) -> None:
    finished(8, name="past")
    for name in ("one", "two", "three"):
        waiting(name)
    app = BackpropApp("runs")
    async with app.run_test(size=size) as pilot:
        for place in (1, 2, 3):
            await shows(pilot, f"◌ queued {place}")
        text = screen_text(app)
        assert text.index("one") < text.index("two") < text.index("three") < text.index("past")
        await pilot.press("home", "K")
        await shows(pilot, "one is number 1 now.")
        await pilot.press("J", "J")
        await until(pilot, lambda: names() == ["two", "three", "one"])
        await shows(pilot, "one is number 3 now.")
        await pilot.press("T")
        await until(pilot, lambda: names() == ["one", "two", "three"])


async def test_the_footer_names_the_keys_of_what_is_under_the_cursor() -> None:
    finished(8, name="past")
    waiting("one")
    app = BackpropApp("runs")
    async with app.run_test(size=(120, 40)) as pilot:
        await shows(pilot, "◌ queued 1")
        await pilot.press("home")
        await shows(pilot, "N Now")
        footer = screen_text(app).splitlines()[-1]
        assert "K Earlier" in footer
        assert "d Take out…" in footer
        assert not any(word in footer for word in ("Resume", "Open", "Tick"))
        await pilot.press("end")
        await shows(pilot, "r Resume")
        footer = screen_text(app).splitlines()[-1]
        assert "Enter Open" in footer
        assert "Earlier" not in footer


async def test_what_waits_is_no_run_yet_and_is_taken_out_by_d() -> None:
    waiting(HOSTILE)
    waiting("other")
    app = BackpropApp("runs")
    async with app.run_test(size=(120, 40)) as pilot:
        await shows(pilot, "◌ queued 2")
        assert "queue held" in screen_text(app)
        await pilot.press("end")
        for key in ("enter", "r", "t", "n", "e", "a", "R", "C", "P"):
            await pilot.press(key)
            await shows(pilot, "other waits in the queue.")
            assert len(app.screen_stack) == 1
        await pilot.press("space", "c")
        assert len(app.screen_stack) == 1
        await pilot.press("d")
        await shows(pilot, "Take other out of the queue")
        await pilot.press("enter")
        await pilot.pause()
        assert len(names()) == 2, "the safe answer is the first"
        await pilot.press("d")
        await shows(pilot, "Take other out of the queue")
        await pilot.press("d")
        await shows(pilot, "other is out of the queue.")
        await until(pilot, lambda: len(names()) == 1)


async def test_the_filter_finds_the_queue_and_a_sweep() -> None:
    waiting("alone")
    queue = Queue()
    with queue.edit():
        from dataclasses import replace

        queue.put(replace(queue.entries()[0], sweep={"sweep": "hunt", "trial": 1}))
    waiting("another")
    finished(8, name="past")
    app = BackpropApp("runs")
    async with app.run_test(size=(120, 40)) as pilot:
        await shows(pilot, "◌ queued 2")
        await pilot.press("slash", *"state", "colon", *"queued", "enter")
        await until(pilot, lambda: "past" not in screen_text(app) and "another" in screen_text(app))
        await pilot.press("slash", *(["backspace"] * 20), *"sweep", "colon", *"hunt", "enter")
        await until(pilot, lambda: "another" not in screen_text(app) and "alone" in screen_text(app))


async def test_h_holds_and_lets_go_and_n_says_what_could_not_start() -> None:
    entry = waiting("unsound")
    app = BackpropApp("runs")
    async with app.run_test(size=(120, 40)) as pilot:
        await shows(pilot, "◌ queued 1")
        # The real starter: these settings are none of this version.
        await pilot.press("N")
        await shows(pilot, "unsound begins now.")
        await until(pilot, lambda: (now := Queue().get(entry.id)) is not None and now.state is QueueState.FAILED)
        await shows(pilot, "✗ failed")
        await shows(pilot, "could not start; N tries again")
        await pilot.press("H")
        await shows(pilot, "The queue goes on.")
        assert Queue().held() is None
        await pilot.press("H")
        await shows(pilot, "The queue is held")
        assert Queue().held() is not None
    emptied()


async def test_w_in_tune_puts_the_run_into_the_queue() -> None:
    app = BackpropApp("tune")
    async with app.run_test(size=(120, 40)) as pilot:
        await shows(pilot, "as in the preset")
        await pilot.press("w")
        await shows(pilot, "is number 1 in the queue.")
        (entry,) = Queue().entries()
        assert entry.spec["model"]["base"] == "demo"
        assert entry.launched["train"]["rows"] > 0
        await pilot.press("4")
        await shows(pilot, "◌ queued 1")
