"""The run survives what happens around it: real training, real processes, the same losses afterwards."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from backprop_tui.config.presets import preset_spec
from backprop_tui.launch.client import send_command
from backprop_tui.launch.start import resume_run, start_run
from backprop_tui.protocol.codec import encode_frame
from backprop_tui.protocol.commands import Command, CommandName
from backprop_tui.protocol.events import Event
from backprop_tui.protocol.spec import RunSpec
from backprop_tui.protocol.states import RunState
from backprop_tui.store import checkpoints
from backprop_tui.store.layout import RunDir
from backprop_tui.store.locks import is_held, signal_engine
from backprop_tui.store.summary import load_summary
from tests.support.engines import at_step, events, eventually, identity, over, worker_pid
from tests.support.terminal import BACKPROP

pytestmark = pytest.mark.train

STEPS = 24
WORDS = {
    "WORKER_KILLED": "was killed (SIGKILL)",
    "WORKER_SEGFAULT": "crashed inside native code",
    "TRAINING_FAILED": "FailpointError",
}
_reference: dict[int, tuple[float, float]] = {}


def spec(**settings: object) -> RunSpec:
    small = {"steps": STEPS, "batch_size": 2, "accumulation": 2, "max_rows": 64, "samples": 0, "save_every": 5}
    return preset_spec("fast", None, {**small, "eval_every": 0, "dropout": 0.1, "device": "cpu", **settings})


def curve(journal: list[Event]) -> dict[int, tuple[float, float]]:
    """Loss and gradient norm by step; a repeated step counts as last seen."""
    return {e.data["step"]: (e.data["loss"], e.data["grad_norm"]) for e in journal if e.kind == "step"}


def reference() -> dict[int, tuple[float, float]]:
    """The curve of a run that nothing happened to; made once."""
    if not _reference:
        _reference.update(curve(over(start_run(spec()), 120)))
        assert list(_reference) == list(range(1, STEPS + 1))
    return _reference


def assert_completed(run: RunDir) -> list[Event]:
    journal = over(run, 120)
    assert journal[-1].kind == "end"
    assert journal[-1].data["outcome"] == "completed"
    assert load_summary(run).state is RunState.COMPLETED
    assert [event.seq for event in journal] == list(range(1, len(journal) + 1))
    return journal


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGHUP])
def test_the_launcher_dies(how: signal.Signals) -> None:
    """Its whole session is signalled, as when a terminal closes; a client that never reads hangs on the pipe."""
    script = (
        "import sys,signal\nfrom backprop_tui.launch.start import start_run\n"
        "from backprop_tui.protocol.spec import RunSpec\n"
        "print(start_run(RunSpec.model_validate_json(sys.argv[1])).path, flush=True)\nsignal.pause()\n"
    )
    words = spec().model_dump_json()
    with subprocess.Popen(
        [sys.executable, "-c", script, words], stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as launcher:
        assert launcher.stdout is not None
        run = RunDir(Path(launcher.stdout.readline().strip()))
        who = identity(run)
        with socket.socket(socket.AF_UNIX) as mute:
            mute.connect(who.socket)
            mute.sendall(encode_frame({"type": "hello", "protocol": 1, "nonce": who.nonce}))
            mute.sendall(encode_frame({"type": "subscribe", "after": 0}))
            os.killpg(launcher.pid, how)
            assert launcher.wait(10) == -how
            assert_completed(run)
    assert curve(events(run)) == reference()


@pytest.mark.parametrize(
    ("point", "code", "last"),
    [
        ("worker.step:8", "WORKER_KILLED", 5),
        ("worker.step:8:segv", "WORKER_SEGFAULT", 5),
        ("worker.step:8:raise", "TRAINING_FAILED", 5),
        ("worker.save.file:7", "WORKER_KILLED", None),
        ("worker.save.rename:2", "WORKER_KILLED", 5),
    ],
)
def test_the_worker_dies_and_the_run_goes_on(
    point: str, code: str, last: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAILPOINT", point)
    run = start_run(spec())
    journal = over(run, 120)
    monkeypatch.delenv("FAILPOINT")
    fault, end = (next(e for e in journal if e.kind == kind) for kind in ("fault", "end"))
    steps = [event for event in journal if event.kind == "step"]
    assert fault.mono - steps[-1].mono < 2.0
    assert fault.data["code"] == code
    assert WORDS[code] in fault.data["cause"]
    assert f"backprop resume {run.short_id}" in fault.data["next"] or "worker.log" in fault.data["next"]
    assert end.data["outcome"] == "failed"
    assert end.mono - fault.mono < 2.0
    with pytest.raises(ProcessLookupError):
        os.killpg(worker_pid(run), 0)
    assert "Traceback" not in run.journal_file.read_text()
    summary = load_summary(run)
    assert summary.state is RunState.FAILED
    resume_step = summary.resume_step or 0
    assert last in (None, resume_step)
    resume_run(run)
    journal = assert_completed(run)
    repeated = [event.data["step"] for event in journal if event.kind == "step" and event.attempt == 2]
    assert repeated == list(range(resume_step + 1, STEPS + 1))
    assert curve(journal) == reference(), "exactly the curve of a run that nothing happened to"


def test_the_host_dies_the_worker_saves_and_the_run_goes_on() -> None:
    run = start_run(spec(steps=400))
    at_step(run, 7, 60)
    worker = worker_pid(run)
    assert signal_engine(identity(run), signal.SIGKILL)
    eventually(lambda: load_summary(run).state is RunState.CRASHED, 5)
    eventually(lambda: not is_held(run.worker_lock) and not Path(f"/proc/{worker}").exists(), 30, "worker's end")
    summary = load_summary(run)
    assert summary.state is RunState.CRASHED
    saved = summary.resume_step
    assert saved is not None
    assert saved >= 7, "it saved before it went"
    listed = subprocess.run([BACKPROP, "runs"], capture_output=True, text=True, check=True)
    assert "running" not in listed.stdout
    assert f"crashed, resumable from step {saved}" in listed.stderr
    assert checkpoints.verify(run.checkpoint(saved)) is None
    resume_run(run)
    at_step(run, saved + 3, 60)
    assert send_command(run, Command(CommandName.STOP)).status == "accepted"
    journal = over(run, 60)
    assert journal[-1].data["outcome"] == "stopped"
    again = [event.data["step"] for event in journal if event.kind == "step" and event.attempt == 2]
    assert again[0] == saved + 1
    delivered = run.path / journal[-1].data["checkpoint"]
    assert checkpoints.verify(delivered) is None


def test_every_command_on_real_training() -> None:
    run = start_run(spec(steps=2000, warmup=0, schedule="constant"))
    at_step(run, 2, 60)

    def ask(name: str, **args: object) -> Event:
        """Send it twice under one id, wait until it took effect; it must have done so once."""
        command = Command(CommandName(name), args)
        assert [send_command(run, command).status for _ in range(2)] == ["accepted", "duplicate"]
        done = eventually(lambda: [e for e in events(run, "command_done") if e.data["id"] == command.id], 30, name)
        assert [event.data["ok"] for event in done] == [True]
        return done[0]

    paused = ask("pause")
    at = events(run, "step")[-1].data["step"]
    assert str(at) in paused.data["detail"]
    assert load_summary(run).state is RunState.PAUSED
    assert send_command(run, Command(CommandName.PAUSE)).status == "refused"
    ask("checkpoint")
    ask("evaluate")
    ask("set", learning_rate=1e-5)
    assert events(run, "step")[-1].data["step"] == at, "a checkpoint, an evaluation and no step"
    assert [e.data["step"] for e in events(run, "checkpoint") if e.data["reason"] == "asked"] == [at]
    ask("resume")
    at_step(run, at + 3)
    following = next(e for e in events(run, "step") if e.data["step"] == at + 1)
    assert following.data["lr"] == 1e-5
    assert send_command(run, Command(CommandName.ABORT)).status == "accepted"
    journal = over(run, 30)
    assert journal[-1].data["outcome"] == "aborted"
    kinds = {event.kind for event in journal}
    assert {"checkpoint", "eval", "telemetry", "plan", "phase"} <= kinds
    ids = [event.data["id"] for event in journal if event.kind == "command"]
    assert len(ids) == len(set(ids))
    assert journal[-1].mono - [e for e in journal if e.kind == "command"][-1].mono < 10


def test_stop_before_training_began() -> None:
    run = start_run(spec())
    assert send_command(run, Command(CommandName.STOP)).status == "accepted"
    journal = over(run, 60)
    assert journal[-1].data["outcome"] == "stopped"
    assert not [event for event in journal if event.kind in ("step", "fault")]
