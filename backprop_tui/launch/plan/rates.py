"""How fast a run will go: from runs like it on this machine, else from what this machine did with others, else a guess.

What finished runs journalled is the store: their folded journals lie in the index of runs, which can be rebuilt.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from backprop_tui.protocol.codec import number
from backprop_tui.protocol.peaks import peak_flops

if TYPE_CHECKING:
    from backprop_tui.protocol.spec import RunSpec
    from backprop_tui.protocol.view import RunView

Basis = Literal["measured", "scaled", "guess", "unknown"]
#: Steps a run must have before its rate says anything.
_FEWEST_STEPS = 5
#: Newest runs that are looked at.
_MOST_RUNS = 200
#: Share of a GPU's peak that training reaches: a wide guess (7 to 60 %, in the middle 30 %).
_USUAL, _LOW, _HIGH = 0.3, 0.07, 0.6
#: Uncertainty of a rate that comes from other settings, or from another model by its arithmetic.
_OTHER_SETTINGS, _OTHER_MODEL = 0.35, 0.6


@dataclass(frozen=True, slots=True)
class PastRun:
    """What a run before says: where, what, how fast (tokens per second, the quarter below and above), and its power.

    `key` holds the settings that change the speed; `flops` is the arithmetic per token, None where unknown.
    """

    device: str
    dtype: str
    parameters: int
    method: str
    key: tuple[Any, ...]
    rate: float
    low: float
    high: float
    flops: float | None
    watts: float | None
    save_s: float | None


@dataclass(frozen=True, slots=True)
class Rate:
    """Tokens per second with its range, and what it rests on. None where nothing is known."""

    value: float | None
    low: float | None
    high: float | None
    basis: Basis
    words: str
    watts: float | None = None
    save_s: float | None = None


UNKNOWN_RATE = Rate(None, None, None, "unknown", "no run on this machine says how fast it is")


def speed_key(spec: RunSpec) -> tuple[Any, ...]:
    """Settings that change the speed beside model, method and device."""
    return (
        spec.optim.batch_size,
        spec.data.packing,
        str(spec.optim.gradient_checkpointing),
        spec.data.max_length,
        spec.lora.rank if spec.model.method != "full" else 0,
        spec.optim.optimizer,
        spec.devices.devices,
        spec.devices.nodes,
    )


def read_past() -> tuple[PastRun, ...]:
    """The newest runs of this machine that say something about speed."""
    from backprop_tui.protocol.fields import validate_spec
    from backprop_tui.protocol.spec import RunSpec
    from backprop_tui.protocol.view import RunView
    from backprop_tui.store.index import RunIndex

    index = RunIndex()
    try:
        listing = index.look()
        known = set(RunSpec.model_fields)

        def _spec(words: dict[str, Any]) -> RunSpec:
            return validate_spec({key: value for key, value in words.items() if key in known})

        newest = sorted(listing.entries, key=lambda entry: -entry.created)[:_MOST_RUNS]
        found = []
        for run_id, words in index.views(entry.id for entry in newest):
            try:
                past = past_run(RunView.from_dict(words), _spec(index.run(run_id).read_spec()))
            except Exception:
                # A foreign or damaged run says nothing.
                continue
            if past is not None:
                found.append(past)
        return tuple(found)
    finally:
        index.close()


def past_run(view: RunView, spec: RunSpec) -> PastRun | None:
    """What a run says about speed; None when it took too few steps."""
    pace = view.pace.rate
    parameters = number(view.plan.get("parameters"))
    if pace.total < _FEWEST_STEPS or not parameters:
        return None
    middle, low, high = (pace.quantile(share) for share in (0.5, 0.25, 0.75))
    if not middle or not low or not high:
        return None
    watts = view.energy_wh * 3600 / view.energy_s if view.energy_wh is not None and view.energy_s > 0 else None
    saves = sorted(view.pace.saved)
    return PastRun(
        device=str(view.plan.get("device") or ""),
        dtype=str(view.plan.get("dtype") or ""),
        parameters=int(parameters),
        method=spec.model.method,
        key=speed_key(spec),
        rate=middle,
        low=low,
        high=high,
        flops=number(view.plan.get("flops_per_token")),
        watts=watts,
        save_s=saves[len(saves) // 2] if saves else None,
    )


def rate_of(
    spec: RunSpec, past: Iterable[PastRun], *, device: str, parameters: int | None, flops: float | None, dtype: str
) -> Rate:
    """The rate to expect.

    Args:
        spec: the settings.
        past: runs before, newest first.
        device: the GPU's name, or `cpu`.
        parameters: weights of the model with its adapters, None while unknown.
        flops: arithmetic per token, None while unknown.
        dtype: number formats in the plan's words.
    """
    here = [run for run in past if run.device == device]
    same_model = [run for run in here if run.method == spec.model.method and _near(run.parameters, parameters)]
    same = [run for run in same_model if run.key == speed_key(spec)]
    if same:
        return _of_runs(same, 0.1, "measured", _count(len(same), "run like it"))
    if same_model:
        return _of_runs(same_model, _OTHER_SETTINGS, "scaled", _count(len(same_model), "run of this model"))
    with_cost = [run for run in here if run.flops]
    if with_cost and flops:
        reached = sorted(run.rate * run.flops for run in with_cost if run.flops)
        value = reached[len(reached) // 2] / flops
        words = _count(len(with_cost), "run of other models")
        return Rate(value, value * (1 - _OTHER_MODEL), value / (1 - _OTHER_MODEL), "scaled", words, with_cost[0].watts)
    peak, why = peak_flops(device, dtype)
    if peak and flops:
        return Rate(
            peak * _USUAL / flops, peak * _LOW / flops, peak * _HIGH / flops, "guess", "a share of the GPU's peak"
        )
    return UNKNOWN_RATE if device == "cpu" or not why else Rate(None, None, None, "unknown", why)


def _of_runs(runs: list[PastRun], spread: float, basis: Basis, words: str) -> Rate:
    rates = sorted(run.rate for run in runs)
    value = rates[len(rates) // 2]
    low = min(min(run.low for run in runs), value * (1 - spread))
    high = max(max(run.high for run in runs), value * (1 + spread))
    return Rate(value, low, high, basis, words, runs[0].watts, runs[0].save_s)


def _near(one: int, other: int | None) -> bool:
    return other is not None and abs(one - other) <= 0.1 * max(one, other)


def _count(number_of: int, what: str) -> str:
    return f"1 {what}" if number_of == 1 else f"{number_of} {what.replace('run ', 'runs ', 1)}"
