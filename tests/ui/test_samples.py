"""Answers of every evaluation on the Run screen: stepping through them, side by side and stacked, scrolled, foreign."""

from __future__ import annotations

from backprop_tui.app.app import BackpropApp
from backprop_tui.app.terminal import PROFILES, Terminal
from backprop_tui.app.widgets.samples import Samples
from backprop_tui.protocol import events as ev
from tests.support.runs import HOSTILE, FakeRun
from tests.ui.helpers import screen_text, shows, until


def app_on(fake: FakeRun) -> BackpropApp:
    return BackpropApp("run", fake.run, Terminal(PROFILES["local"], False, "backprop-dark", {}, False))


def evaluated(count: int) -> FakeRun:
    fake = FakeRun().begin(total=1000)
    fake.sample("base", "It is Paris.")
    for number in range(count):
        fake.train(10).measure()
        fake.sample("tuned", f"Aye, answer {number}!")
    return fake


async def test_evaluations_are_stepped_through_and_the_newest_is_followed() -> None:
    fake = evaluated(4)
    app = app_on(fake)
    async with app.run_test(size=(120, 40)) as pilot:
        await shows(pilot, "40/1,000")
        await pilot.press("b")
        await shows(pilot, "evaluation 4 of 4, step 40")
        await shows(pilot, "Aye, answer 3!")
        await pilot.press("comma", "comma")
        await shows(pilot, "evaluation 2 of 4, step 20")
        await shows(pilot, "Aye, answer 1!")
        fake.train(10).measure()
        fake.sample("tuned", "Aye, answer 4!")
        # The one that is looked at stays.
        await shows(pilot, "evaluation 2 of 5")
        assert "Aye, answer 1!" in screen_text(app)
        await pilot.press("full_stop", "full_stop", "full_stop", "full_stop")
        await until(pilot, lambda: app.screen.query_one(Samples).chosen is None or "5 of 5" in screen_text(app))
        await pilot.press("f")
        await shows(pilot, "evaluation 5 of 5")
        fake.train(10).measure()
        fake.sample("tuned", "Aye, answer 5!")
        await shows(pilot, "Aye, answer 5!")
        for _ in range(9):
            await pilot.press("comma")
        await until(pilot, lambda: "evaluation 1 of 6" in screen_text(app) or not app.screen.query_one(Samples).chosen)
    fake.let_go()


async def test_side_by_side_where_there_is_room_and_stacked_where_not() -> None:
    fake = evaluated(1)
    app = app_on(fake)
    async with app.run_test(size=(120, 40)) as pilot:
        await shows(pilot, "10/1,000")
        await pilot.press("b")
        await shows(pilot, "✗ base")
        row = next(line for line in screen_text(app).splitlines() if "It is Paris." in line)
        assert "Aye, captain! Paris. Fair winds!" in row
        assert "Aye, answer 0!" in row
        await pilot.press("v")
        await shows(pilot, "base  ✗ It is Paris.")
        await pilot.press("v")
        await pilot.resize_terminal(80, 24)
        await shows(pilot, "base  ✗ It is Paris.")
        await shows(pilot, "tuned ✓ Aye, answer 0!")
    fake.let_go()


async def test_long_answers_wrap_scroll_and_are_cut() -> None:
    fake = FakeRun().begin(total=10).train(2).measure()
    for index in range(12):
        fake.add(
            ev.SAMPLE, step=2, index=index, source="tuned", prompt=f"question {index}\nin two lines",
            reference="", output=f"{'word ' * 60}end of {index}\n{HOSTILE}", match=False,
        )  # fmt: skip
    app = app_on(fake)
    async with app.run_test(size=(120, 40)) as pilot:
        await shows(pilot, "2/10")
        await pilot.press("b")
        await shows(pilot, "end of 0")
        assert "end of 11" not in screen_text(app)
        await pilot.press("end")
        await shows(pilot, "end of 11")
        await pilot.press("home", "pagedown", "down", "up", "w")
        await until(pilot, lambda: "end of" not in screen_text(app))
        await pilot.press("home")
        await shows(pilot, "question 0")
        assert not any(sign in screen_text(app) for sign in "\x1b\x07\x9b\u202e")
    fake.let_go()


async def test_without_samples_the_key_to_get_them_is_named() -> None:
    fake = FakeRun().begin().train(2)
    async with app_on(fake).run_test(size=(80, 24)) as pilot:
        await shows(pilot, "2/100")
        await pilot.press("b")
        await shows(pilot, "No samples yet. They are taken at each evaluation; e evaluates now.")
        await pilot.press("comma", "full_stop", "v", "w", "f")
    fake.let_go()
