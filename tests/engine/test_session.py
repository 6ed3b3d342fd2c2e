"""One stream of events, exactly once and in order, whatever happens to the pipe."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from pathlib import Path

from backprop_tui.app.run_model import RunModel
from backprop_tui.launch.client import send_command
from backprop_tui.launch.session import RunSession
from backprop_tui.protocol.commands import Command, CommandName
from backprop_tui.protocol.events import Event
from backprop_tui.store.layout import RunDir
from backprop_tui.store.locks import signal_engine
from backprop_tui.store.stretch import Stretch
from tests.support.engines import at_step, events, eventually, identity, over, scripted, started


async def collect(run: RunDir, after: int = 0, pause: float = 0.0) -> list[Event]:
    found: list[Event] = []
    async with RunSession(run) as session:
        async for batch in session.events(after=after):
            assert batch
            found += batch
            await asyncio.sleep(pause)
    return found


def seqs(found: list[Event]) -> list[int]:
    return [event.seq for event in found]


async def test_live_late_and_past_sessions_see_the_same() -> None:
    run = started(steps=60)
    early = asyncio.create_task(collect(run))
    await asyncio.to_thread(at_step, run, 30)
    late = asyncio.create_task(collect(run))
    rest = asyncio.create_task(collect(run, after=10))
    found = await asyncio.gather(early, late, rest)
    journal = await asyncio.to_thread(over, run)
    assert seqs(found[0]) == seqs(found[1]) == seqs(journal) == list(range(1, len(journal) + 1))
    assert seqs(found[2]) == seqs(journal)[10:]
    assert found[0] == journal, "what came over the pipe is what is on disk"
    assert await collect(run) == journal


async def test_a_slow_consumer_still_gets_every_event_once() -> None:
    run = started(steps=500, step_s=0.002, flood=4000)
    found = await collect(run, pause=0.25)
    assert seqs(found) == seqs(events(run))


async def test_a_consumer_that_stalls_while_live_is_filled_in_from_the_journal() -> None:
    """The engine says `gap` to it and goes on; what lies between is read from disk before anything newer."""
    run = started(steps=1200, step_s=0.002, flood=4000)
    found: list[Event] = []
    stalled = False
    async with RunSession(run) as session:
        async for batch in session.events():
            found += batch
            if session.connected and not stalled and batch[-1].data.get("step", 0) >= 100:
                stalled = True
                await asyncio.to_thread(at_step, run, 900)
    assert stalled
    assert seqs(found) == seqs(events(run))


async def test_without_a_pipe_the_journal_is_followed() -> None:
    run = started(steps=80)
    os.unlink(identity(run).socket)
    found = await collect(run)
    assert found[-1].data["outcome"] == "completed"
    assert seqs(found) == seqs(events(run))


async def test_host_killed_under_a_session() -> None:
    run = started(steps=10_000)
    task = asyncio.create_task(collect(run))
    await asyncio.to_thread(at_step, run, 10)
    assert signal_engine(identity(run), signal.SIGKILL)
    found = await asyncio.wait_for(task, 10)
    assert seqs(found) == seqs(events(run))
    assert not any(event.kind == "end" for event in found)


async def test_runs_without_journal_or_engine_end_at_once() -> None:
    assert await collect(scripted()) == []


async def test_commands_through_a_session() -> None:
    run = started(steps=100_000)
    async with RunSession(run) as session:
        stream = session.events()
        async for batch in stream:
            if any(event.kind == "step" for event in batch):
                break
        reply = await session.send(Command(CommandName.STOP))
        assert reply.status == "accepted"
        rest = [event async for batch in stream for event in batch]
    assert rest[-1].data["outcome"] == "stopped"


async def test_an_idle_session_costs_nothing() -> None:
    """A paused run sends only telemetry (5 per second here); connected, nothing is polled."""
    run = started(steps=100_000)
    await asyncio.to_thread(at_step, run, 1)
    await asyncio.to_thread(send_command, run, Command(CommandName.PAUSE))
    async with RunSession(run) as session:
        connected = asyncio.Event()

        async def follow() -> None:
            async for _ in session.events():
                if session.connected:
                    connected.set()

        task = asyncio.create_task(follow())
        await connected.wait()
        begin, wall = time.process_time(), time.monotonic()
        await asyncio.sleep(2.0)
        share = (time.process_time() - begin) / (time.monotonic() - wall)
        task.cancel()
    assert share < 0.05
    assert session.connected is False


async def test_leaving_a_session_frees_its_descriptors(home: Path) -> None:
    run = started(steps=100_000)
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        async with RunSession(run) as session:
            async for _batch in session.events():
                if session.connected:
                    break
    await asyncio.sleep(0)
    import gc

    gc.collect()
    eventually(lambda: len(os.listdir("/proc/self/fd")) <= before + 1)


async def test_a_stream_for_curves_shows_what_the_events_show() -> None:
    """History in stretches, then the pipe, then a gap filled from disk: the same run as folding every event."""
    run = started(steps=900, step_s=0.002, flood=4000)
    await asyncio.to_thread(at_step, run, 100)
    model, kinds, stalled = RunModel(), set(), False
    async with RunSession(run) as session:
        async for batch in session.stream():
            model.apply(batch)
            kinds.add(type(batch))
            if session.connected and not stalled:
                stalled = True
                await asyncio.to_thread(at_step, run, 700)
    plain = RunModel()
    plain.apply(events(run))
    assert kinds == {list, Stretch}
    assert model.series.get("loss")[0].tolist() == list(range(1, 901))
    assert model.series.get("loss")[1].tolist() == plain.series.get("loss")[1].tolist()
    assert (model.view.seq, model.view.step, model.view.state) == (plain.view.seq, 900, plain.view.state)
    assert model.view.pace.rate == plain.view.pace.rate
