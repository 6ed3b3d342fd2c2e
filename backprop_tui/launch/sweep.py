"""Starting a sweep: every combination is checked first, then all of them are in the queue or none is."""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from backprop_tui.config.view_only import refuse_if_view_only
from backprop_tui.launch.queueing import prepared
from backprop_tui.launch.sweep_axes import MOST_TRIALS, Axis, combinations, corners, too_many, words_of
from backprop_tui.protocol.errors import BackpropError, TryAgainError, UsageError
from backprop_tui.protocol.text import safe_text
from backprop_tui.store.notes import check_tag
from backprop_tui.store.queue import Queue, Queued, QueueState, fresh
from backprop_tui.store.sweeps import METRICS, Goal, Search, Sweep, goal_of, list_sweeps, read_sweep, write_sweep

if TYPE_CHECKING:
    from backprop_tui.protocol.spec import RunSpec

#: Combinations that can't run and are named one by one.
_MOST_NAMED = 20
_NAME_LIMIT = 120
#: Parts of a spec that say what is read from the disk; runs that differ elsewhere only are read once.
_READ_PARTS = ("model", "data", "task", "grpo", "recovery", "safety", "devices", "multi")


def start_sweep(
    base: RunSpec,
    axes: Sequence[Axis],
    *,
    search: Search = "grid",
    trials: int | None = None,
    parallel: int = 1,
    seed: int = 0,
    metric: str = "",
    goal: Goal | None = None,
    name: str = "",
    trusted: Collection[str] = (),
    gpus: Sequence[int] = (),
    queue: Queue | None = None,
) -> Sweep:
    """Check everything a sweep will run, and fill the queue.

    Args:
        base: what is varied.
        axes: what of it.
        search: every combination, or Optuna, which is asked for a trial when one has ended.
        trials: how many Optuna is asked for; None is 20.
        parallel: how many of those may be out at a time.
        seed: where Optuna's choices start from.
        metric: what trials are ranked by; "" is the held-out loss, the training loss where nothing is held out.
        goal: which end is better; None goes by the metric.
        name: "" is `sweep-N`.
        trusted: as `start_run` takes it.
        gpus: indices its runs must use; empty is any free one.
        queue: None is the person's own.

    Raises:
        UsageError: SWEEP_INVALID naming every combination that can't run, SWEEP_EXISTS, SWEEP_TOO_MANY, SWEEP_METRIC.
        UnavailableError: EXTRA_MISSING, Optuna is not installed.
    """
    refuse_if_view_only()
    queue = queue or Queue()
    name = _checked_name(name, queue)
    measured = bool(base.data.eval_split or base.data.eval_path)
    metric = metric or ("eval_loss" if measured else "loss")
    if metric in ("eval_loss", "best_eval_loss", "exact_match", "token_accuracy") and not measured:
        raise UsageError("SWEEP_METRIC", f"{metric} needs held-out rows, and there are none.", "Set eval_split.")
    if metric not in METRICS and not metric.replace("/", "_").isidentifier():
        raise UsageError(
            "SWEEP_METRIC", f"{safe_text(metric, limit=40)!r} is no figure.", f"Take {', '.join(METRICS)}."
        )
    if search == "optuna":
        from backprop_tui.hardware.extras import require

        require("sweep")
        count = 20 if trials is None else trials
        if count > MOST_TRIALS:
            raise too_many(count)
        chosen = corners(axes)
    else:
        if trials is not None:
            raise UsageError("USAGE", "A grid has as many trials as combinations.", "Leave --trials out.")
        chosen = combinations(axes)
        count = len(chosen)
    entries = _checked(base, chosen, trusted, gpus)
    first = entries[0]
    sweep = Sweep(
        name, round(time.time(), 3), search, {axis.key: axis.words for axis in axes}, metric, goal or goal_of(metric),
        count, _resolved_base(first, base, chosen[0]), parallel, seed, first.launched, list(first.trusted), list(gpus),
    )  # fmt: skip
    if search == "optuna":
        with queue.edit():
            write_sweep(sweep, queue.root)
        return sweep
    named = [
        _trial(entry, sweep, at, params) for at, (entry, params) in enumerate(zip(entries, chosen, strict=True), 1)
    ]
    queue.add(named, placed=lambda placed: write_sweep(_with_asked(sweep, placed, chosen), queue.root))
    return read_sweep(name, queue.root)


