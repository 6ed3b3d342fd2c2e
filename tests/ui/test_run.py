"""The Run screen opened on every kind of run: live, finished, crashed, failed, empty, damaged, none."""

from __future__ import annotations

import math

import numpy as np
import pytest
from textual.pilot import Pilot

from backprop_tui.app.app import BackpropApp
from backprop_tui.app.glyphs import UNICODE
from backprop_tui.app.narrate import tell
from backprop_tui.app.run_model import RunModel
from backprop_tui.app.screens.run import RunScreen
from backprop_tui.app.terminal import PROFILES, Terminal
from backprop_tui.app.widgets.chart import Chart
from backprop_tui.app.widgets.gauge import bar, spark
from backprop_tui.app.widgets.log import LogView
from backprop_tui.app.widgets.panel import Panel
from backprop_tui.app.widgets.smoothing import Ema
from backprop_tui.engine.heat import Card, Heat
from backprop_tui.protocol import events as ev
from backprop_tui.protocol.events import Event
from backprop_tui.protocol.limits import Limits
from backprop_tui.protocol.states import ON_REQUEST, RunState
from backprop_tui.store.layout import RunDir, create_run
from backprop_tui.store.summary import load_summary
from tests.support.engines import events, no_engine_left, started
from tests.support.runs import HOSTILE, FakeRun, finished


async def screen_text(pilot: Pilot[None], wanted: str = "", seconds: float = 5.0) -> str:
    """The screen once it contains `wanted`."""
    text = ""
    for _ in range(int(seconds / 0.05)):
        await pilot.pause(0.05)
        text = "\n".join(strip.text for strip in pilot.app.screen._compositor.render_strips())
        if wanted in text:
            return text
    raise AssertionError(f"never saw {wanted!r}:\n{text}")


def app_on(run: RunDir | None) -> BackpropApp:
    return BackpropApp("run", run, Terminal(PROFILES["local"], False, "backprop-dark", {}, False))


@pytest.mark.parametrize("size", [(120, 40), (100, 30), (80, 24), (60, 20), (60, 14), (120, 15)])
async def test_a_live_run_is_followed(size: tuple[int, int]) -> None:
    fake = FakeRun(name="voyage").begin(total=50, gpus=2).train(7)
    app = app_on(fake.run)
    async with app.run_test(size=size) as pilot:
        await screen_text(pilot, "7/50")
        fake.train(3).measure().save()
        await screen_text(pilot, "10/50")
        text = await screen_text(pilot, "running")
        assert "14%" not in text
        assert "20%" in text
    fake.let_go()


@pytest.mark.parametrize(
    ("outcome", "words"),
    [
        ("completed", "Done."),
        ("stopped", "Stopped at step 12. r resumes from step 12."),
        ("aborted", "without saving"),
        ("failed", "OUT_OF_MEMORY: The GPU ran out of memory."),
    ],
)
async def test_the_end_is_told_in_words_with_the_next_key(outcome: str, words: str) -> None:
    fake = FakeRun().begin().train(12).save()
    if outcome == "failed":
        fake.add(ev.FAULT, code="OUT_OF_MEMORY", cause="The GPU ran out of memory.", next="Halve the batch.")
    run = fake.end(outcome).run
    app = app_on(run)
    async with app.run_test(size=(120, 40)) as pilot:
        text = await screen_text(pilot, words)
        assert f" {outcome}" in text.splitlines()[0]
        if outcome == "failed":
            assert "Halve the batch. Nothing saved was lost. r resumes from step 12." in text


async def test_a_crash_is_never_called_running() -> None:
    fake = FakeRun().begin().train(9).save()
    fake.let_go()
    async with app_on(fake.run).run_test(size=(120, 40)) as pilot:
        text = await screen_text(pilot, "The engine is gone; step 9")
        assert "? crashed" in text
        assert "● running" not in text
        assert "p Pause" not in text


async def test_paused_says_how_to_go_on() -> None:
    fake = FakeRun().begin().train(3)
    fake.add(ev.STATE, state="paused", reason=ON_REQUEST)
    async with app_on(fake.run).run_test(size=(120, 40)) as pilot:
        text = await screen_text(pilot, "Paused at step 3. p goes on, x stops.")
        assert ON_REQUEST not in text.split("info")[0]
        await pilot.press("r")
        await screen_text(pilot, "This run is paused: p goes on.")
    fake.let_go()


async def test_a_pause_that_nobody_asked_for_says_why() -> None:
    """Heat, as the host's policy words it: what happened, when it goes on by itself, and the key to go on at once."""
    heat = Heat(Limits(heat_readings=1))
    *_, alert, pause = heat.take([Card(0, 91.0)], 0.0, RunState.RUNNING)
    fake = FakeRun().begin().train(3)
    fake.add(ev.ALERT, code=alert.code, severity=alert.severity, cause=alert.words, next=alert.following, step=3)
    for size in ((120, 40), (80, 24)):
        async with app_on(fake.run).run_test(size=size) as pilot:
            await screen_text(pilot, "  Wait, or press p to go on at once.")
    fake.add(ev.STATE, state="paused", reason=pause.words)
    for size in ((120, 40), (80, 24)):
        async with app_on(fake.run).run_test(size=size) as pilot:
            text = await screen_text(pilot, "Paused at step 3. p goes on, x stops.")
            assert "  GPU 0 is at 91 °C; goes on by itself at " in text
    fake.let_go()


