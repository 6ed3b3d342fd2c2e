"""Whose end it was: of several processes only the first has a pipe, and only the one that failed knows why."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.distributed.elastic.multiprocessing.errors import ProcessFailure

from backprop_tui.engine.worker import distributed_agent
from backprop_tui.engine.worker.channel import EventSink
from backprop_tui.engine.worker.distributed import EXIT_FORSAKEN, World, is_forsaken
from backprop_tui.engine.worker_command import JOBS_FIRST, JOBS_FIRST_VARIABLE
from backprop_tui.protocol.errors import RunFailed, UnavailableError
from tests.support.ranks import Ranks, free_port
from tests.support.worker_driver import new_run

pytestmark = [pytest.mark.train, pytest.mark.timeout(120)]


def test_a_process_without_a_pipe_leaves_word_and_the_others_leave_its_story_to_it(tmp_path: Path) -> None:
    word = tmp_path / "error.json"
    env = {"FAILPOINT": "worker.step:2:memory", "TORCHELASTIC_ERROR_FILE": str(word)}
    with Ranks(new_run(devices=2, device="cpu", eval_split=0), 2, env={1: env}) as ranks:
        assert ranks.codes() == [EXIT_FORSAKEN, 1]
    assert not ranks.of("fault")
    assert not ranks.of("end")
    told = json.loads(word.read_text())["told"]
    assert (told["k"], told["why"], told["fault"]["code"]) == ("retry", "memory", "OUT_OF_MEMORY")


def _said(failures: dict[int, ProcessFailure]) -> list[dict[str, Any]]:
    """What the agent tells the host of these failures."""
    end, start = os.pipe()
    sink = EventSink(start)
    distributed_agent._explain(failures, sink)
    sink.close()
    with os.fdopen(end, "rb") as lines:
        return [json.loads(line) for line in lines]


def _failure(rank: int, code: int, told: dict[str, Any] | None = None, place: Path | None = None) -> ProcessFailure:
    file = "" if place is None else str(place / f"{rank}.json")
    if told is not None:
        words = {"message": {"message": "", "extraInfo": {"timestamp": 1}}, "told": told}
        Path(file).write_text(json.dumps(words))
    return ProcessFailure(local_rank=rank, pid=4000 + rank, exitcode=code, error_file=file)


def test_the_agent_names_the_process_that_was_killed_not_those_it_took_along() -> None:
    (said,) = _said({0: _failure(0, EXIT_FORSAKEN), 2: _failure(2, -signal.SIGKILL)})
    assert (said["k"], said["why"]) == ("retry", "lost")
    assert said["fault"]["code"] == "PROCESS_LOST"
    assert "Process 2 (pid 4002) was killed (SIGKILL)" in said["fault"]["cause"]


def test_the_agent_passes_on_what_a_process_left_for_it(tmp_path: Path) -> None:
    fault = {"k": "fault", "code": "TRAINING_FAILED", "cause": "It broke.", "next": "", "step": 3}
    (said,) = _said({0: _failure(0, EXIT_FORSAKEN), 1: _failure(1, 1, fault, tmp_path)})
    assert said == fault


def test_the_agent_says_nothing_where_the_first_process_has_spoken_and_blames_another_machine_where_none_is_here() -> (
    None
):
    assert _said({0: _failure(0, 1), 1: _failure(1, EXIT_FORSAKEN)}) == []
    assert _said({1: _failure(1, EXIT_FORSAKEN)}) == []
    (said,) = _said({0: _failure(0, EXIT_FORSAKEN)})
    assert "on another machine" in said["fault"]["cause"]


def test_memory_that_ran_out_is_a_process_s_own_affair_however_nccl_words_it() -> None:
    assert is_forsaken(RuntimeError("[gloo/transport/tcp/pair.cc:538] Connection closed by peer"))
    assert not is_forsaken(RuntimeError("NCCL error: unhandled cuda error: out of memory"))
    assert not is_forsaken(ValueError("no such row"))


def test_a_world_is_as_torchrun_says_it_or_one() -> None:
    words = {"RANK": "5", "WORLD_SIZE": "8", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "4", "GROUP_RANK": "1"}
    assert World.of({**words, "GROUP_WORLD_SIZE": "2"}) == World(5, 8, 1, 4, 1, 2)
    assert World.of(words) == World()
    assert World().alone


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 60), st.integers(1, 9))
def test_shares_of_work_are_equally_many_and_every_piece_counts_once(pieces: int, size: int) -> None:
    shares = [list(World(rank, size).rounds(pieces)) for rank in range(size)]
    assert len({len(share) for share in shares}) == 1
    assert sorted(place for share in shares for place, counts in share if counts) == list(range(pieces))


def test_a_process_whose_others_do_not_come_says_where_to_look(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(free_port()),
        "RANK": "1",
        "WORLD_SIZE": "2",
    }.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(RunFailed, match="RANKS_DID_NOT_MEET") as caught:
        World(rank=1, size=2).meet(cpu=True, patience=1.0)
    assert "Check that the meeting point can be reached" in caught.value.next_step


def test_machines_that_meet_in_a_job_of_slurm_need_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(JOBS_FIRST_VARIABLE, raising=False)
    run = new_run()
    spec = {"devices": {"nodes": 2, "rendezvous": f"{JOBS_FIRST}:29500"}}
    with pytest.raises(UnavailableError, match="NO_SLURM_JOB") as caught:
        distributed_agent.torchrun_arguments(run, spec, 1, 0)
    assert "--slurm" in caught.value.next_step
    monkeypatch.setenv(JOBS_FIRST_VARIABLE, "box7")
    assert "box7" in distributed_agent.torchrun_arguments(run, spec, 1, 0)
