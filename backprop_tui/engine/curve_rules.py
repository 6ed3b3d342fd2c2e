"""What a curve must look like for somebody to be told. Pure, on lists of floats, with robust statistics throughout.

A spread is 1.4826 times the median absolute deviation, which is the standard deviation of normal noise (Rousseeuw and Croux
1993) and does not see single outliers. Every rule compares medians of windows, so that one odd batch moves nothing, and asks
for a difference far beyond the noise of its own window; the figures were chosen so that thousands of clean noisy curves stay
silent while each fault is told within a few dozen steps (both are tested).
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from statistics import median

#: Steps looked back at, and fewest of them before anything is said of the loss.
WINDOW, FEWEST = 60, 24
#: Steps whose median stands for "now".
RECENT = 12


def spread(values: Sequence[float]) -> float:
    """Robust standard deviation: 1.4826 times the median absolute deviation."""
    middle = median(values)
    return 1.4826 * median(abs(value - middle) for value in values)


def is_spike(losses: Sequence[float]) -> bool:
    """Two of the newest three losses lie far above the window before them."""
    before, newest = losses[-WINDOW - 3 : -3], losses[-3:]
    if len(before) < FEWEST:
        return False
    middle = median(before)
    limit = middle + max(8.0 * spread(before), 0.3 * abs(middle), 0.02)
    return sum(loss > limit for loss in newest) >= 2


def spike_over(losses: Sequence[float]) -> bool:
    """The newest losses are among those before again."""
    before = losses[-WINDOW - 3 : -3]
    middle = median(before)
    return all(loss <= middle + max(4.0 * spread(before), 0.15 * abs(middle), 0.01) for loss in losses[-3:])


def has_diverged(losses: Sequence[float], lowest: float) -> bool:
    """The recent median lies far above the lowest one the run has had, and no loss of the window comes near that again.

    Args:
        losses: all so far or the newest.
        lowest: smallest median of `RECENT` losses so far.
    """
    recent = losses[-RECENT:]
    if len(recent) < RECENT:
        return False
    limit = lowest + max(4.0 * spread(losses[-WINDOW:]), 0.25 * abs(lowest), 0.05)
    return median(recent) > limit and min(recent) > lowest


def divergence_over(losses: Sequence[float], lowest: float) -> bool:
    """The recent median is near the lowest again."""
    return median(losses[-RECENT:]) <= lowest + max(0.1 * abs(lowest), 0.02)


def is_plateau(losses: Sequence[float]) -> bool:
    """The second half of a long window is no lower than the first, and the noise is too small to hide that it is.

    The standard error of a median of n normal values is 1.2533 spread / sqrt(n) (Kendall and Stuart).
    """
    half = len(losses) // 2
    first, second = losses[:half], losses[half:]
    fallen = median(first) - median(second)
    error = 1.2533 * (spread(first) ** 2 / len(first) + spread(second) ** 2 / len(second)) ** 0.5
    scale = max(abs(median(first)), 1e-3)
    return fallen < 0.0025 * scale and fallen + 3.0 * error < 0.015 * scale


def plateau_over(losses: Sequence[float]) -> bool:
    """The second half is 2 % lower than the first."""
    half = len(losses) // 2
    return median(losses[:half]) - median(losses[half:]) > 0.02 * max(abs(median(losses[:half])), 1e-3)


def has_collapsed(norms: Sequence[float], losses: Sequence[float], first_loss: float) -> bool:
    """The gradient is gone although the loss is not: its recent median is a hundredth of what it was, or nothing."""
    recent, before = norms[-RECENT:], norms[:-RECENT]
    if len(recent) < RECENT or len(before) < FEWEST:
        return False
    # A loss that has all but vanished takes its gradient with it, as it should.
    still_to_learn = median(losses[-RECENT:]) > 0.1 * abs(first_loss)
    return still_to_learn and median(recent) < 0.01 * median(before)


def collapse_over(norms: Sequence[float], usual: float) -> bool:
    """The gradient is back: a tenth of what it was."""
    return median(norms[-RECENT:]) > 0.1 * usual


def has_slowed(rates: Sequence[float], usual: float) -> bool:
    """The recent median of the throughput is less than six tenths of the usual."""
    return len(rates) >= RECENT and median(rates[-RECENT:]) < 0.6 * usual


def slowness_over(rates: Sequence[float], usual: float) -> bool:
    """It is eight tenths of the usual again."""
    return median(rates[-RECENT:]) > 0.8 * usual


def is_overfit(evals: Sequence[float], train_at_best: float | None, train_now: float | None) -> bool:
    """The last three evaluations are all worse than the best, the newest by more than 3 %, while the training loss fell."""
    if len(evals) < 4 or train_at_best is None or train_now is None:
        return False
    best = min(evals[:-3], default=None)
    if best is None or min(evals[-3:]) <= best * 1.01:
        return False
    return evals[-1] > best + max(0.03 * abs(best), 0.005) and train_now < train_at_best


def has_drifted(here: float, there: float) -> bool:
    """An evaluation is more than 5 % worse than the baseline's."""
    return here > there + max(0.05 * abs(there), 0.01)


def drift_over(here: float, there: float) -> bool:
    """It is within 2 % again."""
    return here <= there + max(0.02 * abs(there), 0.005)


def at_step(curve: Sequence[tuple[int, float]], step: int) -> float | None:
    """The value of a curve of (step, value), ascending, at a step between two of its points; None outside of it."""
    for (left, low), (right, high) in itertools.pairwise(curve):
        if left <= step <= right:
            return low if right == left else low + (high - low) * (step - left) / (right - left)
    return curve[0][1] if len(curve) == 1 and curve[0][0] == step else None
