"""An epoch of several processes holds every row once, also where rows don't come out even: nothing is drawn twice."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from backprop_tui.engine.worker.distributed_order import FilledOrder, fillers
from tests.support.ranks import train_together
from tests.support.worker_driver import step_figures, train

pytestmark = [pytest.mark.train, pytest.mark.timeout(120)]
ANSWERS = (
    "yes",
    "no, never",
    "perhaps",
    "it was a long day",
    "two",
    "in the north",
    "it is",
    "all of them",
    "red",
    "six",
)


@pytest.fixture
def rows(tmp_path: Path) -> str:
    """Eleven rows of different lengths: six batches of two, the last of one."""
    lines = [{"prompt": f"Question {n}?", "completion": f"{answer}."} for n, answer in enumerate((*ANSWERS, "no"))]
    file = tmp_path / "rows.jsonl"
    file.write_text("\n".join(json.dumps(line) for line in lines))
    return str(file)


@pytest.mark.parametrize("more", [{}, {"packing": True, "max_length": 64}], ids=["rows", "packs"])
def test_two_epochs_of_two_processes_are_those_of_one(rows: str, more: dict[str, Any]) -> None:
    common = {"path": rows, "batch_size": 2, "steps": 0, "epochs": 2, "eval_split": 0, "warmup": 0, **more}
    together = train_together(2, accumulation=1 if more else 2, **common)
    alone = train(accumulation=2 if more else 4, device="cpu", **common)
    one, other = step_figures(together.events), step_figures(alone.events)
    assert one.keys() == other.keys() != set()
    for step in one:
        assert one[step][0] == pytest.approx(other[step][0], rel=2e-5, abs=2e-5), step
        assert one[step][1] == pytest.approx(other[step][1], rel=1e-3), step
        assert one[step][3] == other[step][3], step
    assert together.of("step")[-1]["trained"] == alone.of("step")[-1]["trained"]


@pytest.mark.parametrize(("sequences", "round_of", "wanted"), [(11, 4, 1), (12, 4, 0), (1, 4, 3), (0, 4, 0), (5, 1, 0)])
def test_a_round_is_filled_up(sequences: int, round_of: int, wanted: int) -> None:
    assert fillers(sequences, round_of) == wanted


def test_fillers_come_last_and_the_order_of_the_rest_follows_the_epoch() -> None:
    order = FilledOrder(7, 2, seed=3)
    first = list(order)
    order.set_epoch(1)
    second = list(order)
    assert first[-2:] == second[-2:] == [7, 8]
    assert sorted(first[:-2]) == sorted(second[:-2]) == list(range(7))
    assert first != second
    assert list(FilledOrder(3, 1, seed=None)) == [0, 1, 2, 3]
    assert len(order) == 9
