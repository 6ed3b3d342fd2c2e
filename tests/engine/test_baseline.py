"""A run that is compared with an earlier one: resolved and checked at launch, told by the real host while it trains."""

from __future__ import annotations

import json

import pytest

from backprop_tui.launch.preflight import check
from backprop_tui.launch.start import launch_engine
from backprop_tui.protocol.errors import UsageError
from tests.support.engines import ENGINE, over, scripted, started
from tests.support.worker_driver import quick_spec

EARLIER = {"2": 2.0, "4": 1.5, "8": 1.0}


def test_the_host_tells_of_an_evaluation_that_is_worse_at_the_same_step() -> None:
    earlier = started(steps=8, evals=EARLIER)
    over(earlier)
    run = scripted(steps=8, evals={"3": 1.7, "6": 1.5, "7": 1.6, "8": 1.0})
    spec = run.read_spec() | {"recovery": {"baseline": earlier.id}}
    (run.path / "run.json").write_text(json.dumps(spec))
    launch_engine(run, engine=ENGINE)
    (alert,) = [event.data for event in over(run) if event.kind == "alert"]
    assert (alert["code"], alert["step"]) == ("BASELINE_DRIFT", 6)
    assert alert["cause"] == f"The eval loss is 1.5; run {earlier.short_id} had 1.25 at this step."


def test_a_baseline_that_was_deleted_meanwhile_is_said_and_the_run_goes_on() -> None:
    run = scripted(steps=3, evals=EARLIER)
    (run.path / "run.json").write_text(json.dumps(run.read_spec() | {"recovery": {"baseline": "20200101-000000-zzzz"}}))
    launch_engine(run, engine=ENGINE)
    journal = over(run)
    assert journal[-1].data["outcome"] == "completed"
    assert [event.data["message"] for event in journal if event.kind == "log"] == [
        "No run is called '20200101-000000-zzzz'. Nothing is compared with it."
    ]


def test_preflight_resolves_it_and_refuses_one_without_evaluations() -> None:
    earlier = started(steps=3, evals=EARLIER)
    over(earlier)
    assert check(quick_spec(baseline=earlier.short_id)).recovery.baseline == earlier.id
    bare = started(steps=3)
    over(bare)
    with pytest.raises(UsageError) as refusal:
        check(quick_spec(baseline=bare.short_id))
    assert refusal.value.code == "BASELINE_WITHOUT_EVALS"
    with pytest.raises(UsageError) as unknown:
        check(quick_spec(baseline="nosuchrun"))
    assert unknown.value.code == "RUN_UNKNOWN"
