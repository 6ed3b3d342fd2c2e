"""Sweeps: what is varied, which trials there are, and how their runs came out. One file each beside the queue's entries.

A sweep holds no results: they are in the runs, which note the sweep and their trial, so nothing can disagree with them.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal

from backprop_tui.config import paths
from backprop_tui.protocol.errors import DataError, UsageError
from backprop_tui.protocol.states import RunState
from backprop_tui.protocol.text import safe_text
from backprop_tui.protocol.view import RunView
from backprop_tui.store.layout import RunDir, list_runs, write_atomic
from backprop_tui.store.queue import Queue, QueueState
from backprop_tui.store.summary import load_summary

Goal = Literal["min", "max"]
Search = Literal["grid", "optuna"]

#: Figures of a run to rank by, and which end is better; what an objective measures itself goes by its own name.
METRICS: dict[str, Goal] = {
    "eval_loss": "min", "best_eval_loss": "min", "loss": "min", "exact_match": "max", "token_accuracy": "max",
    "tokens_per_s": "max", "grad_norm": "min",
}  # fmt: skip
#: Parts of names of an objective's figures of which more is better.
_MORE_IS_BETTER = ("accuracy", "reward", "margin")
_FORMAT = 1


@dataclass(frozen=True, slots=True)
class Sweep:
    """What a sweep is made of.

    Attributes:
        name: one word, also what `sweep:NAME` finds its runs by. created: seconds since the Unix epoch.
        search: every combination, or Optuna, which is asked for the next trial when one has ended.
        over: values or a range by setting, as typed. metric, goal: what trials are ranked by, and which end is better.
        trials: how many there are to be. parallel: most trials at a time (Optuna). seed: of Optuna's choices.
        base: the resolved spec that is varied. launched, trusted, gpus: as in `store.queue.Queued`.
        asked: trials so far: `trial` (from 1), `params` by setting and `entry` in the queue.
        problem: why no further trial can be had.
    """

    name: str
    created: float
    search: Search
    over: dict[str, str]
    metric: str
    goal: Goal
    trials: int
    base: dict[str, Any]
    parallel: int = 1
    seed: int = 0
    launched: dict[str, Any] = field(default_factory=dict)
    trusted: list[str] = field(default_factory=list)
    gpus: list[int] = field(default_factory=list)
    asked: list[dict[str, Any]] = field(default_factory=list)
    problem: dict[str, Any] | None = None

    @property
    def asking(self) -> bool:
        """Whether further trials are to be asked for."""
        return self.search == "optuna" and self.problem is None and len(self.asked) < self.trials


@dataclass(frozen=True, slots=True)
class Trial:
    """One trial and what became of it.

    Attributes:
        number: from 1. params: what was varied. rank: from 1 among finished trials with a finite value, else None.
        value: of the metric; None unknown, NaN as the run reported it. run: its run's id, None before it began.
        state: a run's state, or `queued`, `starting`, `removed`; `failed` also where it could not start.
        problem: why it failed. step, total_steps: how far its run is.
    """

    number: int
    params: dict[str, Any]
    state: str
    value: float | None = None
    run: str | None = None
    rank: int | None = None
    problem: str = ""
    step: int = 0
    total_steps: int | None = None

    @property
    def finished(self) -> bool:
        """Whether its figure is final."""
        return self.state == RunState.COMPLETED.value


def sweeps_dir(queue_root: Path | None = None) -> Path:
    """Where the files of sweeps lie."""
    return (queue_root or paths.data_dir() / "queue") / "sweeps"


def read_sweep(name: str, queue_root: Path | None = None) -> Sweep:
    """A sweep by its name.

    Raises:
        UsageError: SWEEP_UNKNOWN. DataError: SWEEP_UNREADABLE.
    """
    file = sweeps_dir(queue_root) / f"{name}.json"
    try:
        found = _parse(json.loads(file.read_bytes()))
    except FileNotFoundError:
        known = ", ".join(sweep.name for sweep in list_sweeps(queue_root)[:5])
        hint = f"There is {known}." if known else "`backprop sweep DATA --over lr=1e-4,2e-4` makes one."
        raise UsageError("SWEEP_UNKNOWN", f"No sweep is called {safe_text(name, limit=60)!r}.", hint) from None
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        raise DataError(
            "SWEEP_UNREADABLE", f"{safe_text(file)} can't be read.", "Its runs are listed by `backprop runs`."
        ) from None
    return found


def list_sweeps(queue_root: Path | None = None) -> list[Sweep]:
    """Every sweep that can be read, newest first."""
    found = []
    try:
        files = sorted(sweeps_dir(queue_root).glob("*.json"))
    except OSError:
        return []
    for file in files:
        try:
            found.append(_parse(json.loads(file.read_bytes())))
        except (OSError, ValueError, TypeError, KeyError, RecursionError):
            continue
    return sorted(found, key=lambda sweep: sweep.created, reverse=True)


def write_sweep(sweep: Sweep, queue_root: Path | None = None) -> None:
    """Replace the file as a whole; call it within `Queue.edit`."""
    place = sweeps_dir(queue_root)
    place.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_atomic(place / f"{sweep.name}.json", json.dumps({"format": _FORMAT, **asdict(sweep)}, indent=1).encode())


def goal_of(metric: str) -> Goal:
    """Which end of a figure is better."""
    return METRICS.get(metric) or ("max" if any(part in metric for part in _MORE_IS_BETTER) else "min")


def figure(view: RunView, metric: str) -> float | None:
    """A run's figure; what an evaluation says before what the newest step says. None unknown."""
    measured = view.eval_figures.get(metric, view.figures.get(metric))
    value = getattr(view, metric) if metric in METRICS else measured
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def trials_of(sweep: Sweep, queue: Queue, runs_root: Path | None = None) -> list[Trial]:
    """Every trial asked for so far, the best first, then finished ones without a finite figure, then the rest by number."""
    entries = {entry.id: entry for entry in queue.entries()}
    runs = _runs_of(sweep, runs_root)
    found = []
    for asked in sweep.asked:
        number, params = int(asked["trial"]), dict(asked["params"])
        entry, run = entries.get(str(asked.get("entry"))), runs.get(number)
        if problem := asked.get("problem"):
            found.append(Trial(number, params, "failed", problem=str(problem.get("cause", ""))))
        elif run is not None:
            summary = load_summary(run)
            view = summary.view
            cause = str((view.fault or {}).get("cause", "")) if summary.state is RunState.FAILED else ""
            found.append(
                Trial(
                    number, params, summary.state.value, figure(view, sweep.metric), run.id, None, cause, view.step,
                    view.total_steps,
                )
            )  # fmt: skip
        elif entry is None:
            found.append(Trial(number, params, "removed"))
        elif entry.state is QueueState.FAILED:
            found.append(Trial(number, params, "failed", problem=str((entry.problem or {}).get("cause", ""))))
        else:
            found.append(Trial(number, params, "queued" if entry.state is QueueState.WAITING else "starting"))
    return ranked(found, sweep.goal)


