"""The log on the Run screen: filters, search as one types, jumps, ranges, long logs, foreign text; alerts and their places."""

from __future__ import annotations

import pytest
from textual.pilot import Pilot

from backprop_tui.app import log_feed
from backprop_tui.app.app import BackpropApp
from backprop_tui.app.terminal import PROFILES, Terminal
from backprop_tui.app.widgets.chart import Chart
from backprop_tui.app.widgets.log import LogView
from backprop_tui.app.widgets.samples import Samples
from backprop_tui.config import paths
from backprop_tui.protocol import events as ev
from tests.support.runs import HOSTILE, FakeRun
from tests.ui.helpers import screen_text, shows, type_text, until


def app_on(fake: FakeRun) -> BackpropApp:
    return BackpropApp("run", fake.run, Terminal(PROFILES["local"], False, "backprop-dark", {}, False))


def talk(fake: FakeRun, count: int, *, start: int = 0, level: str = "info") -> None:
    for number in range(start, start + count):
        fake.add(ev.LOG, level=level, source="host", message=f"line {number} of many")


async def log_of(pilot: Pilot[None], wanted: str) -> LogView:
    await shows(pilot, wanted)
    log = pilot.app.screen.query_one(LogView)
    log.focus()
    await shows(pilot, "▸ log")
    return log


async def test_levels_and_sources() -> None:
    fake = FakeRun().begin()
    fake.add(ev.LOG, level="debug", source="host", message="whispered")
    fake.add(ev.LOG, level="warn", source="host", message="warned of")
    fake.add(ev.LOG, level="error", source="host", message="cried out")
    fake.run.worker_log.write_text("raw words\nWARNING: raw warning\n 10%|#\r 30%|###")
    async with app_on(fake).run_test(size=(120, 40)) as pilot:
        await log_of(pilot, "cried out")
        assert "whispered" not in screen_text(pilot.app)
        assert "info+" in screen_text(pilot.app)
        await pilot.press("v")
        await shows(pilot, "warn+")
        await until(pilot, lambda: "attempt 1" not in screen_text(pilot.app))
        assert "warned of" in screen_text(pilot.app)
        await pilot.press("v")
        await until(pilot, lambda: "warned of" not in screen_text(pilot.app).split("▸ log")[1])
        await pilot.press("v")
        await shows(pilot, "whispered")
        await pilot.press("o")
        await shows(pilot, "raw words")
        # A progress bar that has not ended shows its last state.
        await shows(pilot, " 30%|###")
        assert "10%" not in screen_text(pilot.app)
        await pilot.press("o")
        await until(pilot, lambda: "attempt 1" not in screen_text(pilot.app))
        await shows(pilot, "worker: WARNING: raw warning")
        await pilot.press("o", "o")
        await shows(pilot, "attempt 1 begins")
    fake.let_go()


@pytest.mark.parametrize("short", [1 << 22, 1000], ids=["read whole", "read from its end"])
async def test_search_as_one_types(short: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_feed, "SHORT", short)
    monkeypatch.setattr(log_feed, "_END", 20_000)
    fake = FakeRun().begin()
    talk(fake, 300)
    fake.add(ev.LOG, level="info", source="host", message="the Needle is here")
    talk(fake, 300, start=300)
    fake.add(ev.LOG, level="info", source="host", message="another nEEdle")
    talk(fake, 100, start=600)
    async with app_on(fake).run_test(size=(120, 40)) as pilot:
        log = await log_of(pilot, "line 699")
        assert log._whole is (short > 1000)
        await pilot.press("slash")
        await type_text(pilot, "needle")
        await shows(pilot, "another nEEdle")
        await shows(pilot, "2 hits")
        await pilot.press("enter")
        assert pilot.app.focused is log
        assert not log.follow
        await pilot.press("N")
        await shows(pilot, "the Needle is here")
        await pilot.press("N")
        await shows(pilot, "Around to the newest hit.")
        await shows(pilot, "another nEEdle")
        await pilot.press("n")
        await shows(pilot, "the Needle is here")
        # What comes later is counted when it is asked for again.
        fake.add(ev.LOG, level="info", source="host", message="a third needle")
        await until(pilot, lambda: log.newer == 1)
        await pilot.press("n", "n")
        await shows(pilot, "a third needle")
        await shows(pilot, "3 hits")
        await pilot.press("escape")
        await until(pilot, lambda: "3 hits" not in screen_text(pilot.app))
        await pilot.press("slash")
        await type_text(pilot, "no such thing")
        await shows(pilot, "0 hits")
        await pilot.press("escape")
        await until(pilot, lambda: "0 hits" not in screen_text(pilot.app))
    fake.let_go()


