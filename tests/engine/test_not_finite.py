"""A loss, a gradient or weights that are no numbers: the run pauses, nothing of it is saved, and it goes back."""

from __future__ import annotations

import math
from typing import Any

import pytest

from backprop_tui.engine.host_attempts import worker_environment
from backprop_tui.launch.client import send_command
from backprop_tui.launch.start import launch_engine, resume_run
from backprop_tui.protocol.changes import Changes, RateChange, with_rate
from backprop_tui.protocol.commands import Command, CommandName
from backprop_tui.protocol.states import RunState
from backprop_tui.store import checkpoints
from backprop_tui.store.layout import RunDir
from backprop_tui.store.summary import load_summary
from tests.support.engines import ENGINE, events, eventually, over, started
from tests.support.worker_driver import Driver, WorkerThread, new_run, step_figures

pytestmark = pytest.mark.train

#: Steps of this size take the weights beyond what float32 holds within a few steps.
WILD: dict[str, Any] = {
    "method": "full", "steps": 200, "learning_rate": 1.0, "optimizer": "sgd", "max_grad_norm": 0, "warmup": 0,
    "schedule": "constant", "save_every": 1, "gradient_checkpointing": "off",
}  # fmt: skip


def resumed(run: RunDir, rates: list[RateChange]) -> WorkerThread:
    """The next attempt, as the host starts it."""
    newest = checkpoints.newest_valid(run)
    path = None if newest is None else newest.path.relative_to(run.path).as_posix()
    worker = WorkerThread(run, resume=path)
    worker.session.changes = Changes(rates=rates)
    return worker


def rates_told(*workers: Driver) -> list[RateChange]:
    """Changes of the learning rate as the host folds them."""
    known: list[RateChange] = []
    for worker in workers:
        for done in worker.of("command_done"):
            change = RateChange.from_dict(done.get("rate"))
            known = known if change is None else with_rate(known, change)
    return known


def test_a_loss_that_is_no_number_pauses_and_one_command_goes_back_with_half_the_rate():
    run = new_run(**WILD)
    with WorkerThread(run) as worker:
        paused = worker.wait_for("state", state="paused")
        (fault,) = worker.of("fault")
        bad = worker.of("step")[-1]
        assert not math.isfinite(float(bad["loss"])) or not math.isfinite(float(bad["grad_norm"]))
        assert fault["code"] == "LOSS_NOT_FINITE"
        assert fault["step"] == bad["step"]
        assert fault["detail"]["last_good_step"] == bad["step"] - 1
        assert f"step {bad['step']}" in fault["cause"]
        assert f"checkpoint is that of step {bad['step'] - 1}" in fault["cause"]
        assert "--halve-lr" in fault["next"]
        assert fault["cause"] in paused["reason"]
        # Nothing may be measured or saved of it; the rate may be set.
        refused = worker.obeyed("checkpoint")
        assert (refused["ok"], "no longer made of numbers" in refused["detail"]) == (False, True)
        assert not worker.obeyed("evaluate")["ok"]
        assert worker.obeyed("resume", lr_factor=0.5)["ok"]
        retry = worker.wait_for("retry")
    assert retry["why"] == "rewind"
    assert not worker.of("end")
    good = bad["step"] - 1
    newest = checkpoints.newest_valid(run)
    assert newest is not None
    assert newest.step == good
    assert all_finite(run, good)
    rates = rates_told(worker)
    assert [(change.step, change.factor) for change in rates] == [(good, 0.5)]
    with resumed(run, rates) as again:
        first = again.wait_for("step")
        again.command("stop")
        again.finished()
    assert (first["step"], first["lr"]) == (bad["step"], 0.5)


def test_a_changed_rate_outlives_the_attempt_that_was_told():
    """Killed before a checkpoint holds a change: the next attempt makes it again, at the step at which it was made."""
    calm = {"steps": 10, "save_every": 4, "schedule": "linear"}
    whole = new_run(**calm, seed=7)
    with WorkerThread(whole) as first:
        first.command("pause")
        first.wait_for("state", state="paused")
        first.obeyed("set", learning_rate=1e-3)
        first.obeyed("resume")
        first.ended()
    (told,) = rates_told(first)
    assert (told.step, told.rate) == (0, 1e-3)
    # As if the rate had been halved after step 6, and the worker had died with only the checkpoint of step 4.
    checkpoints.remove_checkpoint(whole, 8)
    checkpoints.remove_checkpoint(whole, 10)
    with resumed(whole, [RateChange("late", 6, factor=0.5)]) as second:
        second.ended()
    before, after = step_figures(first.events), step_figures(second.events)
    assert [after[step][2] for step in (5, 6)] == [before[step][2] for step in (5, 6)]
    assert [after[step][2] for step in range(7, 11)] == pytest.approx([before[step][2] / 2 for step in range(7, 11)])
    # A later resume from a checkpoint that holds the change does not apply it twice.
    checkpoints.remove_checkpoint(whole, 10)
    with resumed(whole, [RateChange("late", 6, factor=0.5)]) as third:
        third.ended()
    assert step_figures(third.events) == {step: after[step] for step in (9, 10)}


