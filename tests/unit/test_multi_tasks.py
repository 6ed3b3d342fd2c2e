"""Which rows a run of a multi-run gets, at which rate, and whether its merge passes the gates. No torch."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backprop_tui.engine.worker.multi.gates import refusal
from backprop_tui.engine.worker.multi.tasks import Task, datasets, rate_of, replayed, windows
from backprop_tui.launch.plan.forecast import RowFacts, steps_of
from backprop_tui.protocol.errors import DataError
from backprop_tui.protocol.fields import with_overrides
from backprop_tui.protocol.parts.multi import MultiPart
from backprop_tui.protocol.spec import RunSpec


def part(**settings: object) -> MultiPart:
    return MultiPart(multi="windows", **settings)


class TestWindows:
    @given(st.integers(2, 20), st.integers(0, 300), st.integers(0, 40))
    def test_slices_are_disjoint_in_order_and_use_everything(self, runs, extra, held):
        rows = runs + extra
        tasks = windows(part(runs=runs), rows, held)
        assert [row for task in tasks for row in task.train] == list(range(rows))
        assert [row for task in tasks for row in task.held] == list(range(held))
        assert max(len(task.train) for task in tasks) - min(len(task.train) for task in tasks) <= 1

    def test_a_given_size_is_kept(self):
        tasks = windows(part(runs=3, run_rows=10), 100, 6)
        assert [task.train for task in tasks] == [tuple(range(start, start + 10)) for start in (0, 10, 20)]
        assert tasks[1].name == "rows 11–20"

    @pytest.mark.parametrize(("runs", "size", "rows"), [(3, 34, 100), (5, 0, 4), (2, 51, 100)])
    def test_too_few_rows_are_named_with_what_would_fit(self, runs, size, rows):
        with pytest.raises(DataError) as raised:
            windows(part(runs=runs, run_rows=size), rows, 0)
        assert raised.value.code == "MULTI_TOO_FEW_ROWS"
        assert f"{rows:,} are there" in raised.value.cause


class TestDatasets:
    def test_rows_go_to_their_source_whatever_their_order(self):
        tasks = datasets(["a", "b"], [1, 0, 1, 0, 0], [1, 0], 2)
        assert [task.train for task in tasks] == [(1, 3, 4), (0, 2)]
        assert [task.held for task in tasks] == [(1,), (0,)]

    def test_held_out_rows_of_their_own_are_measured_for_every_task(self):
        assert [task.held for task in datasets(["a", "b"], [0, 1], None, 2)] == [(0, 1), (0, 1)]

    def test_one_dataset_or_an_empty_one_is_refused(self):
        for names, sources, code in ((["a"], [0], "MULTI_ONE_DATASET"), (["a", "b"], [0, 0], "MULTI_EMPTY_DATASET")):
            with pytest.raises(DataError) as raised:
                datasets(names, sources, None, 0)
            assert raised.value.code == code


TASKS = [Task(str(number), tuple(range(100 * number, 100 * number + 60)), ()) for number in range(4)]


class TestReplay:
    @given(st.integers(0, 3), st.floats(0, 0.5), st.sampled_from(["recent", "random", "all"]), st.integers(0, 99))
    def test_it_draws_only_earlier_rows_each_once_and_at_most_the_share(self, run, share, source, seed):
        drawn = replayed(TASKS, run, part(replay=share, replay_from=source), seed)
        assert len(set(drawn)) == len(drawn)
        assert all(row // 100 < run for row in drawn)
        assert len(drawn) <= len(TASKS[run].train) * share / (1 - share) + 1
        assert drawn == replayed(TASKS, run, part(replay=share, replay_from=source), seed)

    def test_where_the_rows_come_from(self):
        recent, everywhere, even = (
            replayed(TASKS, 3, part(replay=0.5, replay_from=source), 1) for source in ("recent", "random", "all")
        )
        assert {row // 100 for row in recent} == {2}
        assert {row // 100 for row in everywhere} == {0, 1, 2}
        assert [sum(row // 100 == task for row in even) for task in range(3)] == [20, 20, 20]
        assert len(recent) == len(everywhere) == 60

    def test_nobody_elses_random_numbers_are_touched(self):
        before = random.getstate()
        replayed(TASKS, 2, part(replay=0.3), 1)
        assert random.getstate() == before


class TestRates:
    def test_from_the_first_run_to_the_last(self):
        def rates(**settings: object) -> list[float]:
            return [rate_of(part(**settings), 2e-4, run, 5) for run in range(5)]

        assert rates() == [2e-4] * 5
        assert rates(lr_last=5e-5) == pytest.approx([2e-4, 1.625e-4, 1.25e-4, 0.875e-4, 5e-5])
        cosine = rates(lr_last=5e-5, lr_across="cosine")
        assert cosine[0] == 2e-4
        assert cosine[2] == pytest.approx(1.25e-4)
        assert cosine[4] == pytest.approx(5e-5)
        assert cosine[1] > 1.625e-4
        with pytest.raises(ValueError, match="lr_across"):
            part(lr_last=5e-5, lr_across="constant")


class TestGates:
    ROWS = ((4.0, 4.0, 4.0), (1.0, 3.0, 3.0))

    def test_off_accepts_everything_and_so_does_the_first_run(self):
        assert not refusal(part(gate="off"), 2.0, self.ROWS, (9.0, 9.0, 9.0), 2)
        assert not refusal(part(gate="both", gate_drift=0.0), None, self.ROWS[:1], (9.0, 9.0, 9.0), 1)

    def test_drift_is_refused_above_the_limit_only(self):
        gate = part(gate="drift", gate_drift=0.5)
        assert not refusal(gate, 0.5, self.ROWS, (9.0, 9.0, 9.0), 2)
        assert "drifts 0.51" in refusal(gate, 0.51, self.ROWS, (0.0, 0.0, 0.0), 2)

    def test_only_harm_to_earlier_runs_counts(self):
        gate = part(gate="eval", gate_eval=0.1)
        assert not refusal(gate, 2.0, self.ROWS, (1.1, 9.0, 9.0), 2)
        assert "from 1.0000 to 1.1100" in refusal(gate, 0.0, self.ROWS, (1.11, 0.0, 0.0), 2)
        assert refusal(gate, 0.0, self.ROWS, (float("nan"), 0.0, 0.0), 2)

    def test_what_was_not_measured_refuses_nothing(self):
        assert not refusal(part(gate="both"), None, ((None, None), (None, None)), (None, None), 2)
        assert not refusal(part(gate="eval"), None, (), (1.0, 1.0), 2)


class TestPlan:
    @pytest.mark.parametrize(
        ("settings", "steps"),
        [
            ({"steps": 10}, 10),
            ({"steps": 10, "multi": "windows", "runs": 3}, 30),
            ({"steps": 10, "multi": "datasets", "path": "a.jsonl + 2x b.jsonl"}, 20),
            ({"steps": 0, "multi": "windows", "runs": 3, "batch_size": 4, "accumulation": 1}, 27),
        ],
    )
    def test_the_plan_counts_the_steps_of_all_runs(self, settings, steps):
        # 100 rows are 25 steps of 4; slices of 33 or 34 rows take 9 each.
        rows = RowFacts(100, 0, (), (), (), 0, 0, exact=True)
        assert steps_of(with_overrides(RunSpec(), settings), rows)[1] == steps
