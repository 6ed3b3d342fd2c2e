"""The order of the rows is what the trainer draws, step by step, in every epoch, packed or not, and over a resume."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest

from backprop_tui.config import paths
from backprop_tui.data import training_set
from backprop_tui.store import checkpoints
from backprop_tui.store.layout import RunDir
from tests.support.worker_driver import WorkerThread, new_run, quick_spec

pytestmark = pytest.mark.train

ROWS = 37
#: Two epochs of five steps; the last step of each is short, its last micro-batch too.
SETTINGS: dict[str, Any] = {"steps": 0, "epochs": 2, "batch_size": 4, "accumulation": 2, "eval_split": 0, "seed": 3}
PER_STEP = 8

Ids = tuple[int, ...]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Rows of many lengths, whose grades go neither up nor down."""
    place = tmp_path / "rows.jsonl"
    rows = ({"question": f"Say {n}", "answer": f"{n} " * (1 + n * 5 % 11), "grade": n * 7 % ROWS} for n in range(ROWS))
    place.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return place


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[list[Ids]]:
    """The rows of every micro-batch the trainer asks for, read off the tensors it is given."""
    from backprop_tui.engine.worker.rows import Collator

    batches: list[list[Ids]] = []
    collate = Collator.__call__

    def watched(self: Collator, examples: list[dict[str, Any]]) -> dict[str, Any]:
        batch = collate(self, examples)
        batches.append(rows_in(batch))
        return batch

    monkeypatch.setattr(Collator, "__call__", watched)
    return batches


def rows_in(batch: dict[str, Any]) -> list[Ids]:
    rows: list[Ids] = []
    for line, ids in enumerate(batch["input_ids"].tolist()):
        if "attention_mask" in batch:
            rows.append(tuple(ids[: int(batch["attention_mask"][line].sum())]))
            continue
        starts = [place for place, position in enumerate(batch["position_ids"][line].tolist()) if position == 0]
        rows += (tuple(ids[start:end]) for start, end in itertools.pairwise([*starts, len(ids)]))
    return rows


def in_order(file: Path, **settings: Any) -> list[Ids]:
    """The rows as `training_set` puts them in order."""
    spec = quick_spec(**SETTINGS, path=str(file), **settings)
    built = training_set.build(spec.data, paths.demo_model_dir(), seed=spec.optim.seed)
    return [tuple(row.ids) for row in built.train]


def flat(batches: list[list[Ids]]) -> list[Ids]:
    return list(itertools.chain.from_iterable(batches))


def trained(run: RunDir, resume: int | None = None) -> WorkerThread:
    with WorkerThread(run, resume=None if resume is None else f"checkpoints/step-{resume:06d}") as worker:
        assert worker.ended()["outcome"] == "completed", worker.of("fault")
    return worker


@pytest.mark.parametrize(
    "order", [{"order": "file"}, {"order": "curriculum", "difficulty": "grade"}, {"order": "curriculum"}], ids=str
)
@pytest.mark.parametrize("packing", [{}, {"packing": True, "max_length": 64}], ids=["plain", "packed"])
def test_every_epoch_draws_the_rows_in_order(file, drawn, order, packing):
    expected = in_order(file, **order, **packing)
    assert len(set(expected)) == ROWS
    worker = trained(new_run(**SETTINGS, path=str(file), **order, **packing))
    assert flat(drawn) == expected * 2
    assert worker.of("step")[-1]["tokens"] == 2 * sum(map(len, expected))


def test_the_orders_are_the_files_and_the_grades(file):
    def places(**settings: Any) -> list[int]:
        spec = quick_spec(**SETTINGS, path=str(file), **settings)
        return [row.index for row in training_set.build(spec.data, paths.demo_model_dir(), seed=3).train]

    assert places(order="file") == list(range(ROWS))
    graded = places(order="curriculum", difficulty="grade")
    assert [place * 7 % ROWS for place in graded] == list(range(ROWS))
    assert graded != list(range(ROWS))


def test_each_step_takes_the_next_rows(file, drawn):
    """Told by the counted tokens alone: after each step they are those of the first rows of the order."""
    settings = {"order": "curriculum", "difficulty": "grade"}
    sums = [0, *itertools.accumulate(len(row) for row in in_order(file, **settings))]
    steps = trained(new_run(**SETTINGS, path=str(file), **settings)).of("step")
    after = [*range(PER_STEP, ROWS, PER_STEP), ROWS]
    expected = [epoch * sums[-1] + sums[rows] for epoch in (0, 1) for rows in after]
    assert [step["tokens"] for step in steps] == expected
    sizes = [len(batch) for batch in drawn]
    assert sizes == [4] * 9 + [1] + [4] * 9 + [1]


@pytest.mark.parametrize("packing", [{}, {"packing": True, "max_length": 64}], ids=["plain", "packed"])
def test_a_resumed_run_draws_what_was_left(file, drawn, packing):
    settings = {**SETTINGS, "path": str(file), "order": "file", "save_every": 1, **packing}
    run = new_run(**settings)
    steps = trained(run).of("step")
    whole, accumulation = list(drawn), settings["accumulation"]
    per_epoch = len(whole) // 2
    steps_per_epoch = len(steps) // 2
    middles = [steps_per_epoch + 2, steps_per_epoch, 2]
    for middle in middles:
        for info in checkpoints.list_checkpoints(run):
            if info.step > middle:
                checkpoints.remove_checkpoint(run, info.step)
        drawn.clear()
        again = trained(run, resume=middle).of("step")
        epoch, inside = divmod(middle, steps_per_epoch)
        assert drawn == whole[epoch * per_epoch + inside * accumulation :], f"from step {middle}"
        assert [(step["step"], step["loss"]) for step in again] == [
            (step["step"], step["loss"]) for step in steps[middle:]
        ]


def test_held_out_rows_leave_the_order_of_the_others_alone(file, drawn):
    settings = {"order": "file", "eval_split": 0.2}
    spec = quick_spec(**{**SETTINGS, **settings}, path=str(file))
    built = training_set.build(spec.data, paths.demo_model_dir(), seed=3)
    assert built.eval
    trained(new_run(**{**SETTINGS, **settings}, path=str(file)))
    assert flat(drawn) == [tuple(row.ids) for row in built.train] * 2


def test_shuffled_rows_are_drawn_anew_in_each_epoch(file, drawn):
    expected = in_order(file)
    trained(new_run(**SETTINGS, path=str(file)))
    first, second = flat(drawn)[:ROWS], flat(drawn)[ROWS:]
    assert sorted(first) == sorted(second) == sorted(expected)
    assert first != expected
    assert first != second
