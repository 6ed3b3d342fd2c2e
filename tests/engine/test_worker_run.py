"""A whole run: what is said, in which order, and that what it leaves behind works without us."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from backprop_tui.config import paths
from backprop_tui.data import training_set
from backprop_tui.store import checkpoints
from tests.support.worker_driver import WorkerThread, checkpoint_dir, new_run, quick_spec, step_figures, train

pytestmark = pytest.mark.train


@pytest.fixture(scope="module")
def taught(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """One run shared by the tests that only look."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BACKPROP_DATA_DIR", str(tmp_path_factory.mktemp("data")))
        return train(steps=24, batch_size=8, warmup=0.05, samples=16, eval_every=0.5, save_every=0.25, keep=2)


def test_it_tells_its_plan_then_every_step_then_its_end(taught):
    kinds = [event["k"] for event in taught.events]
    assert kinds.index("plan") < kinds.index("state") < kinds.index("step")
    assert [event["step"] for event in taught.of("step")] == list(range(1, 25))
    assert taught.of("state")[0]["state"] == "running"
    end = taught.events[-1]
    assert (end["k"], end["outcome"], end["step"], end["checkpoint"]) == (
        "end",
        "completed",
        24,
        "checkpoints/step-000024",
    )


def test_the_plan_is_what_the_data_room_counted(taught):
    spec = quick_spec(batch_size=8)
    built = training_set.build(spec.data, paths.demo_model_dir(), seed=spec.optim.seed)
    (plan,) = taught.of("plan")
    assert plan["train_rows"] == len(built.train)
    assert plan["train_tokens"] == sum(map(len, built.train))
    assert plan["eval_rows"] == len(built.eval)
    assert plan["effective_batch"] == 16
    assert (plan["save_every"], plan["eval_every"]) == (6, 12)
    assert 0 < plan["trainable_parameters"] < plan["parameters"]


def test_every_phase_that_starts_ends(taught):
    for name in ("load", "tokenise", "train", "eval", "sample", "save"):
        starts, ends = (taught.of("phase", phase=name, status=status) for status in ("start", "end"))
        assert len(starts) == len(ends) > 0, name


def test_steps_carry_true_figures(taught):
    steps = taught.of("step")
    assert steps[0]["lr"] == 0.0, "warm-up begins at nothing"
    assert max(step["lr"] for step in steps) == pytest.approx(2e-3)
    assert steps[-1]["lr"] < 4e-4
    tokens = [step["tokens"] for step in steps]
    assert tokens == sorted(set(tokens))
    for step in steps:
        assert step["step_s"] > 0
        assert step["tokens_per_s"] > 0
        assert round(step["loss"], 4) != step["loss"], "losses are not rounded"


def test_it_learns_and_shows_it(taught):
    evals = {event["step"]: event for event in taught.of("eval")}
    assert sorted(evals) == [0, 12, 24]
    assert evals[0]["exact_match"] == 0.0
    assert evals[24]["exact_match"] > 0.8
    assert evals[24]["loss"] < 0.1 < evals[0]["loss"]
    assert [evals[step]["best"] for step in (0, 12, 24)] == [False, True, True]
    before = taught.of("sample", source="base")
    after = taught.of("sample", source="tuned", step=24)
    assert [sample["prompt"] for sample in before] == [sample["prompt"] for sample in after]
    assert len(before) == 16
    assert before[0]["output"] != after[0]["output"]
    assert sum(sample["match"] for sample in after) / 16 == evals[24]["exact_match"]


def test_checkpoints_are_kept_as_asked_and_sound(taught):
    assert [event["step"] for event in taught.of("checkpoint")] == [6, 12, 18, 24]
    assert [event["step"] for event in taught.of("checkpoint_removed")] == [6, 12]
    found = checkpoints.list_checkpoints(taught.run, deep=True)
    assert [(info.step, info.problem) for info in found] == [(18, None), (24, None)]
    assert not list(taught.run.checkpoints.glob(".*"))
    assert not list(taught.run.checkpoints.rglob("training_args.bin")), "a pickle nobody reads"


