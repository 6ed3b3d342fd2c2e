"""Curves against a plain list of points: whatever order steps come, repeat and go missing in."""

from __future__ import annotations

import math
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from backprop_tui.protocol import events as ev
from backprop_tui.protocol.events import Event
from backprop_tui.store.series import SeriesStore
from backprop_tui.store.stretch import ABSENT, ABSENT_BITS, first_present, is_metric, rows_of


class Plain:
    """What `SeriesStore` promises, said the slow way."""

    def __init__(self) -> None:
        self.points: list[tuple[int, dict[str, float]]] = []

    def step(self, step: int, values: dict[str, float]) -> None:
        if self.points and step <= self.points[-1][0]:
            self.points = [point for point in self.points if point[0] < step]
        self.points.append((step, values))

    def get(self, name: str) -> list[tuple[int, float]]:
        return [(step, values[name]) for step, values in self.points if name in values]


def event(seq: int, step: int, values: dict[str, Any]) -> Event:
    return Event(seq, float(seq), 0.0, 1, ev.STEP, {"step": step, **values})


values = st.dictionaries(st.sampled_from(["loss", "lr", "kl"]), st.floats(allow_nan=False), max_size=3)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 12), values), max_size=60), st.lists(st.integers(1, 9), min_size=1, max_size=9)
)
def test_curves_are_the_newest_attempt_of_each_step(steps: list[tuple[int, dict[str, float]]], cuts: list[int]) -> None:
    """In batches of any size, looked at between any two of them; nothing handed out changes afterwards."""
    store, plain = SeriesStore(), Plain()
    seen: list[tuple[Any, list[float]]] = []
    at = turn = 0
    while at < len(steps):
        size = cuts[turn % len(cuts)]
        turn += 1
        batch = steps[at : at + size]
        store.add(event(at + place, step, found) for place, (step, found) in enumerate(batch))
        for step, found in batch:
            plain.step(step, found)
        at += size
        for name in ("loss", "lr", "kl"):
            x, y = store.get(name)
            assert list(zip(x.tolist(), y.tolist(), strict=True)) == plain.get(name)
            assert (name in store.names()) == bool(plain.get(name))
            seen.append((y, y.tolist()))
    assert all(array.tolist() == before for array, before in seen)


def test_a_reported_nan_is_not_an_absent_value() -> None:
    store = SeriesStore()
    store.add([event(1, 1, {"loss": "nan"}), event(2, 2, {"loss": None}), event(3, 3, {"loss": math.nan, "lr": 1})])
    x, y = store.get("loss")
    assert x.tolist() == [1, 3]
    assert all(math.isnan(value) for value in y.tolist())
    assert store.get("lr")[0].tolist() == [3]
    assert store.get("wall")[1].tolist() == [1.0, 2.0, 3.0]
    assert "wall" not in store.names()


def test_absent_values_keep_their_bits_through_arrays() -> None:
    import numpy as np

    column = np.array([ABSENT, math.nan, 1.0])
    assert (column.view(np.uint64) == ABSENT_BITS).tolist() == [True, False, False]
    assert first_present(column) == 1
    assert first_present(column[:1]) is None


def test_names_of_curves_are_harmless() -> None:
    assert is_metric("loss")
    assert is_metric("rewards/chosen")
    for name in ("", "step", "wall", "a\x1b[31m", "[bold]", "x" * 65, "ü", 3, None, "a\n"):
        assert not is_metric(name)
    rows = rows_of([event(1, 1, {"a\x1b": 1.0, "ok": 2.0, "note": "text"})])
    assert list(rows.values) == ["ok"]


def test_no_more_metrics_than_anybody_can_look_at() -> None:
    store = SeriesStore()
    store.add([event(1, 1, {f"m{at}": 1.0 for at in range(500)})])
    store.add([event(2, 2, {f"n{at}": 1.0 for at in range(500)})])
    assert len(store.names()) == 64


def test_evaluations_go_with_the_steps_they_belong_to() -> None:
    store = SeriesStore()
    evaluation = lambda seq, step, loss: Event(seq, 0.0, 0.0, 1, ev.EVAL, {"step": step, "loss": loss})  # noqa: E731
    store.add([event(1, 5, {"loss": 1.0}), evaluation(2, 5, 2.0), event(3, 9, {"loss": 1.0}), evaluation(4, 9, 1.5)])
    store.add([event(5, 6, {"loss": 3.0})])
    assert store.get("eval_loss")[0].tolist() == [5]
    store.add([evaluation(6, 5, 9.0)])
    assert [part.tolist() for part in store.get("eval_loss")] == [[5], [9.0]]
