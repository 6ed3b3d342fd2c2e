"""How fast, how long still, how well the hardware is used."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest

from backprop_tui.protocol import figures
from backprop_tui.protocol.codec import to_json
from backprop_tui.protocol.events import Event
from backprop_tui.protocol.pace import Spread, occasions_left
from backprop_tui.protocol.peaks import peak_flops
from backprop_tui.protocol.view import RunView


class Run:
    """A run that is folded as it happens; the clock moves with what is done."""

    def __init__(self, total: int = 100, **plan: Any) -> None:
        self.view = RunView()
        self.wall, self.seq, self.step = 1e9, 0, 0
        self.say("run", run="r", name="n", version="0", host="h")
        self.say("attempt", attempt=1, pid=1, resume_step=None)
        words = {"eval_every": 10, "save_every": 50, "eval_rows": 32, "train_rows": 200, "train_tokens": 1000,
                 "trained_tokens": 600, "device": "NVIDIA H100 80GB HBM3", "dtype": "bfloat16"}  # fmt: skip
        self.say("plan", total_steps=total, **{**words, **plan})
        self.say("state", state="running", reason="")

    def say(self, kind: str, /, **data: Any) -> None:
        self.seq += 1
        self.view.apply([Event(self.seq, self.wall, self.wall - 9e8, 1, kind, json.loads(to_json(data)))])

    def steps(self, count: int, seconds: float = 1.0, **changes: Any) -> Run:
        for _ in range(count):
            self.step += 1
            self.wall += seconds
            data = {"step": self.step, "epoch": self.step / 50, "loss": 1.0, "tokens": self.step * 100}
            self.say("step", **{**data, "step_s": seconds, "tokens_per_s": 100 / seconds, **changes})
        return self

    def phase(self, name: str, seconds: float) -> Run:
        self.say("phase", phase=name, status="start", detail="")
        self.wall += seconds
        self.say("phase", phase=name, status="end", seconds=seconds)
        return self


def test_quantiles_are_right_to_half_a_percent_and_survive_json() -> None:
    values = np.random.default_rng(0).lognormal(0.2, 0.6, 20_000)
    spread = Spread()
    for value in values.tolist():
        spread.add(value)
    for share in (0.05, 0.5, 0.95):
        assert spread.quantile(share) == pytest.approx(np.quantile(values, share), rel=0.006)
    for odd in (0.0, -1.0, math.nan, math.inf):
        spread.add(odd)
    assert spread.total == len(values)
    assert len(spread.counts) < 700
    run = Run().steps(30)
    again = RunView.from_dict(json.loads(to_json(run.view.to_dict())))
    assert again.pace.step_s.quantile(0.5) == pytest.approx(1.0, rel=0.006)


@pytest.mark.parametrize(
    ("step", "total", "every", "left"),
    [
        (0, 100, 10, 10),
        (10, 100, 10, 9),
        (99, 100, 10, 1),
        (100, 100, 10, 0),
        (0, 95, 10, 10),
        (94, 95, 10, 1),
        (5, 9, 0, 1),
    ],
)
def test_occasions_left(step: int, total: int, every: int, left: int) -> None:
    assert occasions_left(step, total, every) == left
    due = [n for n in range(step + 1, total + 1) if n == total or (every and n % every == 0)]
    assert len(due) == left


def test_time_left_is_what_the_rest_takes() -> None:
    run = Run()
    run.phase("eval", 3.0).phase("sample", 1.0)
    for step in range(10, 101, 10):
        run.steps(10)
        if step == 50:
            left, began = run.view.seconds_left, run.wall
        if step < 100:
            run.phase("sample", 1.0).phase("eval", 3.0)
        if step == 50:
            run.phase("save", 2.0)
    run.phase("sample", 1.0).phase("eval", 3.0).phase("save", 2.0)
    assert left is not None
    # The measurement at step 50 itself and the save after it are no longer ahead of what was asked there.
    assert left + 4.0 + 2.0 == pytest.approx(run.wall - began + 0.0, abs=2.1)


def test_a_pause_does_not_lengthen_what_is_left() -> None:
    run = Run().steps(20)
    before = run.view.seconds_left
    run.say("state", state="paused", reason="")
    run.wall += 5000
    run.say("state", state="running", reason="")
    assert run.view.seconds_left == before


def test_an_evaluation_under_way_counts_down() -> None:
    run = Run(eval_every=50, save_every=0).phase("eval", 10.0).steps(50)
    without = run.view.seconds_left
    run.say("phase", phase="eval", status="start", detail="")
    started = run.view.seconds_left
    run.wall += 6
    run.say("phase", phase="eval", status="progress", done=6, total=10)
    later = run.view.seconds_left
    assert None not in (without, started, later)
    assert started == pytest.approx(without + 10)  # type: ignore[operator]
    assert later == pytest.approx(started - 6)  # type: ignore[operator]


def test_time_left_is_a_guess_until_five_percent_and_while_no_evaluation_was_seen() -> None:
    assert figures.time_left(Run().view).value is None
    assert figures.time_left(Run().steps(3).view).about
    assert figures.time_left(Run().steps(6).view).about
    assert not figures.time_left(Run().phase("eval", 1.0).steps(6).view).about
    assert not figures.time_left(Run(eval_rows=0).steps(6).view).about


def test_the_trend_compares_now_with_the_run() -> None:
    run = Run().steps(20)
    assert figures.trend(run.view).value is None
    run.steps(40)
    assert figures.trend(run.view).value == pytest.approx(1.0, rel=0.01)
    run.steps(15, 2.0)
    assert figures.trend(run.view).value == pytest.approx(0.5, rel=0.01)
    assert figures.tokens_per_s(run.view).value == 50.0
    assert figures.step_seconds(run.view, 0.95).value == pytest.approx(2.0, rel=0.006)


def test_learnt_tokens_are_counted_or_estimated_and_say_so() -> None:
    counted = figures.trained_per_s(Run().steps(5, 2.0, trained=80).view)
    assert (counted.value, counted.about) == (40.0, False)
    estimated = figures.trained_per_s(Run().steps(5).view)
    assert (estimated.value, estimated.about) == (60.0, True)


def test_utilisation_is_the_models_share_of_the_peak() -> None:
    run = Run(flops_per_token=30e9).steps(5, tokens_per_s=14_000.0)
    assert figures.mfu(run.view).value == pytest.approx(30e9 * 14_000 / 989.4e12)


@pytest.mark.parametrize(
    ("plan", "why"),
    [
        ({"device": "cpu", "dtype": "float32"}, "cpu"),
        ({"device": "NVIDIA Unheard 9000"}, "no peak is listed for NVIDIA Unheard 9000"),
        ({"dtype": "float32"}, "float32"),
        ({"device": "Tesla T4"}, "no bfloat16 tensor cores"),
        ({"flops_per_token": None, "flops_reason": "a mixture of experts"}, "a mixture of experts"),
        ({}, "did not say what a token costs"),
    ],
)
def test_unknown_utilisation_says_why(plan: dict[str, Any], why: str) -> None:
    figure = figures.mfu(Run(**plan).steps(3).view)
    assert figure.value is None
    assert why in figure.why


@pytest.mark.parametrize(
    ("name", "peak"),
    [
        ("NVIDIA H100 80GB HBM3", 989.4), ("NVIDIA H100 PCIe", 756.5), ("NVIDIA H100 NVL", 835), ("NVIDIA H200", 989.4),
        ("NVIDIA A100-SXM4-80GB", 312), ("NVIDIA A100 80GB PCIe", 312), ("NVIDIA A10", 125), ("NVIDIA A10G", 125),
        ("NVIDIA L4", 121), ("NVIDIA L40S", 362), ("NVIDIA GeForce RTX 4090", 165.2), ("NVIDIA RTX A4000", None),
        ("NVIDIA GeForce RTX 4090 Laptop GPU", None), ("NVIDIA L40", None), ("", None),
    ],
)  # fmt: skip
def test_peaks_by_name(name: str, peak: float | None) -> None:
    found, why = peak_flops(name, "float32, maths in bfloat16")
    assert found == (None if peak is None else peak * 1e12)
    assert bool(why) is (peak is None)


def test_samples_and_energy_before_anything_is_known() -> None:
    empty = RunView()
    for figure in (
        figures.tokens_per_s(empty), figures.mfu(empty), figures.samples_seen(empty), figures.energy_wh(empty),
        figures.time_left(empty), figures.step_seconds(empty, 0.5), figures.trained_per_s(empty),
    ):  # fmt: skip
        assert figure.value is None
        assert figure.why
    assert figures.samples_seen(Run().steps(25).view).value == 100
