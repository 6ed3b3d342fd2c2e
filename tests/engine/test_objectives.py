"""Every objective from its rows to its result: it learns, what it reports is what the papers' formulas give for the delivered
weights loaded with plain PEFT and transformers, and an attempt that goes on takes the very steps of one that was not stopped."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from backprop_tui.config import paths
from backprop_tui.store.layout import RunDir, create_run
from backprop_tui.store.lineage import Parent, adopt
from backprop_tui.store.resuming import checkpoint_at
from tests.support.paper_losses import by_hand, held_out, score
from tests.support.worker_driver import WorkerThread, checkpoint_dir, new_run, quick_spec, step_figures, train

pytestmark = [pytest.mark.train, pytest.mark.timeout(300)]

OBJECTIVES = ("dpo", "kto", "orpo", "simpo", "reward")
#: Not the defaults, so that a figure worked out with those would not agree.
SETTINGS: dict[str, dict[str, Any]] = {
    "dpo": {"beta": 0.2, "label_smoothing": 0.1, "nll_weight": 0.25},
    "kto": {"beta": 0.2, "desirable_weight": 1.5, "undesirable_weight": 0.75},
    "orpo": {"odds_weight": 0.3},
    "simpo": {"simpo_beta": 1.5, "simpo_gamma": 0.5, "nll_weight": 0.25},
    "reward": {"center_rewards": 0.02},
}
COMMON: dict[str, Any] = {"steps": 8, "save_every": 4, "eval_every": 4, "dropout": 0.1, "samples": 2, "rank": 8}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], WorkerThread]:
    """One run of each objective, made when it is first asked for; it outlives the test's own home."""
    root = tmp_path_factory.mktemp("runs")
    made: dict[str, WorkerThread] = {}

    def get(objective: str) -> WorkerThread:
        if objective not in made:
            spec = quick_spec(objective=objective, **COMMON, **SETTINGS[objective])
            with WorkerThread(create_run(spec.model_dump(), root)) as worker:
                worker.ended()
            made[objective] = worker
        return made[objective]

    return get


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_it_learns_from_the_bundled_rows_and_tells_its_figures(trained, objective):
    worker = trained(objective)
    assert worker.ended()["outcome"] == "completed", worker.of("fault")
    (plan,) = worker.of("plan")
    assert (plan["train_rows"], plan["eval_rows"], plan["effective_batch"]) == (240, 32, 8)
    before, _, after = worker.of("eval")
    assert after["loss"] < before["loss"]
    assert after["best"]
    assert after["rewards/margin"] > before["rewards/margin"]
    assert after["perplexity"] is None, "the loss is no likelihood"
    for step in worker.of("step"):
        assert all(math.isfinite(step[name]) for name in after if name.startswith(("rewards/", "logps/"))), step
        assert step["tokens"] > 0
        assert 0 < step["trained"] < step["tokens"]
    assert len(worker.of("sample")) == (0 if objective == "reward" else 6)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_its_loss_is_that_of_the_paper_for_the_delivered_weights(trained, objective):
    """All held-out rows, one by one, without our code: plain log-softmax over plainly loaded models."""
    worker = trained(objective)
    place = checkpoint_dir(worker.run, worker.events[-1])
    found = by_hand(objective, place, SETTINGS[objective])
    reported = worker.of("eval", step=8)[0]
    for name, value in found.items():
        assert reported[name] == pytest.approx(value, rel=2e-4, abs=1e-5), name


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_going_on_takes_the_very_steps_of_an_undisturbed_run(trained, objective):
    import torch
    from safetensors.torch import load_file

    worker = trained(objective)
    place = checkpoint_dir(worker.run, worker.events[-1])
    whole = load_file(place / "adapter_model.safetensors")
    again = new_run(objective=objective, **COMMON, **SETTINGS[objective])
    shutil.copytree(worker.run.checkpoint(4), again.checkpoint(4))
    with WorkerThread(again, resume="checkpoints/step-000004") as second:
        assert second.ended()["outcome"] == "completed", second.of("fault")
    figures = step_figures(worker.events)
    assert step_figures(second.events) == {step: figures[step] for step in range(5, 9)}
    for name in ("rewards/margin", "loss"):
        assert second.of("eval", step=8)[0][name] == worker.of("eval", step=8)[0][name]
        assert second.of("step", step=8)[0][name] == worker.of("step", step=8)[0][name]
    parts = load_file(checkpoint_dir(again, second.events[-1]) / "adapter_model.safetensors")
    assert parts.keys() == whole.keys()
    assert all(torch.equal(parts[name], whole[name]) for name in whole)


