"""Looking up the facts of a plan and judging them, for the command line; the Tune screen does the same piece by piece."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from backprop_tui.config.prices import read_prices
from backprop_tui.launch.plan.checks import Check, blocked, checks
from backprop_tui.launch.plan.facts import Progress, model_place, model_shape, read_machine, read_rows
from backprop_tui.launch.plan.forecast import Facts, Forecast, forecast
from backprop_tui.launch.plan.rates import read_past
from backprop_tui.protocol.errors import BackpropError

if TYPE_CHECKING:
    from backprop_tui.protocol.spec import RunSpec


@dataclass(frozen=True, slots=True)
class Verdict:
    """A plan with its checks. `go` is False when one of them says no."""

    spec: RunSpec
    plan: Forecast
    checks: list[Check]
    auto: str = ""

    @property
    def go(self) -> bool:
        """Whether nothing speaks against the run."""
        return not blocked(self.checks)


def look_up(spec: RunSpec, on_progress: Progress | None = None) -> tuple[Facts, BackpropError | None]:
    """Every fact that can be had, and why a launch would be refused (None: it would not)."""
    from backprop_tui.launch.preflight import check

    refusal: BackpropError | None = None
    try:
        check(spec, on_progress=on_progress)
    except BackpropError as error:
        refusal = error
    shape, rows, reason = None, None, ""
    try:
        shape, reason = model_shape(spec)
        place = model_place(spec)
        rows = read_rows(spec, place, on_progress) if place is not None else None
    except BackpropError as error:
        refusal = refusal or error
        reason = reason or error.cause
    return Facts(shape, reason, rows, read_machine(), read_past(), read_prices()), refusal


def judge(spec: RunSpec, on_progress: Progress | None = None) -> Verdict:
    """The whole plan of a run; `micro_batch=auto` is resolved in it."""
    from backprop_tui.launch.plan.auto import resolved_batch

    facts, refusal = look_up(spec, on_progress)
    spec, words = resolved_batch(spec, facts)
    plan = forecast(spec, facts)
    return Verdict(spec, plan, checks(spec, facts, plan, refusal), words)
