"""The benchmark's claim in small: over conflicting tasks SLAO keeps more than training one after the other."""

from __future__ import annotations

import argparse
import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

pytestmark = [pytest.mark.train, pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def slao() -> ModuleType:
    path = Path(__file__).parents[2] / "benchmarks" / "slao.py"
    found = importlib.util.spec_from_file_location("slao_benchmark", path)
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


def test_slao_forgets_less_than_training_one_after_the_other(slao, home):
    args = argparse.Namespace(
        seeds=1, first_seed=0, tasks=5, steps=30, rows=120, rate=1e-3, rank=16, strategies=["slao", "sequential"]
    )
    results = slao.measure(args)["results"]
    merged, plain = results["slao"][0], results["sequential"][0]
    assert merged["average"] > plain["average"] + 0.1
    assert merged["forgetting"] < plain["forgetting"]


def test_the_tasks_conflict_and_held_out_questions_are_never_trained_on(slao, tmp_path):
    files = slao.write_tasks(tmp_path, 5, 120)
    rules = []
    for train, test in files:
        learnt, held = ([slao.json.loads(line)["messages"] for line in path.open()] for path in (train, test))
        assert {turns[0]["content"] for turns in (*learnt, *held)} == {learnt[0][0]["content"]}
        asked = [{turns[1]["content"] for turns in rows} for rows in (learnt, held)]
        assert not asked[0] & asked[1]
        rules.append({turns[1]["content"]: turns[2]["content"] for turns in held})
    assert all(one.keys() == rules[0].keys() for one in rules)
    # Every question wants another answer in every task.
    assert all(len({one[asked] for one in rules}) == len(rules) for asked in rules[0])


def test_accuracy_forgetting_and_transfer_of_a_matrix(slao):
    found = slao.figures([[1.0, 0.0, 0.0], [0.5, 0.8, 0.1], [0.25, 0.9, 1.0]])
    assert found["average"] == pytest.approx((0.25 + 0.9 + 1.0) / 3)
    assert found["forgetting"] == pytest.approx((0.75 + 0.0) / 2)
    assert found["transfer"] == pytest.approx((-0.75 + 0.1) / 2)
