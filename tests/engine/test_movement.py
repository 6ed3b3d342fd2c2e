"""Every optimiser and schedule that is offered steps as it says, and what is set for it arrives."""

from __future__ import annotations

import math
from typing import Any, get_args

import pytest
import torch

from backprop_tui.hardware.extras import installed_version
from backprop_tui.launch.variants import OPTIMIZER_PACKAGES
from backprop_tui.protocol.effects import applies
from backprop_tui.protocol.fields import find_setting, with_overrides
from backprop_tui.protocol.parts.optim import Optimizer, Schedule
from backprop_tui.protocol.spec import RunSpec

pytestmark = pytest.mark.train

RATE = 1e-2
STEPS = 20


def arguments(tmp_path: Any, **overrides: Any) -> Any:
    """TRL's arguments for a run of 20 steps, 4 of them warm-up, as the trainer gets them."""
    from trl import SFTConfig

    from backprop_tui.engine.worker.movement import movement_options
    from backprop_tui.engine.worker.schedule import make_schedule

    spec = with_overrides(RunSpec(), {"steps": STEPS, "warmup": 4, "learning_rate": RATE, **overrides})
    options = movement_options(spec, make_schedule(spec, 8, 4), SFTConfig)
    return SFTConfig(output_dir=str(tmp_path), use_cpu=True, report_to="none", bf16=False, **options)


@pytest.mark.parametrize("name", get_args(Optimizer))
def test_an_optimiser_moves_weights_downhill_with_the_constants_it_was_given(name: str, tmp_path: Any) -> None:
    from transformers import Trainer

    package = OPTIMIZER_PACKAGES.get(name)
    if package is not None and installed_version(package) is None:
        pytest.skip(f"{package} is not installed; that it is refused then is proved elsewhere")
    constants = {"beta1": 0.8, "beta2": 0.95, "epsilon": 1e-6}
    args = arguments(tmp_path, optimizer=name, **constants)
    torch.manual_seed(0)
    # 8-bit states begin at 4,096 elements.
    model = torch.nn.Linear(64, 64, bias=False)
    inputs = torch.randn(32, 64)

    def made(module: torch.nn.Module) -> Any:
        kind, options = Trainer.get_optimizer_cls_and_kwargs(args, module)  # type: ignore[arg-type]
        return kind(module.parameters(), **options)

    def moved(module: torch.nn.Module, optimizer: Any, steps: int) -> list[float]:
        losses = []
        for _ in range(steps):
            loss = module(inputs).square().mean()
            losses.append(float(loss.detach()))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        return losses

    optimizer = made(model)
    before = moved(model, optimizer, 3)
    torch.save({"weights": model.state_dict(), "optimizer": optimizer.state_dict()}, tmp_path / "saved.pt")
    after = moved(model, optimizer, 3)
    assert after[-1] < before[0]
    saved = torch.load(tmp_path / "saved.pt", weights_only=True)
    again = torch.nn.Linear(64, 64, bias=False)
    again.load_state_dict(saved["weights"])
    other = made(again)
    other.load_state_dict(saved["optimizer"])
    assert moved(again, other, 3) == after
    assert torch.equal(again.weight, model.weight)
    group = optimizer.param_groups[0]
    spec = with_overrides(RunSpec(), {"optimizer": name})
    betas = group.get("betas") or (group.get("beta1"), group.get("beta2"))
    assert (betas[0] is not None and name != "adafactor") == applies(find_setting("beta1"), spec)
    if applies(find_setting("beta1"), spec):
        assert tuple(betas)[:2] == (0.8, 0.95)
    if applies(find_setting("epsilon"), spec):
        assert group["eps"] == 1e-6


@pytest.mark.parametrize("name", get_args(Schedule))
def test_a_schedule_rises_and_then_goes_as_its_name_says(name: str, tmp_path: Any) -> None:
    from transformers import get_scheduler

    def rates(**overrides: Any) -> list[float]:
        args = arguments(tmp_path, schedule=name, **overrides)
        optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=RATE)
        schedule = get_scheduler(args.lr_scheduler_type, optimizer, args.warmup_steps, STEPS, args.lr_scheduler_kwargs)
        found = []
        for _ in range(STEPS):
            found.append(schedule.get_last_lr()[0] / RATE)
            optimizer.step()
            schedule.step()
        return [*found, schedule.get_last_lr()[0] / RATE]

    usual = rates()
    assert max(usual) == pytest.approx(1.0)
    assert usual[:4] == sorted(usual[:4])
    assert usual[4] == pytest.approx(1.0), "the warm-up is over"
    ends = {
        "cosine": 0.1, "linear": 0.0, "constant": 1.0, "cosine_restarts": 0.0, "polynomial": 0.1,
        "inverse_sqrt": math.sqrt(4 / 20), "wsd": 0.1,
    }  # fmt: skip
    assert usual[-1] == pytest.approx(ends[name], abs=1e-9)
    if applies(find_setting("min_lr_ratio"), with_overrides(RunSpec(), {"schedule": name})):
        assert rates(min_lr_ratio=0.5)[-1] == pytest.approx(0.5)
        assert rates(min_lr_ratio=1.0)[-1] == pytest.approx(1.0)
    if name == "cosine_restarts":
        starts = [place for place in range(5, STEPS) if usual[place] > usual[place - 1]]
        assert len(starts) == 2, "three cycles begin twice anew"
        assert not [place for place in range(5, STEPS) if rates(restarts=1)[place] > rates(restarts=1)[place - 1]]
    if name == "polynomial":
        middle = 12
        assert rates(lr_power=1.0)[middle] == pytest.approx(0.55)
        assert usual[middle] < rates(lr_power=1.0)[middle]
    if name == "wsd":
        assert usual[4:16] == [1.0] * 12
        assert usual[17] < 1.0
        assert rates(decay_share=0.5)[11] < 1.0


def test_lora_plus_splits_groups_and_keeps_their_order() -> None:
    from backprop_tui.engine.worker.movement import apply_lora_plus, rates_in_proportion

    class Model(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lora_A = torch.nn.ModuleDict({"default": torch.nn.Linear(4, 2, bias=False)})
            self.lora_B = torch.nn.ModuleDict({"default": torch.nn.Linear(2, 4, bias=False)})

    model = torch.nn.ModuleDict({"layer": Model()})
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, weight_decay=0.3)
    apply_lora_plus(optimizer, model, 1.0)
    assert len(optimizer.param_groups) == 1
    apply_lora_plus(optimizer, model, 16.0)
    slow, fast = optimizer.param_groups
    assert (slow["lr"], fast["lr"]) == (1e-4, pytest.approx(1.6e-3))
    assert slow["params"][0].shape == (2, 4), "A moves at the rate that is shown"
    assert (slow["weight_decay"], fast["weight_decay"]) == (0.3, 0.3)
    assert rates_in_proportion([1e-4, 1.6e-3], 5e-5) == pytest.approx([5e-5, 8e-4])
    assert rates_in_proportion([0.0, 0.0], 5e-5) == [5e-5, 5e-5]