async def test_a_loss_that_is_no_number_has_one_key() -> None:
    """R is offered there and nowhere else; the next worker goes on from the checkpoint with the change on record."""
    run = started(steps=9, spoil=7)
    with no_engine_left():
        async with app_on(run).run_test(size=(120, 40)) as pilot:
            text = await screen_text(pilot, "R goes back to step 5 with half the learning rate, x stops.")
            assert "Resume, lr/2" in text
            await pilot.press("R")
            assert "Resume, lr/2" not in await screen_text(pilot, "completed")
    (asked,) = events(run, "command")
    assert (asked.data["name"], asked.data["args"]) == ("resume", {"lr_factor": 0.5})
    assert [event.data["resume_step"] for event in events(run, "attempt")] == [None, 5]
    assert load_summary(run).view.rates[0]["factor"] == 0.5


async def test_no_run_an_empty_journal_and_a_damaged_one() -> None:
    async with app_on(None).run_test(size=(80, 24)) as pilot:
        await screen_text(pilot, "No run yet. Pick data with 1, then press g in Tune.")
    empty = create_run({"format": 1, "name": "empty"})
    async with app_on(empty).run_test(size=(80, 24)) as pilot:
        await screen_text(pilot, "Nothing was recorded")
    damaged = finished(40)
    lines = damaged.journal_file.read_bytes().split(b"\n")
    lines[10] = b"\xff\x00garbage"
    lines[20] = lines[20][:17]
    damaged.journal_file.write_bytes(b"\n".join(lines) + b'{"seq":9')
    async with app_on(damaged).run_test(size=(80, 24)) as pilot:
        await screen_text(pilot, "40/40")


def test_payloads_of_another_version_are_passed_over() -> None:
    model = RunModel()
    odd = [
        Event(1, 0.0, 0.0, 1, ev.STEP, {"step": "x", "loss": []}),
        Event(2, 0.0, 0.0, 1, ev.TELEMETRY, {"gpus": 3, "host": "no"}),
        Event(3, 0.0, 0.0, 1, ev.SAMPLE, {}),
        Event(4, 0.0, 0.0, 1, "of-the-future", {"a": 1}),
        Event(5, 1e300, 0.0, 1, ev.END, {"outcome": None}),
        Event(6, 0.0, 0.0, 1, ev.STEP, {"step": 3, "loss": 1.5}),
    ]
    model.apply(odd)
    assert model.view.step == 3
    assert model.odd >= 1


async def test_not_a_number_is_never_drawn_as_zero() -> None:
    fake = FakeRun().begin().train(5).train(1, loss="nan").train(1)
    async with app_on(fake.run).run_test(size=(120, 40)) as pilot:
        text = await screen_text(pilot, "7/100")
        assert "✗" in text
        assert "loss=NaN" in text
    fake.let_go()


async def test_samples_come_up_by_themselves_when_a_watched_run_completes() -> None:
    fake = FakeRun().begin(total=4).train(4)
    fake.sample("base", "Paris.")
    async with app_on(fake.run).run_test(size=(80, 24)) as pilot:
        await screen_text(pilot, "4/4")
        fake.sample("tuned", "Aye, captain! Paris. Fair winds!")
        fake.end()
        text = await screen_text(pilot, "Aye, captain! Paris. Fair winds!")
        assert "base  ✗ Paris." in text
        assert "tuned 1 of 1 exact" in text
        await pilot.press("b")
        await screen_text(pilot, "completed at step 4")


async def test_stop_asks_and_defaults_to_going_on() -> None:
    from backprop_tui.app.widgets.modal import ConfirmModal

    fake = FakeRun(name=HOSTILE).begin().train(5).save()
    async with app_on(fake.run).run_test(size=(80, 24)) as pilot:
        await screen_text(pilot, "5/100")
        await pilot.press("x")
        text = await screen_text(pilot, "Save and stop")
        assert isinstance(pilot.app.screen, ConfirmModal)
        assert text.index("Save and stop") < text.index("without saving") < text.index("Go on training")
        await pilot.press("enter")
        await pilot.pause()
        assert isinstance(pilot.app.screen, RunScreen)
    fake.let_go()


async def test_a_command_to_a_run_that_is_over_says_so() -> None:
    run = finished(8)
    async with app_on(run).run_test(size=(120, 40)) as pilot:
        await screen_text(pilot, "Done.")
        for key, words in (("p", "not running"), ("x", "nothing to stop"), ("l", "while a run is running")):
            await pilot.press(key)
            await screen_text(pilot, words)


