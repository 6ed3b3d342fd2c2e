"""The queue and sweeps from the shell, with real training: put in, moved, started in turn, ranked."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from backprop_tui.config import paths
from backprop_tui.store.layout import list_runs
from backprop_tui.store.queue import Queue
from tests.support.engines import events, eventually
from tests.support.queues import no_runner_left
from tests.support.terminal import BACKPROP

TINY = ("--set", "max_length=128", "--set", "gradient_checkpointing=off", "--set", "samples=0")


@pytest.fixture(autouse=True)
def _alone() -> Iterator[None]:
    with no_runner_left():
        yield


def backprop(*argv: str, code: int = 0, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [BACKPROP, *argv], capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=150, cwd=cwd, check=False
    )
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    return done


def as_json(*argv: str, cwd: Path | None = None) -> Any:
    return json.loads(backprop(*argv, "--json", cwd=cwd).stdout)


def test_bad_input_is_refused_at_once_and_the_order_is_changed(tmp_path: Path) -> None:
    Queue().hold("It was stopped by hand.")
    missing = backprop("train", "nothing.jsonl", "--queue", code=65, cwd=tmp_path)
    assert "nothing.jsonl" in missing.stderr
    assert "counts only with --queue" in backprop("train", "demo", "--first", code=2).stderr
    assert "no GPU 9" in backprop("train", "demo", "--queue", "--gpu", "9", code=2).stderr
    assert (
        "one machine"
        in backprop("train", "demo", "--queue", "--set", "nodes=2", "--set", "rendezvous=a:1", code=2).stderr
    )
    assert Queue().entries() == []
    assert "Nothing waits" in backprop("queue").stderr

    one = as_json("train", "demo", "--queue", "--name", "one")
    assert (one["place"], one["state"], one["run"]) == (1, "waiting", None)
    assert as_json("train", "demo", "--queue", "--name", "two")["place"] == 2
    assert as_json("train", "demo", "--queue", "--name", "three", "--first")["place"] == 1
    assert as_json("multi-run", "demo", "--runs", "2", "--queue", "--name", "several")["place"] == 4
    assert [entry["name"] for entry in as_json("queue")["entries"]] == ["three", "one", "two", "several"]
    listed = backprop("queue", "move", "two", "first")
    assert "two is number 1 now." in listed.stderr
    assert listed.stdout.index("two") < listed.stdout.index("three") < listed.stdout.index("one")
    assert "queue start" in listed.stderr
    backprop("queue", "remove", "2", "several")
    backprop("queue", "move", "two", "sideways", code=2)
    shown = backprop("runs", "--where", "state:queued").stdout
    assert "queued 1" in shown
    assert "queued 2" in shown
    assert [(run["title"], run["place"], run["path"]) for run in as_json("runs")] == [
        ("two", 1, None),
        ("one", 2, None),
    ]
    assert as_json("queue", "clear")["entries"] == []
    assert backprop("runs", "--where", "state:queued").stdout == ""


@pytest.mark.train
@pytest.mark.slow
def test_real_runs_follow_one_another_and_changed_data_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    # Starts of the queue's own don't count among those of a minute.
    monkeypatch.setenv("BACKPROP_START_LIMIT", "1")
    shutil.copy(_demo_rows(tmp_path), tmp_path / "changes.jsonl")
    backprop("queue", "stop")
    backprop("train", "demo", "--queue", "--set", "steps=2", *TINY, "--name", "first")
    backprop("train", "changes.jsonl", "--queue", "--set", "steps=2", *TINY, "--name", "changed", cwd=tmp_path)
    backprop("train", "demo", "--queue", "--set", "steps=2", *TINY, "--name", "last")
    with (tmp_path / "changes.jsonl").open("a") as file:
        file.write(json.dumps({"prompt": "More?", "completion": "More."}) + "\n")
    backprop("queue", "start")
    waited = backprop("queue", "wait")
    (left,) = Queue().entries()
    assert left.problem is not None
    assert left.problem["code"] == "DATA_CHANGED"
    assert "while the run waited in the queue" in waited.stderr
    runs = {str(run.read_spec()["name"]): run for run in list_runs()}
    assert sorted(runs) == ["first", "last"]
    assert events(runs["first"])[-1].wall <= events(runs["last"])[0].wall
    assert all(events(run)[-1].data["outcome"] == "completed" for run in runs.values())


@pytest.mark.train
@pytest.mark.slow
def test_a_sweep_of_two_by_two_is_ranked_by_what_the_runs_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    backprop("sweep", "demo", "--over", "lr=1e-4,99", code=2)
    assert not (paths.data_dir() / "queue").exists() or Queue().entries() == []
    backprop(
        "sweep", "demo", "--over", "lr=1e-5,4e-3", "--over", "rank=4,8", "--set", "steps=2", *TINY, "--name", "hunt"
    )
    early = as_json("sweep", "show", "hunt")
    assert early["finished"] < 4
    assert all(result["rank"] is None for result in early["results"] if result["state"] != "completed")
    backprop("queue", "wait")
    found = as_json("sweep", "show", "hunt")
    results = found["results"]
    assert [result["rank"] for result in results] == [1, 2, 3, 4]
    measured = {
        str(run.id): next(event.data["loss"] for event in reversed(events(run)) if event.kind == "eval")
        for run in list_runs()
    }
    assert [result["value"] for result in results] == sorted(measured.values())
    assert all(measured[result["run"]] == result["value"] for result in results)
    assert [result["params"]["learning_rate"] for result in results] == [4e-3, 4e-3, 1e-5, 1e-5]
    assert len(as_json("runs", "--where", "sweep:hunt")) == 4
    assert len(as_json("runs", "--where", "sweep:hunt trial<=2")) == 2
    shown = backprop("sweep", "show").stdout.splitlines()
    assert shown[0].split()[:5] == ["place", "trial", "learning_rate", "rank", "eval_loss"]
    assert shown[1].split()[2] == "0.004"


def _demo_rows(place: Path) -> Path:
    file = place / "rows.jsonl"
    backprop("data", "convert", "demo", "-o", str(file), "--to", "messages")
    return file


def test_a_lost_runner_is_brought_back_by_a_look() -> None:
    queue = Queue()
    backprop("queue", "stop")
    backprop("train", "demo", "--queue", "--set", "steps=1", *TINY, "--name", "waits")
    # As after a reboot: something waits, nothing is held, and nobody is at work.
    (queue.root / "held.json").unlink()
    (entry,) = queue.entries()
    with queue.edit():
        # Settings of another version: the start fails at once, which costs no training.
        queue.put(replace(entry, spec={**entry.spec, "unknown": 1}))
    backprop("runs")
    eventually(lambda: (now := queue.get(entry.id)) is not None and now.problem, what="the runner is back")
