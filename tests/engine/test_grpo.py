"""GRPO from prompts to its result: rewards rise, a run that goes on takes the very steps of one that was not stopped, and reward
functions that misbehave end the run by name."""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
from pathlib import Path
from statistics import mean
from typing import Any

import pytest

from backprop_tui.config import paths
from backprop_tui.protocol.errors import BackpropError
from backprop_tui.store.layout import RunDir, create_run
from backprop_tui.store.lineage import Parent, adopt
from backprop_tui.store.resuming import checkpoint_at
from tests.support.grpo import SHORT
from tests.support.worker_driver import WorkerThread, checkpoint_dir, quick_spec, step_figures, train

pytestmark = [pytest.mark.train, pytest.mark.timeout(300)]


def rewarded_run(source: str, *functions: str, root: Path | None = None, **settings: Any) -> RunDir:
    """A run whose reward file is confirmed and copied, as the launch does it."""
    names = functions or ("reward",)
    spec = quick_spec(**SHORT, reward_file="rewards.py", **settings).in_force
    noted = {"functions": dict.fromkeys(names, 1.0), "sha256": hashlib.sha256(source.encode()).hexdigest()}
    run = create_run(spec.model_dump(), root, rewards=noted)
    run.reward_file.write_text(source)
    return run


def test_rewards_rise_and_the_figures_are_told(home: Path) -> None:
    worker = train(
        objective="grpo", reward_functions="brevity", temperature=2.5, answer_length=16, batch_size=2, accumulation=1,
        steps=16, warmup=0, learning_rate=6e-3, samples=2, max_rows=60,
    )  # fmt: skip
    assert worker.ended()["outcome"] == "completed", worker.of("fault")
    steps = [event["reward"] for event in worker.of("step")]
    assert mean(steps[-6:]) > mean(steps[:6]) + 0.03
    before, after = worker.of("eval")
    assert after["reward"] > before["reward"] + 0.03
    assert (after["loss"], after["best"]) == (-after["reward"], True)
    assert after["reward"] == pytest.approx(after["rewards/brevity"])
    for step in worker.of("step"):
        names = {"reward_std", "rewards/brevity", "rewards/brevity/std", "rewards_flat", "entropy", "completion_tokens"}
        assert names < step.keys()
        assert step["entropy"] > 0
        assert step["trained"] == 16 * step["completion_tokens"]
    for sample in worker.of("sample"):
        assert sample["marks"]["reward"] == pytest.approx(max(0, 1 - len(sample["output"]) / 400), abs=1e-6)
    held = [json.loads(line) for line in paths.demo_data_file("eval").read_text().splitlines()[:2]]
    assert [sample["prompt"] for sample in worker.of("sample")[:2]] == [row["messages"][0]["content"] for row in held]


@pytest.mark.parametrize(
    "settings",
    [
        {"method": "lora", "dropout": 0.1, "rank": 4},
        {"method": "full", "answer_reuse": 3, "kl_weight": 0.05, "learning_rate": 1e-3},
    ],
    ids=["lora", "full-reused-kl"],
)
def test_going_on_takes_the_very_steps_of_an_undisturbed_run(
    home: Path, monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any]
) -> None:
    """From every checkpoint: within an epoch, over its end, and between steps that learn from the same answers."""
    monkeypatch.setenv("BACKPROP_TRACE_BATCHES", "1")
    common = {**SHORT, "steps": 7, "max_rows": 11, "save_every": 1, "eval_every": 3, "accumulation": 1, **settings}
    root = paths.data_dir() / "first"
    with WorkerThread(create_run(quick_spec(**common).in_force.model_dump(), root)) as whole:
        assert whole.ended()["outcome"] == "completed", whole.of("fault")
    figures = step_figures(whole.events)
    traces = {event["step"]: (event["batches"], event.get("reward"), event["entropy"]) for event in whole.of("step")}
    for step in (2, 4, 6):
        again = create_run(quick_spec(**common).in_force.model_dump(), paths.data_dir() / f"from-{step}")
        shutil.copytree(whole.run.checkpoint(step), again.checkpoint(step))
        with WorkerThread(again, resume=f"checkpoints/step-{step:06d}") as second:
            assert second.ended()["outcome"] == "completed", second.of("fault")
        assert [event["kind"] for event in second.of("resume")] == ["exact"]
        assert step_figures(second.events) == {at: figures[at] for at in range(step + 1, 8)}
        for event in second.of("step"):
            assert (event["batches"], event.get("reward"), event["entropy"]) == traces[event["step"]]
    if settings["method"] == "full":
        kept = [step for step in range(1, 8) if (whole.run.checkpoint(step) / "answers.pt").exists()]
        assert kept == [1, 2, 4, 5, 7]
        assert traces[1][0] == traces[2][0] == traces[3][0] != traces[4][0]
        later = [event for event in whole.of("step") if event["step"] % 3 != 1]
        assert any(event["kl_per_token"] > 0 for event in later)
        assert all("reward" not in event for event in later), "answers are told once, in the step that drew them"


