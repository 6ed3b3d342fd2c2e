"""Sweeps: what may be varied, that all of it is checked before anything waits, and how results are ranked."""

from __future__ import annotations

import math
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backprop_tui.launch.sweep import ask_trial, resume_sweep, start_sweep, stop_sweep
from backprop_tui.launch.sweep_axes import combinations, corners, parse_axes
from backprop_tui.protocol import events as ev
from backprop_tui.protocol.errors import DataError, TryAgainError, UnavailableError, UsageError
from backprop_tui.store.journal import JournalWriter
from backprop_tui.store.layout import RunDir, create_run
from backprop_tui.store.queue import Queue
from backprop_tui.store.sweeps import Trial, goal_of, ranked, read_sweep, trials_of
from tests.support.worker_driver import quick_spec


def test_values_and_ranges_are_read_as_settings_are() -> None:
    lr, rank, schedule = parse_axes(["lr=1e-4, 2e-4", "rank=8,16", "schedule=linear,cosine"])
    assert (lr.key, lr.values) == ("learning_rate", (1e-4, 2e-4))
    assert rank.values == (8, 16)
    assert schedule.values == ("linear", "cosine")
    assert len(combinations([lr, rank, schedule])) == 8
    assert combinations([lr, rank])[1] == {"learning_rate": 1e-4, "rank": 16}
    low, whole = parse_axes(["lr=1e-5..1e-3:log", "rank=4..64"])
    assert (low.low, low.high, low.log, low.is_range) == (1e-5, 1e-3, True, True)
    assert whole.ends == (4, 64)
    assert corners([low, whole]) == [
        {"learning_rate": 1e-5, "rank": 4},
        {"learning_rate": 1e-3, "rank": 4},
        {"learning_rate": 1e-5, "rank": 64},
    ]
    (targets,) = parse_axes(["targets=q_proj,v_proj|all-linear"])
    assert targets.values == ("q_proj,v_proj", "all-linear")


@pytest.mark.parametrize(
    "words",
    [
        [], ["lr"], ["lr="], ["lr=1e-3..1e-5"], ["lr=0..1e-3:log"], ["lr=1..2:odd"], ["lr=x"], ["lr=1,1"], ["lr=1", "lr=2"],
        ["nothing=1"], ["name=a,b"], ["schedule=sideways"],
    ],
)  # fmt: skip
def test_what_is_no_axis_is_refused(words: list[str]) -> None:
    with pytest.raises(UsageError):
        parse_axes(words)


def test_a_grid_over_a_range_or_over_too_much_is_refused() -> None:
    with pytest.raises(UsageError, match="no end"):
        combinations(parse_axes(["lr=1e-5..1e-3"]))
    numbers = ",".join(str(n) for n in range(1, 33))
    axes = parse_axes([f"rank={numbers}", f"seed={numbers}"])
    with pytest.raises(UsageError, match=r"1,024 runs"):
        combinations(axes)


def test_every_bad_combination_is_named_and_nothing_is_queued() -> None:
    with pytest.raises(UsageError) as refused:
        start_sweep(quick_spec(), parse_axes(["lr=1e-4,99", "rank=4,0"]), name="hunt")
    assert refused.value.code == "SWEEP_INVALID"
    assert "3 of 4 combinations" in refused.value.cause
    bad = [one["params"] for one in refused.value.detail["bad"]]
    assert bad == [
        {"learning_rate": 1e-4, "rank": 0}, {"learning_rate": 99.0, "rank": 4}, {"learning_rate": 99.0, "rank": 0},
    ]  # fmt: skip
    assert Queue().entries() == []
    with pytest.raises(UsageError) as unknown:
        read_sweep("hunt")
    assert unknown.value.code == "SWEEP_UNKNOWN"


def test_what_is_wrong_with_the_data_is_said_once(tmp_path: Any) -> None:
    with pytest.raises(DataError):
        start_sweep(quick_spec(path=str(tmp_path / "nothing.jsonl")), parse_axes(["lr=1e-4,2e-4"]))
    assert Queue().entries() == []


