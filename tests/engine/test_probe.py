"""The longest rows go first: before step 1, without a trace in the curve, and memory that does not suffice is said there."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from backprop_tui.engine import failpoint
from backprop_tui.engine.worker.probe import Probe, largest
from backprop_tui.launch.plan.auto import choose_batch
from backprop_tui.launch.plan.looking import judge
from backprop_tui.launch.preflight import check_and_record
from backprop_tui.protocol.changes import BatchSizes, Changes
from backprop_tui.protocol.view import RunView
from backprop_tui.store.layout import create_run
from tests.support.worker_driver import WorkerThread, checkpoint_dir, new_run, quick_spec, step_figures, train

pytestmark = pytest.mark.train


def kinds(worker: WorkerThread) -> list[str]:
    return [f"{event['k']} {event.get('phase', '')}".strip() for event in worker.events]


def test_the_longest_rows_go_through_before_the_first_step() -> None:
    worker = train(batch_size=4, steps=2)
    (probe,) = worker.of("probe")
    assert (probe["rows"], probe["longest"], probe["stage"]) == (4, 47, "probe")
    order = kinds(worker)
    assert order.index("plan") < order.index("phase probe") < order.index("probe") < order.index("step")
    # What was not measured is unknown: the CPU's allocator keeps no account.
    assert probe["measured"] is None
    assert 0 < probe["expected"] < worker.of("plan")[0]["memory"]["peak"]


@pytest.mark.parametrize("words", [{"dropout": 0.1}, {"packing": True, "neftune": 5.0}, {"objective": "dpo"}], ids=str)
def test_it_leaves_no_trace_in_the_curve(words: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    words = {"steps": 3, "eval_every": 1, **words}
    probed = train(**words)
    monkeypatch.setattr(Probe, "run", lambda self, trainer: None)
    plain = train(**words)
    assert probed.of("probe")
    assert not plain.of("probe")
    assert step_figures(probed.events) == step_figures(plain.events)
    assert [event["loss"] for event in probed.of("eval")] == [event["loss"] for event in plain.of("eval")]


def test_memory_that_does_not_suffice_is_said_with_the_plan_beside_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(failpoint, "_armed", failpoint._read("worker.probe:1:memory"))
    with WorkerThread(new_run(batch_size=4, accumulation=2)) as worker:
        retry = worker.wait_for("retry")
    assert (retry["why"], retry["step"]) == ("memory", 0)
    fault = retry["fault"]
    assert fault["code"] == "OUT_OF_MEMORY"
    assert "at the probe, before step 1: the longest 4 rows have up to 47 tokens" in fault["cause"]
    assert "The plan expected" in fault["cause"]
    assert "batch_size to 2" in fault["next"]
    assert not worker.of("step")


def test_a_resumed_run_is_probed_only_after_its_batch_changed() -> None:
    first = train(steps=2, save_every=1)
    resume = checkpoint_dir(first.run, first.of("end")[0]).with_name("step-000001").relative_to(first.run.path)
    for change, times in ((None, 0), (BatchSizes(2, 4, 2), 1)):
        worker = WorkerThread(first.run, resume=resume.as_posix())
        worker.session.changes = dataclasses.replace(Changes(), batch=change)
        with worker:
            worker.ended()
        assert len(worker.of("probe")) == times, worker.of("fault")


def test_the_plan_of_the_command_line_is_that_of_the_worker() -> None:
    spec = quick_spec(batch_size=4, max_length=64)
    planned = judge(spec).plan.memory
    assert planned is not None
    with WorkerThread(create_run(spec.model_dump())) as worker:
        worker.ended()
    said = worker.of("plan")[0]["memory"]
    assert said == planned.to_dict()


def test_auto_is_written_as_plain_numbers_and_told() -> None:
    spec = quick_spec(micro_batch="auto", batch_size=2, accumulation=4, steps=1)
    resolved, launched = check_and_record(spec)
    assert resolved.optim == choose_batch(spec)[0].optim
    assert (resolved.optim.micro_batch, resolved.optim.batch_size, resolved.optim.accumulation) == ("fixed", 8, 1)
    with WorkerThread(create_run(resolved.model_dump(mode="json"), launched=launched)) as worker:
        worker.ended()
    assert worker.of("plan")[0]["effective_batch"] == 8
    assert any("Micro-batch auto: 8 rows by 1" in event["message"] for event in worker.of("log"))


def test_the_view_keeps_what_was_expected_beside_what_was_measured(tmp_path: Path) -> None:
    from backprop_tui.protocol import events as ev

    view = RunView()
    said = [
        {"stage": "probe", "expected": 10, "measured": 11, "rows": 4, "longest": 47},
        {"stage": "step", "expected": 20, "measured": 21},
    ]
    view.apply(ev.Event(number, 0.0, 0.0, 1, ev.PROBE, words) for number, words in enumerate(said, start=1))
    assert view.probe == {"stage": "step", "expected": 20, "measured": 21, "rows": 4, "longest": 47}
    assert RunView.from_dict(view.to_dict()).probe == view.probe


def test_the_largest_batch_is_made_of_the_longest_rows() -> None:
    from backprop_tui.data.rendering.encoded import EncodedRow
    from backprop_tui.engine.worker.rows import RowStore, Sequences

    store = RowStore(EncodedRow([1] * size, [True] * size, 0, ()) for size in (3, 9, 4, 7))
    assert largest(Sequences.plain(store), 2) == [1, 3]
    packs = Sequences(store, [[0, 2, 3], [1]], packed=True)
    assert largest(packs, 1) == [0]
