"""A past run played again: in its rhythm, at any speed, to any place; nothing is sent to the run. And runs that lie elsewhere."""

from __future__ import annotations

import asyncio
import itertools
import shutil
import time
from pathlib import Path

import pytest

from backprop_tui.app.app import BackpropApp
from backprop_tui.app.replay import FASTEST, Player, read_share, read_speed
from backprop_tui.app.screens.replay import ReplayScreen
from backprop_tui.app.screens.run import RunScreen
from backprop_tui.cli.attach import run_meant
from backprop_tui.protocol.errors import UsageError
from backprop_tui.protocol.states import RunState
from backprop_tui.store.layout import RunDir, is_own
from tests.support.runs import FakeRun, finished
from tests.support.terminal import backprop
from tests.ui.helpers import screen_text, shows, until


def spaced(monkeypatch: pytest.MonkeyPatch, steps: int) -> RunDir:
    """A finished run whose events lie ten seconds apart."""
    began = time.time() - 3600
    count = itertools.count()
    with monkeypatch.context() as patch:
        patch.setattr(time, "time", lambda: began + 10 * next(count))
        return finished(steps)


async def collect(player: Player, upto: int) -> list[int]:
    """Sequence numbers until one is reached."""
    seen: list[int] = []
    async for batch in player.events():
        seen += [event.seq for event in batch]
        if seen[-1] >= upto:
            break
    return seen


async def test_every_event_is_played_once_and_in_order() -> None:
    run = finished(100)
    player = Player(run, FASTEST)
    seen = await collect(player, 10**9)
    assert seen == list(range(1, player.last + 1))
    assert player.over
    assert player.share == 1.0


async def test_a_held_replay_plays_nothing_and_a_skip_hands_over_at_once() -> None:
    fake = FakeRun().begin(total=100)
    fake.train(50)
    fake.end()
    player = Player(fake.run, 0.25)
    player.hold(True)
    playing = asyncio.create_task(collect(player, 30))
    done, _ = await asyncio.wait({playing}, timeout=0.3)
    assert not done
    assert player.seq <= 1
    player.skip_to(0.9)
    seen = await asyncio.wait_for(playing, 20)
    assert seen[:30] == list(range(1, 31))
    assert player.paused


def test_words_for_speed_and_place_are_read_or_refused() -> None:
    assert read_speed("20x") == 20
    assert read_speed("0.5") == 0.5
    for words in ("", "fast", "0", "-3", "nan", "inf", "1e9"):
        assert read_speed(words) is None
    assert read_share("40%") == 0.4
    for words in ("", "101", "-1", "nan", "half"):
        assert read_share(words) is None


async def test_the_header_says_replay_and_commands_are_refused_in_a_line() -> None:
    run = finished(40)
    app = BackpropApp("runs")
    async with app.run_test(size=(120, 40)) as pilot:
        await shows(pilot, "a-run")
        app.replay(run, 5000.0)
        await until(pilot, lambda: isinstance(app.screen, ReplayScreen))
        await shows(pilot, "REPLAY")
        await shows(pilot, "REPLAY over 100%")
        for key in ("s", "e", "x", "l", "r"):
            await pilot.press("down", key)
            await shows(pilot, "This is a replay: nothing is sent to the run.")
        assert "Save now" not in screen_text(app).splitlines()[-1]
        await pilot.press("q")
        await until(pilot, lambda: not isinstance(app.screen, ReplayScreen))
        assert app.is_running
        assert "no run open" in screen_text(app).splitlines()[0]