async def test_a_long_log_is_shown_from_its_end_and_walked_over_when_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_feed, "SHORT", 1000)
    monkeypatch.setattr(log_feed, "_END", 8_000)
    fake = FakeRun().begin()
    talk(fake, 500)
    async with app_on(fake).run_test(size=(120, 40)) as pilot:
        log = await log_of(pilot, "line 499")
        await shows(pilot, "newest lines")
        assert not log._whole
        before = log.total
        assert before < 100
        await pilot.press("up", "up")
        row = log.row_at(log.cursor)
        assert row is not None
        await pilot.press("home")
        await shows(pilot, "attempt 1 begins")
        assert log._whole
        assert log.total > 500
        await pilot.press("end")
        await shows(pilot, "line 499")
        talk(fake, 1, start=500)
        await shows(pilot, "line 500")
        for _ in range(80):
            await pilot.press("pageup")
        await until(pilot, lambda: "attempt 1 begins" in screen_text(pilot.app))
    fake.let_go()


async def test_the_lines_in_view_stay_when_the_log_is_walked_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_feed, "SHORT", 1000)
    monkeypatch.setattr(log_feed, "_END", 8_000)
    fake = FakeRun().begin()
    talk(fake, 500)
    async with app_on(fake).run_test(size=(120, 40)) as pilot:
        log = await log_of(pilot, "line 499")
        await pilot.press("up", "up", "up", "space")
        chosen = log.row_at(log.cursor)
        done: list[bool] = []
        log.walk_then(lambda: done.append(True))
        await until(pilot, lambda: done and log.row_at(log.cursor) is not None)
        again = log.row_at(log.cursor)
        assert chosen is not None
        assert again is not None
        assert again.text == chosen.text
        assert log.range_from == log.cursor
    fake.let_go()


async def test_newer_lines_are_counted_while_one_reads() -> None:
    fake = FakeRun().begin()
    talk(fake, 60)
    async with app_on(fake).run_test(size=(120, 40)) as pilot:
        log = await log_of(pilot, "line 59")
        await pilot.press("up")
        await shows(pilot, "f follow")
        shown = screen_text(pilot.app).split("▸ log")[1].split("\n")[1:-2]
        talk(fake, 34, start=60)
        await shows(pilot, "34 newer, f follow")
        assert screen_text(pilot.app).split("▸ log")[1].split("\n")[1:-2] == shown
        await pilot.press("f")
        await shows(pilot, "line 93")
        assert log.follow
        assert "follow ●" in screen_text(pilot.app)
    fake.let_go()


async def test_jumps_by_step_percent_line_and_back_to_the_chart() -> None:
    fake = FakeRun().begin(total=300)
    for _ in range(30):
        fake.train(10).measure()
    talk(fake, 50)
    async with app_on(fake).run_test(size=(120, 40)) as pilot:
        log = await log_of(pilot, "line 49")

        async def go(text: str, wanted: str) -> None:
            await pilot.press("colon")
            await shows(pilot, "A step (1200)")
            await type_text(pilot, text)
            await pilot.press("enter")
            await until(pilot, lambda: wanted in str(getattr(log.row_at(log.cursor), "text", "")))

        await pilot.press("colon")
        await shows(pilot, "A step (1200)")
        await pilot.press("question_mark", "enter")
        await shows(pilot, "Type a step such as 1200")
        await pilot.press("escape")
        await go("150", "eval step=150 ")
        await pilot.press("enter")
        await until(pilot, lambda: pilot.app.screen.query_one(Chart).model.cursor == 150)
        await go("0%", "run ")
        await go("100%", "line 49")
        assert log.total > 60
        await pilot.press("home")
        await until(pilot, lambda: log.cursor == 0 and log.row_at(0) is not None)
        await pilot.press("enter")
        await shows(pilot, "This line belongs to no step.")
    fake.let_go()


async def test_a_range_is_copied_and_the_way_it_took_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TMUX", raising=False)
    fake = FakeRun().begin()
    talk(fake, 40)
    async with app_on(fake).run_test(size=(120, 40)) as pilot:
        log = await log_of(pilot, "line 39")
        await pilot.press("up", "up", "space", "up", "up")
        await shows(pilot, "3 chosen")
        await pilot.press("y")
        await shows(pilot, "3 lines: Copied")
        copied = (paths.cache_dir() / "log.txt").read_text()
        assert [line.split("info ")[1].strip() for line in copied.splitlines()] == [
            f"line {number} of many" for number in (35, 36, 37)
        ]
        assert log.range_from is None
        await pilot.press("f", "y")
        await shows(pilot, "1 line: Copied")
        assert "line 39" in (paths.cache_dir() / "log.txt").read_text()
    fake.let_go()