def ask_trial(name: str, queue: Queue | None = None) -> None:
    """Ask Optuna for the next trial of a sweep and put it into the queue. What it can't run counts as a failed trial.

    Raises:
        UsageError: SWEEP_UNKNOWN. UnavailableError: EXTRA_MISSING.
    """
    from backprop_tui.hardware.extras import require
    from backprop_tui.launch.sweep_axes import parse_axes
    from backprop_tui.launch.sweep_search import next_params
    from backprop_tui.protocol.effects import refuse_without_effect
    from backprop_tui.protocol.fields import validate_spec, with_overrides
    from backprop_tui.store.sweeps import trials_of

    require("sweep")
    queue = queue or Queue()
    sweep = read_sweep(name, queue.root)
    if not sweep.asking:
        return
    axes = parse_axes([f"{key}={words}" for key, words in sweep.over.items()])
    number = len(sweep.asked) + 1
    params = next_params(sweep, axes, trials_of(sweep, queue))
    base = validate_spec(sweep.base)
    try:
        spec = with_overrides(base, params)
        refuse_without_effect(spec, params)
    except UsageError as error:
        asked = {"trial": number, "params": params, "entry": None, "problem": error.to_dict()}
        with queue.edit():
            now = _still_asking(sweep, queue)
            write_sweep(replace(now, asked=[*now.asked, asked]), queue.root)
        return
    words = spec.model_dump(mode="json")
    entry = fresh("", words, launched=sweep.launched, trusted=sweep.trusted, gpus=sweep.gpus)
    named = _trial(entry, sweep, number, params)
    queue.add(
        [named],
        placed=lambda placed: write_sweep(_with_asked(_still_asking(sweep, queue), placed, [params]), queue.root),
    )


def _still_asking(sweep: Sweep, queue: Queue) -> Sweep:
    """The sweep as it is now, if nobody stopped it or asked meanwhile; call it within `Queue.edit`.

    Raises:
        TryAgainError: SWEEP_CHANGED.
    """
    now = read_sweep(sweep.name, queue.root)
    if not now.asking or len(now.asked) != len(sweep.asked):
        raise TryAgainError("SWEEP_CHANGED", f"The sweep {sweep.name} changed meanwhile.", "Look at it again.")
    return now


def stop_sweep(name: str, queue: Queue | None = None) -> int:
    """Ask for no further trial and take out those that wait; returns how many those were. Runs that began go on."""
    refuse_if_view_only()
    queue = queue or Queue()
    gone = 0
    with queue.edit():
        sweep = read_sweep(name, queue.root)
        stopped = {
            "code": "SWEEP_STOPPED",
            "cause": "It was stopped by hand.",
            "next": "`backprop sweep resume` goes on.",
        }
        write_sweep(replace(sweep, problem=stopped), queue.root)
        for entry in queue.entries():
            if entry.sweep and entry.sweep.get("sweep") == name and entry.state is QueueState.WAITING:
                queue.drop(entry.id)
                gone += 1
    return gone


def resume_sweep(name: str, queue: Queue | None = None) -> int:
    """Go on with a sweep: trials that were taken out or could not start wait again; returns how many."""
    from backprop_tui.protocol.fields import validate_spec, with_overrides
    from backprop_tui.store.sweeps import trials_of

    refuse_if_view_only()
    queue = queue or Queue()
    sweep = read_sweep(name, queue.root)
    with queue.edit():
        sweep = replace(read_sweep(name, queue.root), problem=None)
        write_sweep(sweep, queue.root)
    base = validate_spec(sweep.base)
    again = [trial for trial in trials_of(sweep, queue) if trial.run is None and trial.state == "removed"]
    entries = []
    for trial in sorted(again, key=lambda trial: trial.number):
        words = with_overrides(base, trial.params).model_dump(mode="json")
        entry = fresh("", words, launched=sweep.launched, trusted=sweep.trusted, gpus=sweep.gpus)
        entries.append(_trial(entry, sweep, trial.number, trial.params))

    def note(placed: Sequence[Queued]) -> None:
        ids = {int((entry.sweep or {})["trial"]): entry.id for entry in placed}
        asked = [{**one, "entry": ids.get(one["trial"], one["entry"])} for one in sweep.asked]
        write_sweep(replace(sweep, asked=asked), queue.root)

    queue.add(entries, placed=note)
    return len(entries)


