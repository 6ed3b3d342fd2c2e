"""Alerts from curves: silent on clean noisy ones, quick on each fault, once per episode."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backprop_tui.engine import curve_rules
from backprop_tui.engine.watch_curves import CurveWatch

STEPS = 400
Told = list[tuple[str, int]]


class Curve:
    """A run that goes well: an exponential fall with noise, of three kinds: normal, log-normal, and with heavy tails."""

    def __init__(self, seed: int, *, noise: float | None = None, steps: int = STEPS) -> None:
        self.dice = random.Random(seed)
        self.steps = steps
        self.floor, self.height = self.dice.uniform(0.2, 2), self.dice.uniform(0.5, 3)
        self.fall = self.dice.uniform(0.3, 0.8) * steps
        self.noise = self.dice.uniform(0.005, 0.25) if noise is None else noise
        self.kind = seed % 3

    def mean(self, step: int) -> float:
        return self.floor + self.height * math.exp(-step / self.fall)

    def shake(self) -> float:
        if self.kind == 0:
            return self.dice.gauss(0, self.noise)
        if self.kind == 1:
            return self.dice.lognormvariate(0, self.noise) - 1
        return self.noise * self.dice.gauss(0, 1) * math.sqrt(3 / max(0.3, self.dice.gammavariate(2.5, 1.2)))

    def step(self, step: int) -> dict[str, float]:
        mean = self.mean(step)
        return {
            "step": step,
            "loss": max(0.01, mean * (1 + self.shake())),
            "grad_norm": self.dice.lognormvariate(0, 0.4) * (0.3 + mean),
            "tokens_per_s": 1e4 * self.dice.lognormvariate(0, 0.2),
        }

    def events(self, change: Callable[[dict[str, float]], dict[str, float]] = lambda step: step) -> Iterator[Any]:
        yield "plan", {"total_steps": self.steps}
        for step in range(1, self.steps + 1):
            yield "step", change(self.step(step))
            if step % 20 == 0:
                yield "eval", {"step": step, "loss": (self.mean(step) + 0.05) * (1 + self.dice.gauss(0, 0.004))}


def told(events: Iterator[Any], watch: CurveWatch | None = None) -> Told:
    watch = watch or CurveWatch({"optim": {"warmup": 0.03}})
    found = [alert for kind, data in events for alert in watch.take(kind, data)]
    for alert in found:
        assert alert["cause"].endswith(".")
        assert alert["next"].endswith(".")
        assert alert["severity"] in ("warn", "error")
    return [(alert["code"], alert["step"]) for alert in found]


@pytest.mark.parametrize("block", range(5))
def test_clean_noisy_curves_are_silent(block: int) -> None:
    for seed in range(block * 40, block * 40 + 40):
        assert told(Curve(seed).events()) == [], seed


@settings(max_examples=40, deadline=None)
@given(st.integers(1000, 10**9))
def test_clean_curves_of_any_seed_are_silent(seed: int) -> None:
    assert told(Curve(seed).events()) == []


def from_step(at: int, until: int = STEPS, **change: Callable[[float, int], float]) -> Any:
    """What spoils a figure from one step to another; the functions get the figure and the steps since."""

    def apply(step: dict[str, float]) -> dict[str, float]:
        since = int(step["step"]) - at
        if since < 0 or step["step"] > until:
            return step
        return step | {name: spoil(step[name], since) for name, spoil in change.items()}

    return apply


@pytest.mark.parametrize(
    ("code", "change", "within"),
    [
        ("LOSS_SPIKE", from_step(200, 206, loss=lambda loss, _: loss * 2.5), 3),
        ("DIVERGENCE", from_step(200, loss=lambda loss, since: loss * (1 + since / 20)), 30),
        ("GRADIENT_COLLAPSE", from_step(200, grad_norm=lambda norm, _: norm / 1000), 12),
        ("GRADIENT_COLLAPSE", from_step(200, grad_norm=lambda *_: 0.0), 12),
        ("THROUGHPUT_DROP", from_step(200, tokens_per_s=lambda rate, _: rate * 0.4), 12),
    ],
)
@pytest.mark.parametrize("seed", range(6))
def test_each_fault_is_told_soon_and_once(code: str, change: Any, within: int, seed: int) -> None:
    found = [step for name, step in told(Curve(seed, noise=0.06).events(change)) if name == code]
    assert len(found) == 1
    assert 200 <= found[0] <= 200 + within


@pytest.mark.parametrize("seed", range(6))
def test_a_plateau_is_told_while_there_is_time_to_change_something(seed: int) -> None:
    curve = Curve(seed, noise=0.03, steps=1000)
    level = curve.mean(150)
    flat = from_step(150, 1000, loss=lambda loss, _: level * (1 + curve.shake()))
    (plateau,) = [step for name, step in told(curve.events(flat)) if name == "PLATEAU"]
    assert 150 < plateau <= 150 + 400, "two windows of a fifth of the run"
    rested = from_step(850, 1000, loss=lambda loss, _: curve.mean(850))
    assert not [name for name, _ in told(Curve(seed, noise=0.03, steps=1000).events(rested)) if name == "PLATEAU"]


def evaluated(losses: list[float], **options: Any) -> Told:
    """A run whose training loss falls quietly, with these evaluations every 20 steps."""

    def events() -> Iterator[Any]:
        curve = Curve(1, noise=0.02)
        for kind, data in curve.events():
            if kind != "eval":
                yield kind, data
            elif losses:
                yield "eval", {"step": data["step"], "loss": losses.pop(0)}

    return told(events(), CurveWatch({}, **options))


def test_overfitting_is_told_when_evaluations_rise_and_the_training_loss_falls() -> None:
    assert evaluated([2.0, 1.8, 1.7, 1.65, 1.7, 1.74, 1.78, 1.82, 1.9, 2.0]) == [("OVERFIT", 140)]
    # Worse at once is noise; better again and then worse is another episode.
    assert evaluated([2.0, 1.8, 1.7, 1.65, 1.7, 1.66, 1.64, 1.66, 1.63, 1.62]) == []
    twice = [2.0, 1.6, 1.65, 1.7, 1.75, 1.5, 1.55, 1.6, 1.65]
    assert evaluated(twice) == [("OVERFIT", 100), ("OVERFIT", 180)]


def test_drift_against_a_baseline_between_its_points() -> None:
    baseline = [(10, 2.0), (50, 1.6), (110, 1.0), (200, 1.0)]
    found = evaluated([1.9, 1.72, 1.5, 1.5, 1.5, 1.0, 1.2], baseline=baseline, baseline_name="run abcd")
    assert found == [("BASELINE_DRIFT", 80), ("BASELINE_DRIFT", 140)]
    assert evaluated([1.9, 1.7, 1.5, 1.3, 1.1], baseline=baseline) == []
    assert evaluated([9.0, 9.0], baseline=[(5, 1.0)]) == [], "nothing is compared outside of the baseline's steps"
    assert curve_rules.at_step(baseline, 30) == pytest.approx(1.8)
    assert curve_rules.at_step(baseline, 201) is None
    assert curve_rules.at_step([], 1) is None


def test_an_evaluation_that_is_no_number() -> None:
    assert evaluated([2.0, math.nan, math.nan, 1.5, math.inf]) == [("EVAL_NOT_FINITE", 40), ("EVAL_NOT_FINITE", 100)]


def test_told_again_only_after_it_was_well_in_between() -> None:
    def twice(step: dict[str, float]) -> dict[str, float]:
        slow = 120 <= step["step"] < 180 or step["step"] >= 280
        return step | {"tokens_per_s": step["tokens_per_s"] * (0.4 if slow else 1.0)}

    found = [step for name, step in told(Curve(4, noise=0.02).events(twice)) if name == "THROUGHPUT_DROP"]
    assert len(found) == 2
    assert 120 <= found[0] < 132
    assert 280 <= found[1] < 292


def test_the_warm_up_is_not_judged_and_a_new_attempt_begins_anew() -> None:
    rising = from_step(1, 90, loss=lambda loss, since: loss * (1 + since / 10))
    watch = CurveWatch({"optim": {"warmup": 90}})
    assert not [name for name, _ in told(Curve(5, noise=0.02).events(rising), watch) if name == "DIVERGENCE"]
    high = from_step(1, loss=lambda loss, _: loss * 3, tokens_per_s=lambda rate, _: rate / 3)
    assert watch.take("attempt", {"attempt": 2}) == []
    assert told(Curve(6, noise=0.02).events(high), watch) == []


def test_switched_off_and_objectives_without_a_falling_loss() -> None:
    wild = from_step(100, loss=lambda loss, since: loss * (1 + since), tokens_per_s=lambda rate, _: rate / 5)
    assert told(Curve(7).events(wild), CurveWatch({"recovery": {"watch_curves": False}})) == []
    names = {name for name, _ in told(Curve(7).events(wild), CurveWatch({"task": {"objective": "grpo"}}))}
    assert names == {"THROUGHPUT_DROP"}


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["step", "eval", "plan", "attempt", "stage"]), st.dictionaries(
    st.sampled_from(["step", "loss", "grad_norm", "tokens_per_s", "total_steps"]),
    st.one_of(st.none(), st.text(max_size=3), st.sampled_from(["nan", "inf", "-inf"]), st.floats(), st.integers()),
)), max_size=80))  # fmt: skip
def test_nothing_a_worker_says_breaks_it(events: list[tuple[str, dict[str, Any]]]) -> None:
    watch = CurveWatch({"optim": None, "recovery": 3, "task": {}})
    for kind, data in events:
        watch.take(kind, data)
