"""What can be said about a run that is being prepared: its rows, its plan, and whether a launch would be refused.

Everything is looked up and worked out in threads, a moment after the last change, and remembered; `forget` makes it look
again, without losing what is shown meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from backprop_tui.app.jobs import Cancelled, in_thread
from backprop_tui.config.advice import Sizes
from backprop_tui.launch.estimate import Estimate, Shapes, adapter_parameters, estimate
from backprop_tui.protocol.errors import BackpropError

if TYPE_CHECKING:
    from textual.screen import Screen

    from backprop_tui.app.scans import Scans
    from backprop_tui.launch.plan.checks import Check
    from backprop_tui.launch.plan.facts import Machine, RowFacts
    from backprop_tui.launch.plan.forecast import Forecast
    from backprop_tui.launch.plan.rates import PastRun
    from backprop_tui.launch.plan.shape import ModelShape
    from backprop_tui.protocol.spec import DataPart, RunSpec

#: Seconds without a change before the checks run.
_SETTLE_S = 0.4
#: And before the plan is worked out anew: arithmetic alone, so it follows the keys.
_PLAN_S = 0.08


class Prospect:
    """Facts about a spec.

    Args:
        screen: where the threads report to. scans: datasets looked through already.
        changed: called when a fact has come in.

    Attributes:
        checked: whether `error` is the answer for the spec shown last. error: why a launch would be refused.
    """

    def __init__(self, screen: Screen[Any], scans: Scans, changed: Callable[[], object]) -> None:
        self.checked = False
        self.error: BackpropError | None = None
        self._screen = screen
        self._scans = scans
        self._changed = changed
        self._rows: dict[str, int | None] = {}
        self._shapes: dict[str, Shapes | None] = {}
        self._known: set[tuple[str, str]] = set()
        self._asking: dict[str, str] = {}
        self._checked_for: object = None
        self._model: dict[str, tuple[ModelShape | None, str]] = {}
        self._lengths: dict[str, RowFacts | None] = {}
        self._machine: dict[str, tuple[Machine, tuple[PastRun, ...]] | None] = {}
        self._shown: RunSpec | None = None
        self._plan: tuple[RunSpec, Forecast, list[Check]] | None = None
        self._plan_timer = screen.set_timer(_PLAN_S, lambda: None, pause=True)
        self._timer = screen.set_timer(_SETTLE_S, lambda: None, pause=True)

    def forget(self) -> None:
        """Files may have changed: look again when next asked."""
        self._known.clear()
        self._checked_for = None

    def look(self, spec: RunSpec) -> None:
        """Find out what is not known yet about this spec."""
        base, part = spec.model.base, spec.data
        self._shown = spec
        self._find("model", base, lambda _: _read_shapes(base), self._shapes)
        self._find("data", _rows_key(part), lambda cancelled: self._scans.usable_rows(part, cancelled), self._rows)
        self._find("shape", base, lambda _: _model_shape(spec), self._model)
        self._find("lengths", _lengths_key(spec), lambda _: _row_facts(spec), self._lengths)
        self._find("machine", "", lambda _: _machine_facts(), self._machine)
        self._plan_soon(spec)
        self._timer.stop()
        if self._checked_for == _matters(spec):
            self.checked = True
        else:
            self.checked = False
            self._timer = self._screen.set_timer(_SETTLE_S, lambda: self._check(spec))

    def estimate(self, spec: RunSpec) -> Estimate:
        """Counts, as far as they are known."""
        return estimate(spec, self._rows.get(_rows_key(spec.data)), self._shapes.get(spec.model.base))

    def plan(self, spec: RunSpec) -> Forecast | None:
        """The plan of this very spec; None while it is being worked out."""
        return self._plan[1] if self._plan is not None and self._plan[0] == spec else None

    def sizes(self, spec: RunSpec) -> Sizes:
        """What advice goes by, as far as it is known."""
        shape = (self._model.get(spec.model.base) or (None, ""))[0]
        shapes, rows, plan = self._shapes.get(spec.model.base), self._lengths.get(_lengths_key(spec)), self.plan(spec)
        return Sizes(
            width=shape.hidden if shape is not None else None,
            family=shape.family if shape is not None else None,
            parameters=shape.parameters if shape is not None else None,
            per_rank=adapter_parameters(shapes, 1, spec.lora.targets) or None if shapes else None,
            learnt=rows.trained_tokens if rows is not None else None,
            steps=plan.steps if plan is not None else None,
        )

    def checks(self, spec: RunSpec) -> list[Check]:
        """What speaks for and against this very spec, beside what `error` says; empty while it is being worked out."""
        return self._plan[2] if self._plan is not None and self._plan[0] == spec else []

    def to_download(self, spec: RunSpec) -> bool:
        """Whether the model is a hub id that is not on this machine; False while that is unknown."""
        return ("model", spec.model.base) in self._known and self._shapes[spec.model.base] is None

    def _find(self, kind: str, key: str, work: Callable[[Cancelled], Any], into: dict[str, Any]) -> None:
        if (kind, key) in self._known or self._asking.get(kind) == key:
            return
        self._asking[kind] = key

        def done(found: Any) -> None:
            if self._asking.get(kind) == key:
                del self._asking[kind]
            self._known.add((kind, key))
            into[key] = found
            self._changed()
            if self._shown is not None:
                self._plan_soon(self._shown)

        # What is not here, or not usable, is the checks' business; the estimate just stays unknown.
        in_thread(self._screen, work, done, lambda _: done(None), group=f"prospect-{kind}")

    def _plan_soon(self, spec: RunSpec) -> None:
        self._plan_timer.stop()
        self._plan_timer = self._screen.set_timer(_PLAN_S, lambda: self._work_out(spec))

    def _work_out(self, spec: RunSpec) -> None:
        shape, reason = self._model.get(spec.model.base) or (None, "")
        found = self._machine.get("")
        machine, past = found if found is not None else (None, ())
        rows = self._lengths.get(_lengths_key(spec))
        error = self.error if self.checked else None

        def work(cancelled: Cancelled) -> tuple[Forecast, list[Check]]:
            from backprop_tui.config.prices import read_prices
            from backprop_tui.launch.plan.checks import checks
            from backprop_tui.launch.plan.forecast import Facts, forecast

            facts = Facts(shape, reason, rows, machine, past, read_prices())
            plan = forecast(spec, facts)
            return plan, checks(spec, facts, plan, error)

        def done(result: tuple[Forecast, list[Check]]) -> None:
            if self._plan is None or self._plan != (spec, *result):
                self._plan = (spec, *result)
                self._changed()

        in_thread(self._screen, work, done, lambda _: None, group="prospect-plan")

    def _check(self, spec: RunSpec) -> None:
        def work(cancelled: Cancelled) -> None:
            from backprop_tui.launch.preflight import check

            def go_on(rows: int, total: int | None) -> None:
                if cancelled():
                    raise InterruptedError

            check(spec, on_progress=go_on)

        def done(error: BackpropError | None) -> None:
            self._checked_for, self.error, self.checked = _matters(spec), error, True
            self._changed()
            if self._shown is not None:
                self._plan_soon(self._shown)

        in_thread(self._screen, work, done, done, group="prospect-check")


def _rows_key(part: DataPart) -> str:
    """What the number of usable rows depends on."""
    return repr((part.path, part.format, part.columns, part.damaged, part.filter, part.duplicates, part.near_threshold))


def _matters(spec: RunSpec) -> object:
    """What the checks depend on: reading the data again for another learning rate would find nothing new."""
    return (spec.model, spec.lora, spec.data, spec.optim.optimizer, spec.run.keep)


def _read_shapes(base: str) -> Shapes | None:
    from backprop_tui.data.models import resolve_model
    from backprop_tui.launch.estimate import read_shapes

    place = resolve_model(base)
    return None if place is None else read_shapes(place)


def _lengths_key(spec: RunSpec) -> str:
    """What the tokens of rows depend on."""
    return repr((spec.model.base, spec.model.revision, spec.data, spec.optim.seed))


def _model_shape(spec: RunSpec) -> tuple[ModelShape | None, str]:
    from backprop_tui.launch.plan.facts import model_shape

    try:
        return model_shape(spec)
    except BackpropError as error:
        return None, error.cause


def _row_facts(spec: RunSpec) -> RowFacts | None:
    from backprop_tui.launch.plan.facts import model_place, read_rows

    place = model_place(spec)
    return None if place is None else read_rows(spec, place)


def _machine_facts() -> tuple[Machine, tuple[PastRun, ...]]:
    from backprop_tui.launch.plan.facts import read_machine
    from backprop_tui.launch.plan.rates import read_past

    return read_machine(), read_past()