def _checked(
    base: RunSpec, chosen: Sequence[dict[str, Any]], trusted: Collection[str], gpus: Sequence[int]
) -> list[Queued]:
    """An entry for each combination.

    Raises:
        UsageError: SWEEP_INVALID.
    """
    from backprop_tui.launch.devices import check_devices
    from backprop_tui.launch.queueing import check_wishes
    from backprop_tui.launch.variants import check_variants
    from backprop_tui.protocol.effects import refuse_without_effect
    from backprop_tui.protocol.fields import validate_spec, with_overrides

    read: dict[str, Queued | BackpropError] = {}
    entries: list[Queued] = []
    bad: list[tuple[dict[str, Any], BackpropError]] = []
    for params in chosen:
        try:
            spec = with_overrides(base, params)
            refuse_without_effect(spec, params)
            check_wishes(spec, gpus)
            check_devices(spec)
            check_variants(spec)
            words = spec.model_dump(mode="json")
            key = json.dumps({part: words[part] for part in _READ_PARTS}, sort_keys=True)
            known = read.get(key)
            if known is None:
                known = read[key] = _prepared(spec, trusted, gpus)
            if isinstance(known, BackpropError):
                raise known
            spec = with_overrides(validate_spec(known.spec), params)
            entries.append(replace(known, spec=spec.model_dump(mode="json")))
        except BackpropError as error:
            bad.append((params, error))
    if bad:
        raise _refusal(bad, len(chosen))
    return entries


def _prepared(spec: RunSpec, trusted: Collection[str], gpus: Sequence[int]) -> Queued | BackpropError:
    try:
        return prepared(spec, trusted=trusted, gpus=gpus)
    except BackpropError as error:
        return error


def _refusal(bad: Sequence[tuple[dict[str, Any], BackpropError]], count: int) -> BackpropError:
    if len(bad) == count and len({str(error) for _, error in bad}) == 1:
        # Nothing to do with what is varied.
        return bad[0][1]
    lines = [f"{words_of(params)}: {error.cause}" for params, error in bad[:_MOST_NAMED]]
    more = f" And {len(bad) - _MOST_NAMED:,} more." if len(bad) > _MOST_NAMED else ""
    return UsageError(
        "SWEEP_INVALID",
        f"{len(bad)} of {count} combinations can't run. {' '.join(lines)}{more}",
        "Nothing was queued; change what is varied.",
        {"bad": [{"params": params, **error.to_dict()} for params, error in bad]},
    )


def _trial(entry: Queued, sweep: Sweep, number: int, params: dict[str, Any]) -> Queued:
    title = f"{sweep.name} {words_of(params)}"[:_NAME_LIMIT]
    return replace(entry, name=title, spec={**entry.spec, "name": title}, sweep={"sweep": sweep.name, "trial": number})


def _with_asked(sweep: Sweep, placed: Sequence[Queued], params: Sequence[dict[str, Any]]) -> Sweep:
    fresh_ones = [
        {"trial": int((entry.sweep or {})["trial"]), "params": one, "entry": entry.id}
        for entry, one in zip(placed, params, strict=True)
    ]
    return replace(sweep, asked=[*sweep.asked, *fresh_ones])


def _resolved_base(first: Queued, base: RunSpec, params: dict[str, Any]) -> dict[str, Any]:
    """The base with the paths of what was checked; what is varied is back at its own value."""
    from backprop_tui.protocol.fields import find_setting, validate_spec, with_overrides

    own = {key: find_setting(key).get(base) for key in params}
    return with_overrides(validate_spec(first.spec), own).model_dump(mode="json")


def _checked_name(name: str, queue: Queue) -> str:
    used = {sweep.name for sweep in list_sweeps(queue.root)}
    if not name:
        return next(made for made in (f"sweep-{n}" for n in range(1, len(used) + 2)) if made not in used)
    name = check_tag(name)
    if "/" in name or name.startswith("."):
        raise UsageError("SWEEP_NAME", f"{safe_text(name, limit=40)!r} can't be a sweep's name.", "Take letters.")
    if name in used:
        raise UsageError("SWEEP_EXISTS", f"There is a sweep {name} already.", f"See `backprop sweep show {name}`.")
    return name
