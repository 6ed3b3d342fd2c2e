"""Our losses against TRL's own trainers, on the same batch and the same weights."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from backprop_tui.config import paths
from backprop_tui.data import training_set
from backprop_tui.protocol.spec import ROWS_OF, TaskPart
from tests.support.worker_driver import quick_spec

pytestmark = [pytest.mark.train, pytest.mark.timeout(300)]


@pytest.fixture
def made(home: Path, tmp_path: Path) -> Any:
    """Our trainer of an objective, untrained, with one batch; `nudged` weights, so that policy and reference differ."""
    import torch

    from backprop_tui.engine.worker.dataset import stored
    from backprop_tui.engine.worker.ground import Ground
    from backprop_tui.engine.worker.loading import adapt_model, load_model, load_tokenizer
    from backprop_tui.engine.worker.methods import find_method
    from backprop_tui.engine.worker.objectives import find_objective
    from backprop_tui.engine.worker.precision import choose_precision
    from backprop_tui.engine.worker.recipe import make_trainer
    from backprop_tui.engine.worker.schedule import make_schedule
    from tests.support.worker_driver import Driver, new_run

    def make(objective: str, **settings: Any) -> Any:
        spec = quick_spec(objective=objective, method="full", max_rows=6, eval_split=0, **settings).in_force
        place = paths.demo_model_dir()
        built = training_set.build(spec.data, place, seed=1, purpose=ROWS_OF[objective])
        precision, tokenizer, method = choose_precision(spec), load_tokenizer(place), find_method("full")
        loaded = adapt_model(load_model(spec, place, method, precision), tokenizer, spec, method, str(place))
        learns = find_objective(objective)
        rows = learns.sequences(stored(built.train), spec, training=True)
        driver = Driver(new_run())
        from backprop_tui.engine.worker.channel import EventSink, Inbox

        sink, inbox = EventSink(driver.events_out), Inbox(on_stop=lambda reason: None)
        learns.prepare(Ground(sink, inbox, spec, loaded, precision, rows, None, 4))
        sink.close()
        trainer = make_trainer(spec, loaded, rows, make_schedule(spec, 6, 6), precision, 6, tmp_path, SimpleNamespace())
        torch.manual_seed(0)
        with torch.no_grad():
            for weights in loaded.model.parameters():
                weights.add_(0.02 * torch.randn_like(weights))
        trainer.model.eval()
        return trainer, trainer.batches(rows).batch(range(6))

    return make


@pytest.mark.parametrize("loss", ["sigmoid", "ipo", "hinge", "robust"])
def test_dpo_is_that_of_trl(made: Any, tmp_path: Path, loss: str) -> None:
    from datasets import Dataset
    from trl import DPOConfig, DPOTrainer

    # TRL smooths labels of the robust loss alone; ours of the plain one is compared with the formula elsewhere.
    smoothing = 0.2 if loss == "robust" else 0.0
    trainer, batch = made("dpo", dpo_loss=loss, beta=0.3, label_smoothing=smoothing)
    text = Dataset.from_dict({"prompt": ["a"], "chosen": ["b"], "rejected": ["c"]})
    theirs = DPOTrainer(
        trainer.model,
        ref_model=None,
        args=DPOConfig(
            str(tmp_path), loss_type=[loss], beta=0.3, label_smoothing=smoothing, precompute_ref_log_probs=True,
            bf16=False, use_cpu=True, report_to="none", disable_tqdm=True,
        ),
        train_dataset=text,
        processing_class=trainer.processing_class,
    )  # fmt: skip
    theirs.model.eval()
    chosen, rejected = batch["reference"].chunk(2)
    inputs = {
        "input_ids": batch["input_ids"],
        "attention_mask": batch["attention_mask"],
        "completion_mask": (batch["labels"] != -100).long(),
        "ref_chosen_logps": chosen,
        "ref_rejected_logps": rejected,
    }
    expected = float(theirs.compute_loss(theirs.model, inputs))
    figures = {name: values[-1] for name, values in theirs._metrics["eval"].items()}
    mine = trainer.measure(batch)
    assert mine["loss"][0] / mine["loss"][1] == pytest.approx(expected, rel=1e-5)
    for ours, name in (("margin", "margins"), ("accuracy", "accuracies"), ("chosen", "chosen")):
        total, count = mine[f"rewards/{ours}"]
        assert total / count == pytest.approx(figures[f"rewards/{name}"], rel=1e-4, abs=1e-6)


def test_kto_is_that_of_trl(made: Any, tmp_path: Path) -> None:
    from datasets import Dataset
    from trl import KTOConfig, KTOTrainer

    trainer, batch = made("kto", beta=0.3, desirable_weight=1.5, undesirable_weight=0.5)
    text = Dataset.from_dict({"prompt": ["a", "b"], "completion": ["b", "c"], "label": [True, False]})
    theirs = KTOTrainer(
        trainer.model,
        ref_model=None,
        args=KTOConfig(
            str(tmp_path), beta=0.3, desirable_weight=1.5, undesirable_weight=0.5, precompute_ref_log_probs=True,
            per_device_train_batch_size=2, bf16=False, use_cpu=True, report_to="none", disable_tqdm=True,
        ),
        train_dataset=text,
        processing_class=trainer.processing_class,
    )  # fmt: skip
    theirs.model.eval()
    inputs = {
        "input_ids": batch["input_ids"],
        "attention_mask": batch["attention_mask"],
        "completion_mask": (batch["labels"] != -100).long(),
        "KL_input_ids": batch["other_input_ids"],
        "KL_attention_mask": batch["other_attention_mask"],
        "KL_completion_mask": (batch["other_labels"] != -100).long(),
        "label": batch["wanted"],
        "ref_logps": batch["reference"],
        "ref_KL_logps": batch["other_reference"],
    }
    expected = float(theirs.compute_loss(theirs.model, inputs))
    total, count = trainer.measure(batch)["loss"]
    assert total / count == pytest.approx(expected, rel=1e-5)


def test_reward_is_that_of_trl(made: Any, tmp_path: Path) -> None:
    from datasets import Dataset
    from trl import RewardConfig, RewardTrainer

    trainer, batch = made("reward", center_rewards=0.05)
    theirs = RewardTrainer(
        trainer.model,
        args=RewardConfig(
            str(tmp_path),
            center_rewards_coefficient=0.05,
            bf16=False,
            use_cpu=True,
            report_to="none",
            disable_tqdm=True,
        ),
        train_dataset=Dataset.from_dict({"chosen_ids": [[1, 2]], "rejected_ids": [[1, 3]]}),
        processing_class=trainer.processing_class,
    )
    theirs.model.eval()
    inputs = {name: batch[name] for name in ("input_ids", "attention_mask")}
    expected = float(theirs.compute_loss(theirs.model, inputs))
    total, count = trainer.measure(batch)["loss"]
    assert total / count == pytest.approx(expected, rel=1e-5)


def test_orpo_and_simpo_are_those_of_trl() -> None:
    """Their formulas for given log-probabilities; TRL's ORPO imitates the prompt as well, which our masks leave out."""
    import torch
    from trl.experimental.cpo import CPOTrainer
    from trl.experimental.orpo import ORPOTrainer

    from backprop_tui.engine.worker.objectives.orpo import log_odds

    torch.manual_seed(1)
    better, worse = -torch.rand(50) * 6, -torch.rand(50) * 6
    device = SimpleNamespace(device=torch.device("cpu"))
    losses, *_, mean = ORPOTrainer.odds_ratio_loss(SimpleNamespace(beta=0.3, accelerator=device), better, worse)
    odds = log_odds(better) - log_odds(worse)
    torch.testing.assert_close(0.3 * torch.nn.functional.logsigmoid(odds), losses)
    torch.testing.assert_close(odds.mean(), mean)
    task = TaskPart(objective="simpo", simpo_beta=1.5, simpo_gamma=0.6)
    theirs = SimpleNamespace(
        beta=1.5, simpo_gamma=0.6, loss_type="simpo", label_smoothing=0.0, alpha=0.0, accelerator=device
    )
    wanted = CPOTrainer.cpo_loss(theirs, better, worse)[0]
    ours = -torch.nn.functional.logsigmoid(task.simpo_beta * (better - worse) - task.simpo_gamma)
    torch.testing.assert_close(ours, wanted)


def test_odds_stay_finite_where_an_answer_is_certain_or_hopeless() -> None:
    import torch

    from backprop_tui.engine.worker.objectives.orpo import log_odds

    logps = torch.tensor([0.0, -1e-9, -1e-4, -0.69, -0.7, -40.0, -1000.0], requires_grad=True)
    found = log_odds(logps)
    found.sum().backward()
    assert torch.isfinite(found).all()
    assert torch.isfinite(logps.grad).all()
    assert (found.diff() <= 0).all()
