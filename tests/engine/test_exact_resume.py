"""The proof of exact resume: killed anywhere, any number of times, a run takes the very steps of one that nobody disturbed.

Compared with `==`: loss, gradient norm, learning rate, epoch, our token counter and the SHA-256 of each micro-batch's input
ids of every step of every attempt; what each evaluation measured; and in each checkpoint every tensor of the weights and of
the optimiser, the schedule, the random states and our own counters.
"""

from __future__ import annotations

import json
import random
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest

from backprop_tui.config import paths
from backprop_tui.store import checkpoints
from backprop_tui.store.layout import RunDir, create_run
from backprop_tui.store.resuming import find_candidate
from tests.support.warm_worker import Attempt, WarmWorker
from tests.support.worker_driver import quick_spec

pytestmark = [pytest.mark.train, pytest.mark.timeout(300)]

#: Accumulation, several epochs, an uneven last step per epoch, measurements and saves at odd distances.
COMMON: dict[str, Any] = {
    "steps": 0,
    "epochs": 2,
    "max_rows": 59,
    "batch_size": 4,
    "accumulation": 2,
    "save_every": 3,
    "eval_every": 7,
    "keep": 100,
}
KINDS: dict[str, dict[str, Any]] = {
    "lora-dropout-packed": {"dropout": 0.1, "packing": True, "max_length": 64, "max_rows": 44, "rank": 4},
    "full": {"method": "full", "learning_rate": 5e-4},
    "dpo": {"objective": "dpo", "dropout": 0.1, "rank": 4, "samples": 0},
    # Answers are drawn at the temperature of each step, and are learnt from in two.
    "grpo": {
        "objective": "grpo",
        "reward_functions": "brevity",
        "generations": 2,
        "answer_length": 6,
        "temperature": 2.0,
        "answer_reuse": 2,
        "rank": 4,
        "max_rows": 54,
    },
}
#: Where a worker dies: after a step, inside an accumulation, before, in the middle of and at the end of a save.
POINTS = ("worker.step", "worker.pass", "worker.save.begin", "worker.save.file", "worker.save.rename")


