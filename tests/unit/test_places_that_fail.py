"""Files, locks and sockets that can't be used: each is told by name and with a next step, and nothing hangs."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import sys
import threading
from pathlib import Path

import pytest

from backprop_tui.config import paths
from backprop_tui.data.finding.browse import list_folder
from backprop_tui.data.finding.folders import files_under
from backprop_tui.data.finding.hub_errors import told
from backprop_tui.launch.client import PipeClient, send_command
from backprop_tui.launch.queueing import ensure_runner
from backprop_tui.launch.slurm import jobs_dir
from backprop_tui.launch.start import launch_engine
from backprop_tui.library import Run
from backprop_tui.protocol.codec import encode_frame
from backprop_tui.protocol.commands import Command, CommandName
from backprop_tui.protocol.errors import BackpropError
from backprop_tui.store import notes
from backprop_tui.store.layout import RunDir, create_run
from backprop_tui.store.locks import Identity, RunLock, is_held
from backprop_tui.store.notes import change_notes
from tests.support.refusals import code_of
from tests.support.runs import FakeRun


@pytest.fixture
def run() -> RunDir:
    return create_run({"name": "one"})


def test_a_folder_that_leads_to_itself(tmp_path: Path) -> None:
    (tmp_path / "round").symlink_to("round")
    assert code_of(lambda: list_folder(tmp_path / "round")) == "FOLDER_UNREADABLE"
    assert code_of(lambda: files_under(tmp_path / "round")) == "DATA_UNREADABLE"


def test_a_cache_of_the_hub_without_room() -> None:
    problem = told(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), "hf://datasets/o/n")
    assert problem.code == "HUB_CACHE_UNWRITABLE"
    assert "HF_HOME" in problem.next_step


def test_a_run_that_can_not_be_locked(run: RunDir, monkeypatch: pytest.MonkeyPatch) -> None:
    def without_locks(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    with monkeypatch.context() as patched:
        patched.setattr(fcntl, "flock", without_locks)
        assert code_of(lambda: RunLock(run.lock_file).acquire()) == "LOCK_FAILED"
    run.lock_file.unlink(missing_ok=True)
    run.lock_file.mkdir()
    assert code_of(lambda: RunLock(run.lock_file).acquire()) == "RUN_DIR_NOT_WRITABLE"


def test_notes_that_somebody_else_holds(run: RunDir, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notes, "_PATIENCE", 0.05)
    with notes.alone(run.path / "notes.lock"):
        assert code_of(lambda: change_notes(run, lambda one: one.named("y"))) == "RUN_NOTES_BUSY"


def answering(run: RunDir, *messages: dict[str, object]) -> threading.Thread:
    """An engine that hears one client's first words, says these and hangs up."""
    place = Path(os.environ["BACKPROP_RUNTIME_DIR"]) / "odd.sock"
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(place))
    listening.listen()
    Identity.current(str(place)).write(run.identity_file)

    def serve() -> None:
        with listening, listening.accept()[0] as client:
            client.recv(65536)
            client.sendall(b"".join(encode_frame(message) for message in messages))

    thread = threading.Thread(target=serve)
    thread.start()
    return thread


async def test_an_engine_that_does_not_introduce_itself(run: RunDir) -> None:
    engine = answering(run, {"type": "events", "events": []})
    with pytest.raises(BackpropError, match="HELLO_EXPECTED"):
        await PipeClient.connect(run)
    engine.join()


async def test_an_engine_that_hangs_up_before_it_answers(run: RunDir) -> None:
    engine = answering(run, {"type": "hello", "protocol": 1})
    client = await PipeClient.connect(run)
    with pytest.raises(BackpropError, match="ENGINE_ABSENT"):
        await client.command(Command(CommandName.PAUSE))
    await client.close()
    engine.join()


async def test_a_run_whose_engine_is_gone(run: RunDir) -> None:
    with pytest.raises(BackpropError, match="ENGINE_ABSENT"):
        await PipeClient.connect(run)
    assert send_command(run, Command(CommandName.PAUSE)).code == "RUN_NOT_LIVE"


def test_a_run_whose_engine_was_lost_ends_who_waits_for_it() -> None:
    fake = FakeRun().begin().train(4)
    fake.let_go()
    with pytest.raises(BackpropError, match="RUN_CRASHED") as caught:
        Run(fake.run.id).wait(10)
    assert "at step 4" in caught.value.cause
    assert "backprop resume" in caught.value.next_step
    assert Run(fake.run.id).eval_losses == []


def test_a_queue_whose_runner_does_not_begin() -> None:
    assert code_of(lambda: ensure_runner(command=("/bin/false",))) == "QUEUE_RUNNER"
    assert code_of(lambda: ensure_runner(command=("/nowhere/at/all",))) == "QUEUE_RUNNER"


def test_a_directory_of_jobs_that_leads_elsewhere(tmp_path: Path) -> None:
    (paths.data_dir() / "slurm").symlink_to(tmp_path)
    assert code_of(jobs_dir) == "SLURM_DIR_UNSAFE"


def test_a_training_process_that_can_not_be_started(run: RunDir) -> None:
    host = (
        "import sys; from backprop_tui.engine.host_main import main; main(sys.argv[1:], worker_command=('/nowhere',))"
    )
    assert code_of(lambda: launch_engine(run, engine=(sys.executable, "-c", host))) == "WORKER_NOT_STARTED"
    assert not is_held(run.lock_file)
    assert not is_held(run.worker_lock)