def test_how_answers_are_drawn_and_weighed_shows_in_the_first_step(home: Path) -> None:
    def first(**settings: Any) -> dict[str, Any]:
        words = {**SHORT, "reward_functions": "brevity", "steps": 1, "eval_split": 0, "warmup": 0, **settings}
        (step,) = train(**words).of("step")
        found: dict[str, Any] = step
        return found

    plain, cool, unscaled = first(), first(temperature=0.2), first(reward_scale="none")
    assert cool["entropy"] < 0.1 * plain["entropy"]
    assert (unscaled["reward"], unscaled["entropy"]) == (plain["reward"], plain["entropy"])
    assert unscaled["grad_norm"] < 0.5 * plain["grad_norm"], "rewards differ by a few hundredths"
    assert first(generations=8)["trained"] > 1.5 * plain["trained"]


def test_answers_that_are_still_to_be_learnt_from_belong_to_a_checkpoint(home: Path) -> None:
    common = {**SHORT, "steps": 2, "answer_reuse": 2, "save_every": 1, "max_rows": 8, "accumulation": 1}
    whole = train(**common)
    (whole.run.checkpoint(1) / "answers.pt").unlink()
    with WorkerThread(whole.run, resume="checkpoints/step-000001") as second:
        assert second.ended()["outcome"] == "failed"
    fault = second.of("fault")[0]
    assert (fault["code"], "answers.pt" in fault["cause"]) == ("CHECKPOINT_INVALID", True)


@pytest.mark.parametrize(
    ("body", "code", "words"),
    [
        ("while True: pass", "REWARD_TIMED_OUT", "reward took longer than 1 s"),
        ("return [c[0]['nothing'] for c in completions]", "REWARD_FAILED", "sample 1 of"),
        ("return [0.0]", "REWARD_FAILED", "gave 1 rewards for"),
    ],
)
def test_functions_that_misbehave_end_the_run_by_name(home: Path, body: str, code: str, words: str) -> None:
    source = f"def reward(completions, **kwargs):\n    {body}\n"
    with WorkerThread(rewarded_run(source, steps=2, eval_split=0, reward_timeout=1)) as worker:
        assert worker.ended()["outcome"] == "failed"
    (fault,) = worker.of("fault")
    assert fault["code"] == code
    assert "reward" in fault["cause"]
    assert words in fault["cause"]
    assert "step 1" in fault["cause"]


def test_a_persons_own_functions_see_rows_and_conversations(home: Path, tmp_path: Path) -> None:
    data = tmp_path / "prompts.jsonl"
    data.write_text("".join(json.dumps({"prompt": f"What is {n} plus 1?", "tests": [n]}) + "\n" for n in range(12)))
    source = """
def reward(prompts, completions, tests, **kwargs):
    assert all(p[-1]["content"] == f"What is {t[0]} plus 1?" for p, t in zip(prompts, tests))
    return [None if t[0] % 2 else 0.5 for t in tests]
"""
    run = rewarded_run(source, steps=2, path=str(data), eval_split=0.2, samples=1)
    with WorkerThread(run) as worker:
        assert worker.ended()["outcome"] == "completed", worker.of("fault")
    assert {event["reward"] for event in worker.of("step")} == {0.5}
    assert all("exact_match" not in event for event in worker.of("eval")), "there is nothing to compare with"