def test_the_adapter_answers_the_same_in_plain_peft(taught):
    from peft import AutoPeftModelForCausalLM
    from transformers import AutoTokenizer

    place = checkpoint_dir(taught.run, taught.events[-1])
    model = AutoPeftModelForCausalLM.from_pretrained(place)
    tokenizer = AutoTokenizer.from_pretrained(place)
    for sample in taught.of("sample", source="tuned", step=24)[:4]:
        assert plain_answer(model, tokenizer, sample["prompt"]) == sample["output"]


def test_the_eval_loss_is_the_mean_over_learnt_tokens(taught):
    import torch
    from peft import AutoPeftModelForCausalLM

    model = AutoPeftModelForCausalLM.from_pretrained(checkpoint_dir(taught.run, taught.events[-1])).eval()
    spec = quick_spec()
    total = count = 0.0
    for row in training_set.build(spec.data, paths.demo_model_dir(), seed=spec.optim.seed).eval:
        labels = [token if learnt else -100 for token, learnt in zip(row.ids, row.trained, strict=True)]
        with torch.no_grad():
            loss = model(input_ids=torch.tensor([row.ids]), labels=torch.tensor([labels])).loss
        learnt = sum(label != -100 for label in labels[1:])
        total, count = total + float(loss) * learnt, count + learnt
    assert taught.of("eval", step=24)[0]["loss"] == pytest.approx(total / count, rel=1e-4)


def test_the_loss_of_an_accumulated_step_weighs_tokens_not_batches():
    """Two micro-batches of one row each must give the loss and the gradient of one batch of both."""
    together = train(steps=1, batch_size=4, accumulation=1, warmup=0, eval_split=0)
    apart = train(steps=1, batch_size=1, accumulation=4, warmup=0, eval_split=0)
    (one,), (other,) = together.of("step"), apart.of("step")
    assert one["loss"] == pytest.approx(other["loss"], rel=1e-5)
    assert one["grad_norm"] == pytest.approx(other["grad_norm"], rel=1e-4)
    assert one["tokens"] == other["tokens"]


def test_packing_changes_neither_the_rows_per_step_nor_the_tokens():
    plain = train(steps=0, epochs=1, batch_size=8, accumulation=2)
    packed = train(steps=0, epochs=1, batch_size=8, accumulation=2, packing=True)
    assert packed.of("step")[-1]["tokens"] == plain.of("step")[-1]["tokens"] == plain.of("plan")[0]["train_tokens"]
    assert packed.of("plan")[0]["effective_batch"] == 16
    assert packed.of("plan")[0]["total_steps"] == plain.of("plan")[0]["total_steps"]
    assert packed.of("eval")[-1]["loss"] == pytest.approx(plain.of("eval")[-1]["loss"], abs=0.05)


def test_full_fine_tuning_leaves_a_whole_model_for_plain_transformers():
    from transformers import AutoModelForCausalLM, AutoTokenizer

    worker = train(method="full", steps=12, learning_rate=1e-3, samples=2, gradient_checkpointing=True)
    (plan,) = worker.of("plan")
    assert plan["trainable_parameters"] == plan["parameters"]
    place = checkpoint_dir(worker.run, worker.events[-1])
    assert (place / "model.safetensors").is_file()
    assert json.loads((place / "config.json").read_text())["use_cache"]
    model, tokenizer = AutoModelForCausalLM.from_pretrained(place), AutoTokenizer.from_pretrained(place)
    sample = worker.of("sample", source="tuned")[0]
    assert plain_answer(model, tokenizer, sample["prompt"]) == sample["output"]