async def test_wrapping_and_times() -> None:
    fake = FakeRun().begin()
    fake.add(ev.LOG, level="info", source="host", message=f"{'a very long line ' * 12}its end")
    async with app_on(fake).run_test(size=(120, 40)) as pilot:
        log = await log_of(pilot, "a very long line")
        assert "its end" not in screen_text(pilot.app)
        await pilot.press("w")
        await shows(pilot, "its end")
        await pilot.press("up", "up", "up", "up")
        await until(pilot, lambda: log.chosen(log.cursor))
        await pilot.press("t")
        await shows(pilot, "+0:00:00")
        words = log.to_dict()
        assert words == {"level": "info", "source": "events", "wrap": True, "times": "start"}
        log.from_dict({"level": "loud", "source": 3, "wrap": "yes", "times": None})
        assert log.to_dict() == {"level": "info", "source": "events", "wrap": False, "times": "start"}
    fake.let_go()


@pytest.mark.parametrize("size", [(120, 40), (80, 24), (60, 20)])
async def test_foreign_text_is_shown_and_does_nothing(size: tuple[int, int]) -> None:
    fake = FakeRun().begin()
    fake.add(ev.LOG, level="info", source=HOSTILE, message="[/INST] [bold]x[/] " + HOSTILE)
    fake.run.worker_log.write_bytes(b"[/] \x1b]52;c;aGk=\x07 \xff " + HOSTILE.encode() + b"\n")
    async with app_on(fake).run_test(size=size) as pilot:
        if size[0] < 80:
            await pilot.press("shift+tab")
        log = pilot.app.screen.query_one(LogView)
        log.screen.show_panel(log.screen.query_one("#log-panel"))  # type: ignore[attr-defined]
        await pilot.press("o", "w")
        await shows(pilot, "[/INST]")
        await pilot.press("slash")
        await type_text(pilot, "[bold]")
        await shows(pilot, "hits")
        await pilot.press("enter")
        shown = screen_text(pilot.app)
        assert not any(sign in shown for sign in "\x1b\x07\x9b\u202e")
    fake.let_go()


async def test_alerts_are_counted_shown_once_and_lead_to_where_they_were() -> None:
    fake = FakeRun().begin(total=300).train(30)
    fake.add(ev.ALERT, code="EVAL_RISES", severity="warn", cause="The eval loss rises.", next="Take step 20.", step=20)
    talk(fake, 80)
    app = app_on(fake)
    async with app.run_test(size=(120, 40)) as pilot:
        await shows(pilot, "! Step 20: The eval loss rises.  ! lists 1.")
        assert "! 1 " in screen_text(app).splitlines()[0]
        fake.train(1, loss="nan").train(2)
        await shows(pilot, "! Step 31: loss was NaN.  ! lists 2.")
        await pilot.press("exclamation_mark")
        await shows(pilot, "LOSS_ODD: loss was NaN")
        await pilot.press("down")
        await shows(pilot, "Take step 20.")
        await pilot.press("enter")
        log = app.screen.query_one(LogView)
        await until(pilot, lambda: "EVAL_RISES" in str(getattr(log.row_at(log.cursor), "text", "")))
        assert app.focused is log
        assert app.screen.query_one(Chart).model.cursor == 20
        await until(pilot, lambda: "! lists" not in screen_text(app))
        assert "! 2 " in screen_text(app).splitlines()[0]
        await pilot.press("b", "exclamation_mark")
        await shows(pilot, "EVAL_RISES")
        await pilot.press("escape")
        await until(pilot, lambda: app.screen.query(Samples))
    fake.let_go()


async def test_damage_of_the_record_is_an_alert() -> None:
    fake = FakeRun().begin().train(20)
    run = fake.end().run
    lines = run.journal_file.read_bytes().split(b"\n")
    lines[5] = b"\x1b]0;owned\x07 garbage"
    run.journal_file.write_bytes(b"\n".join(lines))
    app = BackpropApp("run", run, Terminal(PROFILES["local"], False, "backprop-dark", {}, False))
    async with app.run_test(size=(120, 40)) as pilot:
        await shows(pilot, "! 1 ")
        await pilot.press("exclamation_mark")
        await shows(pilot, "RECORD_DAMAGED: a damaged line of the record was passed over")
        await pilot.press("q")
        await shows(pilot, "a damaged line of the record was passed over (")


async def test_no_alerts_say_so() -> None:
    fake = FakeRun().begin().train(3)
    async with app_on(fake).run_test(size=(80, 24)) as pilot:
        await shows(pilot, "3/100")
        await pilot.press("exclamation_mark")
        await shows(pilot, "Nothing has gone wrong so far.")
    fake.let_go()
