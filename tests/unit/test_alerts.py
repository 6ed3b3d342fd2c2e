"""What a run complained of, as a list: every severity, counted, harmless, in order."""

from __future__ import annotations

import math
from typing import Any

import pytest

from backprop_tui.app.alerts import KEPT, Alerts
from backprop_tui.protocol import events as ev
from backprop_tui.protocol.events import Event
from backprop_tui.store.series import SeriesStore
from tests.support.runs import HOSTILE, gpu


def fold(*happened: tuple[str, dict[str, Any]], step: int = 7) -> Alerts:
    alerts = Alerts()
    for number, (kind, data) in enumerate(happened, start=1):
        alerts.take(Event(number, 100.0 + number, 0.0, 1, kind, data), step)
    return alerts


@pytest.mark.parametrize(
    ("kind", "data", "severity", "words"),
    [
        (
            ev.FAULT,
            {"code": "LOSS_NOT_FINITE", "cause": "It is NaN.", "next": "Lower it.", "step": 9},
            "error",
            "It is NaN.",
        ),
        (ev.ALERT, {"code": "EVAL_RISES", "severity": "warn", "cause": "It rises."}, "warn", "It rises."),
        (ev.ALERT, {"code": "DISK", "severity": "error", "cause": "Full."}, "error", "Full."),
        (ev.LOG, {"level": "warn", "source": "trainer", "message": "odd"}, "warn", "trainer: odd"),
        (ev.LOG, {"level": "error", "source": "host", "message": "bad"}, "error", "bad"),
        (
            ev.COMMAND_DONE,
            {"name": "checkpoint", "ok": False, "detail": "disk"},
            "warn",
            "checkpoint could not be done",
        ),
        (ev.REPAIR, {"reason": "torn tail"}, "warn", "journal repaired"),
        (ev.PLAN, {"dropped_rows": 3}, "warn", "3 rows left out"),
        (ev.END, {"outcome": "failed", "reason": "gone"}, "error", "gone"),
    ],
)
def test_what_counts_as_a_complaint(kind: str, data: dict[str, Any], severity: str, words: str) -> None:
    alerts = fold((kind, data))
    alert = alerts.newest_first[0]
    assert (len(alerts), alerts.total, alert.severity) == (1, 1, severity)
    assert words in alert.text
    assert alert.seq == 1
    assert alerts.errors == (severity == "error")
    if kind == ev.FAULT:
        assert (alert.step, alert.code, alert.next) == (9, "LOSS_NOT_FINITE", "Lower it.")


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        (ev.LOG, {"level": "info", "message": "x"}),
        (ev.COMMAND_DONE, {"name": "checkpoint", "ok": True, "detail": ""}),
        (ev.PLAN, {"dropped_rows": 0}),
        (ev.END, {"outcome": "completed", "reason": ""}),
        (ev.STEP, {"step": 1, "loss": 1.0}),
        (ev.TELEMETRY, {"gpus": [gpu(temperature=None)], "host": {"disk_free": None}}),
        (ev.TELEMETRY, {"gpus": "odd", "host": 3}),
    ],
)
def test_what_does_not(kind: str, data: dict[str, Any]) -> None:
    assert len(fold((kind, data))) == 0


def test_the_end_of_a_fault_is_not_told_twice() -> None:
    alerts = fold(
        (ev.FAULT, {"code": "OUT_OF_MEMORY", "cause": "The GPU is full.", "next": "Halve it."}),
        (ev.END, {"outcome": "failed", "reason": "The GPU is full."}),
    )
    assert [alert.code for alert in alerts.newest_first] == ["OUT_OF_MEMORY"]


def test_a_hot_gpu_is_told_once_until_it_has_cooled_down() -> None:
    heats = [80.0, 87.0, 89.0, 84.0, 88.0, 70.0, 90.0]
    alerts = fold(*((ev.TELEMETRY, {"gpus": [gpu(temperature=heat)], "host": {}}) for heat in heats))
    assert (len(alerts), alerts.total) == (1, 2)
    assert "90 °C" in alerts.newest_first[0].text


