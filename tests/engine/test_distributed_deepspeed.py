"""DeepSpeed's ZeRO-2 (`parallel=zero2`): the curve of one process, checkpoints in whole tensors, and an exact way back."""

from __future__ import annotations

import signal
from typing import Any

import pytest
import torch

from backprop_tui.hardware.extras import installed_version
from tests.engine.test_distributed import ALONE, TOGETHER, close
from tests.support.ranks import Ranks, train_together
from tests.support.worker_driver import checkpoint_dir, new_run, step_figures, train

pytestmark = [
    pytest.mark.train,
    pytest.mark.timeout(240),
    pytest.mark.skipif(installed_version("deepspeed") is None, reason="deepspeed is not installed"),
]
ZERO: dict[str, Any] = {**TOGETHER, "parallel": "zero2"}


@pytest.mark.parametrize("method", ["lora", "full"])
def test_it_has_the_curve_of_one_process_and_its_optimiser_is_saved_whole(method: str) -> None:
    zero = train_together(2, method=method, **ZERO)
    assert zero.ended()["outcome"] == "completed", zero.ended()
    assert zero.of("plan")[0]["parallel"] == "zero2"
    alone = train(method=method, **ALONE)
    close(zero, alone)
    ours, theirs = (
        torch.load(checkpoint_dir(one.run, one.ended()) / "optimizer.pt", weights_only=True)["state"]
        for one in (zero, alone)
    )
    assert ours.keys() == theirs.keys()
    for number, wanted in theirs.items():
        assert float(ours[number]["step"]) == float(wanted["step"])
        for name in ("exp_avg", "exp_avg_sq"):
            assert ours[number][name].shape == wanted[name].shape
            assert torch.allclose(ours[number][name], wanted[name], rtol=1e-2, atol=1e-5), (number, name)


@pytest.mark.parametrize("settings", [{"dropout": 0.1}, {"method": "full"}], ids=["lora-dropout", "full"])
def test_killed_it_goes_on_exactly(settings: dict[str, Any]) -> None:
    wanted = {**ZERO, **settings, "save_every": 2, "steps": 6}
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


def test_rates_change_and_a_stop_saves() -> None:
    run = new_run(devices=2, device="cpu", **{**ZERO, "steps": 100_000, "schedule": "constant"})
    with Ranks(run, 2) as ranks:
        ranks.wait_for("step", step=2)
        assert ranks.obeyed("set", learning_rate=1e-4)["ok"]
        ranks.wait_for("step", step=len(ranks.of("step")) + 2)
        ranks.command("stop")
        end = ranks.ended()
    assert end["outcome"] == "stopped"
    assert ranks.of("step")[-1]["lr"] == pytest.approx(1e-4)
    state = torch.load(checkpoint_dir(run, end) / "optimizer.pt", weights_only=True)
    assert {group["lr"] for group in state["param_groups"]} == {1e-4}
