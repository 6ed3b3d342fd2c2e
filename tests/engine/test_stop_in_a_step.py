"""A stop that can't wait for the end of a long step: the step before is saved, and the resumed run is the same run."""

from __future__ import annotations

import os
import signal
import time
from typing import Any

import pytest

from backprop_tui.engine import failpoint
from backprop_tui.store import checkpoints
from tests.support.worker_driver import WorkerProcess, WorkerThread, new_run, step_figures, train

pytestmark = pytest.mark.train

#: Sixteen passes a step, with random numbers drawn in each.
LONG: dict[str, Any] = {
    "steps": 4, "batch_size": 1, "accumulation": 16, "dropout": 0.1, "seed": 11, "max_length": 64, "rows": 100,
}  # fmt: skip


def weights(run: Any, step: int) -> dict[str, Any]:
    from safetensors.torch import load_file

    return dict(load_file(run.checkpoint(step) / "adapter_model.safetensors"))


@pytest.fixture(scope="module")
def uninterrupted() -> Any:
    """Figures and final weights of the run nobody stopped; made in a home of its own."""
    return {}


def reference(cache: dict[str, Any]) -> dict[str, Any]:
    if not cache:
        whole = train(**LONG)
        cache.update(figures=step_figures(whole.events), weights=weights(whole.run, 4))
    return cache


def assert_the_same(cache: dict[str, Any], run: Any, *parts: Any) -> None:
    import torch

    whole = reference(cache)
    figures: dict[int, Any] = {}
    for part in parts:
        figures |= step_figures(part.events)
    assert figures == whole["figures"]
    final = weights(run, 4)
    assert all(torch.equal(final[name], tensor) for name, tensor in whole["weights"].items())


def test_a_step_that_does_not_fit_is_left_and_done_again(uninterrupted, monkeypatch):
    """The stop arrives in the 8th pass of step 3. A grace that is over leaves the step at once."""
    run = new_run(**LONG, preempt_grace_s=1)
    worker = WorkerThread(run)

    def strike(name: str) -> None:
        # Asked for an hour ago: nothing fits into what is left.
        worker.inbox.request_stop("The engine was told to shut down.")
        worker.inbox._stop_since -= 3600

    monkeypatch.setitem(failpoint._ACTIONS, "stop", strike)
    monkeypatch.setattr(failpoint, "_armed", {"worker.pass": (15 + 15 + 8, "stop")})
    with worker:
        end = worker.ended()
    assert (end["outcome"], end["step"]) == ("stopped", 2)
    assert worker.of("log", message="8 of 16 passes of step 3 are done again on resume.")
    newest = checkpoints.newest_valid(run)
    assert newest is not None
    assert newest.step == 2
    with WorkerThread(run, resume=newest.path.relative_to(run.path).as_posix()) as again:
        assert again.ended()["outcome"] == "completed"
    assert_the_same(uninterrupted, run, worker, again)


def test_without_its_random_numbers_the_resumed_run_differs(uninterrupted, monkeypatch):
    """The proof that the passes that were left are the reason for keeping the random numbers aside."""
    from backprop_tui.engine.worker import randomness

    monkeypatch.setattr(randomness, "give_back", lambda state: None)
    with pytest.raises(AssertionError):
        test_a_step_that_does_not_fit_is_left_and_done_again(uninterrupted, monkeypatch)


def test_a_step_that_fits_into_the_grace_is_finished(monkeypatch):
    run = new_run(**LONG, preempt_grace_s=600)
    worker = WorkerThread(run)
    monkeypatch.setitem(failpoint._ACTIONS, "stop", lambda name: worker.inbox.request_stop("Told to stop."))
    monkeypatch.setattr(failpoint, "_armed", {"worker.pass": (15 + 8, "stop")})
    with worker:
        end = worker.ended()
    assert (end["outcome"], end["step"]) == ("stopped", 2)
    assert [info.step for info in checkpoints.list_checkpoints(run)] == [2]


def test_in_the_first_step_there_is_nothing_to_save(monkeypatch):
    run = new_run(**LONG, preempt_grace_s=1)
    worker = WorkerThread(run)

    def strike(name: str) -> None:
        worker.inbox.request_stop("Told to stop.")
        worker.inbox._stop_since -= 3600

    monkeypatch.setitem(failpoint._ACTIONS, "stop", strike)
    monkeypatch.setattr(failpoint, "_armed", {"worker.pass": (5, "stop")})
    with worker:
        end = worker.ended()
    assert (end["outcome"], end["step"], end["checkpoint"]) == ("stopped", 0, None)


def test_sigterm_in_a_slow_step_is_saved_within_its_grace(uninterrupted):
    """A real process, 64 passes a step, and the signal in the middle of one: the checkpoint is there within the grace."""
    long = {**LONG, "accumulation": 64, "steps": 3, "max_length": 512, "rows": 200, "batch_size": 2}
    run = new_run(**long, preempt_grace_s=1)
    with WorkerProcess(run) as worker:
        worker.wait_for("step", step=1)
        begin = time.monotonic()
        os.kill(worker.process.pid, signal.SIGTERM)
        end = worker.ended()
        assert time.monotonic() - begin < 3.0
        assert worker.wait() == 0
    assert end["outcome"] == "stopped"
    newest = checkpoints.newest_valid(run)
    assert newest is not None
    assert newest.step == end["step"] >= 1
