"""Runs that nobody looks at: a loss that is no number ends them, a pause names the command, a hash confirms rewards."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from backprop_tui.launch.queueing import prepared
from backprop_tui.launch.rewards import read_reward_file
from backprop_tui.launch.safety import unattended
from backprop_tui.library import Run, Trainer
from backprop_tui.protocol.errors import RunFailed, UsageError
from backprop_tui.protocol.states import RunState
from backprop_tui.store.layout import list_runs
from tests.support.engines import events, eventually, started
from tests.support.terminal import BACKPROP, backprop
from tests.support.worker_driver import quick_spec

#: Steps of this size take the weights beyond what float32 holds within a few steps.
WILD: dict[str, Any] = {
    "method": "full", "steps": 200, "learning_rate": 1.0, "optimizer": "sgd", "max_grad_norm": 0, "warmup": 0,
    "schedule": "constant", "save_every": 1, "gradient_checkpointing": "off", "samples": 0, "eval_split": 0,
    "max_length": 64, "batch_size": 4, "accumulation": 2,
}  # fmt: skip


@pytest.mark.train
def test_without_a_screen_a_loss_that_is_no_number_ends_the_run_and_names_the_command() -> None:
    settings = [word for key, value in WILD.items() for word in ("--set", f"{key}={value}")]
    done = backprop("train", "demo", "-p", "demo", "--headless", *settings)
    (run,) = list_runs()
    assert done.returncode == 1, done.stdout + done.stderr
    view = Run(run).summary.view
    good = max(view.checkpoints)
    assert (view.state, (view.fault or {})["code"]) == (RunState.FAILED, "LOSS_NOT_FINITE")
    assert f"`backprop resume {run.short_id} --halve-lr`, to go on from step {good}" in done.stderr
    assert not [event for event in events(run, "state") if event.data["state"] == "paused"]
    # The very command goes back to the checkpoint; it is not waited for here.
    assert backprop("resume", run.short_id, "--halve-lr").returncode == 0
    eventually(lambda: [event for event in events(run, "step") if event.attempt == 2], 60, "the second attempt")
    first = next(event.data for event in events(run, "step") if event.attempt == 2)
    assert (first["step"], first["lr"]) == (good + 1, 0.5)


@pytest.mark.train
def test_python_that_waits_hears_of_it() -> None:
    with pytest.raises(RunFailed) as caught:
        Trainer("demo", "demo", **WILD).train()
    assert caught.value.code == "LOSS_NOT_FINITE"


def test_who_follows_lines_is_told_what_a_paused_run_waits_for() -> None:
    run = started(steps=100_000, step_s=0.01, spoil=5)
    eventually(lambda: Run(run).state is RunState.PAUSED)
    attached = subprocess.Popen(
        [BACKPROP, "attach", run.short_id, "--headless"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert attached.stdout is not None
        assert attached.stderr is not None
        assert "5/100 k" in attached.stdout.readline()
        assert attached.stdout.readline().split(None, 2)[:2] == ["state", "paused:"]
        said = attached.stderr.readline()
        assert f"Run {run.short_id} waits at step 5. `backprop resume {run.short_id} --halve-lr` goes back to " in said
        assert backprop("resume", run.short_id).returncode == 0
        eventually(lambda: Run(run).state is RunState.RUNNING)
        assert backprop("pause", run.short_id, "--wait").returncode == 0
        while "Run " not in (said := attached.stderr.readline()):
            assert said
        assert f"`backprop resume {run.short_id}` goes on" in said, "what was no number is over"
        assert backprop("stop", run.short_id).returncode == 0
        assert attached.wait(30) == 0
    finally:
        attached.kill()
        attached.communicate()


def test_what_others_wait_for_does_not_wait_for_a_person(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert quick_spec().recovery.nan_action == "auto"
    assert unattended(quick_spec()).recovery.nan_action == "stop"
    assert unattended(quick_spec(nan_action="pause")).recovery.nan_action == "pause"
    assert prepared(quick_spec()).spec["recovery"]["nan_action"] == "stop"
    script = backprop("train", "demo", "--slurm", "--print-script").stdout
    assert "--set nan_action=stop" in script
    chosen = backprop("train", "demo", "--slurm", "--print-script", "--set", "nan_action=pause").stdout
    assert "nan_action=pause" in chosen
    assert "nan_action=stop" not in chosen


class TestTrustInPython:
    @pytest.fixture
    def rewarded(self, tmp_path: Path) -> dict[str, Any]:
        (tmp_path / "r.py").write_text("def reward(completions, **_):\n    return [0.5] * len(completions)\n")
        return {
            "reward_file": str(tmp_path / "r.py"), "steps": 1, "answer_length": 8, "samples": 0, "eval_split": 0,
            "accumulation": 1, "generations": 2,
        }  # fmt: skip

    def test_a_reward_file_is_refused_unless_its_hash_is_given(self, rewarded: dict[str, Any]) -> None:
        trainer = Trainer("demo", "grpo", **rewarded)
        sha256 = read_reward_file(rewarded["reward_file"]).sha256
        other = ("1" if sha256[0] == "0" else "0") * 12
        for said, code in (("", "REWARD_NOT_CONFIRMED"), (other, "REWARD_CHANGED"), (sha256[:6], "REWARD_SHA256")):
            with pytest.raises(UsageError) as caught:
                trainer.train(trust_rewards=said)
            assert caught.value.code == code
        with pytest.raises(UsageError) as caught:
            Trainer().train(steps=1, trust_rewards=sha256)
        assert caught.value.code == "USAGE"
        assert list_runs() == []

    @pytest.mark.train
    def test_the_hash_confirms_it_for_this_run(self, rewarded: dict[str, Any]) -> None:
        sha256 = read_reward_file(rewarded["reward_file"]).sha256
        run = Trainer("demo", "grpo", **rewarded).train(trust_rewards=sha256[:16])
        assert run.state is RunState.COMPLETED
        assert next(run.events("step")).data["reward"] == 0.5
        with pytest.raises(UsageError, match="not confirmed"):
            Trainer("demo", "grpo", **rewarded).train()
