"""The host and its disk: full, deleted under it, with a damaged journal or checkpoint; each is told and survived."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from backprop_tui.launch.start import launch_engine, resume_run
from backprop_tui.store.locks import is_alive, is_held
from tests.support.engines import (
    ENGINE,
    at_step,
    events,
    eventually,
    identity,
    over,
    scripted,
    started,
    worker_pid,
)


def test_a_damaged_checkpoint_is_passed_over_at_resume() -> None:
    run = started(steps=20, crash={"step": 12, "how": "kill"})
    over(run)
    weights = run.checkpoint(10) / "weights"
    weights.write_text("x" * len(weights.read_text()))
    resume_run(run, engine=ENGINE)
    attempts = [event for event in over(run) if event.kind == "attempt"]
    assert [event.data["resume_step"] for event in attempts] == [None, 5]


def test_killed_inside_a_save_the_half_checkpoint_is_swept(monkeypatch: pytest.MonkeyPatch) -> None:
    # Six files a save: the eighth is one of the second save's.
    for point in ("worker.save.file:8", "worker.save.rename:2"):
        monkeypatch.setenv("FAILPOINT", point)
        run = started(steps=12)
        over(run)
        assert any(name.startswith(".tmp-") for name in os.listdir(run.checkpoints))
        monkeypatch.delenv("FAILPOINT")
        resume_run(run, engine=ENGINE)
        journal = over(run)
        assert [event.data["resume_step"] for event in journal if event.kind == "attempt"] == [None, 5]
        assert sorted(os.listdir(run.checkpoints)) == ["step-000005", "step-000010", "step-000012"]


def test_full_disk_is_told_and_stops_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAILPOINT", "host.journal:12:disk_full")
    run = started(steps=1000)
    journal = over(run)
    faults = [event.data for event in journal if event.kind == "fault"]
    assert [fault["code"] for fault in faults] == ["DISK_FULL"]
    assert "resume" in faults[0]["next"]
    assert journal[-1].kind == "end"
    assert journal[-1].data["outcome"] == "stopped"


def test_a_full_disk_for_real(tmp_path: Path) -> None:
    """A whole run on a disk of 600 kB: the last words fit into the room kept aside, and every line is whole."""
    disk = tmp_path / "disk"
    disk.mkdir()
    script = (
        "from tests.support.engines import *\nfrom backprop_tui.store.journal import JournalTail\n"
        "with no_engine_left():\n    run = started(steps=100_000, step_s=0.001, flood=3000)\n    over(run)\n"
        "print([e.data.get('code') or e.data['outcome'] for e in events(run, 'fault', 'end')])\n"
        "tail = JournalTail(run.journal_file)\nwhile tail.poll(): pass\nprint(tail.damaged)\n"
    )
    shell = f'mount -t tmpfs -o size=600k none "{disk}" && BACKPROP_DATA_DIR="{disk}" exec "$0" -c "$1"'
    result = subprocess.run(
        ["unshare", "-rm", "sh", "-c", shell, sys.executable, script],
        capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    if result.stderr.startswith(("unshare:", "mount:")):
        pytest.skip("no private mounts here")
    assert result.stdout == "['DISK_FULL', 'stopped']\n0\n", result.stderr


def test_a_disk_that_takes_nothing_is_named_before_the_run_begins() -> None:
    """Files may have no bytes at all: the engine can't even write who it is."""
    run = scripted(steps=3)
    script = (
        "import resource,sys\nfrom pathlib import Path\nfrom backprop_tui.launch.start import launch_engine\n"
        "from backprop_tui.store.layout import RunDir\nfrom backprop_tui.protocol.errors import BackpropError\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))\n"
        "try:\n    launch_engine(RunDir(Path(sys.argv[1])), engine=sys.argv[2:])\n"
        "except BackpropError as error:\n    print(error.code, error.exit_code, bool(error.next_step), error.cause)\n"
    )
    words = subprocess.check_output([sys.executable, "-c", script, str(run.path), *ENGINE], text=True)
    assert words == f"DISK_FULL 69 True The disk is full: nothing can be written in {run.path}.\n"
    assert events(run) == []
    assert not is_held(run.lock_file)
    launch_engine(run, engine=ENGINE)
    assert over(run)[-1].data["outcome"] == "completed"


def test_the_run_directory_is_deleted_under_a_live_run(home: Path) -> None:
    """Somebody's rm -rf: the run ends at its next save, nobody is left running and the socket goes."""
    run = started(steps=100_000, save_every=20)
    at_step(run, 2)
    who, worker = identity(run), worker_pid(run)
    shutil.rmtree(run.path)
    eventually(lambda: not is_alive(who) and not Path(f"/proc/{worker}").exists(), what="end of host and worker")
    assert os.listdir(home / "runtime") == []
    assert not run.path.exists()


def test_a_damaged_journal_opens_and_the_run_goes_on() -> None:
    run = started(steps=20, crash={"step": 12, "how": "kill"})
    before = over(run)
    lines = run.journal_file.read_bytes().splitlines(keepends=True)
    lines[4] = lines[4].replace(b"1", b"7")
    run.journal_file.write_bytes(b"".join(lines) + b"{" * 40)
    resume_run(run, engine=ENGINE)
    journal = over(run)
    assert journal[-1].data["outcome"] == "completed"
    assert [event.kind for event in journal].count("repair") == 1
    seqs = [event.seq for event in journal]
    assert seqs == sorted(set(seqs))
    assert set(seqs) >= {event.seq for event in before} - {5}
    assert [event.data["resume_step"] for event in journal if event.kind == "attempt"] == [None, 10]
