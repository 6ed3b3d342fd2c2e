"""A killed run continues exactly: every figure after the seam equals that of a run nobody disturbed."""

from __future__ import annotations

import shutil
import signal

import pytest

from backprop_tui.store import checkpoints
from backprop_tui.store.layout import RunDir, create_run
from tests.support.warm_worker import WarmWorker
from tests.support.worker_driver import WorkerThread, checkpoint_dir, new_run, quick_spec, step_figures

pytestmark = [pytest.mark.train, pytest.mark.timeout(300)]

#: Dropout and accumulation make it hard, an uneven last step per epoch harder; the seam is inside the second epoch.
HARD = {
    "steps": 0,
    "epochs": 2,
    "max_rows": 75,
    "batch_size": 4,
    "accumulation": 2,
    "dropout": 0.1,
    "save_every": 4,
    "eval_every": 5,
    "samples": 2,
}
KILLED_AT = 14
SAVED_AT = 12


@pytest.fixture(scope="module")
def _place(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BACKPROP_DATA_DIR", str(tmp_path_factory.mktemp("data")))
        yield


@pytest.fixture(scope="module")
def warm(_place):
    with WarmWorker() as worker:
        yield worker


@pytest.fixture(scope="module")
def undisturbed(warm):
    run = new_run(**HARD)
    whole = warm.attempt(run)
    assert whole.of("end")[0]["outcome"] == "completed"
    return run, whole


@pytest.fixture(scope="module")
def killed(warm):
    """A run killed in the middle of saving nothing, right after the event of step 14 was sent."""
    run = new_run(**HARD)
    cut = warm.attempt(run, kill=f"worker.step:{KILLED_AT}")
    assert cut.code == -signal.SIGKILL
    assert cut.of("step")[-1]["step"] == KILLED_AT
    assert not cut.of("end")
    return run, cut


def copy_of(run: RunDir) -> RunDir:
    other = create_run(quick_spec(**HARD).model_dump(), run.path.parent)
    shutil.copytree(run.checkpoints, other.checkpoints, dirs_exist_ok=True)
    return other


def test_the_continued_run_equals_the_undisturbed_one_to_the_last_bit(warm, undisturbed, killed):
    from safetensors.torch import load_file

    whole_run, straight = undisturbed
    killed_run, cut = killed
    run = copy_of(killed_run)
    newest = checkpoints.newest_valid(run)
    assert newest is not None
    assert newest.step == SAVED_AT
    again = warm.attempt(run, resume=f"checkpoints/{newest.path.name}")
    whole, tail = step_figures(straight.events), step_figures(again.events)
    assert min(tail) == SAVED_AT + 1
    assert max(tail) == max(whole) == again.of("plan")[0]["total_steps"]
    for step, figures in tail.items():
        assert figures == whole[step], f"step {step}"
    for step, figures in step_figures(cut.events).items():
        assert figures == whole[step], f"step {step} before the kill"
    measured = {event["step"]: (event["loss"], event["exact_match"]) for event in straight.of("eval")}
    assert {event["step"]: (event["loss"], event["exact_match"]) for event in again.of("eval")} == {
        step: value for step, value in measured.items() if step > SAVED_AT
    }
    assert "base" not in {event["source"] for event in again.of("sample")}, "the base was measured in the first attempt"
    ours = load_file(checkpoint_dir(run, again.events[-1]) / "adapter_model.safetensors")
    theirs = load_file(checkpoint_dir(whole_run, straight.events[-1]) / "adapter_model.safetensors")
    assert all((ours[name] == theirs[name]).all() for name in theirs)


def test_without_the_random_state_it_is_refused(killed):
    run = copy_of(killed[0])
    place = run.checkpoint(SAVED_AT)
    (place / "rng_state.pth").unlink()
    with WorkerThread(run, resume=f"checkpoints/{place.name}") as again:
        assert again.ended()["outcome"] == "failed"
    (fault,) = again.of("fault")
    assert fault["code"] == "CHECKPOINT_INVALID"
    assert "rng_state.pth" in fault["cause"]
    assert not again.of("step")


def test_killed_while_saving_it_goes_on_from_the_checkpoint_before(warm):
    run = new_run(steps=8, save_every=2)
    worker = warm.attempt(run, kill="worker.save.rename:2")
    assert worker.code == -signal.SIGKILL
    assert [event["step"] for event in worker.of("checkpoint")] == [2]
    assert [info.step for info in checkpoints.list_checkpoints(run, deep=True)] == [2]
    assert len(list(run.checkpoints.glob(".tmp-*"))) == 1
    checkpoints.sweep(run)
    with WorkerThread(run, resume="checkpoints/step-000002") as again:
        assert again.ended()["outcome"] == "completed"
    assert [info.step for info in checkpoints.list_checkpoints(run, deep=True)] == [2, 4, 6, 8]
    assert not list(run.checkpoints.glob(".*"))


def test_other_data_is_refused_by_name(tmp_path):
    file = tmp_path / "rows.jsonl"
    rows = [f'{{"question": "Say {n}", "answer": "It is {n}."}}' for n in range(24)]
    file.write_text("\n".join(rows))
    run = new_run(path=str(file), steps=4, save_every=2)
    with WorkerThread(run) as worker:
        worker.ended()
    file.write_text("\n".join(rows[:-1]))
    with WorkerThread(run, resume="checkpoints/step-000002") as again:
        end = again.ended()
    (fault,) = again.of("fault")
    assert fault["code"] == "RESUME_DATA_CHANGED"
    assert "the training rows" in fault["cause"]
    assert (end["outcome"], end["checkpoint"]) == ("failed", "checkpoints/step-000002")
    assert not again.of("step")


def test_the_same_rows_under_another_name_are_accepted(tmp_path):
    file, moved = tmp_path / "rows.jsonl", tmp_path / "moved.jsonl"
    file.write_text("\n".join(f'{{"question": "Say {n}", "answer": "It is {n}."}}' for n in range(24)))
    run = new_run(path=str(file), steps=4, save_every=2)
    with WorkerThread(run) as worker:
        worker.ended()
    file.rename(moved)
    other = create_run(quick_spec(path=str(moved), steps=4, save_every=2).model_dump())
    shutil.copytree(run.checkpoints, other.checkpoints, dirs_exist_ok=True)
    with WorkerThread(other, resume="checkpoints/step-000002") as again:
        assert again.ended()["outcome"] == "completed"
    assert step_figures(again.events)[4] == step_figures(worker.events)[4]


@pytest.mark.parametrize("method", ["full", "qlora"])
@pytest.mark.parametrize("packing", [False, True])
def test_other_methods_and_packing_continue_exactly_too(method, packing):
    settings = {
        **HARD,
        "epochs": 1,
        "max_rows": 60,
        "samples": 0,
        "eval_every": 0,
        "save_every": 2,
        "method": method,
        "packing": packing,
        "gradient_checkpointing": True,
    }
    run = new_run(**settings)
    with WorkerThread(run) as worker:
        worker.ended()
    whole = step_figures(worker.events)
    middle = len(whole) // 4 * 2
    for step in (step for step in whole if step > middle and run.checkpoint(step).is_dir()):
        checkpoints.remove_checkpoint(run, step)
    with WorkerThread(run, resume=f"checkpoints/step-{middle:06d}") as again:
        again.ended()
    tail = step_figures(again.events)
    assert sorted(tail) == [step for step in whole if step > middle]
    assert all(tail[step] == whole[step] for step in tail)


def test_a_run_that_died_after_its_last_checkpoint_only_has_to_say_so():
    run = new_run(steps=4)
    with WorkerThread(run) as worker:
        end = worker.ended()
    with WorkerThread(run, resume=end["checkpoint"]) as again:
        assert again.ended() == end
    assert not again.of("step")