@pytest.fixture(scope="module")
def warm(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        for kind in ("DATA", "CACHE", "CONFIG"):
            patch.setenv(f"BACKPROP_{kind}_DIR", str(tmp_path_factory.mktemp(kind.lower())))
        with WarmWorker() as worker:
            yield worker


@pytest.fixture(scope="module")
def undisturbed(warm, tmp_path_factory):
    """One whole run of each kind, made when it is first asked for."""
    made: dict[str, tuple[RunDir, Attempt]] = {}
    root = tmp_path_factory.mktemp("undisturbed")

    def get(kind: str) -> tuple[RunDir, Attempt]:
        if kind not in made:
            run = _run(kind, root)
            whole = warm.attempt(run)
            assert whole.code == 0, run.worker_log.read_text()[-3000:]
            made[kind] = run, whole
        return made[kind]

    return get


def _run(kind: str, root: Path | None = None) -> RunDir:
    settings = {**COMMON, **KINDS[kind]}
    if kind == "dpo":
        settings["path"] = str(_preferences())
    return create_run(quick_spec(**settings).model_dump(), root)


def _preferences() -> Path:
    """Pairs of answers, some long and some short."""
    file = paths.data_dir() / "pairs.jsonl"
    rows = (
        {"prompt": f"Say {n}.", "chosen": f"Aye, it is {n}. " * (1 + n % 4), "rejected": f"No {n}." * (1 + n % 3)}
        for n in range(60)
    )
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


@pytest.mark.parametrize("kind", KINDS)
def test_killed_at_random_points_it_equals_the_undisturbed_run(kind, warm, undisturbed):
    reference, whole = undisturbed(kind)
    figures = whole.figures()
    chance = random.Random(f"exact {kind}")
    run = _run(kind)
    died = []
    for point in POINTS:
        left = max(figures) - (find_candidate(run).step or 0)
        # One micro-batch of two lies inside an accumulation; the last step of an epoch may be of one.
        passes, saves = left - 2, left // 3
        most = {"worker.step": left, "worker.pass": passes}.get(point, saves)
        strike = f"{point}:{chance.randint(1, max(1, most - 1))}"
        attempt = _go_on(warm, run, kill=strike)
        assert attempt.code == -signal.SIGKILL, (strike, attempt.events[-3:])
        died.append((strike, attempt))
    died.append(("", _go_on(warm, run)))
    last = died[-1][1]
    assert last.code == 0
    assert last.of("end")[0]["outcome"] == "completed"

    for strike, attempt in died:
        for step, seen in attempt.figures().items():
            assert seen == figures[step], f"step {step} of the attempt that ended at {strike or 'the end'}"
        told = attempt.of("resume")
        assert [event["kind"] for event in told] == ["exact"] * len(told)
    seen = {step for _, attempt in died for step in attempt.figures()}
    assert seen == set(figures)
    measured = {event["step"]: event["loss"] for event in whole.of("eval")}
    assert {event["step"]: event["loss"] for _, attempt in died for event in attempt.of("eval")} == measured
    steps = [info.step for info in checkpoints.list_checkpoints(reference)]
    assert [info.step for info in checkpoints.list_checkpoints(run, deep=True)] == steps
    for step in steps:
        assert_same_state(run, reference, step)


def test_without_the_random_states_the_proof_fails(warm, undisturbed):
    reference, whole = undisturbed("lora-dropout-packed")
    middle = sorted(info.step for info in checkpoints.list_checkpoints(reference))[2]
    run = _run("lora-dropout-packed")
    shutil.copytree(reference.checkpoint(middle), run.checkpoint(middle))
    resume = f"checkpoints/{run.checkpoint(middle).name}"
    deaf = warm.attempt(run, resume=resume, deaf_to_rng=True, kill="worker.step:2")
    assert deaf.code == -signal.SIGKILL, run.worker_log.read_text()[-3000:]
    loss, expected = deaf.figures()[middle + 1], whole.figures()[middle + 1]
    assert loss[0] != expected[0]
    assert loss[-1] == expected[-1], "the rows are the same: it is dropout that differs"
    heard = warm.attempt(run, resume=resume, kill="worker.step:2")
    assert heard.figures()[middle + 1] == expected


def _go_on(warm: WarmWorker, run: RunDir, *, kill: str = "") -> Attempt:
    checkpoints.sweep(run)
    candidate = find_candidate(run)
    resume = None if candidate.info is None else candidate.info.path.relative_to(run.path).as_posix()
    return warm.attempt(run, resume=resume, kill=kill)


def assert_same_state(ours: RunDir, theirs: RunDir, step: int) -> None:
    """Every file of a checkpoint that training goes on from holds the same values."""
    import torch
    from safetensors.torch import load_file

    here, there = ours.checkpoint(step), theirs.checkpoint(step)
    weights = sorted(path.name for path in there.glob("*.safetensors"))
    assert weights
    for name in weights:
        assert_equal(load_file(here / name), load_file(there / name), f"step {step} {name}")
    for name in ("optimizer.pt", "scheduler.pt", "rng_state.pth"):
        with torch.serialization.safe_globals(_numpy_types()):
            a, b = (torch.load(place / name, weights_only=True) for place in (here, there))
        assert_equal(a, b, f"step {step} {name}")
    counters = [json.loads((place / "state.json").read_bytes()) for place in (here, there)]
    assert counters[0] == counters[1]


def assert_equal(ours: Any, theirs: Any, where: str) -> None:
    """`==` through containers of tensors and numbers."""
    import numpy as np
    import torch

    assert type(ours) is type(theirs), where
    if isinstance(theirs, dict):
        assert ours.keys() == theirs.keys(), where
        for key in theirs:
            assert_equal(ours[key], theirs[key], f"{where} {key}")
    elif isinstance(theirs, (list, tuple)):
        assert len(ours) == len(theirs), where
        for at, (a, b) in enumerate(zip(ours, theirs, strict=True)):
            assert_equal(a, b, f"{where} {at}")
    elif isinstance(theirs, torch.Tensor):
        assert torch.equal(ours, theirs), where
    elif isinstance(theirs, np.ndarray):
        assert (ours == theirs).all(), where
    else:
        assert ours == theirs, where


def _numpy_types() -> list[Any]:
    import numpy as np
    from numpy._core.multiarray import _reconstruct

    return [_reconstruct, np.ndarray, np.dtype, type(np.dtype(np.uint32))]
