"""Memory that runs out: the real host starts another worker with half the micro-batch, and the curve does not change."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backprop_tui.engine import failpoint, host_retry
from backprop_tui.engine.worker.faults import memory_retry
from backprop_tui.launch.client import send_command
from backprop_tui.launch.start import launch_engine
from backprop_tui.protocol.changes import BatchSizes, Changes
from backprop_tui.protocol.commands import Command, CommandName
from backprop_tui.protocol.view import RunView
from backprop_tui.store.summary import load_summary
from tests.support.engines import ENGINE, eventually, over, scripted, worker_pid
from tests.support.worker_driver import WorkerThread, new_run, step_figures, train

RUN: dict[str, Any] = {"steps": 4, "batch_size": 6, "accumulation": 2, "save_every": 1, "dropout": 0.0, "eval_every": 0}


@pytest.mark.train
def test_training_goes_on_with_half_the_micro_batch_and_the_same_curve(monkeypatch) -> None:
    """Memory runs out in step 3 of two attempts: 6 x 2 becomes 3 x 4, then 1 x 12. The real host and three real workers."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("FAILPOINT", "worker.pass:3:memory@1,worker.pass:2:memory@2")
    run = new_run(**RUN)
    launch_engine(run)
    journal = over(run, timeout=180.0)
    assert journal[-1].data["outcome"] == "completed"
    attempts = [event.data for event in journal if event.kind == "attempt"]
    assert [attempt["resume_step"] for attempt in attempts] == [None, 2, 2]
    assert [attempt.get("batch") for attempt in attempts] == [
        None,
        {"batch_size": 3, "accumulation": 4, "eval_batch_size": 6},
        {"batch_size": 1, "accumulation": 12, "eval_batch_size": 6},
    ]
    assert len({attempt["pid"] for attempt in attempts}) == 3
    told = [event.data["cause"] for event in journal if event.kind == "alert" and event.data["code"] == "MEMORY_RETRY"]
    assert "3 rows x 4 instead of 6 x 2, the same effective batch of 12; a new worker goes on from step 2" in told[0]
    assert "1 row x 12 instead of 3 x 4" in told[1]
    assert [event.data["why"] for event in journal if event.kind == "retry"] == ["memory", "memory"]
    assert not [event for event in journal if event.kind == "fault"]
    plans = [event.data for event in journal if event.kind == "plan"]
    assert len({(plan["total_steps"], plan["effective_batch"]) for plan in plans}) == 1
    monkeypatch.delenv("FAILPOINT")
    assert_same_curve(
        {event.data["step"]: event.data for event in journal if event.kind == "step"}, train(**RUN).of("step")
    )
    # What the next resume begins with.
    assert load_summary(run).view.batch == attempts[-1]["batch"]


@pytest.mark.train
@pytest.mark.parametrize("rows", [4, 1])
@pytest.mark.parametrize("packing", [False, True])
def test_the_curve_does_not_depend_on_the_micro_batch(packing: bool, rows: int) -> None:
    """Also for an odd number of rows, and for packs, whose rows are then taken a few at a time; an epoch's end included."""
    settings = {
        **RUN,
        "batch_size": 5,
        "accumulation": 4,
        "packing": packing,
        "max_length": 256,
        "rows": 48,
        "steps": 6,
    }
    sizes = BatchSizes(5, 4, 5)
    while sizes.batch_size > rows:
        sizes = sizes.halved() or sizes
    worker = WorkerThread(new_run(**settings))
    worker.session.changes = Changes(batch=sizes)
    with worker:
        worker.ended()
    assert_same_curve({event["step"]: event for event in worker.of("step")}, train(**settings).of("step"))


@pytest.mark.train
@pytest.mark.parametrize("packing", [False, True])
def test_nor_does_that_of_a_multi_run(packing: bool) -> None:
    """Nor the losses of its matrix, which are measured in smaller groups too."""
    settings = {
        **RUN, "multi": "windows", "runs": 2, "steps": 2, "batch_size": 4, "rows": 64, "packing": packing,
        "max_length": 256, "samples": 0,
    }  # fmt: skip
    worker = WorkerThread(new_run(**settings))
    worker.session.changes = Changes(batch=BatchSizes(1, 8, 2))
    with worker:
        worker.ended()
    whole = train(**settings)
    assert_same_curve({event["step"]: event for event in worker.of("step")}, whole.of("step"))
    ours, theirs = ([row["losses"] for row in one.of("matrix")] for one in (worker, whole))
    assert len(ours) == 3
    for one, rows in ((whole, 1 if packing else 4), (worker, 1)):
        (tried,) = one.of("probe")
        assert tried["rows"] == rows, "the longest rows of all its runs go first, as many as are trained at a time"
    for row, other in zip(ours, theirs, strict=True):
        assert row == pytest.approx(other, rel=1e-4)


@pytest.mark.train
def test_an_evaluation_whose_memory_runs_out_is_not_training(monkeypatch) -> None:
    monkeypatch.setattr(failpoint, "_armed", {"worker.eval": (1, "memory")})
    run = new_run(**RUN)
    with WorkerThread(run) as worker:
        retry = worker.wait_for("retry")
    assert (retry["why"], retry["step"]) == ("eval_memory", 0)
    view = RunView(phase="eval")
    decision = host_retry.decide(retry, view, run.read_spec(), 0)
    assert decision.batch == BatchSizes(6, 2, 3)
    assert "evaluations take 3 rows at a time instead of 6" in decision.alert(None)["cause"]
    again = WorkerThread(run)
    again.session.changes = Changes(batch=decision.batch)
    with again:
        again.ended()
    whole = train(**RUN)
    assert [one["loss"] for one in again.of("eval")] == pytest.approx(
        [one["loss"] for one in whole.of("eval")], rel=1e-5
    )
    assert step_figures(again.events) == step_figures(whole.events)


