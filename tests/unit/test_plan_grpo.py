"""The plan of a run that draws its own answers: what follows from the settings is said, the rest is left unknown."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from backprop_tui.config.paths import demo_model_dir
from backprop_tui.launch.plan.looking import judge
from backprop_tui.launch.plan.setup import setup_of
from backprop_tui.launch.plan.shape import read_shape
from backprop_tui.protocol.fields import with_overrides
from backprop_tui.protocol.spec import RunSpec


def spec_of(**settings: Any) -> RunSpec:
    return with_overrides(RunSpec(), {"objective": "grpo", "base": "demo", "path": "demo", "batch_size": 2, **settings})


def test_the_demo_goes_and_what_nobody_knows_is_not_made_up() -> None:
    verdict = judge(spec_of(accumulation=4))
    plan = verdict.plan
    assert verdict.go, verdict.checks
    assert (plan.rows, plan.eval_rows, plan.steps_per_epoch, plan.effective_batch) == (458, 32, 58, 8)
    assert (plan.tokens, plan.trained_tokens, plan.seconds) == (None, None, None)
    assert any("prompts of at most" in check.words for check in verdict.checks)
    assert judge(spec_of(accumulation=4, answer_reuse=3)).plan.steps_per_epoch == 3 * 58


def test_what_makes_a_launch_fail_makes_the_plan_say_no() -> None:
    verdict = judge(spec_of(reward_functions="exact_macht"))
    assert not verdict.go
    assert "REWARD_UNKNOWN" in {check.code for check in verdict.checks}


def test_a_group_goes_through_the_model_together_with_answers_as_long_as_they_may_get() -> None:
    shape, _ = read_shape(demo_model_dir())
    assert shape is not None
    batch = setup_of(spec_of(generations=4, answer_length=100), shape, [20, 30, 10], [0, 0, 0], gpu=False).batch
    assert (batch.rows, batch.longest, batch.learnt) == (8, 130, 800)
    assert replace(batch, masked=True) == batch
    unknown = setup_of(spec_of(generations=4, answer_length=100, max_length=50), shape, [], [], gpu=False).batch
    assert (unknown.rows % 4, unknown.longest) == (0, 150)
