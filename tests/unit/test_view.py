"""The fold of events that people look at."""

from __future__ import annotations

import json
import math

from backprop_tui.protocol.codec import to_json
from backprop_tui.protocol.events import Event
from backprop_tui.protocol.states import RunState
from backprop_tui.protocol.view import RunView


class Tape:
    """Events as a host would stamp them."""

    def __init__(self) -> None:
        self.seq = 0

    def __call__(self, kind: str, **data: object) -> Event:
        self.seq += 1
        return Event(self.seq, 1_000.0 + self.seq, float(self.seq), 1, kind, json.loads(to_json(data)))


def step(tape: Tape, n: int, loss: float, seconds: float = 2.0) -> Event:
    return tape(
        "step",
        step=n,
        epoch=n / 10,
        loss=loss,
        grad_norm=1.0,
        lr=1e-4,
        tokens=n * 100,
        tokens_per_s=50.0,
        step_s=seconds,
    )


def running(tape: Tape, total: int = 20) -> list[Event]:
    return [
        tape("run", run="r", name="n", version="0", host="h"),
        tape("attempt", attempt=1, pid=1, resume_step=None),
        tape("plan", total_steps=total),
        tape("state", state="running", reason=""),
    ]


def test_unknown_stays_unknown() -> None:
    view = RunView()
    assert (view.loss, view.total_steps, view.tokens, view.eval_loss, view.seconds_left) == (None,) * 5


def test_nan_is_never_zero() -> None:
    tape = Tape()
    view = RunView().apply([*running(tape), step(tape, 1, math.nan)])
    assert view.loss is not None
    assert math.isnan(view.loss)


def test_running_means_the_lock_is_held() -> None:
    view = RunView().apply(running(Tape()))
    assert view.state_when(True) is RunState.RUNNING
    assert view.state_when(False) is RunState.CRASHED
    done = Tape()
    view = RunView().apply([*running(done), done("end", outcome="completed", step=20, reason="", checkpoint="c")])
    assert view.state_when(False) is RunState.COMPLETED


def test_time_left_counts_evaluations_but_not_pauses() -> None:
    tape = Tape()
    view = RunView().apply([*running(tape), *(step(tape, n, 1.0) for n in range(1, 11))])
    assert view.seconds_left == 20.0
    view.apply([tape("phase", phase="eval", status="end", seconds=10.0)])
    assert view.seconds_left == 30.0


def test_events_seen_twice_count_once() -> None:
    tape = Tape()
    events = [*running(tape), step(tape, 1, 1.0), tape("checkpoint", step=1, path="p")]
    view = RunView().apply(events).apply(events)
    assert view.checkpoints == [1]
    assert len(view.recent_step_s) == 1


def test_a_new_attempt_goes_back_to_its_checkpoint() -> None:
    tape = Tape()
    view = RunView().apply([*running(tape), step(tape, 7, 1.0), tape("fault", code="X", cause="", next="")])
    assert view.fault is not None
    view.apply([tape("attempt", attempt=2, pid=2, resume_step=5)])
    assert (view.step, view.attempt, view.state, view.fault) == (5, 2, RunState.STARTING, None)


def test_survives_the_index_file() -> None:
    tape = Tape()
    view = RunView().apply([*running(tape), step(tape, 1, 2.0), tape("checkpoint", step=1, path="p")])
    assert RunView.from_dict(json.loads(to_json(view.to_dict()))).to_dict() == view.to_dict()


def test_unknown_kinds_and_states_are_ignored() -> None:
    tape = Tape()
    view = RunView().apply([*running(tape), tape("aurora", a=1), tape("state", state="dancing", reason="")])
    assert view.state is RunState.RUNNING


def test_a_probe_is_one_sentence_with_what_is_known() -> None:
    from backprop_tui.protocol.probing import probe_sentence

    words = {"stage": "probe", "expected": 40_000_000, "measured": 1_200_000_000, "rows": 4, "longest": 2048}
    assert probe_sentence(words) == (
        "the longest 4 rows (2,048 tokens) went through: 40 MB of tensors expected, 1.20 GB reserved"
    )
    assert probe_sentence({"stage": "probe", "expected": None, "measured": None}) == "the longest rows went through"
    assert probe_sentence({"stage": "step", "expected": 2e9, "measured": None}).endswith("2.00 GB of tensors expected")