@pytest.mark.train
def test_no_room_for_the_model_itself_is_a_fault() -> None:
    """Fewer rows would not help: nothing is tried again."""
    assert memory_retry(MemoryError(), "load") == ""
    assert (
        memory_retry(RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate"), None) == "memory"
    )
    assert memory_retry(RuntimeError("shape mismatch"), None) == ""


def assert_same_curve(steps: dict[int, dict[str, Any]], whole: list[dict[str, Any]]) -> None:
    """Losses and gradients agree within float32's tolerance, tokens exactly, over all steps."""
    assert sorted(steps) == [event["step"] for event in whole]
    for event in whole:
        other = steps[event["step"]]
        assert other["loss"] == pytest.approx(event["loss"], rel=1e-4)
        assert other["grad_norm"] == pytest.approx(event["grad_norm"], rel=1e-3)
        assert (other["tokens"], other["lr"]) == (event["tokens"], event["lr"])


@pytest.mark.parametrize("counted", [True, False])
def test_a_worker_the_kernel_killed_for_its_memory_is_followed_by_another(counted: bool) -> None:
    """Only where the kernel's own counter says so; a worker that somebody else killed is not started again."""
    run = scripted(steps=12, crash={"step": 7, "how": "memory" if counted else "kill"})
    spec = run.read_spec() | {"optim": {"batch_size": 4, "accumulation": 2}}
    (run.path / "run.json").write_text(json.dumps(spec))
    (run.path / "vmstat").write_text("oom_kill 7\n")
    launch_engine(run, engine=ENGINE)
    journal = over(run)
    attempts = [event.data for event in journal if event.kind == "attempt"]
    if not counted:
        assert len(attempts) == 1
        assert journal[-2].data["code"] == "WORKER_KILLED"
        return
    assert [(one["resume_step"], one.get("batch", {}).get("batch_size")) for one in attempts] == [(None, None), (5, 2)]
    assert [event.data["code"] for event in journal if event.kind == "alert"] == ["MEMORY_RETRY"]
    assert journal[-1].data["outcome"] == "completed"


def test_a_stop_between_two_attempts_ends_the_run_there() -> None:
    """The stop arrives when the worker is gone: no other worker is started only to be stopped."""
    run = scripted(steps=12, crash={"step": 7, "how": "memory"}, helper=True)
    spec = run.read_spec() | {"optim": {"batch_size": 4, "accumulation": 2}}
    (run.path / "run.json").write_text(json.dumps(spec))
    (run.path / "vmstat").write_text("oom_kill 7\n")
    launch_engine(run, engine=ENGINE)
    # A helper holds the worker's group for a second after it died: the host is between the two.
    worker = Path(f"/proc/{worker_pid(run)}")
    eventually(lambda: not worker.exists())
    send_command(run, Command(CommandName.STOP))
    journal = over(run)
    assert journal[-1].data["outcome"] == "stopped"
    assert journal[-1].data["checkpoint"] is not None
    assert [event.data["ok"] for event in journal if event.kind == "command_done"] == [True]


def decided(why: str, batch: BatchSizes | None = None, retries: int = 0, **recovery: Any) -> host_retry.Decision:
    spec = {"optim": {"batch_size": 4, "accumulation": 3}, "recovery": recovery}
    view = RunView(batch=None if batch is None else batch.to_dict())
    return host_retry.decide(
        {"why": why, "step": 6, "fault": {"code": "OUT_OF_MEMORY", "cause": "So."}}, view, spec, retries
    )


def test_retries_are_counted() -> None:
    assert decided("memory").batch == BatchSizes(2, 6, 4)
    assert decided("memory", retries=2).batch is not None
    fourth = decided("memory", retries=3)
    assert fourth.batch is None
    assert fourth.fault is not None
    assert "halved 3 times already" in str(fourth.fault["cause"])
    never = decided("memory", oom_retries=0).fault
    assert never is not None
    assert never["cause"] == "So."
    assert decided("eval_memory", BatchSizes(4, 3, 1)).fault is not None
    assert decided("rewind", retries=9) == host_retry.Decision()


@given(st.integers(1, 5000), st.integers(1, 500))
def test_halving_keeps_the_effective_batch_and_ends(rows: int, passes: int) -> None:
    sizes: BatchSizes | None = BatchSizes(rows, passes, rows)
    seen = 0
    while (smaller := sizes.halved()) is not None:
        assert smaller.batch_size * smaller.accumulation == rows * passes
        assert 1 <= smaller.batch_size <= sizes.batch_size // 2
        assert smaller.eval_batch_size == rows
        sizes, seen = smaller, seen + 1
    assert sizes.batch_size == 1
    assert seen <= 13
    assert BatchSizes.from_dict(sizes.to_dict()) == sizes


def test_the_kernels_count_of_memory_kills_is_read_where_there_is_one(tmp_path: Path) -> None:
    (tmp_path / "vmstat").write_text("nr_free_pages 5\noom_kill 17\noom_kill_disable 0\n")
    assert host_retry.memory_kills(tmp_path / "vmstat") == 17
    assert host_retry.memory_kills(tmp_path / "none") is None
    (tmp_path / "empty").write_text("nr_free_pages 5\n")
    assert host_retry.memory_kills(tmp_path / "empty") is None
