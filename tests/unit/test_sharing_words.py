"""How processes share out a run, wherever the plan is told."""

from __future__ import annotations

from typing import Any

import pytest

from backprop_tui.app.narrate import tell
from backprop_tui.protocol.events import PLAN, RETRY, Event
from backprop_tui.protocol.sharing_words import sharing_words


@pytest.mark.parametrize(
    ("plan", "words"),
    [
        ({"processes": 2, "machines": 1, "parallel": "ddp"}, "2 processes, each with all weights (DDP)"),
        (
            {"processes": 16, "machines": 2, "parallel": "fsdp2"},
            "16 processes on 2 machines, each with a share of the weights (FSDP2)",
        ),
        (
            {"processes": 8, "parallel": "zero2"},
            "8 processes, each with all weights and a share of the optimiser (ZeRO-2)",
        ),
        ({"processes": 2}, "2 processes"),
        ({"processes": 1, "parallel": "ddp"}, ""),
        ({"processes": "nan"}, ""),
        ({}, ""),
    ],
)
def test_the_words(plan: dict[str, Any], words: str) -> None:
    assert sharing_words(plan) == words


def _event(kind: str, **data: Any) -> Event:
    return Event(seq=1, wall=0.0, mono=0.0, attempt=1, kind=kind, data=data)


def test_the_log_of_a_run_tells_of_processes_and_of_one_that_is_lost() -> None:
    told = tell(_event(PLAN, total_steps=4, processes=2, machines=1, parallel="ddp"))
    assert told is not None
    assert "2 processes, each with all weights (DDP)" in told[1]
    lost = tell(_event(RETRY, why="lost", step=None, fault={"cause": "Process 1 (pid 7) was killed (SIGKILL)."}))
    assert lost is not None
    assert "Process 1" in lost[1]