@pytest.mark.parametrize("change", ["other", "gone", "link", "unnoted"])
def test_a_copy_that_is_not_what_was_confirmed_is_not_run(home: Path, tmp_path: Path, change: str) -> None:
    witness = tmp_path / "ran"
    run = rewarded_run(f"open({str(witness)!r}, 'w')\ndef reward(completions, **_): return [0.0] * len(completions)\n")
    if change == "other":
        run.reward_file.write_text(run.reward_file.read_text() + "\n")
    elif change == "gone":
        run.reward_file.unlink()
    elif change == "link":
        run.reward_file.rename(tmp_path / "moved.py")
        run.reward_file.symlink_to(tmp_path / "moved.py")
    else:
        words = json.loads(run.spec_file.read_bytes())
        del words["rewards"]
        run.spec_file.write_text(json.dumps(words))
    with WorkerThread(run) as worker:
        assert worker.ended()["outcome"] == "failed"
    assert worker.of("fault")[0]["code"] == ("REWARD_NOT_CONFIRMED" if change == "unnoted" else "REWARD_CHANGED")
    assert not witness.exists()


def test_built_in_rewards_need_the_column_they_compare_with(home: Path, tmp_path: Path) -> None:
    data = tmp_path / "prompts.jsonl"
    data.write_text("".join(json.dumps({"prompt": f"Say {n}."}) + "\n" for n in range(8)))
    worker = train(**SHORT, path=str(data), reward_functions="exact_match")
    assert worker.of("fault")[0]["code"] == "REWARD_COLUMN_MISSING"


def test_a_prompt_too_long_is_left_out_and_not_cut(home: Path, tmp_path: Path) -> None:
    data = tmp_path / "prompts.jsonl"
    rows = [{"prompt": "Say it. " * (1 if n % 3 else 60), "answer": "it"} for n in range(9)]
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    worker = train(**SHORT, path=str(data), max_length=64, steps=1, eval_split=0)
    assert worker.ended()["outcome"] == "completed", worker.of("fault")
    (plan,) = worker.of("plan")
    assert (plan["train_rows"], plan["dropped_rows"], plan["truncated_rows"]) == (6, 3, 0)


def test_a_fork_takes_the_confirmation_of_its_parent_along(home: Path, tmp_path: Path) -> None:
    """The same content needs no second yes; another one does, and so does a run whose confirmation is for another file."""
    from backprop_tui.launch.fork import fork_run
    from backprop_tui.launch.rewards import read_reward_file
    from backprop_tui.protocol.errors import UsageError

    file = tmp_path / "own.py"
    file.write_text("def reward(completions, **_): return [0.5] * len(completions)\n")
    parent = rewarded_run(file.read_text(), steps=1, eval_split=0)
    words = json.loads(parent.spec_file.read_bytes())
    words["grpo"]["reward_file"] = str(file)
    parent.spec_file.write_text(json.dumps(words))
    with WorkerThread(parent) as worker:
        assert worker.ended()["outcome"] == "completed", worker.of("fault")
    silent = (sys.executable, "-c", "import sys; sys.exit(3)")
    with pytest.raises(BackpropError) as caught:
        fork_run(parent, engine=silent)
    assert not caught.value.code.startswith("REWARD")
    file.write_text(file.read_text() + "# changed\n")
    with pytest.raises(UsageError, match="not confirmed"):
        fork_run(parent, engine=silent)
    with pytest.raises(BackpropError) as caught:
        fork_run(parent, engine=silent, trusted={read_reward_file(str(file)).sha256})
    assert not caught.value.code.startswith("REWARD")


def test_with_all_weights_a_fork_has_nothing_to_be_compared_with(home: Path) -> None:
    full = {**SHORT, "method": "full", "steps": 1, "eval_split": 0, "reward_functions": "brevity", "max_rows": 8}
    parent = train(**full).run
    noted = Parent(parent.id, 1, "weights").to_dict()
    for weight, code in ((0.1, ["KL_OF_A_FORK"]), (0.0, [])):
        child = create_run(quick_spec(**full, kl_weight=weight).model_dump(), parent=noted)
        adopt(child, checkpoint_at(parent, 1), "weights")
        with WorkerThread(child) as worker:
            worker.ended()
        assert [fault["code"] for fault in worker.of("fault")] == code
        assert bool(worker.of("step")) is (not code)


def test_the_result_is_an_ordinary_adapter(home: Path) -> None:
    from peft import AutoPeftModelForCausalLM

    worker = train(**SHORT, steps=1, eval_split=0, rank=4)
    AutoPeftModelForCausalLM.from_pretrained(checkpoint_dir(worker.run, worker.ended()))