def test_without_a_checkpoint_it_begins_again_with_half_the_rate():
    run = new_run(**{**WILD, "save_every": 0})
    with WorkerThread(run) as worker:
        worker.wait_for("state", state="paused")
        assert "the start" in worker.of("fault")[0]["next"]
        assert worker.obeyed("set", learning_rate=1e-3)["ok"]
        assert worker.obeyed("resume")["ok"]
        worker.wait_for("retry")
    rates = rates_told(worker)
    assert [(change.step, change.rate) for change in rates] == [(0, 1e-3)]
    with resumed(run, rates) as again:
        first = again.wait_for("step")
        again.command("stop")
        assert again.ended()["outcome"] == "stopped"
    assert (first["step"], first["lr"]) == (1, 1e-3)


def test_a_stop_saves_nothing_of_it():
    run = new_run(**WILD)
    with WorkerThread(run) as worker:
        worker.wait_for("state", state="paused")
        stopped = worker.obeyed("stop")
        end = worker.ended()
    bad = worker.of("step")[-1]["step"]
    assert "not saved" in stopped["detail"]
    assert end["outcome"] == "stopped"
    assert end["checkpoint"] == f"checkpoints/{run.checkpoint(bad - 1).name}"
    assert [info.step for info in checkpoints.list_checkpoints(run)] == list(range(1, bad))


def test_where_nobody_is_asked_it_fails_with_its_last_good_checkpoint():
    run = new_run(**WILD, nan_action="stop")
    with WorkerThread(run) as worker:
        end = worker.ended()
    (fault,) = worker.of("fault")
    bad = worker.of("step")[-1]["step"]
    assert (end["outcome"], end["step"], fault["code"]) == ("failed", bad, "LOSS_NOT_FINITE")
    assert end["checkpoint"] == f"checkpoints/{run.checkpoint(bad - 1).name}"
    assert fault["detail"] == {"what": "loss", "last_good_step": bad - 1} or fault["detail"]["what"] == "gradient"
    assert f"`backprop resume {run.short_id} --halve-lr`" in fault["next"]
    assert not worker.of("state", state="paused")
    assert [info.step for info in checkpoints.list_checkpoints(run)] == list(range(1, bad))


def test_weights_that_are_no_numbers_are_found_before_they_are_saved(monkeypatch):
    """The loss of a step is that of the weights before it: what the update did shows only in the weights."""
    from backprop_tui.engine.worker import finite

    run = new_run(steps=6, save_every=2, dropout=0.0)
    real = finite.what_is_not
    looked: list[str] = []

    def poison(trainer: Any) -> str:
        if len(looked) == 1:
            weights = next(one for one in trainer.model.parameters() if one.requires_grad)
            weights.data.view(-1)[0] = math.inf
        looked.append(real(trainer))
        return looked[-1]

    monkeypatch.setattr(finite, "what_is_not", poison)
    with WorkerThread(run) as worker:
        worker.wait_for("state", state="paused")
        worker.command("stop")
        worker.ended()
    assert looked[:2] == ["", "weights"]
    assert worker.of("fault")[0]["detail"] == {"what": "weights", "last_good_step": 2}
    assert [info.step for info in checkpoints.list_checkpoints(run)] == [2]


def test_one_command_to_the_real_engine(monkeypatch):
    """The host starts the next worker by itself, and that one goes on from the good checkpoint with half the rate."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    run = new_run(**{**WILD, "steps": 12, "learning_rate": 0.9})
    launch_engine(run)
    eventually(lambda: events(run, "retry", "fault") and load_summary(run).state is RunState.PAUSED, 60, "the pause")
    good = max(load_summary(run).view.checkpoints)
    assert send_command(run, Command(CommandName.RESUME, {"lr_factor": 0.5})).status == "accepted"
    eventually(lambda: [event for event in events(run, "step") if event.attempt == 2], 60, "the second attempt")
    send_command(run, Command(CommandName.ABORT))
    over(run, 60)
    attempts = [event.data for event in events(run, "attempt")]
    assert [attempt["resume_step"] for attempt in attempts] == [None, good]
    assert len({attempt["pid"] for attempt in attempts}) == 2
    (first, *_) = [event.data for event in events(run, "step") if event.attempt == 2]
    assert (first["step"], first["lr"]) == (good + 1, 0.45)


def test_resumed_after_its_end_with_another_rate_which_is_on_record_before_a_worker_hears_of_it():
    run = started(steps=12, crash={"step": 7, "how": "kill"})
    over(run)
    resume_run(run, engine=ENGINE, rate={"lr_factor": 0.5})
    journal = over(run)
    (command,) = [event.data for event in journal if event.kind == "command"]
    assert (command["name"], command["args"]) == ("set", {"lr_factor": 0.5, "from_step": 5})
    (change,) = load_summary(run).view.changes.rates
    assert (change.id, change.step, change.factor) == (command["id"], 5, 0.5)
    told = worker_environment({"BACKPROP_RESUME": "old", "PATH": "/bin"}, 2, None, Changes(rates=[change]))
    assert Changes.from_variable(told.pop("BACKPROP_CHANGES")).rates == (change,)
    assert told == {"PATH": "/bin", "BACKPROP_ATTEMPT": "2"}


def all_finite(run: RunDir, step: int) -> bool:
    """Whether every tensor of a checkpoint is made of numbers."""
    import torch
    from safetensors.torch import load_file

    place = run.checkpoint(step)
    tensors = [tensor for file in place.glob("*.safetensors") for tensor in load_file(file).values()]
    state = torch.load(place / "optimizer.pt", weights_only=True)["state"]
    tensors += [value for one in state.values() for value in one.values() if isinstance(value, torch.Tensor)]
    return bool(tensors) and all(bool(torch.isfinite(tensor).all()) for tensor in tensors if tensor.is_floating_point())