def test_a_grid_fills_the_queue_and_varies_nothing_else() -> None:
    base = quick_spec()
    sweep = start_sweep(base, parse_axes(["lr=1e-4,2e-4", "rank=4,8"]), name="hunt")
    entries = Queue().entries()
    assert [(e.spec["optim"]["learning_rate"], e.spec["lora"]["rank"]) for e in entries] == [
        (1e-4, 4), (1e-4, 8), (2e-4, 4), (2e-4, 8),
    ]  # fmt: skip
    assert [entry.sweep for entry in entries] == [{"sweep": "hunt", "trial": n} for n in (1, 2, 3, 4)]
    assert entries[0].name == "hunt lr=0.0001 rank=4"
    assert all(entry.launched["train"]["rows"] > 0 for entry in entries)
    for entry in entries:
        same = {**entry.spec, "name": "", "optim": entries[0].spec["optim"], "lora": entries[0].spec["lora"]}
        assert same == {**entries[0].spec, "name": ""}
    assert (sweep.metric, sweep.goal, sweep.trials) == ("eval_loss", "min", 4)
    with pytest.raises(UsageError) as refused:
        start_sweep(base, parse_axes(["lr=1e-4"]), name="hunt")
    assert refused.value.code == "SWEEP_EXISTS"
    assert start_sweep(base, parse_axes(["lr=1e-4"])).name == "sweep-1"


def finish(sweep: str, trial: int, loss: float | None, outcome: str = "completed") -> RunDir:
    """The run of a trial, as a host would leave it."""
    run = create_run({"name": "x"}, queued={"entry": "queue-0000", "gpus": [-1], "sweep": sweep, "trial": trial})
    journal = JournalWriter(run.journal_file)
    journal.append(ev.RUN, {"run": run.id, "name": "x", "version": "0", "host": "box"}, attempt=1)
    if loss is not None:
        words = {"step": 1, "loss": loss, "perplexity": None, "rows": 1, "seconds": 0.0, "best": True}
        journal.append(ev.EVAL, words, attempt=1)
    journal.append(ev.END, {"outcome": outcome, "step": 1, "reason": "", "checkpoint": None}, attempt=1)
    journal.close()
    return run


def test_results_are_ranked_and_what_is_not_over_has_no_rank() -> None:
    sweep = start_sweep(quick_spec(), parse_axes(["lr=1e-4,2e-4,3e-4,4e-4,5e-4,6e-4"]), name="hunt")
    queue = Queue()
    ids = [entry.id for entry in queue.entries()]
    for entry_id in ids[:5]:
        queue.remove(entry_id)
    finish("hunt", 1, 2.0)
    finish("hunt", 2, math.nan)
    finish("hunt", 3, 0.1, "stopped")
    finish("hunt", 4, 1.0)
    finish("another", 5, 0.0)
    found = [(trial.number, trial.rank, trial.state) for trial in trials_of(sweep, queue)]
    assert found == [
        (4, 1, "completed"), (1, 2, "completed"), (2, None, "completed"), (3, None, "stopped"), (5, None, "removed"),
        (6, None, "queued"),
    ]  # fmt: skip


@given(
    st.lists(
        st.tuples(st.none() | st.floats(), st.sampled_from(["completed", "running", "failed", "queued"])), max_size=12
    ),
    st.sampled_from(["min", "max"]),
)
def test_ranks_follow_the_figures_either_way(results: list[tuple[float | None, str]], goal: Any) -> None:
    trials = [Trial(at, {}, state, value) for at, (value, state) in enumerate(results, 1)]
    order = ranked(trials, goal)
    assert sorted(trial.number for trial in order) == [trial.number for trial in trials]
    with_rank = [trial for trial in order if trial.rank is not None]
    assert order[: len(with_rank)] == with_rank
    values = [trial.value for trial in with_rank if trial.value is not None]
    assert all(trial.finished and math.isfinite(trial.value or 0.0) for trial in with_rank)
    assert values == sorted(values, reverse=goal == "max")
    assert len(with_rank) == sum(s == "completed" and v is not None and math.isfinite(v) for v, s in results)


def test_a_stopped_sweep_goes_on_with_what_is_left() -> None:
    start_sweep(quick_spec(), parse_axes(["lr=1e-4,2e-4,3e-4"]), name="hunt")
    finish("hunt", 1, 2.0)
    queue = Queue()
    queue.remove(queue.entries()[0].id)
    assert stop_sweep("hunt") == 2
    assert queue.entries() == []
    assert (read_sweep("hunt").problem or {})["code"] == "SWEEP_STOPPED"
    assert resume_sweep("hunt") == 2
    assert [(entry.sweep or {}).get("trial") for entry in queue.entries()] == [2, 3]
    states = {trial.number: trial.state for trial in trials_of(read_sweep("hunt"), queue)}
    assert states == {1: "completed", 2: "queued", 3: "queued"}