async def test_it_is_held_sped_up_and_sent_to_a_place_by_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    run = spaced(monkeypatch, 100)
    app = BackpropApp("runs")
    async with app.run_test(size=(120, 40)) as pilot:
        app.replay(run, 0.25)
        await until(pilot, lambda: isinstance(app.screen, ReplayScreen) and bool(app.screen.query("Chart")))
        screen = app.screen
        assert isinstance(screen, ReplayScreen)
        await pilot.press("p")
        await shows(pilot, "REPLAY held")
        await pilot.press("greater_than_sign", "greater_than_sign")
        await shows(pilot, "1 seconds of the run per second")
        await until(pilot, lambda: screen.player.last > 0)
        await pilot.press("percent_sign", "5", "0", "enter")
        await until(pilot, lambda: 0.45 <= screen.player.share <= 0.55)
        half = screen.model
        assert half is not None
        await until(pilot, lambda: half.view.seq == screen.player.seq)
        step = half.view.step
        assert 40 <= step <= 60
        await pilot.press("left_parenthesis")
        await until(pilot, lambda: screen.model is not half)
        await until(pilot, lambda: 0.4 <= screen.player.share <= 0.5)
        assert screen.model is not None
        await until(pilot, lambda: 30 <= screen.model.view.step < step)  # type: ignore[union-attr]
        assert screen.model.state is RunState.RUNNING
        assert screen.player.paused


async def test_p_plays_the_open_run_again_and_the_run_stays_open() -> None:
    run = finished(40)
    app = BackpropApp("run", run)
    async with app.run_test(size=(120, 40)) as pilot:
        await shows(pilot, "completed")
        await pilot.press("P")
        await until(pilot, lambda: isinstance(app.screen, ReplayScreen))
        await pilot.press("4")
        await until(pilot, lambda: app.current_mode == "runs")
        await pilot.press("3")
        await until(pilot, lambda: type(app.screen) is RunScreen)
        await shows(pilot, "completed")


def elsewhere(run: RunDir, place: Path) -> RunDir:
    """The same run, copied to another place."""
    shutil.copytree(run.path, place / "from-a-colleague")
    return RunDir(place / "from-a-colleague")


async def test_a_run_that_lies_elsewhere_is_open_to_look_at_only(tmp_path: Path) -> None:
    fake = FakeRun(tmp_path, name="theirs").begin().train(5)
    app = BackpropApp("run", fake.run)
    async with app.run_test(size=(120, 40)) as pilot:
        await shows(pilot, "theirs")
        await shows(pilot, "running")
        assert "read-only" in screen_text(app).splitlines()[0]
        for key in ("p", "s", "e", "x", "l", "r"):
            await pilot.press("down", key)
            await shows(pilot, "This run lies outside your own; it is open to look at only.")
        assert "Pause" not in screen_text(app).splitlines()[-1]
    fake.let_go()


async def test_a_finished_run_says_that_it_is_read_only() -> None:
    app = BackpropApp("run", finished(8))
    async with app.run_test(size=(120, 40)) as pilot:
        await shows(pilot, "completed")
        await until(pilot, lambda: "read-only" in screen_text(app).splitlines()[0])


def test_a_run_is_meant_by_name_or_by_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = finished(8)
    copy = elsewhere(run, tmp_path)
    assert run_meant(run.short_id) == run
    assert run_meant(str(copy.path)) == copy
    assert is_own(run_meant(str(run.path)))
    assert not is_own(copy)
    monkeypatch.chdir(copy.path)
    assert run_meant(".").path == copy.path
    (tmp_path / "empty").mkdir()
    for words in (str(tmp_path / "empty"), str(tmp_path / "nothing"), "~/\x1b[31m/x"):
        with pytest.raises(UsageError) as caught:
            run_meant(words)
        assert caught.value.code == "RUN_UNKNOWN"
        assert "\x1b" not in str(caught.value)


def test_replay_without_a_terminal_and_with_nonsense_is_refused_in_one_line() -> None:
    run = finished(8)
    for argv, said in (
        (["replay", run.short_id], "TERMINAL_NONE"),
        (["replay", run.short_id, "--speed", "fast"], "--speed 'fast' is no speed"),
        (["replay", "/nowhere"], "is not the directory of a run"),
    ):
        done = backprop(*argv)
        assert done.returncode != 0
        assert said in done.stderr
        assert "Traceback" not in done.stderr


async def test_a_pause_of_hours_is_played_in_a_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeRun().begin(total=10)
    fake.train(2)
    later = time.time() + 9 * 3600
    monkeypatch.setattr(time, "time", lambda: later)
    fake.train(1)
    monkeypatch.undo()
    fake.let_go()
    player = Player(fake.run, 100.0)
    # At this speed nine hours would take more than five minutes.
    seen = await asyncio.wait_for(collect(player, 10**9), 60)
    assert len(seen) == player.last
