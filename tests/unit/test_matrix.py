"""Average, forgetting and backward transfer of a task × run matrix, and how a multi-run is folded from events."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backprop_tui.protocol import multi_view
from backprop_tui.protocol.events import Event
from backprop_tui.protocol.matrix import transfer
from backprop_tui.protocol.view import RunView


def test_the_figures_of_a_matrix_worked_out_by_hand():
    # Task 1: 1.0 after its run, then 0.8 (helped), then 1.5 (forgotten). Task 2: 2.0, then 2.5.
    found = transfer([[4.0, 4.0, 4.0], [1.0, 3.9, 4.1], [0.8, 2.0, 4.2], [1.5, 2.5, 0.5]])
    assert found.average == pytest.approx((1.5 + 2.5 + 0.5) / 3)
    assert found.forgetting == pytest.approx(((1.5 - 0.8) + (2.5 - 2.0)) / 2)
    assert found.backward == pytest.approx(((1.0 - 1.5) + (2.0 - 2.5)) / 2)
    assert found.base == 4.0


def test_what_cannot_be_said_is_unknown_and_never_zero():
    assert transfer([]).average is None
    before = transfer([[4.0, 3.0]])
    assert (before.average, before.forgetting, before.backward) == (None, None, None)
    first = transfer([[4.0, 3.0], [1.0, 2.0]])
    assert (first.average, first.forgetting, first.backward) == (1.0, None, None)
    unmeasured = transfer([[None, None], [None, None], [None, None]])
    assert (unmeasured.average, unmeasured.forgetting) == (None, None)
    assert transfer([[4.0], [math.nan]]).average is None


LOSSES = st.lists(st.lists(st.floats(0, 100), min_size=6, max_size=6), min_size=2, max_size=7)


@given(LOSSES)
def test_forgetting_is_never_negative_and_at_least_the_loss_of_transfer(rows):
    found = transfer(rows)
    if found.forgetting is not None and found.backward is not None:
        assert found.forgetting >= -1e-9
        assert found.forgetting >= -found.backward - 1e-9


def event(seq: int, kind: str, attempt: int = 1, **data: object) -> Event:
    return Event(seq, 1000.0 + seq, float(seq), attempt, kind, data)


def story() -> list[Event]:
    stage = {"of": 3, "name": "a", "rows": 10, "replayed": 0, "lr": 1e-3}
    merge = {"strategy": "slao", "share": 0.7, "drift": 0.2, "accepted": True, "reason": ""}
    return [
        event(1, "attempt", attempt=1, pid=1, resume_step=None),
        event(2, "stage", status="begin", index=1, first_step=1, last_step=4, **stage),
        event(3, "matrix", index=0, step=0, tasks=["a", "b", "c"], losses=[4.0, 4.0, "nan"]),
        event(4, "merge", index=1, step=4, merged=1, **merge),
        event(5, "matrix", index=1, step=4, tasks=["a", "b", "c"], losses=[1.0, 3.0, None]),
        event(6, "stage", status="begin", index=2, first_step=5, last_step=8, **stage),
        event(7, "merge", index=2, step=8, merged=2, **merge),
        event(8, "matrix", index=2, step=8, tasks=["a", "b", "c"], losses=[2.0, 1.0, None]),
    ]


def test_a_view_knows_runs_merges_boundaries_and_the_matrix():
    view = RunView().apply(story())
    assert view.multi["of"] == 3
    assert view.multi["run"] == 2
    assert view.multi["tasks"] == ["a", "b", "c"]
    rows = multi_view.rows_of(view.multi)
    assert rows[1:] == [[1.0, 3.0, None], [2.0, 1.0, None]]
    assert math.isnan(rows[0][2])
    assert multi_view.boundaries(view.multi) == [4]
    assert multi_view.figures_of(view.multi).forgetting == 1.0
    assert RunView.from_dict(view.to_dict()).multi == view.multi


def test_what_a_later_attempt_does_again_is_forgotten_first():
    view = RunView().apply(story())
    view.apply([event(9, "attempt", attempt=2, pid=2, resume_step=6)])
    assert list(view.multi["merges"]) == ["1"]
    assert len(multi_view.rows_of(view.multi)) == 2
    assert multi_view.boundaries(view.multi) == [4]
    view.apply([event(10, "attempt", attempt=3, pid=3, resume_step=None)])
    assert view.multi["merges"] == {}
    assert multi_view.boundaries(view.multi) == []


def test_a_damaged_event_changes_nothing():
    view = RunView().apply(story())
    before = view.to_dict()["multi"]
    view.apply(
        [
            event(9, "merge", step=9),
            event(10, "stage", index=3, of=3),
            event(11, "matrix", index="x"),
            event(12, "stage", index=None),
        ]
    )
    assert view.multi == before
