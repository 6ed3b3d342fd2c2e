from __future__ import annotations

import dataclasses
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from backprop_tui.protocol.errors import TryAgainError
from backprop_tui.store.locks import Identity, RunLock, is_alive, is_held, signal_engine

HOLDER = """
import sys
from pathlib import Path
from backprop_tui.store.locks import Identity, RunLock
from backprop_tui.protocol.errors import TryAgainError
place = Path(sys.argv[1])
try:
    lock = RunLock(place / "engine.lock").acquire()
except TryAgainError as error:
    print("refused", error, flush=True)
    raise SystemExit(75)
Identity.current("/nowhere").write(place / "engine.json")
print("held", flush=True)
sys.stdin.read()
"""


def hold(place: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(place)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def word(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()


def test_the_lock_dies_with_its_holder_even_by_sigkill(tmp_path: Path) -> None:
    lock = tmp_path / "engine.lock"
    assert not is_held(lock)
    with hold(tmp_path) as process:
        assert word(process) == "held\n"
        assert is_held(lock)
        identity = Identity.read(tmp_path / "engine.json")
        assert identity is not None
        assert is_alive(identity)
        with pytest.raises(TryAgainError) as refusal:
            RunLock(lock).acquire()
        assert refusal.value.code == "RUN_HELD"
        assert str(process.pid) in refusal.value.cause
        process.kill()
    assert not is_held(lock)
    assert not is_alive(identity)
    RunLock(lock).acquire().release()


def test_of_two_at_once_one_is_refused_by_name(tmp_path: Path) -> None:
    for round_number in range(5):
        place = tmp_path / str(round_number)
        place.mkdir()
        with hold(place) as first, hold(place) as second:
            words = sorted((word(first), word(second)))
            assert words[0] == "held\n"
            assert words[1].startswith("refused RUN_HELD")
            for process in (first, second):
                assert process.stdin is not None
                process.stdin.close()


def test_a_probe_never_makes_an_acquirer_fail(tmp_path: Path) -> None:
    import threading

    lock, stop = tmp_path / "engine.lock", threading.Event()

    def probe() -> None:
        while not stop.is_set():
            is_held(lock)

    thread = threading.Thread(target=probe)
    thread.start()
    try:
        for _ in range(50):
            RunLock(lock).acquire().release()
    finally:
        stop.set()
        thread.join()


def test_a_stranger_with_the_same_pid_is_never_signalled(tmp_path: Path) -> None:
    with hold(tmp_path) as process:
        assert word(process) == "held\n"
        identity = Identity.read(tmp_path / "engine.json")
        assert identity is not None
        for stranger in (
            dataclasses.replace(identity, start_time=identity.start_time + 1),
            dataclasses.replace(identity, boot_id="another boot"),
        ):
            assert not is_alive(stranger)
            assert not signal_engine(stranger, signal.SIGKILL)
        assert process.poll() is None
        assert signal_engine(identity, signal.SIGKILL)
        assert process.wait(10) == -signal.SIGKILL
        assert not signal_engine(identity, signal.SIGKILL)


def test_a_zombie_is_not_alive() -> None:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    raw = Path(f"/proc/{process.pid}/stat").read_bytes().rpartition(b")")[2].split()
    identity = dataclasses.replace(Identity.current(""), pid=process.pid, start_time=int(raw[19]))
    assert is_alive(identity)
    assert process.stdin is not None
    process.stdin.close()
    import os

    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert not is_alive(identity)
    process.wait()
