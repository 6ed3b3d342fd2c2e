"""Which setting explains the outcome of some runs, and how much that is to be believed.

Numbers are judged by Spearman's rank correlation, choices by the share of the spread of ranks that lies between their
groups (epsilon squared, corrected for the number of groups); a number may also be judged like a choice, because a sweet
spot in the middle has no direction. How often chance alone does as well is found by shuffling the outcomes (all orders of
up to six runs, else 1,000 of them) and looking each time at the best of all settings, so that trying many settings is paid
for. It is told how many runs that rests on; nothing here is a proof.
"""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from backprop_tui.store.differences import Differing, groups

#: Fewest runs that are ranked, and most of which all orders are tried.
FEWEST = 4
_ALL_ORDERS = 6
_SHUFFLES = 1000
#: A share of shuffles up to which a setting stands out, and up to which it is at least a hint.
_CLEAR, _HINT = 0.05, 0.2

Verdict = Literal["stands out", "a hint", "could be chance"]


@dataclass(frozen=True, slots=True)
class Factor:
    """One setting, or several that changed together and can't be told apart.

    Attributes:
        keys: names of the settings. strength: 0 to 1. direction: 1 when larger values go with a larger outcome, -1 the other
            way, 0 for choices and sweet spots. best: the value whose runs did best. chance: share of shuffles that do as well.
    """

    keys: tuple[str, ...]
    strength: float
    direction: int
    best: Any
    chance: float

    @property
    def verdict(self) -> Verdict:
        """An honest word."""
        return "stands out" if self.chance <= _CLEAR else "a hint" if self.chance <= _HINT else "could be chance"