def test_micro_batches_of_any_size_make_the_same_step(home: Path) -> None:
    """The mean is over the pairs of a step, so that a short last micro-batch weighs no more than its pairs."""
    shapes = ((8, 1), (4, 2), (3, 3))
    steps = {}
    for size, accumulation in shapes:
        worker = train(
            objective="dpo",
            batch_size=size,
            accumulation=accumulation,
            steps=2,
            max_rows=8,
            eval_split=0,
            warmup=0,
            order="file",
        )
        steps[size] = worker.of("step")
    for size, _ in shapes[1:]:
        for one, other in zip(steps[8], steps[size], strict=True):
            assert one["loss"] == pytest.approx(other["loss"], rel=1e-5)
            assert one["grad_norm"] == pytest.approx(other["grad_norm"], rel=1e-4)
            assert one["rewards/margin"] == pytest.approx(other["rewards/margin"], rel=1e-4, abs=1e-6)
            assert one["tokens"] == other["tokens"]


def test_all_weights_are_compared_with_those_the_run_began_from(home: Path) -> None:
    """Full fine-tuning changes the base itself; what it found of the rows before is kept, also over a resume."""
    settings = {
        "objective": "dpo",
        "method": "full",
        "learning_rate": 1e-4,
        "steps": 6,
        "save_every": 3,
        "max_rows": 40,
    }
    worker = train(**settings)
    first = worker.of("step")[0]
    assert first["rewards/margin"] == pytest.approx(0.0, abs=1e-4)
    assert first["loss"] == pytest.approx(math.log(2), abs=1e-5)
    assert worker.of("step")[-1]["rewards/margin"] > 0.5
    with WorkerThread(worker.run, resume="checkpoints/step-000003") as second:
        assert second.ended()["outcome"] == "completed", second.of("fault")
    before = step_figures(worker.events)
    assert step_figures(second.events) == {step: before[step] for step in (4, 5, 6)}


def test_a_whole_reward_model_loads_with_transformers_alone(home: Path) -> None:
    from transformers import AutoModelForSequenceClassification

    worker = train(objective="reward", method="full", learning_rate=3e-4, steps=6, max_rows=40)
    place = checkpoint_dir(worker.run, worker.ended())
    model = AutoModelForSequenceClassification.from_pretrained(place).eval()
    assert model.config.num_labels == 1
    pairs = [(score(model, pair.chosen.ids), score(model, pair.rejected.ids)) for pair in held_out("reward")]
    right = sum(better > worse for better, worse in pairs) / len(pairs)
    assert right == worker.of("eval")[-1]["rewards/accuracy"] > 0.9


def test_a_quantised_base_learns_preferences_too(home: Path) -> None:
    worker = train(objective="dpo", method="qlora", steps=4, max_rows=40)
    assert worker.ended()["outcome"] == "completed", worker.of("fault")
    assert worker.of("step")[-1]["rewards/margin"] > worker.of("step")[0]["rewards/margin"]


@pytest.mark.parametrize("loss", ["ipo", "hinge", "robust"])
def test_the_losses_beside_dpo_train(home: Path, loss: str) -> None:
    worker = train(objective="dpo", dpo_loss=loss, label_smoothing=0.1, steps=4, max_rows=40)
    assert worker.of("step")[-1]["loss"] < worker.of("step")[1]["loss"]


def test_early_stopping_and_the_best_checkpoint_go_by_the_loss(home: Path) -> None:
    worker = train(
        objective="simpo",
        steps=12,
        eval_every=1,
        early_stopping=1,
        learning_rate=5e-2,
        deliver="best",
        max_rows=40,
        rank=4,
    )
    end, evals = worker.ended(), worker.of("eval")[1:]
    best = min(evals, key=lambda event: event["loss"])
    assert "Stopped early" in end["reason"]
    assert end["step"] < 12
    assert end["checkpoint"] == f"checkpoints/step-{best['step']:06d}"