async def test_chart_keys() -> None:
    run = finished(200)
    async with app_on(run).run_test(size=(120, 40)) as pilot:
        await screen_text(pilot, "↔ 0–200")
        model = pilot.app.screen.query_one(Chart).model
        await pilot.press("plus")
        await screen_text(pilot, "↔ 100–200")
        await pilot.press("left")
        await screen_text(pilot, "↔ 75–175")
        assert not model.follow
        await pilot.press("f")
        await screen_text(pilot, "↔ 100–200")
        await pilot.press("0", "y")
        await screen_text(pilot, "y:log")
        await pilot.press("a")
        await screen_text(pilot, "x:tokens")
        await pilot.press("a")
        await screen_text(pilot, "x:time")
        before = model.smoothing_of("loss")
        await pilot.press("k")
        assert model.smoothing_of("loss") != before
        await pilot.press("m")
        await screen_text(pilot, "What the chart shows.")
        await pilot.press("down", "enter")
        await screen_text(pilot, "grad norm ──")


async def test_log_scrolls_and_stops_following() -> None:
    fake = FakeRun().begin()
    for number in range(60):
        fake.add(ev.LOG, level="info", source="host", message=f"line {number}")
    async with app_on(fake.run).run_test(size=(120, 40)) as pilot:
        await screen_text(pilot, "line 59")
        log = pilot.app.screen.query_one(LogView)
        log.focus()
        await screen_text(pilot, "▸ log")
        await pilot.press("pageup")
        await screen_text(pilot, "line 45")
        assert not log.follow
        fake.add(ev.LOG, level="info", source="host", message="line 60")
        fake.journal.sync()
        await screen_text(pilot, "f follow")
        assert "line 60" not in await screen_text(pilot)
        await pilot.press("end")
        await screen_text(pilot, "line 60")
        assert log.follow
        await pilot.press("home")
        await screen_text(pilot, "attempt 1 begins")
    fake.let_go()


def test_foreign_words_are_harmless_in_the_log() -> None:
    told = tell(Event(1, 0.0, 0.0, 1, ev.LOG, {"level": HOSTILE, "source": HOSTILE, "message": HOSTILE}))
    assert told is not None
    level, text = told
    assert level == "info"
    assert not any(sign in text for sign in "\x1b\x07\x9b\u202e")
    assert "[/INST]" in text


@pytest.mark.parametrize("weight", [0.6, 0.9, 0.97])
def test_the_average_is_the_textbook_one_however_it_is_fed(weight: float) -> None:
    rng = np.random.default_rng(0)
    y = rng.normal(size=3000)
    y[[7, 100, 2000]] = math.nan
    average, count, expected = 0.0, 0, []
    for value in y:
        if math.isnan(value):
            expected.append(math.nan)
            continue
        average, count = weight * average + (1 - weight) * value, count + 1
        expected.append(average / (1 - weight**count))
    np.testing.assert_allclose(Ema(weight).of(y), expected, rtol=1e-6, atol=1e-7)
    growing = Ema(weight)
    for end in (1, 2, 700, 701, 3000):
        np.testing.assert_allclose(growing.of(y[:end]), expected[:end], rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(growing.of(y[:50]), expected[:50], rtol=1e-6, atol=1e-7)


def test_unknown_is_never_zero() -> None:
    assert bar(None, 5, UNICODE) == [("░░░░░", "frame")]
    assert spark([None, None], 4, UNICODE) == "    "
    assert spark([1.0, None, 2.0], 3, UNICODE) == "▁ █"
    model = RunModel()
    assert model.state is RunState.STARTING
    assert model.view.loss is None


@pytest.mark.parametrize(("blocks", "ascii_only", "signs"), [(True, False, "▀▄█"), (False, True, "'.|")])
async def test_charts_without_braille(blocks: bool, ascii_only: bool, signs: str) -> None:
    fake = FakeRun().begin().train(60)
    app = BackpropApp("run", fake.run, Terminal(PROFILES["local"], ascii_only, "backprop-dark", {}, False, blocks))
    async with app.run_test(size=(120, 40)) as pilot:
        await screen_text(pilot, "60/100")
        text = await screen_text(pilot, "0–" if blocks else "0-")
        chart = "\n".join(line[:78] for line in text.splitlines()[3:26])
        assert any(sign in chart for sign in signs)
        assert not any("\u2801" <= char <= "\u28ff" for char in chart)
    fake.let_go()


async def test_what_has_room_follows_the_size_before_its_classes_are_set() -> None:
    """A screen that comes up late gets them after its first layout, and none after it."""
    run = finished(8)
    app = app_on(run)
    async with app.run_test(size=(80, 24)) as pilot:
        await screen_text(pilot, "8/8")
        screen = app.screen
        assert isinstance(screen, RunScreen)
        screen.remove_class("-std", "-mid", update=False)
        screen.settle()
        shown = {panel.id for panel in screen.query(Panel) if panel.display}
        assert shown == {"chart-panel", "machine-panel", "log-panel"}
