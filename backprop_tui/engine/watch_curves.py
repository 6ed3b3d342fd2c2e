"""Tells what a run's curves show: spikes, divergence, plateaus, overfitting, dead gradients, lost speed, drift.

Fed by the host with what its worker says, so that a worker that dies hides nothing. Each is told once per episode: again
only after the curve was well in between. Steps of the warm-up are not judged, and a new attempt or stage begins anew.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any, Literal

from backprop_tui.engine import curve_rules as rules
from backprop_tui.protocol import events as ev
from backprop_tui.protocol.codec import number

Payload = dict[str, Any]

#: Steps of a new attempt whose speed says nothing: caches fill, kernels are chosen.
_COLD = 8
#: Longest memory of the loss, in steps.
_KEPT = 2000
#: Objectives whose loss does not fall as the model gets better (GRPO's is near 0 by construction).
_NOT_BY_LOSS = frozenset({"grpo"})


class CurveWatch:
    """Feed it with `take`.

    Args:
        spec: run.json as it stands: warm-up, objective, and whether anything is watched.
        baseline: the evaluations of another run as (step, loss), ascending; empty without one.
        baseline_name: what that run is called.
    """

    def __init__(
        self, spec: Mapping[str, Any], baseline: Sequence[tuple[int, float]] = (), baseline_name: str = ""
    ) -> None:
        self._off = not _leaf(spec, "recovery", "watch_curves", True)
        self._by_loss = _leaf(spec, "task", "objective", "sft") not in _NOT_BY_LOSS
        self._warmup = number(_leaf(spec, "optim", "warmup", 0.0)) or 0.0
        self._baseline = baseline
        self._baseline_name = baseline_name
        self._total: int | None = None
        self._begin()

    def take(self, kind: str, data: Mapping[str, Any]) -> list[Payload]:
        """Take in one event of the run; what it shows, as payloads of alerts."""
        if self._off:
            return []
        if kind in (ev.ATTEMPT, ev.STAGE):
            self._begin()
        elif kind == ev.PLAN:
            total = number(data.get("total_steps"))
            self._total = int(total) if total is not None and 0 < total < 1 << 53 else None
        elif kind == ev.STEP:
            return self._step(data)
        elif kind == ev.EVAL:
            return self._eval(data)
        return []

    def _begin(self) -> None:
        self._active: set[str] = set()
        self._losses: deque[float] = deque(maxlen=_KEPT)
        self._norms: deque[float] = deque(maxlen=_KEPT)
        self._rates: deque[float] = deque(maxlen=rules.WINDOW)
        self._evals: list[float] = []
        self._taken = 0
        self._first_loss = self._usual_rate = self._train_at_best = None
        self._usual_norm = 0.0
        self._lowest = math.inf
        self._since_plateau = 0

    _first_loss: float | None
    _usual_rate: float | None
    _train_at_best: float | None

    def _step(self, data: Mapping[str, Any]) -> list[Payload]:
        step, loss = number(data.get("step")), number(data.get("loss"))
        norm, rate = number(data.get("grad_norm")), number(data.get("tokens_per_s"))
        if step is None or not 0 <= step < 1 << 53:
            return []
        at, told = int(step), []
        self._taken += 1
        if rate is not None and math.isfinite(rate) and self._taken > _COLD:
            told += self._speed(at, rate)
        if loss is None or not math.isfinite(loss) or not self._by_loss:
            return told
        if self._first_loss is None:
            self._first_loss = loss
        if at <= self._warm_until():
            return told
        self._losses.append(loss)
        if norm is not None and math.isfinite(norm):
            self._norms.append(norm)
        return told + self._loss(at) + self._gradient(at)

    def _loss(self, step: int) -> list[Payload]:
        losses = list(self._losses)[-2 * rules.WINDOW :]
        told = []
        if self._turns("LOSS_SPIKE", rules.is_spike(losses), lambda: rules.spike_over(losses)):
            usual = median(losses[-rules.WINDOW - 3 : -3])
            told.append(_alert(
                "LOSS_SPIKE", "warn", step, f"The loss jumped to {losses[-1]:.3g} from about {usual:.3g}.",
                "Press l to lower the learning rate if it does not come back.",
            ))  # fmt: skip
        if len(losses) >= rules.RECENT:
            diverged = self._lowest < math.inf and rules.has_diverged(losses, self._lowest)
            if self._turns("DIVERGENCE", diverged, lambda: rules.divergence_over(losses, self._lowest)):
                told.append(_alert(
                    "DIVERGENCE", "error", step,
                    f"The loss has risen to {median(losses[-rules.RECENT :]):.3g} from {self._lowest:.3g} and stays there.",
                    "Press x to stop, then resume from an earlier checkpoint with half the learning rate.",
                ))  # fmt: skip
            self._lowest = min(self._lowest, median(losses[-rules.RECENT :]))
        return told + self._plateau(step)

    def _plateau(self, step: int) -> list[Payload]:
        """Looked for now and then: a window of a fifth of the run has to be still."""
        self._since_plateau += 1
        length = max(2 * rules.WINDOW, (self._total or 0) // 5)
        if length > _KEPT or len(self._losses) < length or self._since_plateau < length // 8:
            return []
        self._since_plateau = 0
        window = list(self._losses)[-length:]
        still = rules.is_plateau(window)
        if self._total is not None and step > 0.8 * self._total:
            # The learning rate has fallen: nothing is wrong with a loss that rests.
            return []
        if not self._turns("PLATEAU", still, lambda: rules.plateau_over(window)):
            return []
        return [_alert(
            "PLATEAU", "warn", step, f"The loss has not fallen for {length:,} steps; it stays near {median(window):.3g}.",
            "Press l for another learning rate, or x to stop and keep what there is.",
        )]  # fmt: skip

    def _gradient(self, step: int) -> list[Payload]:
        norms = list(self._norms)[-2 * rules.WINDOW :]
        gone = rules.has_collapsed(norms, list(self._losses)[-rules.RECENT :], self._first_loss or 0.0)
        if "GRADIENT_COLLAPSE" not in self._active and len(norms) > rules.RECENT:
            self._usual_norm = median(norms[: -rules.RECENT])
        if not self._turns("GRADIENT_COLLAPSE", gone, lambda: rules.collapse_over(norms, self._usual_norm)):
            return []
        return [_alert(
            "GRADIENT_COLLAPSE", "warn", step,
            f"The gradient has shrunk to {median(norms[-rules.RECENT :]):.2g} from about {self._usual_norm:.2g}: "
            "almost nothing is learnt.",
            "Press x to stop; check that the rows have answers to learn and that layers are not frozen.",
        )]  # fmt: skip

    def _speed(self, step: int, rate: float) -> list[Payload]:
        self._rates.append(rate)
        rates = list(self._rates)
        if self._usual_rate is None and len(rates) < rules.FEWEST:
            return []
        if "THROUGHPUT_DROP" not in self._active:
            before = median(rates[: -rules.RECENT] or rates)
            self._usual_rate = max(self._usual_rate or 0.0, before)
        usual = self._usual_rate or 0.0
        slow = rules.has_slowed(rates, usual)
        if not self._turns("THROUGHPUT_DROP", slow, lambda: rules.slowness_over(rates, usual)):
            return []
        return [_alert(
            "THROUGHPUT_DROP", "warn", step,
            f"Training has slowed to {median(rates[-rules.RECENT :]):,.0f} tokens/s from {usual:,.0f}.",
            "Look at the machine panel: heat, another process on the GPU, or a disk that is busy.",
        )]  # fmt: skip

    def _eval(self, data: Mapping[str, Any]) -> list[Payload]:
        step, loss = number(data.get("step")), number(data.get("loss"))
        if step is None or loss is None or not 0 <= step < 1 << 53:
            return []
        at = int(step)
        if not math.isfinite(loss):
            odd = self._turns("EVAL_NOT_FINITE", True, lambda: False)
            cause, following = f"The evaluation of step {at:,} gave no number.", "Press l to lower the learning rate."
            return [_alert("EVAL_NOT_FINITE", "error", at, cause, following)] if odd else []
        self._active.discard("EVAL_NOT_FINITE")
        train = median(list(self._losses)[-rules.RECENT :]) if len(self._losses) >= rules.RECENT else None
        told = []
        if not self._evals or loss < min(self._evals):
            self._train_at_best = train
        self._evals.append(loss)
        best = min(self._evals)
        if self._turns(
            "OVERFIT", rules.is_overfit(self._evals, self._train_at_best, train), lambda: loss <= best * 1.01
        ):
            told.append(_alert(
                "OVERFIT", "warn", at,
                f"The eval loss has risen to {loss:.3g} from {best:.3g} while the training loss falls: it learns by heart.",
                "Press x to stop and keep the best checkpoint, or train for fewer epochs.",
            ))  # fmt: skip
        return told + self._drift(at, loss)

    def _drift(self, step: int, loss: float) -> list[Payload]:
        there = rules.at_step(self._baseline, step)
        if there is None or not self._turns(
            "BASELINE_DRIFT", rules.has_drifted(loss, there), lambda: rules.drift_over(loss, there)
        ):
            return []
        return [_alert(
            "BASELINE_DRIFT", "warn", step,
            f"The eval loss is {loss:.3g}; {self._baseline_name or 'the baseline'} had {there:.3g} at this step.",
            "Press v to lay the baseline over the chart.",
        )]  # fmt: skip

    def _turns(self, code: str, present: bool, over: Any) -> bool:
        """Whether an episode begins here; `over()` is asked whether one that goes on has ended."""
        if code in self._active:
            if over():
                self._active.discard(code)
            return False
        if present:
            self._active.add(code)
        return present

    def _warm_until(self) -> float:
        return self._warmup * (self._total or 0) if self._warmup < 1 else self._warmup


def _alert(code: str, severity: Literal["warn", "error"], step: int, cause: str, following: str) -> Payload:
    return {"code": code, "severity": severity, "cause": cause, "next": following, "step": step}


def _leaf(spec: Mapping[str, Any], part: str, key: str, default: Any) -> Any:
    inner = spec.get(part)
    return inner.get(key, default) if isinstance(inner, Mapping) else default
