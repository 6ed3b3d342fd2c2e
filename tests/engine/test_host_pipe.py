"""The pipe: commands take effect at most once, no client can hold up the run or another client, garbage hurts its sender."""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import socket
import stat
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backprop_tui.engine.host_server import MAX_CLIENTS
from backprop_tui.launch.client import send_command
from backprop_tui.launch.start import resume_run
from backprop_tui.protocol.codec import FrameReader, encode_frame
from backprop_tui.protocol.commands import Command, CommandName
from backprop_tui.protocol.events import Event
from backprop_tui.store.layout import RunDir
from tests.support.engines import ENGINE, at_step, events, eventually, identity, over, started


class Raw:
    """A bare client."""

    def __init__(self, run: RunDir, *, hello: bool = True, **words: Any) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(10)
        self.sock.connect(identity(run).socket)
        self.frames = FrameReader()
        self.inbox: list[dict[str, Any]] = []
        if hello:
            self.send({"type": "hello", "protocol": 1, "nonce": identity(run).nonce, **words})

    def send(self, message: dict[str, Any]) -> None:
        self.sock.sendall(encode_frame(message))

    def next(self) -> dict[str, Any] | None:
        """The next message; None when the engine hung up."""
        while not self.inbox:
            try:
                data = self.sock.recv(65536)
            except ConnectionError:
                return None
            if not data:
                return None
            self.inbox += self.frames.feed(data)
        return self.inbox.pop(0)

    def until(self, fits: Callable[[dict[str, Any]], bool]) -> list[dict[str, Any]]:
        """Messages up to and with the first that fits, or to the hang-up."""
        seen = []
        while (message := self.next()) is not None:
            seen.append(message)
            if fits(message):
                break
        return seen


@contextlib.contextmanager
def raw(run: RunDir, **words: Any) -> Iterator[Raw]:
    client = Raw(run, **words)
    try:
        yield client
    finally:
        client.sock.close()


def of_type(kind: str) -> Callable[[dict[str, Any]], bool]:
    return lambda message: message["type"] == kind


def seqs(messages: list[dict[str, Any]]) -> list[int]:
    return [record["seq"] for message in messages if message["type"] == "events" for record in message["events"]]


def test_socket_is_private_and_short(home: Path) -> None:
    run = started(steps=1000)
    path = Path(identity(run).socket)
    assert path.parent == home / "runtime"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.name.startswith(f"{run.short_id}-")
    assert len(str(path)) <= 100