def test_qlora_trains_over_four_bits_with_adapters_that_stay_float32():
    from safetensors.torch import load_file

    worker = train(method="qlora", steps=10, learning_rate=4e-3, warmup=0)
    steps = worker.of("step")
    assert steps[-1]["loss"] < steps[0]["loss"] / 2
    weights = load_file(checkpoint_dir(worker.run, worker.events[-1]) / "adapter_model.safetensors")
    assert {str(weight.dtype) for weight in weights.values()} == {"torch.float32"}


@pytest.mark.parametrize("method", ["lora", "qlora"])
def test_measuring_changes_nothing_that_is_learnt(method):
    """Evaluation once repacked four-bit weights into a layout without gradients, and training went on blind."""
    watched = train(method=method, dropout=0.1, eval_every=1, samples=2)
    unwatched = train(method=method, dropout=0.1, eval_split=0)
    assert len(watched.of("eval")) == 9
    assert step_figures(watched.events) == step_figures(unwatched.events)


def test_the_best_checkpoint_is_delivered_and_kept():
    """Nothing is scheduled to be saved before the end, yet the best measurement has its checkpoint."""
    worker = train(steps=12, learning_rate=2e-3, eval_every=3, keep=1, deliver="best", early_stopping=1, save_every=0)
    best = [event["step"] for event in worker.of("eval") if event["best"]][-1]
    assert worker.events[-1]["checkpoint"] == f"checkpoints/step-{best:06d}"
    assert checkpoint_dir(worker.run, worker.events[-1]).is_dir()


def test_early_stopping_ends_a_run_that_no_longer_improves():
    worker = train(steps=40, method="full", learning_rate=0.5, optimizer="sgd", eval_every=2, early_stopping=2)
    end = worker.events[-1]
    if end["outcome"] == "failed":
        pytest.fail(str(worker.of("fault")))
    assert end["outcome"] == "completed"
    assert "Stopped early" in end["reason"]
    assert end["step"] < 40


def plain_answer(model: Any, tokenizer: Any, question: str) -> str:
    import torch

    batch = tokenizer.apply_chat_template(
        [{"role": "user", "content": question}], add_generation_prompt=True, return_tensors="pt", return_dict=True
    )
    with torch.no_grad():
        output = model.eval().generate(**batch, max_new_tokens=96, do_sample=False)
    return str(tokenizer.decode(output[0, batch["input_ids"].shape[1] :], skip_special_tokens=True))


def write_rows(place: Path, rows: list[tuple[str, str]]) -> Path:
    turns = ([{"role": "user", "content": ask}, {"role": "assistant", "content": answer}] for ask, answer in rows)
    place.write_text("".join(json.dumps({"messages": list(pair)}) + "\n" for pair in turns))
    return place


def test_a_run_without_held_out_rows_measures_nothing_and_says_nothing():
    worker = train(eval_split=0, samples=3)
    assert worker.events[-1]["outcome"] == "completed"
    assert not worker.of("eval")
    assert not worker.of("sample")


def test_the_checkpoint_says_which_data_it_saw(tmp_path):
    file = write_rows(tmp_path / "rows.jsonl", [(f"Say {n}", f"It is {n}.") for n in range(20)])
    run = new_run(path=str(file), steps=2, eval_split=0)
    with WorkerThread(run) as worker:
        end = worker.ended()
    manifest = checkpoints.read_manifest(checkpoint_dir(run, end))
    assert manifest is not None
    assert manifest["fingerprint"]["train"]["rows"] == 20


def test_held_out_rows_that_are_trained_on_are_named(tmp_path: Path) -> None:
    rows = [json.dumps({"question": f"question {n}", "answer": f"answer {n}"}) for n in range(12)]
    (tmp_path / "train.jsonl").write_text("\n".join(rows))
    (tmp_path / "held.jsonl").write_text("\n".join(rows[3:5]))
    run = train(path=str(tmp_path / "train.jsonl"), eval_path=str(tmp_path / "held.jsonl"), steps=1)
    (told,) = [event for event in run.of("log") if "DATA_OVERLAP" in event["message"]]
    assert (told["level"], "2 training rows are held out" in told["message"]) == ("warn", True)