def test_a_fork_compares_with_the_weights_it_began_from_and_keeps_comparing_with_them(home: Path) -> None:
    """Preferences after imitation: the imitating policy is the reference, not the bare base. And a fork of that fork goes on
    comparing with it, instead of with what it had become."""
    taught = train(steps=12, max_rows=60, rank=8)
    parent = checkpoint_dir(taught.run, taught.ended())
    dpo = {"objective": "dpo", "rank": 8, "steps": 6, "max_rows": 40, "order": "file"}
    child = _fork(taught.run, 12, **dpo)
    with WorkerThread(child) as worker:
        assert worker.ended()["outcome"] == "completed", worker.of("fault")
    untaught = train(**dpo)
    first = worker.of("step")[0]
    assert first["loss"] == pytest.approx(math.log(2), abs=1e-5)
    assert first["rewards/margin"] == pytest.approx(0.0, abs=1e-4)
    assert first["logps/chosen"] > untaught.of("step")[0]["logps/chosen"] + 5, "it did begin with what was taught"
    assert parent.is_dir()

    reached = worker.of("eval")[-1]["rewards/margin"]
    assert reached > 0.5
    with WorkerThread(_fork(child, 6, **{**dpo, "learning_rate": 1e-5})) as again:
        assert again.ended()["outcome"] == "completed", again.of("fault")
    assert again.of("eval")[0]["rewards/margin"] == pytest.approx(reached, rel=1e-4)


def _fork(parent: RunDir, step: int, **settings: Any) -> RunDir:
    noted = Parent(parent.id, step, "weights")
    child = create_run(quick_spec(**settings).model_dump(), parent=noted.to_dict())
    adopt(child, checkpoint_at(parent, step), "weights")
    return child


def test_the_plan_of_pairs_counts_both_halves_once(home: Path) -> None:
    from backprop_tui.engine.worker.dataset import stored
    from backprop_tui.engine.worker.objectives.pairs import paired
    from backprop_tui.engine.worker.precision import choose_precision
    from backprop_tui.engine.worker.probe import expected

    spec = quick_spec(objective="dpo").in_force
    sequences = paired(stored(held_out("dpo")))
    setup, _ = expected(spec, paths.demo_model_dir(), sequences, 4, choose_precision(spec))
    assert setup is not None
    assert (setup.batch.rows, setup.batch.longest) == (8, int(sequences.lengths.max()))


def test_kto_says_where_its_weights_do_not_make_up_for_rare_answers(home: Path) -> None:
    import numpy as np

    from backprop_tui.engine.worker.objectives.kto import unbalanced
    from backprop_tui.protocol.spec import TaskPart

    rare = np.array([True] * 10 + [False] * 40)
    assert "a wanted weight of 4 to 5.3" in unbalanced(TaskPart(), rare)
    assert not unbalanced(TaskPart(desirable_weight=4.0), rare)
    assert not unbalanced(TaskPart(), np.array([True, False]))
    assert unbalanced(TaskPart(), np.array([True])).startswith("KTO_ONE_KIND")
    worker = train(objective="kto", steps=1, desirable_weight=9.0, max_rows=20)
    assert [line for line in worker.of("log", level="warn") if "KTO_UNBALANCED" in line["message"]]


@pytest.mark.parametrize("objective", ["dpo", "reward"])
def test_what_moves_the_weights_goes_with_every_objective(home: Path, objective: str) -> None:
    worker = train(
        objective=objective, steps=3, max_rows=20, neftune=5, gradient_checkpointing="full", lora_plus=4.0, dora=True,
        optimizer="adafactor", schedule="wsd", eval_split=0, samples=0,
    )  # fmt: skip
    assert worker.ended()["outcome"] == "completed", worker.of("fault")
    assert len(worker.of("step")) == 3


def test_commands_are_obeyed_whatever_is_learnt(home: Path) -> None:
    run = new_run(objective="kto", steps=400, samples=0)
    with WorkerThread(run) as worker:
        worker.wait_for("step", step=2)
        assert worker.obeyed("pause")["ok"]
        assert worker.obeyed("evaluate")["ok"]
        assert "rewards/margin" in worker.of("eval")[-1]
        assert worker.obeyed("checkpoint")["ok"]
        assert worker.obeyed("resume")["ok"]
        assert worker.obeyed("stop")["ok"]
        end = worker.ended()
    assert end["outcome"] == "stopped"
    assert (run.path / end["checkpoint"] / "reference.npz").is_file()
