"""The plan without torch: shapes, fit, batches, rates, cost and checks; the machine is given, everything else is real."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backprop_tui.config.paths import demo_model_dir
from backprop_tui.launch.plan.auto import resolved_batch
from backprop_tui.launch.plan.checks import blocked, checks
from backprop_tui.launch.plan.facts import Machine, RowFacts, read_rows
from backprop_tui.launch.plan.forecast import MARGIN, Facts, fitting_batch, forecast
from backprop_tui.launch.plan.looking import judge
from backprop_tui.launch.plan.memory import plan_memory
from backprop_tui.launch.plan.rates import PastRun, rate_of, read_past, speed_key
from backprop_tui.launch.plan.setup import numbers_of, setup_of
from backprop_tui.launch.plan.shape import ModelShape, read_shape, shape_of
from backprop_tui.protocol.errors import DataError
from backprop_tui.protocol.fields import with_overrides
from backprop_tui.protocol.figures import Prices
from backprop_tui.protocol.spec import RunSpec
from tests.support.runs import FakeRun, gpu

QWEN = {
    "model_type": "qwen2", "hidden_size": 896, "intermediate_size": 4864, "num_hidden_layers": 24,
    "num_attention_heads": 14, "num_key_value_heads": 2, "vocab_size": 151_936, "tie_word_embeddings": True,
}  # fmt: skip
GIB = 1 << 30


def spec_of(**overrides: Any) -> RunSpec:
    return with_overrides(RunSpec(), overrides)


def qwen() -> ModelShape:
    shape, why = shape_of(QWEN, None)
    assert shape is not None, why
    return shape


def machine(*, memory: int = 64 * GIB, cards: list[dict[str, Any]] | None = None, disk: int = 100 * GIB) -> Machine:
    return Machine(tuple(cards or ()), 2 * memory, memory, disk)  # type: ignore[arg-type]


def rows(length: int = 512, count: int = 1000) -> RowFacts:
    return RowFacts(count, 20, (length,) * 100, (length // 2,) * 100, (length,) * 20, 0, 0, exact=False)


def facts(**changes: Any) -> Facts:
    words: dict[str, Any] = {"shape": qwen(), "rows": rows(), "machine": machine(), **changes}
    return Facts(**words)


def test_a_published_shape_has_its_published_size() -> None:
    assert qwen().parameters == pytest.approx(494e6, rel=0.01)
    assert (qwen().tied, qwen().attention_bias, qwen().exact) == (True, True, True)


def test_the_demo_is_read_from_its_headers() -> None:
    shape, _ = read_shape(demo_model_dir())
    assert shape is not None
    assert (shape.parameters, shape.layers, shape.tied) == (770_944, 3, True)


def test_what_is_not_such_a_model_is_not_guessed() -> None:
    assert shape_of({**QWEN, "num_experts": 8}, None)[0] is None
    assert "config.json" in shape_of({"model_type": "x"}, None)[1]
    other, _ = shape_of({**QWEN, "model_type": "martian"}, None)
    assert other is not None
    assert forecast(spec_of(), facts(shape=other)).rough


@pytest.mark.parametrize(
    ("overrides", "on_gpu", "weights", "autocast"),
    [
        ({}, False, 4, None),
        ({}, True, 2, 2),
        ({"method": "full"}, True, 4, 2),
        ({"dtype": "float32"}, True, 4, None),
        ({"dtype": "bfloat16", "method": "full"}, False, 2, 2),
        ({"dtype": "float16"}, True, 2, 2),
    ],
)
def test_formats_are_those_the_worker_chooses(
    overrides: dict[str, Any], on_gpu: bool, weights: int, autocast: int | None
) -> None:
    numbers = numbers_of(spec_of(**overrides), gpu=on_gpu)
    assert (numbers.weights, numbers.autocast) == (weights, autocast)


def peak(spec: RunSpec, *, on_gpu: bool = False, length: int = 512) -> int:
    return plan_memory(setup_of(spec, qwen(), (length,) * 64, (length,) * 64, gpu=on_gpu)).peak


@pytest.mark.parametrize("on_gpu", [False, True])
def test_what_saves_memory_saves_memory(on_gpu: bool) -> None:
    plain = peak(spec_of(gradient_checkpointing="off"), on_gpu=on_gpu)
    assert peak(spec_of(gradient_checkpointing="full"), on_gpu=on_gpu) < plain
    assert peak(spec_of(gradient_checkpointing="every-2nd"), on_gpu=on_gpu) < plain
    assert peak(spec_of(gradient_checkpointing="off", method="qlora"), on_gpu=on_gpu) < plain
    assert peak(spec_of(gradient_checkpointing="off", method="full"), on_gpu=on_gpu) > plain
    assert peak(spec_of(gradient_checkpointing="off", batch_size=2), on_gpu=on_gpu) < plain
    assert peak(spec_of(gradient_checkpointing="off"), on_gpu=on_gpu, length=256) < plain


def test_the_parts_of_full_fine_tuning_are_what_everybody_counts() -> None:
    parts = plan_memory(setup_of(spec_of(method="full"), qwen(), (64,), (64,), gpu=True)).parts
    weights = qwen().parameters
    assert parts["weights"] == 4 * weights
    # But for the weights of norms, which nobody minds.
    assert parts["gradients"] == pytest.approx(4 * weights, rel=0.001)
    assert parts["optimiser"] == 8 * weights


@given(rows_per_pass=st.integers(1, 6), accumulation=st.integers(1, 6), room=st.floats(0.2, 40))
def test_the_batch_that_fits_fits_and_the_next_does_not(rows_per_pass: int, accumulation: int, room: float) -> None:
    spec = spec_of(batch_size=rows_per_pass, accumulation=accumulation)
    found = facts(rows=rows(128))
    budget = room * 1e9
    size = fitting_batch(spec, found, budget, gpu=False)
    lengths, learnt = found.rows.lengths, found.rows.learnt  # type: ignore[union-attr]

    def takes(batch_size: int) -> int:
        return plan_memory(setup_of(spec, qwen(), lengths, learnt, gpu=False, batch_size=batch_size)).peak

    assert size == 0 or (spec.effective_batch % size == 0 and takes(size) <= budget)
    if spec.effective_batch % max(1, size * 2) == 0:
        assert takes(max(1, size * 2)) > budget


def test_auto_keeps_the_rows_of_a_step_and_says_what_it_did() -> None:
    spec = spec_of(micro_batch="auto", batch_size=2, accumulation=16)
    roomy, words = resolved_batch(spec, facts())
    assert (roomy.optim.batch_size, roomy.optim.accumulation, roomy.optim.micro_batch) == (32, 1, "fixed")
    assert words == "Micro-batch auto: 32 rows by 1 accumulated, 32 rows a step as before."
    tight, _ = resolved_batch(spec, facts(machine=machine(memory=7 * GIB)))
    assert tight.optim.batch_size < 32
    assert tight.effective_batch == spec.effective_batch
    plan = forecast(tight, facts(machine=machine(memory=7 * GIB)))
    assert plan.fits
    none, _ = resolved_batch(spec, facts(machine=machine(memory=1 * GIB)))
    assert (none.optim.batch_size, none.effective_batch) == (1, 32)
    assert resolved_batch(spec_of(), facts()) == (spec_of(), "")


def test_a_run_that_does_not_fit_is_blocked_with_the_batch_that_would() -> None:
    spec, found = spec_of(batch_size=32, accumulation=1), facts(machine=machine(memory=7 * GIB))
    plan = forecast(spec, found)
    assert plan.fits is False
    refused = blocked(checks(spec, found, plan, None))
    assert [check.code for check in refused] == ["MEMORY_SHORT"]
    assert f"batch_size={plan.batch_fits}" in refused[0].next_step
    smaller = spec_of(batch_size=plan.batch_fits, accumulation=32 // (plan.batch_fits or 1))
    assert forecast(smaller, found).fits


def codes(spec: RunSpec, found: Facts, refusal: DataError | None = None) -> dict[str, str]:
    return {check.code: check.level for check in checks(spec, found, forecast(spec, found), refusal)}


def test_checks_name_what_is_wrong() -> None:
    spec = spec_of()
    assert codes(spec, facts()) == {"MEMORY": "ok", "DATA": "ok", "DISK": "ok", "GPU_NONE": "warn"}
    assert codes(spec, facts(machine=machine(disk=1000)))["DISK_SPACE"] == "fail"
    assert codes(spec, facts(rows=replace(rows(), cut=3)))["DATA_CUT"] == "warn"
    assert codes(spec, facts(rows=replace(rows(), learnt=(0,) * 100)))["DATA_NOTHING_LEARNT"] == "fail"
    assert codes(spec, facts(), DataError("CHAT_TEMPLATE_X", "Broken.", "Mend it."))["CHAT_TEMPLATE_X"] == "fail"
    assert codes(spec_of(device="cuda"), facts())["GPU_UNAVAILABLE"] == "fail"
    free = [gpu(memory_used=0)]
    assert codes(spec, facts(machine=machine(cards=free)))["GPU"] == "ok"
    assert codes(spec, facts(machine=machine(cards=[gpu()])))["GPU_BUSY"] == "warn"
    assert codes(spec, facts(machine=machine(cards=[gpu(memory_used=None)])))["GPU"] == "unknown"
    assert codes(spec, Facts())["MEMORY"] == "unknown"


def test_only_what_is_free_on_the_card_may_be_used() -> None:
    plan = forecast(spec_of(), facts(machine=machine(cards=[gpu(memory_used=60_000_000_000)])))
    assert (plan.device, plan.gpu) == ("NVIDIA H100 80GB HBM3", True)
    assert plan.room == int(20_000_000_000 * MARGIN)


def test_steps_tokens_and_disk_are_counted() -> None:
    plan = forecast(spec_of(batch_size=4, accumulation=4, epochs=2.0, keep=3), facts())
    assert (plan.steps_per_epoch, plan.steps, plan.rows) == (63, 126, 1000)
    assert plan.tokens == pytest.approx(2 * 512_000, rel=0.01)
    assert plan.trained_tokens == pytest.approx(512_000, rel=0.01)
    assert plan.checkpoint_bytes is not None
    assert plan.disk == pytest.approx(5 * plan.checkpoint_bytes, rel=0.01)


def test_processes_share_the_steps_and_the_memory_of_a_machine() -> None:
    alone, several = spec_of(), spec_of(devices=4)
    one, four = forecast(alone, facts()), forecast(several, facts())
    assert (four.effective_batch, four.steps_per_epoch) == (4 * one.effective_batch, 16)
    assert four.room == pytest.approx((one.room or 0) / 4, rel=0.001)
    cards = [gpu(0, memory_used=0), gpu(1, memory_used=70_000_000_000)]
    fullest = forecast(spec_of(devices=0), facts(machine=machine(cards=cards)))
    assert fullest.room == int(10_000_000_000 * MARGIN)
    whole = forecast(spec_of(method="full", devices=4), facts()).memory
    shared = forecast(spec_of(method="full", devices=4, parallel="fsdp2"), facts()).memory
    assert whole is not None
    assert shared is not None
    assert shared.parts["optimiser"] == pytest.approx(whole.parts["optimiser"] / 4, rel=0.001)
    assert shared.peak < whole.peak
    zero = forecast(spec_of(method="full", devices=4, parallel="zero2"), facts()).memory
    assert zero is not None
    # A fourth of Adam's two moments, and of the copy that is updated.
    assert zero.parts["optimiser"] == pytest.approx(whole.parts["optimiser"] * 3 / 2 / 4, rel=0.001)
    assert zero.parts["weights"] == whole.parts["weights"]
    assert shared.peak < zero.peak < whole.peak


def past(spec: RunSpec, **changes: Any) -> PastRun:
    words: dict[str, Any] = {
        "device": "cpu", "dtype": "float32", "parameters": 500_000_000, "method": "lora", "key": speed_key(spec),
        "rate": 1000.0, "low": 900.0, "high": 1050.0, "flops": 2e9, "watts": None, "save_s": 1.0, **changes,
    }  # fmt: skip
    return PastRun(**words)


def test_time_rests_on_the_nearest_run_and_is_wider_the_farther_it_is() -> None:
    spec = spec_of()
    question = {"device": "cpu", "parameters": 505_000_000, "flops": 1e9, "dtype": "float32"}
    same = rate_of(spec, [past(spec)], **question)  # type: ignore[arg-type]
    other = rate_of(spec, [past(spec, key=())], **question)  # type: ignore[arg-type]
    scaled = rate_of(spec, [past(spec, parameters=1_000_000_000)], **question)  # type: ignore[arg-type]
    none = rate_of(spec, [past(spec, device="another")], **question)  # type: ignore[arg-type]
    assert (same.value, same.basis) == (1000.0, "measured")
    assert (other.value, other.basis) == (1000.0, "scaled")
    # Half the arithmetic per token, at the pace of arithmetic this machine has shown.
    assert (scaled.value, scaled.basis) == (2000.0, "scaled")
    assert (none.value, none.basis) == (None, "unknown")
    spans = [rate.high / rate.low for rate in (same, other, scaled)]  # type: ignore[operator]
    assert spans == sorted(spans)
    guess = rate_of(spec, [], device="NVIDIA H100 80GB HBM3", parameters=None, flops=2e9, dtype="bfloat16")
    assert guess.basis == "guess"
    assert (guess.high or 0) > 5 * (guess.low or 1)


def test_cost_is_what_was_asked_to_be_paid() -> None:
    spec, card = spec_of(), gpu(memory_used=0)
    before = (past(spec, device=card["name"], watts=500.0),)
    prices = Prices(per_kwh=0.3, per_gpu_hour=2.0, currency="EUR")
    plan = forecast(spec, facts(machine=machine(cards=[card]), past=before, prices=prices))
    assert plan.seconds is not None
    assert (plan.seconds_low or 0) < plan.seconds < (plan.seconds_high or 0)
    assert plan.energy_wh == pytest.approx(500 * plan.seconds / 3600)
    assert plan.cost == pytest.approx(2.0 * plan.seconds / 3600 + 0.3 * (plan.energy_wh or 0) / 1000)
    assert forecast(spec, facts(past=before, prices=prices)).cost is None


def test_finished_runs_are_the_store_of_rates() -> None:
    assert read_past() == ()
    FakeRun().begin(total=20).train(20).end()
    FakeRun().begin(total=20).train(2).end()
    found = read_past()
    assert len(found) == 1
    assert found[0].rate == pytest.approx(12_400, rel=0.02)
    assert found[0].key == speed_key(RunSpec())


def test_rows_are_selected_as_a_run_would_and_a_sample_of_them_is_tokenised() -> None:
    spec = spec_of()
    found = read_rows(spec, demo_model_dir())
    assert (found.rows, found.eval_rows, found.exact, len(found.lengths)) == (458, 32, True, 458)
    assert found.tokens == sum(found.lengths)


def test_the_verdict_of_the_demo_is_go_and_of_a_missing_file_is_not() -> None:
    verdict = judge(spec_of())
    assert verdict.go
    assert verdict.plan.memory is not None
    missing = judge(spec_of(path="nowhere.jsonl"))
    assert not missing.go
    assert blocked(missing.checks)[0].next_step