@dataclass(frozen=True, slots=True)
class Explanation:
    """Settings by how well they order the outcome, and a sentence on what that is worth.

    Attributes:
        runs: runs with a known outcome. missing: runs without one. own: settings with a value of its own in every run that
            are no numbers, of which nothing can be said.
    """

    factors: tuple[Factor, ...]
    sentence: str
    runs: int
    missing: int = 0
    own: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready words."""
        return {
            "runs": self.runs,
            "without_outcome": self.missing,
            "sentence": self.sentence,
            "each_run_its_own": list(self.own),
            "factors": [
                {
                    "settings": list(factor.keys),
                    "strength": round(factor.strength, 4),
                    "direction": factor.direction,
                    "best": factor.best if isinstance(factor.best, (str, int, float, bool)) else None,
                    "chance": round(factor.chance, 4),
                    "verdict": factor.verdict,
                }
                for factor in self.factors
            ],
        }


def explain(settings: Sequence[Differing], outcome: Sequence[float | None], *, low_is_good: bool = True) -> Explanation:
    """Rank settings by how well they order an outcome.

    Args:
        settings: those that differ, with one value per run.
        outcome: one per run; None is unknown and leaves the run out, what is not a number counts as the worst.
        low_is_good: whether a smaller outcome is the better one.
    """
    known = [at for at, value in enumerate(outcome) if value is not None]
    missing = len(outcome) - len(known)
    n = len(known)
    values = [_graded(outcome[at], low_is_good) for at in known]
    varying = [(one, tuple(one.values[at] for at in known)) for one in settings]
    varying = [(one, found) for one, found in varying if len(set(groups(found))) > 1]
    if n < FEWEST:
        return Explanation((), _too_few(n, len(varying)), n, missing)
    if not varying:
        return Explanation((), f"The {n} runs have the same settings: what differs between them is chance.", n, missing)
    if len(set(values)) == 1:
        return Explanation((), f"The {n} runs have the same outcome: there is nothing to explain.", n, missing)
    ranks = _centred(_ranks(values))
    judges, own = _judges(varying)
    if not judges:
        return Explanation((), "Each run has values of its own: nothing can be said.", n, missing, own)
    strengths = [judge.strength(ranks) for judge in judges]
    better = _chances(judges, strengths, ranks)
    factors = [
        Factor(judge.keys, strength, judge.direction(ranks), judge.best(ranks, low_is_good), chance)
        for judge, strength, chance in zip(judges, strengths, better, strict=True)
    ]
    factors.sort(key=lambda factor: -factor.strength)
    return Explanation(tuple(factors), _sentence(factors, n), n, missing, own)


class _Judge:
    """How well one partition of the runs, and the order of its values if they are numbers, fits ranks of the outcome."""

    def __init__(self, keys: tuple[str, ...], values: tuple[Any, ...], numeric: bool) -> None:
        self.keys = keys
        self.values = values
        self.of = groups(values)
        self.count = len(set(self.of))
        self.sizes = [self.of.count(group) for group in range(self.count)]
        self.order = _centred(_ranks([float(value) for value in values])) if numeric else None

    def correlation(self, ranks: Sequence[float]) -> float:
        return sum(map(float.__mul__, self.order, ranks)) if self.order is not None else 0.0

    def spread(self, ranks: Sequence[float]) -> float:
        n = len(ranks)
        if self.count >= n:
            return 0.0
        sums = [0.0] * self.count
        for group, rank in zip(self.of, ranks, strict=True):
            sums[group] += rank
        between = sum(total * total / size for total, size in zip(sums, self.sizes, strict=True))
        return math.sqrt(max(0.0, 1 - (1 - min(between, 1.0)) * (n - 1) / (n - self.count)))

    def strength(self, ranks: Sequence[float]) -> float:
        return min(1.0, max(abs(self.correlation(ranks)), self.spread(ranks)))

    def direction(self, ranks: Sequence[float]) -> int:
        found = self.correlation(ranks)
        clear = self.order is not None and abs(found) >= self.spread(ranks) - 0.1 and found != 0
        return int(math.copysign(1, found)) if clear else 0

    def best(self, ranks: Sequence[float], low_is_good: bool) -> Any:
        means: dict[int, float] = {}
        for group in range(self.count):
            means[group] = sum(r for r, of in zip(ranks, self.of, strict=True) if of == group) / self.sizes[group]
        wanted = min(means, key=means.__getitem__) if low_is_good else max(means, key=means.__getitem__)
        return self.values[self.of.index(wanted)]


def _judges(varying: Iterable[tuple[Differing, tuple[Any, ...]]]) -> tuple[list[_Judge], tuple[str, ...]]:
    """One judge per set of settings that can be told apart, and the settings of which nothing can be said."""
    together: dict[tuple[Any, ...], list[tuple[Differing, tuple[Any, ...], bool]]] = {}
    own: list[str] = []
    for one, values in varying:
        numeric = all(_finite(value) for value in values)
        of = groups(values)
        single = len(set(of)) == len(values)
        if single and not numeric:
            own.append(one.key)
            continue
        if single:
            ranks = _ranks([float(value) for value in values])
            turned = [len(ranks) - 1 - rank for rank in ranks]
            sign: tuple[Any, ...] = ("order", *min(ranks, turned))
        else:
            sign = ("groups", *of)
        together.setdefault(sign, []).append((one, values, numeric))
    judges = []
    for members in together.values():
        first = next((member for member in members if member[2]), members[0])
        judges.append(_Judge(tuple(one.key for one, _, _ in members), first[1], first[2]))
    return judges, tuple(own)


def _chances(judges: Sequence[_Judge], strengths: Sequence[float], ranks: Sequence[float]) -> list[float]:
    """For each judge the share of orders of the outcome in which some judge does at least as well."""
    orders: Iterable[Sequence[float]]
    if len(ranks) <= _ALL_ORDERS:
        orders = itertools.permutations(ranks)
    else:
        # The same runs give the same answer each time.
        dice = random.Random(len(ranks))
        orders = (dice.sample(ranks, len(ranks)) for _ in range(_SHUFFLES))
    bests = [max(judge.strength(order) for judge in judges) for order in orders]
    # The order that was found is one of those that chance could give.
    extra = 0 if len(ranks) <= _ALL_ORDERS else 1
    return [(sum(best >= strength - 1e-9 for best in bests) + extra) / (len(bests) + extra) for strength in strengths]


def _ranks(values: Sequence[float]) -> list[float]:
    """Ranks from 0, ties sharing their mean."""
    order = sorted(range(len(values)), key=values.__getitem__)
    ranks = [0.0] * len(values)
    at = 0
    while at < len(order):
        end = at
        while end + 1 < len(order) and values[order[end + 1]] == values[order[at]]:
            end += 1
        for place in order[at : end + 1]:
            ranks[place] = (at + end) / 2
        at = end + 1
    return ranks


def _centred(ranks: Sequence[float]) -> list[float]:
    """With mean 0 and length 1."""
    mean = sum(ranks) / len(ranks)
    length = math.sqrt(sum((rank - mean) ** 2 for rank in ranks)) or 1.0
    return [(rank - mean) / length for rank in ranks]


def _graded(value: float | None, low_is_good: bool) -> float:
    if value is None or math.isnan(value):
        return math.inf if low_is_good else -math.inf
    return value


def _finite(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return abs(value) < 1e300


def _too_few(n: int, settings: int) -> str:
    if n < 2:
        return "Fewer than two of these runs have this outcome: there is nothing to compare."
    differ = {0: "No setting differs", 1: "One setting differs"}.get(settings, f"{settings} settings differ")
    if n == 2:
        return f"{differ}. Two runs explain nothing: any of it may be why, or chance."
    return f"{differ}. {n} runs are too few to rank settings; from {FEWEST} on it is tried."


def _sentence(factors: Sequence[Factor], n: int) -> str:
    best = factors[0]
    name = " and ".join(best.keys)
    together = " (they changed together)" if len(best.keys) > 1 else ""
    often = f"{best.chance:.0%} of shuffled outcomes do as well".replace("%", " %")
    if best.verdict == "stands out":
        return f"{name}{together} stands out over {n} runs: only {often}. Not a proof; vary it alone to be sure."
    if best.verdict == "a hint":
        return f"{name}{together} is a hint over {n} runs: {often}. More runs would tell."
    return f"Nothing stands out over {n} runs: {often} as the best of these settings."
