"""`backprop plan` from outside: the table, JSON, exit codes, and time from runs that were made here."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from tests.support.runs import FakeRun
from tests.support.terminal import backprop


def test_the_demo_is_a_go_within_two_seconds() -> None:
    began = time.monotonic()
    done = backprop("plan", "demo")
    took = time.monotonic() - began
    assert (done.returncode, done.stderr) == (0, "")
    for words in ("weights", "adapters", "gradients", "optimiser", "activations", "logits", "peak", "steps", "tokens"):
        assert words in done.stdout
    assert "masks verified on all rows" in done.stdout
    assert done.stdout.rstrip().endswith("go")
    assert took < 2.0 * 2, "a busy machine may take twice as long"


def test_json_has_every_number_and_unknown_is_null() -> None:
    done = backprop("plan", "demo", "--json")
    said = json.loads(done.stdout)
    assert said["go"] is True
    plan = said["plan"]
    assert plan["steps"] == 58
    assert plan["seconds"] is None
    assert plan["peak"] == plan["memory"]["peak"] + plan["process"]
    assert {check["code"] for check in said["checks"]} >= {"MEMORY", "DATA", "DISK"}


@pytest.mark.parametrize(
    ("make", "code"),
    [
        (lambda file: None, "DATA_FILE_MISSING"),
        (lambda file: file.write_text('{"messages": [{"role": "user", "content": "Hi"}]}\n'), "DATA_NO_ASSISTANT"),
    ],
    ids=["missing", "useless"],
)
def test_what_a_launch_would_refuse_is_no_go_with_its_code(make: object, code: str, tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    make(file)  # type: ignore[operator]
    done = backprop("plan", str(file), "--json")
    said = json.loads(done.stdout)
    assert (done.returncode, said["go"]) == (1, False)
    failed = [check for check in said["checks"] if check["level"] == "fail"]
    assert [check["code"] for check in failed] == [code]
    assert failed[0]["next"]
    plain = backprop("plan", str(file))
    assert plain.returncode == 1
    assert plain.stdout.rstrip().endswith("no go")


def test_time_is_that_of_runs_made_here_with_a_range() -> None:
    FakeRun().begin(total=20).train(20).end()
    said = json.loads(backprop("plan", "demo", "--json").stdout)["plan"]
    assert said["rate"]["basis"] in ("measured", "scaled")
    assert said["seconds_low"] < said["seconds"] < said["seconds_high"]
    assert "1 run " in backprop("plan", "demo").stdout


def test_auto_is_told() -> None:
    done = backprop("plan", "demo", "--set", "micro_batch=auto")
    assert "Micro-batch auto: 16 rows by 1 accumulated, 16 rows a step as before." in done.stdout
