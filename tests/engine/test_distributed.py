"""Several processes train one run: the curve of one process, one will at every step's end, and a loss of one survived.

The processes are real and speak gloo with each other; torchrun and the host come in where they matter.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from backprop_tui.launch.start import start_run
from backprop_tui.store.layout import RunDir
from tests.support.engines import at_step, events, eventually, over
from tests.support.ranks import Ranks, train_together
from tests.support.worker_driver import checkpoint_dir, new_run, quick_spec, step_figures, train

pytestmark = [pytest.mark.train, pytest.mark.timeout(240)]
#: The same rows in a step, by two processes with four of them at a time and by one with eight.
TOGETHER: dict[str, Any] = {"batch_size": 2, "accumulation": 2, "steps": 5, "eval_every": 0, "warmup": 0}
ALONE: dict[str, Any] = {**TOGETHER, "accumulation": 4, "device": "cpu"}


def close(first: Any, second: Any, tolerance: float = 2e-5) -> None:
    """Losses, gradient norms and rates of two runs, step by step, and their last evaluation."""
    one, other = step_figures(first.events), step_figures(second.events)
    assert one.keys() == other.keys()
    assert len(one) >= 4
    for step, (loss, norm, rate, tokens, _) in one.items():
        assert loss == pytest.approx(other[step][0], rel=tolerance, abs=tolerance), step
        assert norm == pytest.approx(other[step][1], rel=50 * tolerance), step
        assert (rate, tokens) == (other[step][2], other[step][3]), step
    for name in ("loss", "token_accuracy", "rows"):
        assert first.of("eval")[-1][name] == pytest.approx(second.of("eval")[-1][name], rel=10 * tolerance), name


@pytest.mark.parametrize("method", ["lora", "full"])
def test_two_processes_have_the_curve_of_one(method: str) -> None:
    together = train_together(2, method=method, **TOGETHER)
    assert together.ended()["outcome"] == "completed", together.ended()
    plan = together.of("plan")[0]
    assert (plan["processes"], plan["parallel"]) == (2, "ddp")
    close(together, train(method=method, **ALONE))


@pytest.mark.parametrize(
    "settings", [{"objective": "dpo"}, {"method": "qlora"}, {"adapter_start": "pissa"}], ids=["dpo", "qlora", "pissa"]
)
def test_other_objectives_and_bases_have_the_curve_of_one_as_well(settings: dict[str, Any]) -> None:
    few = {"steps": 2, "learning_rate": 1e-3}
    together = step_figures(train_together(2, **{**TOGETHER, **few, **settings}).events)
    alone = step_figures(train(**{**ALONE, **few, **settings}).events)
    assert together.keys() == alone.keys() == {1, 2}
    assert all(together[step][:2] == pytest.approx(alone[step][:2], rel=2e-4) for step in alone)


@pytest.mark.parametrize(("method", "file"), [("lora", "adapter_model.safetensors"), ("full", "model.safetensors")])
def test_shared_out_weights_have_the_same_curve_and_are_saved_whole(method: str, file: str) -> None:
    shared = train_together(2, method=method, parallel="fsdp2", **TOGETHER)
    assert shared.ended()["outcome"] == "completed", shared.ended()
    assert shared.of("plan")[0]["parallel"] == "fsdp2"
    alone = train(method=method, **ALONE)
    close(shared, alone)
    saved = load_file(checkpoint_dir(shared.run, shared.ended()) / file)
    wanted = load_file(checkpoint_dir(alone.run, alone.ended()) / file)
    assert saved.keys() == wanted.keys()
    assert all(torch.allclose(saved[name], wanted[name], atol=1e-4) for name in wanted)


@pytest.mark.parametrize(
    "settings", [{"dropout": 0.1}, {"method": "full", "parallel": "fsdp2"}], ids=["ddp-dropout", "fsdp2-full"]
)
def test_two_processes_go_on_exactly(settings: dict[str, Any]) -> None:
    wanted = {**TOGETHER, **settings, "save_every": 2, "steps": 6}
    whole = train_together(2, **wanted)
    run = new_run(devices=2, device="cpu", **wanted)
    killed = {"FAILPOINT": "worker.step:5"}
    with Ranks(run, 2, env={0: killed, 1: killed}) as first:
        assert set(first.codes()) == {-signal.SIGKILL}
    with Ranks(run, 2, resume="checkpoints/step-000004") as second:
        assert second.ended()["outcome"] == "completed", second.ended()
    assert second.of("resume")[0]["kind"] == "exact"
    straight, again = step_figures(whole.events), step_figures(second.events)
    assert sorted(again) == [5, 6]
    assert all(again[step] == straight[step] for step in again)
    saved = checkpoint_dir(second.run, second.ended())
    states = [torch.load(saved / f"rng_state_{rank}.pth", weights_only=False)["cpu"] for rank in range(2)]
    assert not torch.equal(states[0], states[1])


def test_commands_are_obeyed_by_all_at_the_same_step() -> None:
    run = new_run(devices=2, device="cpu", **{**TOGETHER, "steps": 100_000, "schedule": "constant"})
    with Ranks(run, 2) as ranks:
        ranks.wait_for("step", step=2)
        assert ranks.obeyed("set", learning_rate=1e-4)["ok"]
        assert ranks.obeyed("pause")["ok"]
        ranks.wait_for("state", state="paused")
        held = len(ranks.of("step"))
        assert ranks.obeyed("resume")["ok"]
        ranks.wait_for("step", step=held + 2)
        ranks.command("stop")
        end = ranks.ended()
    assert ranks.codes() == [0, 0]
    assert end["outcome"] == "stopped"
    assert checkpoint_dir(run, end).is_dir()
    assert ranks.of("step")[-1]["lr"] == pytest.approx(1e-4)


def test_a_signal_to_any_of_them_is_a_stop_for_all_also_inside_a_step() -> None:
    slow = {"accumulation": 300, "steps": 100, "preempt_grace_s": 1, "eval_split": 0, "save_every": 1}
    run = new_run(devices=2, device="cpu", **{**TOGETHER, **slow, "schedule": "constant"})
    with Ranks(run, 2) as ranks:
        # Once it is saved, nothing looks for a stop before the first pass of the next step.
        ranks.wait_for("checkpoint", step=1)
        os.kill(ranks.processes[1].pid, signal.SIGTERM)
        end = ranks.ended()
        assert ranks.codes() == [0, 0]
    assert (end["outcome"], end["step"]) == ("stopped", 1)
    assert checkpoint_dir(run, end).is_dir()
    assert any("passes of step 2 are done again" in event["message"] for event in ranks.of("log"))


def _workers(run: RunDir) -> list[int]:
    """Process ids of the run's workers by rank, as torchrun started them."""
    agent = events(run, "attempt")[-1].data["pid"]
    children = Path(f"/proc/{agent}/task/{agent}/children").read_text().split()
    ranks = {}
    for child in children:
        environment = Path(f"/proc/{child}/environ").read_text().split("\0")
        ranks.update({int(entry[5:]): int(child) for entry in environment if entry.startswith("RANK=")})
    return [ranks[rank] for rank in sorted(ranks)]


@pytest.mark.slow
def test_a_process_that_is_lost_ends_the_attempt_and_the_next_goes_on_from_the_checkpoint() -> None:
    spec = quick_spec(
        devices=2, device="cpu", save_every=3, **{**TOGETHER, "steps": 30_000, "schedule": "constant"}, eval_split=0
    )
    run = start_run(spec)
    at_step(run, 7, 120)
    workers = _workers(run)
    assert len(workers) == 2
    os.kill(workers[1], signal.SIGKILL)
    eventually(lambda: len(events(run, "attempt")) == 2, 60, "another attempt")
    second = events(run, "attempt")[-1].data
    assert second["resume_step"] >= 6
    assert "PROCESS_LOST" in [event.data["code"] for event in events(run, "alert")]
    at_step(run, second["resume_step"] + 2, 120)
    from backprop_tui.launch.client import send_command
    from backprop_tui.protocol.commands import Command, CommandName

    send_command(run, Command(CommandName.STOP))
    assert over(run, 60)[-1].data["outcome"] == "stopped"