def test_a_deep_runtime_directory_gets_a_short_path(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deep = home / ("d" * 90)
    monkeypatch.setenv("BACKPROP_RUNTIME_DIR", str(deep))
    run = started(steps=1000)
    path = Path(identity(run).socket)
    assert len(str(path)) <= 100
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert send_command(run, Command(CommandName.ABORT)).status == "accepted"
    over(run)
    assert not path.exists()


def test_an_unsafe_runtime_directory_is_refused(home: Path) -> None:
    from backprop_tui.protocol.errors import UnavailableError

    (home / "runtime").chmod(0o777)
    with pytest.raises(UnavailableError) as refusal:
        started(steps=1)
    assert refusal.value.code == "RUNTIME_DIR_UNSAFE"


def test_a_command_takes_effect_once_and_is_on_record_before_the_answer() -> None:
    run = started(steps=1000)
    at_step(run, 2)
    command = Command(CommandName.CHECKPOINT)
    with raw(run) as first, raw(run) as second:
        for client in (first, second, first):
            client.send(command.to_message())
        answers = [client.until(of_type("reply"))[-1]["status"] for client in (first, second, first)]
        assert sorted(answers) == ["accepted", "duplicate", "duplicate"]
        assert [event.data["id"] for event in events(run, "command")] == [command.id]
    eventually(lambda: events(run, "command_done"))
    assert send_command(run, Command(CommandName.STOP)).status == "accepted"
    over(run)
    resume_run(run, engine=ENGINE)
    assert send_command(run, command).status == "duplicate", "known across a restart of the engine"
    send_command(run, Command(CommandName.STOP))
    journal = over(run)
    assert len([event for event in journal if event.kind == "checkpoint" and event.data["reason"] == "asked"]) == 1


def test_commands_are_refused_with_words_where_they_make_no_sense() -> None:
    run = started(steps=100_000)
    at_step(run, 1)
    reply = send_command(run, Command(CommandName.RESUME))
    assert (reply.status, reply.code) == ("refused", "COMMAND_NOT_NOW")
    assert "running" in reply.cause
    assert "pause" in reply.next_step
    assert send_command(run, Command(CommandName.PAUSE)).status == "accepted"
    eventually(lambda: [e for e in events(run, "state") if e.data["state"] == "paused"])
    assert send_command(run, Command(CommandName.PAUSE)).code == "COMMAND_NOT_NOW"
    with raw(run) as client:
        for bad in (
            {"type": "command", "id": "1", "name": "rm -rf"},
            {"type": "command", "id": "2", "name": "set", "args": {"learning_rate": -1}},
            {"type": "command", "name": "stop"},
            {"type": "command", "id": [1], "name": "stop", "args": 7},
        ):
            client.send(bad)
            assert client.until(of_type("reply"))[-1]["status"] == "refused"
    assert [event.data["name"] for event in events(run, "command")] == ["pause"]
    assert send_command(run, Command(CommandName.RESUME)).status == "accepted"
    assert send_command(run, Command(CommandName.STOP)).status == "accepted"
    over(run)
    reply = send_command(run, Command(CommandName.STOP))
    assert (reply.status, reply.code) == ("refused", "RUN_NOT_LIVE")


def test_stop_while_loading_is_seen_at_once() -> None:
    run = started(steps=10, load_s=1)
    assert send_command(run, Command(CommandName.STOP)).status == "accepted"
    assert events(run, "state")[-1].data["state"] == "stopping"
    assert over(run)[-1].data["outcome"] == "stopped"


def test_replay_then_live_without_hole_or_double() -> None:
    run = started(steps=60, flood=2000)
    at_step(run, 20)
    with raw(run) as client:
        client.send({"type": "subscribe", "after": 5})
        found = seqs(client.until(lambda message: False))
    journal = over(run)
    assert found == list(range(6, len(journal) + 1))


def test_subscribing_again_starts_over() -> None:
    run = started(steps=100_000)
    at_step(run, 2)
    with raw(run) as client:
        client.send({"type": "subscribe", "after": 0})
        assert seqs(client.until(of_type("live")))[:2] == [1, 2]
        client.send({"type": "subscribe", "after": 0})
        found = seqs(client.until(of_type("live")))
        # Live events may already have been on their way.
        again = found[found.index(1) :]
        assert again == list(range(1, again[-1] + 1))


def test_a_client_that_never_reads_is_told_of_the_gap_and_delays_nobody() -> None:
    run = started(steps=400, step_s=0.005, flood=3000)
    with raw(run) as frozen, raw(run) as reading:
        frozen.send({"type": "subscribe", "after": 0})
        reading.send({"type": "subscribe", "after": 0})
        delays, reached = [], []
        for message in reading.until(lambda message: _has_step(message, 400)):
            for record in message.get("events", ()):
                if record["kind"] == "step":
                    delays.append(time.monotonic() - record["mono"])
                    reached.append(record["data"]["step"])
        assert reached == list(range(1, 401))
        seen = frozen.until(lambda message: message["type"] == "gap")
        gap = seen[-1]
        assert gap["type"] == "gap", "nothing was kept for it beyond its buffer"
        before = seqs(seen)
        assert before == list(range(1, len(before) + 1))
        assert gap["after"] == before[-1]
        rest = seqs(frozen.until(lambda message: False))
        assert not rest or rest[0] == gap["upto"] + 1
    journal = over(run)
    steps = [event.data["at"] for event in journal if event.kind == "step"]
    pauses = sorted(later - earlier for earlier, later in itertools.pairwise(steps))
    assert pauses[len(pauses) // 2] < 0.05
    assert journal[-1].data["outcome"] == "completed"


def test_a_stopped_client_process_changes_nothing() -> None:
    """SIGSTOP to a reading client: step times stay as they were."""
    run = started(steps=300, step_s=0.01, flood=3000)
    script = (
        "import asyncio,sys\nfrom pathlib import Path\nfrom backprop_tui.store.layout import RunDir\n"
        "from backprop_tui.launch.session import RunSession\n"
        "async def main():\n"
        "    seen = []\n"
        "    async with RunSession(RunDir(Path(sys.argv[1]))) as session:\n"
        "        async for batch in session.events():\n"
        "            if not seen: print('reading', flush=True)\n"
        "            seen += [event.seq for event in batch]\n"
        "    print(seen == list(range(1, len(seen) + 1)), len(seen), flush=True)\n"
        "asyncio.run(main())\n"
    )
    with subprocess.Popen([sys.executable, "-c", script, str(run.path)], stdout=subprocess.PIPE, text=True) as client:
        assert client.stdout is not None
        assert client.stdout.readline() == "reading\n"
        at_step(run, 50)
        client.send_signal(signal.SIGSTOP)
        at_step(run, 250)
        client.send_signal(signal.SIGCONT)
        verdict = client.stdout.readline()
    journal = over(run)
    assert verdict == f"True {len(journal)}\n"
    at = {event.data["step"]: event.data["at"] for event in journal if event.kind == "step"}
    free = sorted(at[n + 1] - at[n] for n in range(5, 45))
    frozen = sorted(at[n + 1] - at[n] for n in range(60, 240))
    assert frozen[len(frozen) // 2] < 3 * free[len(free) // 2]


def test_garbage_costs_only_its_sender() -> None:
    run = started(steps=100_000, step_s=0.05)
    with raw(run) as good:
        assert good.next() is not None
        for garbage in (
            struct.pack(">I", 2_000_000_000) + b"x",
            struct.pack(">I", 4) + b"nope",
            struct.pack(">I", 3) + b"[1]",
            struct.pack(">I", 60_000) + b"[" * 60_000,
            b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        ):
            with raw(run) as bad:
                assert bad.next() is not None
                bad.sock.sendall(garbage)
                assert bad.until(of_type("refused"))[-1]["type"] == "refused"
                assert bad.next() is None
        for unknown in ({"type": "dance"}, {"type": None}, {}, {"type": "subscribe", "after": "x"}):
            good.send(unknown)
        assert good.until(of_type("live"))[-1]["type"] == "live"


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.binary(max_size=200), max_size=4))
def test_random_bytes_never_stop_the_run(live: RunDir, pieces: list[bytes]) -> None:
    with raw(live, hello=False) as client, contextlib.suppress(OSError):
        for piece in pieces:
            client.sock.sendall(piece)
    with raw(live) as other:
        assert other.next() is not None


@pytest.fixture
def live() -> RunDir:
    return started(steps=100_000, step_s=0.05)


def test_nonce_version_and_silence(live: RunDir) -> None:
    for nonce in ("", "0" * 32, None, 7, "é"):
        with raw(live, nonce=nonce) as stranger:
            # The host may have hung up already; what it said last can still be read.
            with contextlib.suppress(BrokenPipeError):
                stranger.send({"type": "command", "id": "1", "name": "abort"})
            (refused,) = stranger.until(lambda message: False)
            assert (refused["type"], refused["code"]) == ("refused", "HELLO_REFUSED")
    with raw(live, hello=False) as rude:
        with contextlib.suppress(BrokenPipeError):
            rude.send({"type": "command", "id": "1", "name": "abort"})
        assert [message["type"] for message in rude.until(lambda message: False)] == ["refused"]
    with raw(live, protocol=99) as newer:
        newer.send(Command(CommandName.ABORT).to_message())
        reply = newer.until(of_type("reply"))[-1]
        assert (reply["status"], reply["code"]) == ("refused", "PROTOCOL_VERSION")
        newer.send({"type": "subscribe", "after": 0})
        assert seqs(newer.until(of_type("live")))[0] == 1
    assert not events(live, "command")


def test_there_is_a_limit_of_clients_and_it_frees_itself(live: RunDir) -> None:
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(raw(live)) for _ in range(MAX_CLIENTS)]
        assert all(client.next() for client in clients)
        with raw(live) as late:
            refusal = late.next()
            assert refusal is not None
            assert refusal["code"] == "TOO_MANY_CLIENTS"

    def room() -> bool:
        with raw(live) as client:
            return (client.next() or {}).get("type") == "hello"

    eventually(room)


def test_a_flood_of_commands_without_reading_is_cut_off(live: RunDir) -> None:
    with raw(live) as client:
        client.sock.settimeout(20)
        frame = encode_frame({"type": "command", "id": "x", "name": "no such thing"}) * 500
        with pytest.raises(OSError, match=r"pipe|reset"):
            client.sock.sendall(frame * 200)
    with raw(live) as other:
        assert other.next() is not None


def _has_step(message: dict[str, Any], step: int) -> bool:
    found = [Event.from_record(record) for record in message.get("events", ())]
    return any(event is not None and event.kind == "step" and event.data["step"] == step for event in found)


def test_the_runtime_directory_is_left_clean(home: Path) -> None:
    over(started(steps=3))
    assert os.listdir(home / "runtime") == []