def test_metrics_know_their_better_end() -> None:
    assert goal_of("eval_loss") == "min"
    assert goal_of("exact_match") == "max"
    assert goal_of("reward_margin") == "max"
    with pytest.raises(UsageError, match="held-out"):
        start_sweep(quick_spec(eval_split=0), parse_axes(["lr=1e-4"]), metric="eval_loss")
    assert start_sweep(quick_spec(eval_split=0), parse_axes(["lr=1e-4"])).metric == "loss"


def test_without_optuna_a_search_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    from backprop_tui.hardware import extras

    monkeypatch.setitem(extras.FLOORS, "sweep", {"no_such_package_of_ours": "1"})
    with pytest.raises(UnavailableError, match="no_such_package") as refused:
        start_sweep(quick_spec(), parse_axes(["lr=1e-5..1e-3"]), search="optuna")
    assert refused.value.code == "EXTRA_MISSING"
    assert "backprop-tui[sweep]" in refused.value.next_step


def test_optuna_is_asked_trial_by_trial_and_learns_from_results() -> None:
    pytest.importorskip("optuna")
    axes = parse_axes(["lr=1e-5..1e-1:log", "rank=4,8"])
    start_sweep(quick_spec(), axes, search="optuna", trials=14, name="hunt")
    queue = Queue()
    assert queue.entries() == [], "the runner asks"
    drawn: list[float] = []
    for number in range(1, 15):
        ask_trial("hunt")
        (entry,) = queue.entries()
        assert entry.sweep == {"sweep": "hunt", "trial": number}
        rate = entry.spec["optim"]["learning_rate"]
        assert 1e-5 <= rate <= 1e-1
        assert entry.spec["lora"]["rank"] in (4, 8)
        drawn.append(rate)
        queue.remove(entry.id)
        # Best near 1e-2; one trial fails, which must not count as good or bad.
        finish(
            "hunt", number, None if number == 2 else abs(math.log10(rate) + 2), "failed" if number == 2 else "completed"
        )
    sweep = read_sweep("hunt")
    assert not sweep.asking
    best = trials_of(sweep, queue)[0]
    assert best.value is not None
    assert best.value < 0.5
    early, late = drawn[:4], drawn[-4:]
    near = lambda rates: sum(abs(math.log10(rate) + 2) for rate in rates) / len(rates)  # noqa: E731
    assert near(late) < near(early), "later trials go where the good ones were"
    ask_trial("hunt")
    assert queue.entries() == [], "there are as many as were asked for"


def test_a_trial_that_is_asked_for_while_the_sweep_is_stopped_is_not_queued(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("optuna")
    from backprop_tui.launch import sweep_search

    start_sweep(quick_spec(), parse_axes(["lr=1e-5..1e-1:log"]), search="optuna", trials=5, name="hunt")
    asked = sweep_search.next_params

    def stopped_meanwhile(*args: Any) -> Any:
        stop_sweep("hunt")
        return asked(*args)

    monkeypatch.setattr(sweep_search, "next_params", stopped_meanwhile)
    with pytest.raises(TryAgainError, match="SWEEP_CHANGED"):
        ask_trial("hunt")
    assert Queue().entries() == []
    assert read_sweep("hunt").asked == []


def test_the_same_question_has_the_same_answer() -> None:
    pytest.importorskip("optuna")
    from backprop_tui.launch.sweep_search import next_params

    axes = parse_axes(["lr=1e-5..1e-1:log"])
    sweep = start_sweep(quick_spec(), axes, search="optuna", trials=5, name="hunt", seed=3)
    assert next_params(sweep, axes, []) == next_params(sweep, axes, [])


def test_a_search_that_dies_is_told_with_where_to_look() -> None:
    start_sweep(quick_spec(), parse_axes(["lr=1e-5..1e-1:log"]), search="optuna", trials=5, name="hunt")
    runner = "from backprop_tui.launch.queue_runner import main; main(asker=('/bin/false',), gpus=[])"
    subprocess.run([sys.executable, "-c", runner], timeout=60, check=True)
    problem = read_sweep("hunt").problem or {}
    assert problem["code"] == "SWEEP_ASK_LOST"
    assert "code 1" in problem["cause"]
    assert "backprop sweep resume" in problem["next"]
