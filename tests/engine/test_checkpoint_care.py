"""A live run's checkpoints: pins and caps hold at its next save, what is pruned is told, a resume says its kind; forks."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest

from backprop_tui.protocol.fields import with_overrides
from backprop_tui.store import checkpoints, pins, retention
from backprop_tui.store.layout import RunDir, create_run
from backprop_tui.store.lineage import Parent, adopt
from backprop_tui.store.resuming import checkpoint_at
from tests.support.worker_driver import WorkerThread, new_run, quick_spec, step_figures, train

pytestmark = [pytest.mark.train, pytest.mark.timeout(120)]


def steps(run: RunDir) -> list[int]:
    return [info.step for info in checkpoints.list_checkpoints(run)]


def rewrite_state(run: RunDir, step: int, change: dict[str, Any]) -> None:
    """Another environment in a checkpoint, sealed again."""
    place = run.checkpoint(step)
    state = json.loads((place / "state.json").read_bytes())
    state["environment"] |= change
    content = json.dumps(state).encode()
    (place / "state.json").write_bytes(content)
    manifest = json.loads((place / checkpoints.MANIFEST).read_bytes())
    manifest["files"]["state.json"] = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    (place / checkpoints.MANIFEST).write_text(json.dumps(manifest))
    assert checkpoints.verify(place) is None


def test_a_pin_set_while_the_run_trains_holds_from_the_next_save_on():
    run = new_run(steps=8, save_every=2, keep=1)
    with WorkerThread(run) as worker:
        worker.command("pause")
        worker.wait_for("state", state="paused")
        worker.obeyed("checkpoint")
        (first,) = steps(run)
        pins.pin(run, first)
        worker.command("resume")
        worker.ended()
    assert steps(run) == [first, 8]
    assert first not in {event["step"] for event in worker.of("checkpoint_removed")}


def test_pins_that_cannot_be_read_keep_everything_and_are_told():
    run = new_run(steps=4, save_every=1, keep=1)
    run.pins_file.write_text("{")
    with WorkerThread(run) as worker:
        worker.ended()
    assert steps(run) == [1, 2, 3, 4]
    assert any("RUN_PINS_UNREADABLE" in event["message"] for event in worker.of("log", level="warn"))


def test_the_cap_removes_the_oldest_and_says_where_it_cannot_hold():
    size = checkpoints.list_checkpoints(train(steps=1).run)[0].bytes
    assert size is not None
    capped = train(steps=6, save_every=1, max_checkpoint_gb=2.5 * size / 1e9)
    assert steps(capped.run) == [5, 6]
    assert [event["step"] for event in capped.of("checkpoint_removed")] == [1, 2, 3, 4]
    tight = train(steps=3, save_every=1, max_checkpoint_gb=0.5 * size / 1e9)
    assert steps(tight.run) == [3]
    (told,) = [event for event in tight.of("log", level="warn") if "CHECKPOINTS_LARGE" in event["message"]]
    assert "None of them is removed" in told["message"]


def test_what_somebody_prunes_meanwhile_is_told_at_the_next_save():
    run = new_run(steps=6, save_every=1)
    with WorkerThread(run) as worker:
        worker.wait_for("checkpoint", step=3)
        worker.command("pause")
        worker.wait_for("state", state="paused")
        before = steps(run)
        removed = [gone.step for gone in retention.prune(run, retention.plan(retention.look(run, None), keep=1))]
        assert removed == before[:-1]
        worker.command("resume")
        assert worker.ended()["outcome"] == "completed"
    told = [event["step"] for event in worker.of("checkpoint_removed")]
    assert told == removed or max(before) == 6


def test_a_resume_on_the_same_machine_is_exact_and_elsewhere_statistical():
    run = train(steps=4, save_every=2).run
    checkpoints.remove_checkpoint(run, 4)
    with WorkerThread(run, resume="checkpoints/step-000002") as same:
        same.ended()
    (told,) = same.of("resume")
    assert (told["kind"], told["step"], told["differences"], told["skipped"]) == ("exact", 2, [], [])
    rewrite_state(run, 2, {"versions": {"torch": "1.0"}, "device": "cuda", "threads": 64})
    with WorkerThread(run, resume="checkpoints/step-000002") as other:
        other.ended()
    (told,) = other.of("resume")
    assert told["kind"] == "statistical"
    assert any(words.startswith("torch 1.0 → ") for words in told["differences"])
    assert "device cuda → cpu" in told["differences"]
    assert any(words.startswith("threads 64 → ") for words in told["differences"])
    assert step_figures(other.events) == step_figures(same.events), "it warns; here nothing really differs"


def test_the_damaged_checkpoint_beyond_is_named_in_the_event():
    run = train(steps=4, save_every=2).run
    weights = run.checkpoint(4) / "adapter_model.safetensors"
    raw = bytearray(weights.read_bytes())
    raw[-1] ^= 1
    weights.write_bytes(raw)
    with WorkerThread(run, resume="checkpoints/step-000002") as again:
        again.ended()
    (told,) = again.of("resume")
    assert told["kind"] == "exact"
    assert told["skipped"] == ["adapter_model.safetensors of step-000004 is damaged: its SHA-256 differs."]
    assert checkpoints.verify(run.checkpoint(4)) is None, "written anew"


# -- forks ------------------------------------------------------------------------------------------------------------------


def fork(parent: RunDir, step: int, kept: Any = "weights", rate: float = 1.0, **changes: Any) -> WorkerThread:
    """Train a fork to its end, as `launch.fork` prepares it."""
    from backprop_tui.launch.fork import child_spec, parent_spec

    spec = child_spec(parent_spec(parent), changes, keep_optimizer=kept == "optimizer")
    child = create_run(spec.model_dump(), parent=Parent(parent.id, step, kept, rate).to_dict())
    copy = adopt(child, checkpoint_at(parent, step), kept)
    resume = copy.relative_to(child.path).as_posix() if kept == "optimizer" else None
    with WorkerThread(child, resume=resume) as worker:
        assert worker.ended()["outcome"] == "completed", worker.of("fault")
    return worker


@pytest.mark.parametrize(
    "method", [{"method": "lora"}, {"method": "full"}, {"adapter_start": "pissa", "rank": 4}, {"dora": True}], ids=str
)
def test_a_fork_begins_with_its_parents_weights_and_a_fresh_optimiser(method):
    parent = train(**method, steps=6, save_every=3, eval_every=3)
    measured = {event["step"]: event["loss"] for event in parent.of("eval")}
    child = fork(parent.run, 3, learning_rate=1e-4, steps=2)
    (told,) = child.of("resume")
    assert (told["kind"], told["step"], told["parent"]["run"]) == ("warm", 0, parent.run.id)
    assert child.of("eval")[0]["loss"] == measured[3], "it begins where the parent stood"
    assert measured[3] != measured[0]
    first = child.of("step")[0]
    assert (first["step"], first["tokens"]) == (1, parent.of("step")[0]["tokens"])
    assert child.of("plan")[0]["total_steps"] == 2


def test_a_fork_killed_before_its_first_save_begins_with_the_same_weights_again():
    parent = train(steps=2)
    child = fork(parent.run, 2, steps=2, eval_every=1)
    for info in checkpoints.list_checkpoints(child.run):
        checkpoints.remove_checkpoint(child.run, info.step)
    with WorkerThread(child.run) as again:
        again.ended()
    assert step_figures(again.events) == step_figures(child.events)
    assert again.of("eval")[0]["loss"] == child.of("eval")[0]["loss"]


def test_a_fork_resumed_at_its_own_checkpoint_is_exact():
    parent = train(steps=2, dropout=0.1)
    child = fork(parent.run, 2, steps=4, save_every=2)
    checkpoints.remove_checkpoint(child.run, 4)
    with WorkerThread(child.run, resume="checkpoints/step-000002") as again:
        again.ended()
    assert again.of("resume")[0]["kind"] == "exact"
    whole, tail = step_figures(child.events), step_figures(again.events)
    assert tail == {step: whole[step] for step in (3, 4)}


def test_keeping_the_optimiser_and_changing_nothing_is_the_parents_own_continuation():
    parent = train(steps=6, save_every=3, dropout=0.1)
    child = fork(parent.run, 3, "optimizer")
    whole, tail = step_figures(parent.events), step_figures(child.events)
    assert tail == {step: whole[step] for step in (4, 5, 6)}
    assert child.of("resume")[0]["kind"] == "warm"


def test_keeping_the_optimiser_with_another_rate_and_length_follows_the_childs_schedule():
    parent = train(steps=6, save_every=3, warmup=0, schedule="linear")
    child = fork(parent.run, 3, "optimizer", rate=0.5, learning_rate=1e-3, steps=12)
    before, after = parent.of("step"), child.of("step")
    assert [event["step"] for event in after] == list(range(4, 13))
    # Linear from 1e-3 to 0 over 12 steps: step 4 uses what three steps have left of it.
    assert after[0]["lr"] == pytest.approx(1e-3 * 9 / 12)
    assert after[0]["tokens"] - before[2]["tokens"] == before[3]["tokens"] - before[2]["tokens"], "the next rows"
    plain = step_figures(parent.events)[4]
    assert after[0]["loss"] == plain[0]
    assert after[0]["grad_norm"] == plain[1]


def test_an_adapter_of_another_shape_is_refused_by_name():
    parent = train(steps=1, rank=4)
    spec = with_overrides(quick_spec(steps=1, rank=4), {"rank": 8})
    child = create_run(spec.model_dump(), parent=Parent(parent.run.id, 1, "weights").to_dict())
    adopt(child, checkpoint_at(parent.run, 1), "weights")
    with WorkerThread(child) as worker:
        assert worker.ended()["outcome"] == "failed"
    (fault,) = worker.of("fault")
    assert fault["code"] == "ADAPTER_DIFFERS"
    assert "its r is 4, and this run's is 8" in fault["cause"]