def ranked(trials: Iterable[Trial], goal: Goal) -> list[Trial]:
    """Trials in order of merit, with their ranks; pure. Only finished ones with a finite figure have a rank; equal figures
    share one."""
    good, odd, rest = list[tuple[float, Trial]](), list[Trial](), list[Trial]()
    for trial in trials:
        if not trial.finished:
            rest.append(trial)
        elif trial.value is None or not math.isfinite(trial.value):
            odd.append(trial)
        else:
            good.append((trial.value if goal == "min" else -trial.value, trial))
    good.sort(key=lambda pair: (pair[0], pair[1].number))
    values = [value for value, _ in good]
    placed = [replace(trial, rank=values.index(value) + 1) for value, trial in good]
    return [*placed, *sorted(odd, key=lambda t: t.number), *sorted(rest, key=lambda t: t.number)]


def _runs_of(sweep: Sweep, root: Path | None) -> dict[int, RunDir]:
    """The run of each trial; of several attempts at one trial the newest."""
    import time

    stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime(sweep.created))
    found: dict[int, RunDir] = {}
    for run in list_runs(root):
        if run.id[:15] < stamp:
            break
        try:
            queued = run.read_queued()
        except DataError:
            continue
        if queued and queued.get("sweep") == sweep.name and isinstance(queued.get("trial"), int):
            found.setdefault(queued["trial"], run)
    return found


def _parse(words: dict[str, Any]) -> Sweep:
    known = {f.name: words[f.name] for f in fields(Sweep) if f.name in words}
    sweep = Sweep(**known)
    if not isinstance(sweep.name, str) or not isinstance(sweep.asked, list) or sweep.goal not in ("min", "max"):
        raise ValueError("not a sweep")
    return sweep
