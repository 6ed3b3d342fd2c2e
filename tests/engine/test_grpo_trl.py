"""GRPO's loss and advantages beside TRL's own, on the same answers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from backprop_tui.config import paths
from backprop_tui.store.layout import create_run
from tests.support.grpo import SHORT
from tests.support.worker_driver import quick_spec

pytestmark = [pytest.mark.train, pytest.mark.timeout(300)]


@pytest.fixture
def learner(home: Path, tmp_path: Path) -> Callable[..., Any]:
    """Our trainer, untrained, and the step's micro-batches it made of four prompts."""
    from types import SimpleNamespace

    import torch

    from backprop_tui.data import training_set
    from backprop_tui.engine.worker.dataset import stored
    from backprop_tui.engine.worker.loading import adapt_model, load_model, load_tokenizer
    from backprop_tui.engine.worker.methods import find_method
    from backprop_tui.engine.worker.objectives import find_objective
    from backprop_tui.engine.worker.precision import choose_precision
    from backprop_tui.engine.worker.recipe import make_trainer
    from backprop_tui.engine.worker.schedule import make_schedule

    def make(**settings: Any) -> tuple[Any, list[dict[str, Any]]]:
        words = {**SHORT, "method": "full", "max_rows": 4, "eval_split": 0, "reward_functions": "brevity", **settings}
        spec = quick_spec(**words).in_force
        run, place = create_run(spec.model_dump()), paths.demo_model_dir()
        built = training_set.build(spec.data, place, seed=1, purpose="prompt")
        precision, tokenizer, method = choose_precision(spec), load_tokenizer(place), find_method("full")
        loaded = adapt_model(load_model(spec, place, method, precision), tokenizer, spec, method, str(place))
        rows = find_objective("grpo").sequences(stored(built.train), spec, training=True)
        schedule = make_schedule(spec, 4, 2)
        trainer = make_trainer(spec, loaded, rows, schedule, precision, 2, run.checkpoints, SimpleNamespace())  # type: ignore[arg-type]
        trainer.stop_ids = [tokenizer.eos_token_id]
        torch.manual_seed(0)
        batches = trainer.drawn([trainer.batches(rows).batch([0, 1]), trainer.batches(rows).batch([2, 3])])
        return trainer, batches

    return make


@pytest.mark.parametrize("loss", ["dapo", "grpo", "dr_grpo"])
@pytest.mark.parametrize("reuse", [1, 2])
def test_the_loss_is_that_of_trl(learner: Callable[..., Any], loss: str, reuse: int) -> None:
    import torch

    trainer, batches = learner(policy_loss=loss, answer_reuse=reuse, kl_weight=0.3, clip_epsilon=0.1)
    with torch.no_grad():
        for weights in trainer.model.parameters():
            weights.add_(0.02 * torch.randn_like(weights))
    trainer.model.eval()
    total = sum(int((batch["labels"] != -100).sum()) for batch in batches)
    for batch in batches:
        ours = float(trainer.compute_loss(trainer.model, _tensors(batch)).detach())
        assert ours == pytest.approx(_of_trl(trainer, batch, loss, total), rel=1e-4, abs=1e-7)
        if reuse == 1:
            assert "old" not in batch


@pytest.mark.parametrize("scale", ["group", "batch", "none"])
def test_advantages_are_those_of_trl(scale: str) -> None:
    """As `_generate_and_score_completions` computes them, rewards of several functions and answers nobody can score."""
    import torch
    from trl.trainer.grpo_trainer import nanstd

    from backprop_tui.engine.worker.objectives.advantages import advantages_of, summed

    chance = torch.Generator().manual_seed(3)
    values = torch.rand(12, 2, generator=chance)
    values[values < 0.2] = float("nan")
    values[4] = float("nan")
    values[8:] = 0.5
    weights = torch.tensor([1.0, -0.5])
    rewards = (values * weights).nansum(dim=1)
    rewards[values.isnan().all(dim=1)] = float("nan")
    groups = rewards.view(-1, 4)
    theirs = rewards - groups.nanmean(dim=1).repeat_interleave(4)
    if scale == "group":
        theirs = theirs / (nanstd(groups, dim=1).repeat_interleave(4) + 1e-4)
    elif scale == "batch":
        theirs = theirs / (nanstd(rewards) + 1e-4)
    given = [[None if one != one else one for one in column] for column in values.T.tolist()]
    ours, flat = advantages_of(summed(given, weights.tolist()), 4, scale)  # type: ignore[arg-type]
    assert ours.tolist() == pytest.approx(theirs.nan_to_num(0.0).tolist(), rel=1e-5, abs=1e-6)
    assert flat == pytest.approx(1 / 3)


def _tensors(batch: dict[str, Any]) -> dict[str, Any]:
    import torch

    return {name: value for name, value in batch.items() if torch.is_tensor(value)}


def _of_trl(trainer: Any, batch: dict[str, Any], loss: str, total: int) -> float:
    """`GRPOTrainer._compute_loss` on the same answers, its prompts padded on the left as it has them."""
    from collections import defaultdict
    from types import MethodType, SimpleNamespace

    import torch
    from trl import GRPOTrainer

    labels, ids = batch["labels"], batch["input_ids"]
    rows = [
        (row[: int((mark != -100).int().argmax())], row[mark != -100]) for row, mark in zip(ids, labels, strict=True)
    ]
    wide, long = max(len(asked) for asked, _ in rows), max(len(said) for _, said in rows)
    inputs: dict[str, Any] = {
        name: torch.zeros(len(rows), size, dtype=torch.long)
        for name, size in (
            ("prompt_ids", wide),
            ("prompt_mask", wide),
            ("completion_ids", long),
            ("completion_mask", long),
        )
    }
    beside = {name: torch.zeros(len(rows), long) for name in ("old", "reference") if name in batch}
    for place, (asked, said) in enumerate(rows):
        inputs["prompt_ids"][place, wide - len(asked) :], inputs["prompt_mask"][place, wide - len(asked) :] = asked, 1
        inputs["completion_ids"][place, : len(said)], inputs["completion_mask"][place, : len(said)] = said, 1
        for name, values in beside.items():
            values[place, : len(said)] = batch[name][place][labels[place, 1:] != -100]
    inputs |= {"advantages": batch["advantages"], "ref_per_token_logps": beside["reference"]}
    inputs |= {"num_items_in_batch": torch.tensor(total)} | (
        {"old_per_token_logps": beside["old"]} if "old" in beside else {}
    )
    part = trainer._part
    them = SimpleNamespace(
        model=SimpleNamespace(training=True), accelerator=trainer.accelerator, beta=part.kl_weight, loss_type=loss,
        args=SimpleNamespace(delta=None, use_bias_correction_kl=False, steps_per_generation=2), top_entropy_quantile=1.0,
        epsilon_low=part.clip_epsilon, epsilon_high=part.clip_epsilon, importance_sampling_level="token",
        off_policy_mask_threshold=None, use_vllm=False, aux_loss_enabled=False, _entropy_bonus_enabled=False,
        current_gradient_accumulation_steps=2, max_completion_length=part.answer_length,
        _metrics={"train": defaultdict(list), "eval": defaultdict(list)},
    )  # fmt: skip
    them._get_per_token_logps_and_entropies = MethodType(GRPOTrainer._get_per_token_logps_and_entropies, them)
    return float(GRPOTrainer._compute_loss(them, trainer.model, inputs).detach())
