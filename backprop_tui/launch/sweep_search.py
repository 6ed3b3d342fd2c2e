"""Optuna asked for one trial: its study is made anew of the trials so far, so nothing of it need be kept.

The truth is in the sweep's file and the runs' journals. The sampler is seeded by the sweep's seed and the number of the
trial: asked the same again, it answers the same.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Any

from backprop_tui.launch.sweep_axes import Axis
from backprop_tui.store.sweeps import Sweep, Trial

#: States of trials whose figure is still to come.
_OPEN = frozenset(("queued", "starting", "running", "paused", "stopping"))


def next_params(sweep: Sweep, axes: Sequence[Axis], trials: Sequence[Trial]) -> dict[str, Any]:
    """Settings of the next trial, by key.

    Args:
        sweep: what is searched.
        axes: in what.
        trials: those so far: finished ones teach, failed ones are avoided, open ones are stayed away from.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    number = len(sweep.asked) + 1
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        # A third of the trials looks around before the rest follows what was found.
        sampler = optuna.samplers.TPESampler(
            seed=sweep.seed + number, n_startup_trials=max(2, min(10, sweep.trials // 3)), constant_liar=True
        )
    study = optuna.create_study(sampler=sampler, direction="minimize" if sweep.goal == "min" else "maximize")
    spaces = {axis.key: _space(axis) for axis in axes}
    for trial in sorted(trials, key=lambda trial: trial.number):
        study.add_trial(_told(trial, axes, spaces))
    asked = study.ask(spaces)
    return {axis.key: _drawn(axis, asked.params[axis.key]) for axis in axes}


def _told(trial: Trial, axes: Sequence[Axis], spaces: dict[str, Any]) -> Any:
    from optuna.trial import TrialState, create_trial

    params = {axis.key: _index(axis, trial.params[axis.key]) for axis in axes}
    if trial.finished and trial.value is not None and math.isfinite(trial.value):
        return create_trial(params=params, distributions=spaces, value=trial.value)
    state = TrialState.RUNNING if trial.state in _OPEN else TrialState.FAIL
    return create_trial(params=params, distributions=spaces, state=state)


def _space(axis: Axis) -> Any:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if not axis.is_range:
        # By their place in the list: Optuna's choices are only of some types.
        return CategoricalDistribution(tuple(range(len(axis.values))))
    if axis.whole:
        return IntDistribution(int(axis.low), int(axis.high), log=axis.log)
    return FloatDistribution(axis.low, axis.high, log=axis.log)


def _index(axis: Axis, value: Any) -> Any:
    return value if axis.is_range else axis.values.index(value)


def _drawn(axis: Axis, found: Any) -> Any:
    if not axis.is_range:
        return axis.values[int(found)]
    return int(found) if axis.whole else float(found)