def test_a_disk_that_fills_up_is_told_once() -> None:
    frees = [90e9, 1.9e9, 1.8e9, 3e9, 1.7e9, 50e9, 1e9]
    alerts = fold(*((ev.TELEMETRY, {"gpus": [], "host": {"disk_free": free, "disk_total": 1e12}}) for free in frees))
    assert alerts.total == 2


def test_the_same_again_counts_up_and_another_one_does_not() -> None:
    again = (ev.LOG, {"level": "warn", "source": "t", "message": "same"})
    alerts = fold(again, again, again, (ev.LOG, {"level": "warn", "source": "t", "message": "other"}), again)
    assert [alert.count for alert in alerts.newest_first] == [1, 1, 3]
    assert (alerts.total, alerts.newest_first[-1].seq) == (5, 3)


def test_seen_is_seen_until_the_next_one() -> None:
    alerts = fold((ev.REPAIR, {"reason": "torn"}))
    assert alerts.unseen is not None
    alerts.look()
    assert alerts.unseen is None
    alerts.take(Event(9, 0.0, 0.0, 1, ev.REPAIR, {"reason": "torn"}), 3)
    assert alerts.unseen is not None


def test_losses_that_are_no_number_are_found_in_the_curve_once() -> None:
    series, alerts = SeriesStore(), Alerts()

    def steps(first: int, *losses: object) -> None:
        found = [
            Event(step, 1000.0 + step, 0.0, 1, ev.STEP, {"step": step, "loss": loss})
            for step, loss in enumerate(losses, start=first)
        ]
        series.add(found)
        alerts.scan(series)

    alerts.scan(series)
    steps(1, 1.0, "nan", "nan", 2.0)
    steps(5, 1.0)
    alert = alerts.newest_first[0]
    assert (len(alerts), alert.step, alert.count, alert.wall) == (1, 2, 2, 1003.0)
    assert alert.text == "loss was NaN"
    alerts.look()
    steps(6, "inf")
    assert alerts.total == 3
    # Done again by a later attempt, and odd again.
    series.add([Event(90, 0.0, 0.0, 2, ev.ATTEMPT, {"attempt": 2, "resume_step": 4})])
    steps(5, 1.0, "nan")
    assert alerts.total == 4


@pytest.mark.parametrize("later", [False, True])
def test_a_loss_the_engine_has_told_of_is_not_told_twice(later: bool) -> None:
    """Whether the fault comes in the same batch as the step or in the next one."""
    series, alerts = SeriesStore(), Alerts()
    series.add([Event(3, 1003.0, 0.0, 1, ev.STEP, {"step": 3, "loss": "nan"})])
    if later:
        alerts.scan(series)
    alerts.take(Event(4, 1003.0, 0.0, 1, ev.FAULT, {"code": "LOSS_NOT_FINITE", "cause": "It is NaN.", "step": 3}), 3)
    alerts.scan(series)
    assert [alert.code for alert in alerts.newest_first] == ["LOSS_NOT_FINITE"]
    assert (alerts.total, alerts.errors) == (1, 1)


def test_damage_of_the_record_counts_up() -> None:
    alerts = Alerts()
    for lines in (0, 1, 1, 4):
        alerts.damage(lines)
    assert (len(alerts), alerts.total) == (1, 4)
    assert math.isnan(alerts.newest_first[0].wall)


def test_a_flood_is_bounded_and_foreign_words_are_harmless() -> None:
    alerts = fold(*((ev.LOG, {"level": "warn", "message": f"{number} {HOSTILE}"}) for number in range(KEPT + 50)))
    assert len(alerts) == KEPT
    assert alerts.total == KEPT + 50
    alerts.take(Event(9, 0.0, 0.0, 1, ev.ALERT, {"code": HOSTILE, "cause": HOSTILE, "next": HOSTILE}), 1)
    alerts.refused(HOSTILE, HOSTILE, 0.0, 1)
    for alert in alerts.newest_first:
        assert not any(sign in alert.text + alert.code + alert.next for sign in "\x1b\x07\x9b\u202e")
