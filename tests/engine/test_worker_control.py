"""Commands, signals and a lost host, each at the moment that is hardest for it."""

from __future__ import annotations

import signal

import pytest

from backprop_tui.store import checkpoints
from tests.support.worker_driver import WorkerProcess, WorkerThread, checkpoint_dir, new_run, step_figures

pytestmark = pytest.mark.train

#: So many that no test reaches the end by itself.
ENDLESS = 5000


def test_paused_it_waits_serves_and_goes_on_as_if_nothing_had_been():
    run = new_run(steps=ENDLESS, samples=1, dropout=0.1)
    with WorkerThread(run) as worker:
        worker.command("pause")
        worker.wait_for("state", state="paused")
        assert not worker.of("step"), "a pause asked for while loading holds before the first step"
        worker.obeyed("resume")
        worker.wait_for("step", step=3)
        paused = worker.obeyed("pause")
        assert paused["ok"]
        at = worker.of("step")[-1]["step"]
        assert paused["detail"] == f"Paused after step {at}."
        saved = worker.obeyed("checkpoint")
        assert (saved["ok"], saved["detail"]) == (True, f"Saved as checkpoints/step-{at:06d}.")
        worker.wait_for("checkpoint", step=at, reason="asked")
        assert worker.obeyed("evaluate")["ok"]
        worker.wait_for("eval", step=at)
        assert worker.of("step")[-1]["step"] == at, "no step was taken while paused"
        assert worker.obeyed("resume")["ok"]
        again = worker.obeyed("resume")
        assert (again["ok"], again["detail"]) == (False, "The run is not paused.")
        worker.wait_for("step", step=at + 3)
        worker.command("stop")
        worker.ended()
    with WorkerThread(new_run(steps=ENDLESS, dropout=0.1)) as straight:
        straight.wait_for("step", step=at + 3)
        straight.command("stop")
        straight.ended()
    ours, theirs = step_figures(worker.events), step_figures(straight.events)
    assert all(ours[step] == theirs[step] for step in range(1, at + 4))
    assert worker.of("step", step=at + 1)[0]["step_s"] < 2, "the pause is no part of the step"


def test_a_new_learning_rate_is_the_next_steps_and_a_resumed_run_keeps_it():
    run = new_run(steps=ENDLESS, warmup=0, schedule="constant", save_every=0)
    with WorkerThread(run) as worker:
        worker.wait_for("step", step=2)
        worker.obeyed("pause")
        at = worker.of("step")[-1]["step"]
        done = worker.obeyed("set", learning_rate=3e-4)
        assert done["detail"] == f"Learning rate 0.0003 from step {at + 1}."
        worker.obeyed("resume")
        assert worker.wait_for("step", step=at + 1)["lr"] == 3e-4
        worker.command("stop")
        end = worker.ended()
    with WorkerThread(run, resume=end["checkpoint"]) as again:
        assert again.wait_for("step", step=end["step"] + 2)["lr"] == 3e-4
        again.command("stop")
        again.ended()


def test_a_new_learning_rate_bends_a_falling_schedule_from_where_it_is():
    with WorkerThread(new_run(steps=60, warmup=0.05, schedule="cosine")) as worker:
        worker.wait_for("step", step=10)
        worker.obeyed("pause")
        at = worker.of("step")[-1]["step"]
        worker.obeyed("set", learning_rate=1e-4)
        worker.obeyed("resume")
        worker.ended()
    rates = [event["lr"] for event in worker.of("step")]
    assert rates[at - 1] > 1e-3
    assert rates[at] == 1e-4
    assert rates[at:] == sorted(rates[at:], reverse=True)
    assert 0 < rates[-1] < 2e-5


