"""DeepSpeed's ZeRO-2 (`parallel=zero2`): the curve of one process, checkpoints in whole tensors, and an exact way back."""

from __future__ import annotations

import json
import math
import signal
from pathlib import Path
from typing import Any

import pytest
import torch

from backprop_tui.hardware.extras import installed_version
from tests.engine.test_distributed import ALONE, TOGETHER, close
from tests.engine.test_not_finite import WILD
from tests.support.ranks import Ranks, train_together
from tests.support.worker_driver import Driver, checkpoint_dir, new_run, step_figures, train

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


def test_gradients_over_a_bfloat16_base_are_added_up_in_full() -> None:
    few = {"dtype": "bfloat16", "steps": 2}
    ours, theirs = (
        step_figures(one.events) for one in (train_together(2, **{**ZERO, **few}), train(**{**ALONE, **few}))
    )
    assert ours.keys() == theirs.keys() == {1, 2}
    assert all(ours[step][:2] == pytest.approx(theirs[step][:2], rel=5e-5) for step in theirs)


@pytest.mark.parametrize(
    ("size", "settings"), [(2, {"dropout": 0.1}), (3, {"method": "full"})], ids=["lora-dropout", "full-on-three"]
)
def test_killed_it_goes_on_exactly(size: int, settings: dict[str, Any]) -> None:
    """Three processes don't share the model's weights out evenly: what fills up the last share is no part of a checkpoint."""
    run = new_run(devices=size, device="cpu", **{**ZERO, **settings, "save_every": 2})
    killed = {"FAILPOINT": "worker.step:5"}
    with Ranks(run, size, env=dict.fromkeys(range(size), killed)) as first:
        assert set(first.codes()) == {-signal.SIGKILL}
    with Ranks(run, size, resume="checkpoints/step-000002") as second:
        assert second.ended()["outcome"] == "completed", second.ended()
    assert second.of("resume")[0]["kind"] == "exact"
    straight, again = step_figures(first.events), step_figures(second.events)
    assert sorted(again) == [3, 4, 5]
    assert all(again[step] == straight[step] for step in again)


@pytest.mark.parametrize("ways", [("zero2", "ddp"), ("ddp", "zero2")], ids="-to-".join)
def test_what_one_way_saved_another_goes_on_from(ways: tuple[str, str]) -> None:
    """With LoRA+, whose groups of the optimiser move at rates of their own, and one of them has no weights."""
    plus = {"lora_plus": 4.0, "steps": 6, "save_every": 2}
    run = new_run(devices=2, device="cpu", **{**TOGETHER, **plus, "parallel": ways[0]})
    killed = {"FAILPOINT": "worker.step:3"}
    with Ranks(run, 2, env={0: killed, 1: killed}) as first:
        first.codes()
    words = run.read_spec()
    words["devices"]["parallel"] = ways[1]
    run.spec_file.write_text(json.dumps(words))
    with Ranks(run, 2, resume="checkpoints/step-000002") as second:
        assert second.ended()["outcome"] == "completed", second.ended()
    assert second.of("plan")[0]["parallel"] == ways[1]
    close(second, _only(train(**{**ALONE, **plus}), {3, 4, 5, 6}))


def _only(run: Driver, steps: set[int]) -> Driver:
    run.events[:] = [event for event in run.events if event["k"] != "step" or event["step"] in steps]
    return run


def test_a_gradient_that_is_no_number_pauses_at_once() -> None:
    """DeepSpeed leaves out such a step and says nothing."""
    run = new_run(devices=2, device="cpu", parallel="zero2", **WILD)
    with Ranks(run, 2) as ranks:
        ranks.wait_for("state", state="paused")
        ranks.command("stop")
        end = ranks.ended()
    (fault,) = ranks.of("fault")
    steps = ranks.of("step")
    assert fault["code"] == "LOSS_NOT_FINITE"
    assert all(math.isfinite(float(step[name])) for step in steps[:-1] for name in ("loss", "grad_norm"))
    assert (end["outcome"], end["checkpoint"]) == ("stopped", f"checkpoints/step-{steps[-1]['step'] - 1:06d}")


def test_rates_change_and_a_stop_saves_and_nothing_was_compiled(tmp_path: Path) -> None:
    """A lock that a killed compiler leaves would let every later run of the user wait without end."""
    run = new_run(devices=2, device="cpu", **{**ZERO, "steps": 100_000, "schedule": "constant"})
    compiled = {"TORCH_EXTENSIONS_DIR": str(tmp_path / "compiled")}
    with Ranks(run, 2, env={0: compiled, 1: compiled}) as ranks:
        ranks.wait_for("step", step=2)
        assert ranks.obeyed("set", learning_rate=1e-4)["ok"]
        ranks.wait_for("step", step=len(ranks.of("step")) + 2)
        ranks.command("stop")
        end = ranks.ended()
    assert end["outcome"] == "stopped"
    assert ranks.of("step")[-1]["lr"] == pytest.approx(1e-4)
    state = torch.load(checkpoint_dir(run, end) / "optimizer.pt", weights_only=True)
    assert {group["lr"] for group in state["param_groups"]} == {1e-4}
    assert not (tmp_path / "compiled").exists()
