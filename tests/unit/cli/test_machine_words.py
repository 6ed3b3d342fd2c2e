"""The machine in lines of text: few GPUs one by one, many in one line, and unknown as a dash."""

from __future__ import annotations

from typing import Any

from backprop_tui.cli.machine_words import machine_lines
from tests.support.runs import HOSTILE, gpu

HOST = {"cpu": 5.0, "memory_used": 3e9, "memory_total": 8e9, "disk_free": 5e10, "run_memory": 1e9}


def lines(gpus: list[dict[str, Any]], **more: Any) -> list[str]:
    return machine_lines({"gpus": gpus, "gpu_reason": None, "host": HOST, **more})


def test_a_line_for_each_of_a_few() -> None:
    found = lines([gpu(0), gpu(1, temperature=90.0, power=None)])
    assert found[0] == "gpu 0  97 %  61 GB of 80 GB  71 °C  612 W"
    assert found[1] == "gpu 1  97 %  61 GB of 80 GB  90 °C HOT  –"
    assert found[2] == "host  cpu 5 %  memory 3 GB of 8 GB  run 1 GB  disk 50 GB free"
    assert "slowed by heat" in lines([gpu(0) | {"throttle": ["heat"]}])[0]


def test_one_line_for_many() -> None:
    many = [gpu(index, temperature=60.0 + index) for index in range(15)]
    silent = {"index": 15, "temperature": None, "unknown": {"": HOSTILE}}
    assert lines([*many, silent])[0] == "16 gpus  97 %  60 to 74 °C  9,180 W  1 silent"


def test_without_any_the_reason() -> None:
    assert machine_lines({}) == []
    assert lines([], gpu_reason=HOSTILE)[0].startswith("gpu  ")
    lost = lines([{"index": 0, "unknown": {"": HOSTILE}}])[0]
    assert "\x1b" not in lost
    assert lost.startswith("gpu 0  –")
    assert machine_lines({"gpus": [], "gpu_reason": None, "host": {}}) == ["host  cpu –  memory – of –  disk – free"]
