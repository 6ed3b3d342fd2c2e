"""Curves of made-up runs, as a chart takes them."""

from __future__ import annotations

import math
from typing import Any

from backprop_tui.app.marks import Marks
from backprop_tui.app.widgets.chart_model import ChartModel
from backprop_tui.protocol.events import Event
from backprop_tui.store.series import SeriesStore

BEGAN = 1_700_000_000.0


def step(number: int, **changes: Any) -> Event:
    """One step that ended two seconds after the one before."""
    data = {
        "step": number, "loss": 1.0 + math.exp(-number / 40), "grad_norm": 2.0 - number / 1000, "lr": 1e-4,
        "tokens": number * 512, "tokens_per_s": 256.0, "step_s": 2.0, "epoch": number / 100, **changes,
    }  # fmt: skip
    return Event(
        number, BEGAN + 2.0 * number, 0.0, 1, "step", {key: value for key, value in data.items() if value is not None}
    )


def store_of(steps: int, *, first: int = 1, evals: int = 0, **changes: Any) -> SeriesStore:
    """A run of `steps` steps with an evaluation every `evals`; `changes` may be functions of the step."""
    store = SeriesStore()
    for number in range(first, first + steps):
        store.add(
            [step(number, **{key: value(number) if callable(value) else value for key, value in changes.items()})]
        )
        if evals and number % evals == 0:
            store.add([Event(number, 0.0, 0.0, 1, "eval", {"step": number, "loss": 1.2 + math.exp(-number / 40)})])
    return store


def chart_of(steps: int = 100, *, evals: int = 0, marks: Marks | None = None, **changes: Any) -> ChartModel:
    """A chart on a finished run."""
    model = ChartModel()
    model.store, model.marks, model.began = store_of(steps, evals=evals, **changes), marks, BEGAN
    return model


def marked(*events: tuple[str, int, dict[str, Any]]) -> Marks:
    """Marks of (kind, step, data)."""
    marks = Marks()
    for seq, (kind, at, data) in enumerate(events, 1):
        marks.add(Event(seq, BEGAN, 0.0, 1, kind, data), at)
    return marks


def text_of(lines: Any) -> str:
    """Painted lines as text."""
    return "\n".join("".join(text for text, _ in line) for line in lines)
