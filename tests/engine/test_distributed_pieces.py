"""After memory ran out packs are taken apart, and no two processes have equally many rows in theirs: they meet all the same."""

from __future__ import annotations

from typing import Any

import pytest

from backprop_tui.hardware.extras import installed_version
from backprop_tui.protocol.changes import VARIABLE, BatchSizes, Changes
from tests.support.ranks import Ranks
from tests.support.worker_driver import new_run, step_figures, train

pytestmark = [pytest.mark.train, pytest.mark.timeout(240)]
PACKED: dict[str, Any] = {
    "packing": True, "max_length": 128, "batch_size": 4, "accumulation": 1, "steps": 3, "eval_split": 0, "warmup": 0,
}  # fmt: skip
_NO_DEEPSPEED = pytest.mark.skipif(installed_version("deepspeed") is None, reason="deepspeed is not installed")


@pytest.mark.parametrize("parallel", ["ddp", "fsdp2", pytest.param("zero2", marks=_NO_DEEPSPEED)])
def test_packs_taken_apart_have_the_curve_of_whole_ones(parallel: str) -> None:
    run = new_run(devices=2, device="cpu", parallel=parallel, **PACKED)
    smaller = {VARIABLE: Changes(batch=BatchSizes(1, 4, 1)).to_variable()}
    with Ranks(run, 2, env={0: smaller, 1: smaller}) as ranks:
        assert ranks.ended()["outcome"] == "completed", ranks.ended()
    ours = step_figures(ranks.events)
    theirs = step_figures(train(**{**PACKED, "accumulation": 2, "device": "cpu"}).events)
    assert ours.keys() == theirs.keys() == {1, 2, 3}
    for step, (loss, norm, *_) in ours.items():
        assert loss == pytest.approx(theirs[step][0], rel=1e-4)
        assert norm == pytest.approx(theirs[step][1], rel=2e-3)
