"""The queue's runner: order, edits while it runs, its death at any moment, and never two of it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pexpect
import pytest

from backprop_tui.launch.queueing import ensure_runner, look_after
from backprop_tui.launch.start import engine_environment
from backprop_tui.protocol.errors import TryAgainError
from backprop_tui.store.locks import is_held
from backprop_tui.store.queue import Queue, QueueState
from tests.support.engines import eventually, identity, over, started
from tests.support.queues import RUNNER, emptied, names, no_runner_left, runner_pid, running, runs, spans, waiting

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    with no_runner_left():
        yield


def test_one_after_the_other_in_order_and_then_nothing_is_left() -> None:
    for name in ("a", "b", "c"):
        waiting(name, steps=3)
    ensure_runner(command=RUNNER)
    emptied()
    (_, a), (b, c), (d, _) = spans("a", "b", "c")
    assert a <= b
    assert c <= d
    assert names() == []
    assert sorted(path.name for path in Queue().root.iterdir()) == ["queue.lock", "runner.lock", "runner.log"]
    queued = runs()["a"].read_queued()
    assert queued is not None
    assert queued["gpus"] == [-1]


def test_a_run_started_by_hand_is_waited_for() -> None:
    by_hand = started(steps=400, step_s=0.02)
    waiting("next", steps=1)
    ensure_runner(command=RUNNER)
    eventually(lambda: is_held(by_hand.lock_file))
    assert Queue().entries()[0].state is QueueState.WAITING
    os.kill(identity(by_hand).pid, signal.SIGTERM)
    over(by_hand)
    emptied()
    assert over(runs()["next"])[0].wall >= over(by_hand)[-1].wall


def test_the_order_is_changed_while_it_runs() -> None:
    waiting("a", steps=60, step_s=0.02)
    b, c, d = waiting("b", steps=1), waiting("c", steps=1), waiting("d", steps=1)
    ensure_runner(command=RUNNER)
    running("a")
    queue = Queue()
    assert queue.move(c.id, "up") == 1
    assert queue.move(c.id, "up") == 1
    queue.remove(d.id)
    with pytest.raises(TryAgainError) as refused:
        queue.remove(queue.entries()[0].id)
    assert refused.value.code == "QUEUE_STARTED"
    emptied()
    (_, a), (c_from, c_to), (b_from, _) = spans("a", "c", "b")
    assert a <= c_from
    assert c_to <= b_from
    assert "d" not in runs()
    assert b.id != c.id


def test_a_killed_runner_loses_nothing_and_starts_nothing_twice() -> None:
    waiting("a", steps=50, step_s=0.02)
    waiting("b", steps=2)
    ensure_runner(command=RUNNER)
    a = running("a")
    os.kill(runner_pid(), signal.SIGKILL)
    eventually(lambda: not is_held(Queue().runner_lock))
    assert is_held(a.lock_file), "the run does not notice"
    look_after(command=RUNNER)
    emptied()
    (_, ended), (began, _) = spans("a", "b")
    assert ended <= began
    assert sorted(runs()) == ["a", "b"]


@pytest.mark.parametrize("where", ["queue.start", "queue.started"])
def test_a_runner_killed_in_the_middle_of_a_start(where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # The starter outlives the runner by longer than the next one takes to look.
    waiting("a", steps=2, starter_s=1.5)
    waiting("b", steps=2)
    monkeypatch.setenv("FAILPOINT", f"{where}:1")
    ensure_runner_that_dies()
    monkeypatch.delenv("FAILPOINT")
    assert Queue().entries()[0].state in (QueueState.STARTING, QueueState.RUNNING)
    look_after(command=RUNNER)
    emptied()
    assert sorted(runs()) == ["a", "b"]
    assert names() == []


def test_a_starter_that_dies_behind_the_start_has_started_it_all_the_same() -> None:
    waiting("a", steps=40, step_s=0.02, starter_dies="late")
    waiting("b", steps=1)
    ensure_runner(command=RUNNER)
    emptied()
    (_, ended), (began, _) = spans("a", "b")
    assert ended <= began
    assert sorted(runs()) == ["a", "b"]


def test_a_run_that_was_made_and_never_begun_is_taken_away_again() -> None:
    entry = waiting("a", steps=1, starter_dies="early")
    ensure_runner(command=RUNNER)
    emptied()
    assert runs() == {}
    found = Queue().get(entry.id)
    assert found is not None
    assert found.state is QueueState.FAILED


def ensure_runner_that_dies() -> None:
    process = subprocess.run([*RUNNER], env=engine_environment(os.environ), timeout=30, check=False)
    assert process.returncode == -signal.SIGKILL


def test_a_start_that_dies_without_a_word_is_tried_again_and_then_given_up() -> None:
    entry = waiting("a", steps=1)
    code = (
        "import sys; from backprop_tui.launch import queue_runner\n"
        "queue_runner.main(starter=(sys.executable, '-c', 'import os; os.kill(os.getpid(), 9)'), gpus=())"
    )
    waiting("b", steps=1)
    subprocess.run([sys.executable, "-c", code], env=engine_environment(os.environ), timeout=30, check=True)
    found = Queue().get(entry.id)
    assert found is not None
    assert found.state is QueueState.FAILED
    assert found.problem is not None
    assert found.problem["code"] == "QUEUE_START_LOST"
    assert [entry.state for entry in Queue().entries()] == [QueueState.FAILED] * 2, "one does not block the next"


def test_of_two_runners_one_leaves_at_once() -> None:
    for name in ("a", "b", "c"):
        waiting(name, steps=60, step_s=0.02)
    crowd = [subprocess.Popen([*RUNNER], env=engine_environment(os.environ)) for _ in range(4)]
    first = running("a")
    eventually(lambda: sum(one.poll() is None for one in crowd) == 1)
    assert is_held(first.lock_file)
    emptied()
    assert [one.wait(20) for one in crowd] == [0, 0, 0, 0]
    assert sorted(runs()) == ["a", "b", "c"]
    (_, a), (b, c), (d, _) = spans("a", "b", "c")
    assert a <= b
    assert c <= d


def test_a_logout_does_not_end_it() -> None:
    waiting("a", steps=60, step_s=0.02)
    waiting("b", steps=1)
    code = (
        "from backprop_tui.launch.queueing import ensure_runner; from tests.support.queues import RUNNER\n"
        "ensure_runner(command=RUNNER); print('at work', flush=True); input()"
    )
    terminal = pexpect.spawn(sys.executable, ["-c", code], env={**os.environ}, timeout=30)
    terminal.expect("at work")
    running("a")
    # The terminal goes away; its processes get SIGHUP.
    terminal.close(force=True)
    pid = runner_pid()
    os.kill(pid, signal.SIGHUP)
    emptied()
    assert sorted(runs()) == ["a", "b"]


def test_what_fails_is_named_and_passed_over_unless_the_queue_is_to_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    waiting("broken", refuse=True)
    waiting("crashes", steps=5, crash={"step": 2, "how": "fault"})
    waiting("fine", steps=1)
    ensure_runner(command=RUNNER)
    emptied()
    left = Queue().entries()
    assert [(entry.name, entry.state) for entry in left] == [("broken", QueueState.FAILED)]
    assert left[0].problem is not None
    assert left[0].problem["code"] == "DATA_CHANGED"
    assert sorted(runs()) == ["crashes", "fine"]

    Queue().remove(left[0].id)
    monkeypatch.setenv("BACKPROP_QUEUE_ON_FAILURE", "hold")
    waiting("crashes too", steps=5, crash={"step": 2, "how": "fault"})
    waiting("late", steps=1)
    ensure_runner(command=RUNNER)
    emptied()
    assert "failed" in (Queue().held() or "")
    assert names() == ["late"]
    Queue().let_go()
    ensure_runner(command=RUNNER)
    emptied()
    assert "late" in runs()


def test_held_nothing_begins_but_what_is_asked_for_now() -> None:
    queue = Queue()
    queue.hold("It was stopped by hand.")
    waiting("a", steps=1)
    b = waiting("b", steps=1)
    ensure_runner(command=RUNNER)
    emptied()
    assert runs() == {}
    beside = started(steps=400, step_s=0.02)
    queue.hasten(b.id)
    ensure_runner(command=RUNNER)
    emptied()
    assert is_held(beside.lock_file), "it began beside what runs"
    assert "b" in runs()
    assert names() == ["a"]


def test_each_gpu_has_its_own_run() -> None:
    waiting("a", steps=100, step_s=0.02)
    waiting("b", gpus=[1], steps=100, step_s=0.02)
    waiting("both", devices=2, steps=1)
    waiting("d", steps=1)
    ensure_runner(command=(*RUNNER, "0", "1"))
    a, b = running("a"), running("b")
    assert _visible(a.path.name) == "0"
    assert _visible(b.path.name) == "1"
    assert names() == ["a", "b", "both", "d"]
    os.kill(identity(a).pid, signal.SIGTERM)
    emptied()
    (both, both_to), (d, _) = spans("both", "d")
    assert both >= max(end for _, end in spans("a", "b"))
    assert both_to <= d, "a small run does not overtake one that waits for two GPUs"


def _visible(run_id: str) -> str:
    run = next(run for run in runs().values() if run.id == run_id)
    words = Path(f"/proc/{identity(run).pid}/environ").read_bytes().split(b"\0")
    return next(word.partition(b"=")[2].decode() for word in words if word.startswith(b"CUDA_VISIBLE_DEVICES="))