def test_during_warm_up_a_new_learning_rate_is_what_it_rises_to():
    with WorkerThread(new_run(steps=30, warmup=20, schedule="constant")) as worker:
        worker.command("pause")
        worker.wait_for("state", state="paused")
        done = worker.obeyed("set", learning_rate=1e-3)
        assert done["detail"] == "The warm-up rises to 0.001; step 1 uses 0."
        worker.obeyed("resume")
        worker.ended()
    rates = [event["lr"] for event in worker.of("step")]
    assert rates[0] == 0
    assert rates[10] == pytest.approx(5e-4)
    assert max(rates) == pytest.approx(1e-3)


def test_stop_finishes_the_step_saves_and_says_so_before_the_end():
    run = new_run(steps=ENDLESS, accumulation=8)
    with WorkerThread(run) as worker:
        worker.wait_for("step", step=2)
        done = worker.obeyed("stop")
        end = worker.ended()
    kinds = [event["k"] for event in worker.events]
    assert worker.of("state")[-1]["state"] == "stopping"
    assert kinds.index("checkpoint") < kinds.index("command_done") < kinds.index("end")
    assert done["detail"] == f"Saved as {end['checkpoint']}."
    assert (end["outcome"], end["step"]) == ("stopped", worker.of("step")[-1]["step"])
    assert worker.of("checkpoint")[-1]["reason"] == "stop"
    assert checkpoints.verify(checkpoint_dir(run, end)) is None


def test_stop_while_loading_ends_without_a_checkpoint():
    run = new_run(steps=ENDLESS)
    with WorkerThread(run) as worker:
        worker.command("stop")
        end = worker.ended()
    assert (end["outcome"], end["step"], end["checkpoint"]) == ("stopped", 0, None)
    assert not worker.of("step")
    assert worker.of("command_done")[0]["ok"]
    assert checkpoints.list_checkpoints(run) == []


def test_stop_while_paused_before_the_first_step_takes_none():
    with WorkerThread(new_run(steps=ENDLESS)) as worker:
        worker.command("pause")
        worker.wait_for("state", state="paused")
        assert worker.obeyed("stop")["detail"] == "Stopped before the first step."
        end = worker.ended()
    assert (end["outcome"], end["step"], end["checkpoint"]) == ("stopped", 0, None)
    assert not worker.of("step")
    assert worker.of("state")[-1]["state"] == "stopping"


def test_a_lost_host_leaves_a_checkpoint_to_resume_from():
    run = new_run(steps=ENDLESS)
    with WorkerThread(run) as worker:
        worker.wait_for("step", step=3)
        worker.hang_up()
        worker.finished()
    assert worker.of("checkpoint")[-1]["reason"] == "host_lost"
    newest = checkpoints.newest_valid(run)
    assert newest is not None
    assert newest.step == worker.of("step")[-1]["step"]


def test_a_command_that_makes_no_sense_is_answered_not_obeyed():
    with WorkerThread(new_run(steps=ENDLESS, eval_split=0)) as worker:
        worker.wait_for("step", step=1)
        refused = worker.obeyed("evaluate")
        assert (refused["ok"], refused["detail"]) == (False, "This run holds out no rows to measure on.")
        worker.command("stop")
        worker.ended()


class TestAsAProcess:
    def test_sigterm_stops_and_saves_and_abort_is_at_once(self):
        run = new_run(steps=ENDLESS)
        with WorkerProcess(run) as worker:
            worker.wait_for("step", step=3)
            worker.process.send_signal(signal.SIGTERM)
            end = worker.ended()
            assert worker.wait() == 0
        assert end["outcome"] == "stopped"
        assert checkpoints.verify(checkpoint_dir(run, end)) is None
        with WorkerProcess(run, resume=end["checkpoint"]) as again:
            again.wait_for("step", step=end["step"] + 1)
            again.command("abort")
            aborted = again.ended()
            assert again.wait() == 0
        assert (aborted["outcome"], aborted["checkpoint"]) == ("aborted", end["checkpoint"])
        assert again.of("command_done")[0]["ok"]
        assert again.events[-1]["k"] == "end"
