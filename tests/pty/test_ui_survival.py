"""The run does not notice its viewers: killed, frozen, hung up on, or never reading. One run, every misfortune."""

from __future__ import annotations

import os
import signal
import statistics
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from backprop_tui.protocol import events as ev
from backprop_tui.protocol.commands import Command, CommandName
from backprop_tui.protocol.events import Event
from backprop_tui.store.journal import JournalTail
from backprop_tui.store.layout import RunDir
from backprop_tui.store.locks import is_held
from tests.support.terminal import BACKPROP, Terminal

pytestmark = [pytest.mark.train, pytest.mark.pty, pytest.mark.slow, pytest.mark.timeout(300)]

FREEZE_S = 20.0


class Watch:
    """The run's journal as it grows, read from disk, independent of any client."""

    def __init__(self, run: RunDir) -> None:
        self.run = run
        self.events: list[Event] = []
        self._tail = JournalTail(run.journal_file)

    def until(self, done: Callable[[list[Event]], bool], timeout: float = 60.0) -> None:
        deadline = time.monotonic() + timeout
        while not done(self.events):
            assert time.monotonic() < deadline, [e.kind for e in self.events[-5:]]
            new = self._tail.poll()
            self.events += new
            if not new:
                time.sleep(0.05)

    def steps(self, more: int = 0) -> list[Event]:
        if more:
            wanted = len(self.steps()) + more
            self.until(lambda events: sum(e.kind == ev.STEP for e in events) >= wanted)
        return [e for e in self.events if e.kind == ev.STEP]


@pytest.fixture
def run(home: Path) -> RunDir:
    from backprop_tui.config.presets import preset_spec
    from backprop_tui.launch.start import start_run

    endless = {"steps": 100_000, "save_every": 50_000, "eval_every": 0, "samples": 0, "deliver": "last"}
    return start_run(preset_spec("demo", overrides=endless))


def attach(run: RunDir, **size: int) -> Terminal:
    return Terminal([BACKPROP, "attach", run.short_id], **size)


def shows_step(step: int) -> Callable[[str], bool]:
    """Whether the screen shows at least this step of the run."""
    import re

    def seen(text: str) -> bool:
        found = re.search(r"([\d,]+)\s*/\s*100,000", text)
        return found is not None and int(found.group(1).replace(",", "")) >= step

    return seen


def test_no_viewer_can_hurt_the_run(run: RunDir) -> None:
    from backprop_tui.launch.session import send_command

    watch = Watch(run)
    before = [e.data["step_s"] for e in watch.steps(more=60)][10:]

    with attach(run) as killed:
        killed.wait_for(shows_step(60), timeout=40)
        killed.process.send_signal(signal.SIGKILL)
        killed.wait()
        at_once = len(watch.steps(more=5))

    with attach(run) as back:
        back.wait_for(shows_step(at_once), timeout=40)

        # Frozen for twenty seconds while a command-line client reads nothing at all.
        silent = subprocess.Popen([BACKPROP, "watch", run.short_id, "--json"], stdout=subprocess.PIPE)
        back.process.send_signal(signal.SIGSTOP)
        frozen_from = time.time()
        watch.until(lambda events: events[-1].wall > frozen_from + FREEZE_S, timeout=FREEZE_S + 40)
        during = [e.data["step_s"] for e in watch.steps() if frozen_from + 1 < e.wall < frozen_from + FREEZE_S]
        back.process.send_signal(signal.SIGCONT)
        back.wait_for(shows_step(len(watch.steps())), timeout=20)
        silent.kill()
        silent.communicate()

        # The session leader gets SIGHUP, as from sshd.
        back.process.send_signal(signal.SIGHUP)
        back.wait(timeout=10)
        assert b"\x1b[?1049l" in back.raw

    # The terminal vanishes under the app.
    lost = attach(run, columns=80, rows=24)
    lost.wait_for(shows_step(len(watch.steps())), timeout=40)
    lost.hang_up()
    assert lost.wait(timeout=10) is not None
    lost.close()

    watch.steps(more=20)
    assert is_held(run.lock_file)
    assert {e.attempt for e in watch.events if e.kind == ev.STEP} == {1}
    assert not [e for e in watch.events if e.kind == ev.FAULT]
    numbers = [e.data["step"] for e in watch.steps()]
    assert numbers == list(range(1, len(numbers) + 1))
    # Twice the median leaves room for a noisy machine; a run that waited for its viewer would stand still for 20 s.
    assert statistics.median(during) < 2 * statistics.median(before)
    assert max(during) < 5

    send_command(run, Command(CommandName.STOP))
    watch.until(lambda events: events[-1].kind == ev.END or any(e.kind == ev.END for e in events))
    end = next(e for e in watch.events if e.kind == ev.END)
    assert end.data["outcome"] == "stopped"
    assert os.path.isdir(run.path / end.data["checkpoint"])


def test_a_curve_is_whole_after_being_away(run: RunDir) -> None:
    """Re-attach after 0, 5 and 20 s: every step since the first is there, each once."""
    import asyncio

    from backprop_tui.launch.session import RunSession, send_command
    from backprop_tui.store.series import SeriesStore

    async def look() -> list[int]:
        store = SeriesStore()
        session = RunSession(run)
        async with session:
            async for batch in session.events(after=0):
                store.add(batch)
                steps = store.get("loss")[0]
                if len(steps) and steps[-1] >= target:
                    return [int(step) for step in steps]
        raise AssertionError("the session ended")

    watch = Watch(run)
    for away in (0.0, 5.0, 20.0):
        left = time.time()
        watch.steps(more=1)
        watch.until(lambda events, left=left, away=away: events[-1].wall >= left + away, timeout=away + 30)
        target = len(watch.steps())
        seen = asyncio.run(asyncio.wait_for(look(), 20))
        assert seen == list(range(1, len(seen) + 1))
        assert len(seen) >= target
    send_command(run, Command(CommandName.ABORT))
    watch.until(lambda events: any(e.kind == ev.END for e in events))
