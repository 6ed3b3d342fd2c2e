"""Figures that take more than one field of a run: rates and their trend, utilisation, energy, cost. Each may be unknown.

The app, `backprop watch` and the list of runs ask here, so that all say the same.
"""

from __future__ import annotations

from dataclasses import dataclass

from backprop_tui.protocol.codec import number
from backprop_tui.protocol.pace import RECENT, median
from backprop_tui.protocol.peaks import peak_flops
from backprop_tui.protocol.view import RunView

#: Until this share of the run its end is a guess.
_SETTLED = 0.05


@dataclass(frozen=True, slots=True)
class Figure:
    """A value, or None and why it is unknown. `about` marks a value that is an estimate or covers a part only.

    `why` may hold foreign text: clean it before it is shown.
    """

    value: float | None
    why: str = ""
    about: bool = False


@dataclass(frozen=True, slots=True)
class Prices:
    """What the person pays, in their currency; None where they did not say."""

    per_kwh: float | None = None
    per_gpu_hour: float | None = None
    currency: str = ""


def tokens_per_s(view: RunView) -> Figure:
    """Median of the newest steps' tokens per second, padding not counted."""
    return _or_no_step(median(view.pace.recent_rate))


def trend(view: RunView) -> Figure:
    """The newest steps' rate as a share of the whole run's: 1.0 is steady, 0.8 a fifth slower."""
    now, whole = median(view.pace.recent_rate), view.pace.rate.quantile(0.5)
    if now is None or not whole or view.pace.rate.total < 2 * RECENT:
        return Figure(None, f"it takes {2 * RECENT} steps to compare")
    return Figure(now / whole)


def trained_per_s(view: RunView) -> Figure:
    """Tokens learnt per second: counted where the worker counts them, else from the share the data has."""
    counted = median(view.pace.recent_trained)
    if counted is not None:
        return Figure(counted)
    rate = median(view.pace.recent_rate)
    whole, learnt = number(view.plan.get("train_tokens")), number(view.plan.get("trained_tokens"))
    if rate is None:
        return Figure(None, "no step yet")
    if not whole or learnt is None:
        return Figure(None, "the plan does not say how many tokens are learnt")
    return Figure(rate * learnt / whole, about=True)


def mfu(view: RunView) -> Figure:
    """Model FLOP utilisation, 0 to 1: arithmetic the model needs (no recomputation) over what the GPU could do."""
    device = str(view.plan.get("device") or "")
    if not device:
        return Figure(None, "the run has not said its device yet")
    peak, why = peak_flops(device, str(view.plan.get("dtype") or ""))
    if peak is None:
        return Figure(None, why)
    cost = number(view.plan.get("flops_per_token"))
    if cost is None:
        return Figure(None, str(view.plan.get("flops_reason") or "the worker did not say what a token costs"))
    rate = median(view.pace.recent_rate)
    return Figure(None, "no step yet") if rate is None else Figure(cost * rate / peak)


def step_seconds(view: RunView, share: float) -> Figure:
    """A quantile of the time of all steps, in seconds, within half a percent."""
    return _or_no_step(view.pace.step_s.quantile(share))


def time_left(view: RunView) -> Figure:
    """Seconds to the end: steps at the recent rate, evaluations and saves as they were so far, no pauses.

    It is marked as a guess until 5 % are done, and while an evaluation is ahead that was never seen.
    """
    left = view.seconds_left
    if left is None:
        why = "the run is over" if not view.state.live else "no step yet"
        return Figure(None, why)
    unseen = bool(view.plan.get("eval_every") and view.plan.get("eval_rows")) and not view.pace.measured
    early = not view.total_steps or view.step < _SETTLED * view.total_steps
    return Figure(left, about=early or unseen)


def samples_seen(view: RunView) -> Figure:
    """Rows of the training set the model has been shown, repeats counted."""
    rows = number(view.plan.get("train_rows"))
    if view.epoch is None or rows is None:
        return Figure(None, "no step yet")
    return Figure(round(view.epoch * rows))


def energy_wh(view: RunView) -> Figure:
    """Watt-hours drawn by the run's GPUs so far; a part only where their power was not known all the time."""
    if view.energy_wh is None:
        return Figure(None, _no_energy(view))
    return Figure(view.energy_wh, about=energy_share(view) < 0.98 or _shared(view))


def energy_share(view: RunView) -> float:
    """Share of the run's GPU time in which the power was known, 0 to 1."""
    whole = max(view.gpu_s, view.held_s * max(1, len(view.charged_gpus())))
    return min(1.0, view.energy_s / whole) if whole else 0.0


def cost(view: RunView, prices: Prices) -> Figure:
    """What the run cost so far: its energy, and the hours its GPUs were held (pauses included), added up."""
    if prices.per_kwh is None and prices.per_gpu_hour is None:
        return Figure(None, "no price is set (price_per_kwh, price_per_gpu_hour)")
    total, about = 0.0, False
    if prices.per_gpu_hour is not None:
        cards = len(view.charged_gpus()) or len(view.run_gpus or ())
        if not cards:
            return Figure(None, "the run holds no GPU")
        total += prices.per_gpu_hour * cards * view.held_s / 3600
        about = _shared(view)
    if prices.per_kwh is not None:
        energy = energy_wh(view)
        if energy.value is None:
            return Figure(None, energy.why)
        total += prices.per_kwh * energy.value / 1000
        about |= energy.about
    return Figure(total, about=about)


def _no_energy(view: RunView) -> str:
    gpus = view.telemetry.get("gpus") or []
    if view.plan.get("device") == "cpu" or not gpus:
        return "a CPU's power is not measured"
    return "the power is not known"


def _shared(view: RunView) -> bool:
    """Whether other people's GPUs may be counted with the run's."""
    return not view.run_gpus and len(view.charged_gpus()) > 1


def _or_no_step(value: float | None) -> Figure:
    return Figure(value, "" if value is not None else "no step yet")
