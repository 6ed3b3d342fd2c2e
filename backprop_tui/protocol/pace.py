"""How fast a run goes and how long it still takes: step times, rates, and what evaluations and saves cost. Pure, JSON-ready.

Medians of the whole run come from counts on a logarithmic scale, so a million steps cost a few hundred numbers and every
quantile is right to half a percent.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

#: Neighbouring counts of a `Spread` are this far apart, as a difference of natural logarithms.
SCALE = math.log(1.01)
#: Steps whose median is "now".
RECENT = 15
#: Durations of measurements and saves that are remembered.
_REMEMBERED = 8


@dataclass(slots=True)
class Spread:
    """How positive numbers are distributed. `counts` are by place on the logarithmic scale, as strings for JSON."""

    counts: dict[str, int] = field(default_factory=dict)
    total: int = 0

    def add(self, value: float) -> None:
        """Count one value; what is not a positive finite number is passed over."""
        if 0.0 < value < math.inf:
            place = str(round(math.log(value) / SCALE))
            self.counts[place] = self.counts.get(place, 0) + 1
            self.total += 1

    def add_counts(self, counts: Mapping[str, int]) -> None:
        """Count many values at once, by place."""
        for place, count in counts.items():
            self.counts[place] = self.counts.get(place, 0) + count
            self.total += count

    def quantile(self, share: float) -> float | None:
        """The value below which this share lies, within half a percent; None before the first."""
        wanted, passed = share * self.total, 0
        for place, count in sorted((int(place), count) for place, count in self.counts.items()):
            passed += count
            if passed >= wanted:
                return math.exp(place * SCALE)
        return None


@dataclass(slots=True)
class Pace:
    """What the steps so far say of those to come.

    Attributes:
        step_s: seconds of every step. rate: tokens per second of every step.
        recent_rate, recent_trained: tokens per second of the newest steps, all of them and those learnt.
        measured: [step, seconds] of the newest measurements (answers and loss together), oldest first.
        saved: seconds of the newest saves.
        phase_since: when the phase now under way began, Unix seconds.
    """

    step_s: Spread = field(default_factory=Spread)
    rate: Spread = field(default_factory=Spread)
    recent_rate: list[float] = field(default_factory=list)
    recent_trained: list[float] = field(default_factory=list)
    measured: list[list[float]] = field(default_factory=list)
    saved: list[float] = field(default_factory=list)
    phase_since: float | None = None

    def took_step(self, seconds: float | None, rate: float | None, trained: float | None) -> None:
        """A step ended: its seconds, tokens per second, and the tokens learnt in it."""
        if seconds is not None:
            self.step_s.add(seconds)
            if trained is not None and seconds > 0:
                self.recent_trained.append(trained / seconds)
                del self.recent_trained[:-RECENT]
        if rate is not None and math.isfinite(rate):
            self.rate.add(rate)
            self.recent_rate.append(rate)
            del self.recent_rate[:-RECENT]

    def took_many(self, passed: Mapping[str, Mapping[str, int]]) -> None:
        """Steps that were read in bulk: counts of their `step_s` and `tokens_per_s` by place in a `Spread`."""
        self.step_s.add_counts(passed.get("step_s") or {})
        self.rate.add_counts(passed.get("tokens_per_s") or {})

    def phase_ended(self, phase: str, step: int, seconds: float | None) -> None:
        """A phase was left; answers and loss of one step count as one measurement."""
        self.phase_since = None
        if seconds is None or not math.isfinite(seconds) or seconds < 0:
            return
        if phase == "save":
            self.saved.append(seconds)
            del self.saved[:-_REMEMBERED]
        elif phase in ("eval", "sample"):
            if self.measured and self.measured[-1][0] == step:
                self.measured[-1][1] += seconds
            else:
                self.measured.append([step, seconds])
                del self.measured[:-_REMEMBERED]

    def new_attempt(self) -> None:
        """Another process, perhaps another machine: what is recent is void, what the run has been stays."""
        self.recent_rate, self.recent_trained, self.phase_since = [], [], None

    @classmethod
    def from_dict(cls, words: Mapping[str, Any]) -> Pace:
        """Rebuild one written by `dataclasses.asdict`."""
        known = {f.name for f in fields(cls)}
        pace = cls(**{key: value for key, value in words.items() if key in known})
        for name in ("step_s", "rate"):
            spread = getattr(pace, name)
            if isinstance(spread, dict):
                setattr(pace, name, Spread(dict(spread["counts"]), int(spread["total"])))
        return pace


def median(values: list[float]) -> float | None:
    """The middle value; None of none."""
    ordered = sorted(values)
    if not ordered:
        return None
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


def occasions_left(step: int, total: int, every: object) -> int:
    """How often something due each `every` steps and at the last one is still due after `step`; `every` 0: at the last."""
    if step >= total:
        return 0
    if not isinstance(every, (int, float)) or isinstance(every, bool) or not 1 <= every < math.inf:
        return 1
    whole = int(every)
    return total // whole - step // whole + (1 if total % whole else 0)


def seconds_left(
    pace: Pace, plan: Mapping[str, Any], step: int, total: int, per_step: float, phase: str | None, now: float | None
) -> float | None:
    """Seconds to the end of a run that knows its schedule, evaluations and saves included; None without a schedule.

    Args:
        pace: what was learnt so far.
        plan: the run's plan.
        step: steps done.
        total: steps of the whole run.
        per_step: seconds of a step, without anything done between steps.
        phase: what is under way.
        now: Unix seconds, to take off what the phase under way has had already.
    """
    if "eval_every" not in plan or "save_every" not in plan:
        return None
    measure = median([seconds for _, seconds in pace.measured]) or 0.0
    save = median(pace.saved) or 0.0
    left = max(0, total - step) * per_step
    left += occasions_left(step, total, plan["eval_every"]) * measure
    left += occasions_left(step, total, plan["save_every"]) * save
    spent = max(0.0, now - pace.phase_since) if now is not None and pace.phase_since is not None else 0.0
    if phase == "save":
        left += max(0.0, save - spent)
    elif phase in ("eval", "sample"):
        before = pace.measured[-1][1] if pace.measured and pace.measured[-1][0] == step else 0.0
        left += max(0.0, measure - spent - before)
    return left
