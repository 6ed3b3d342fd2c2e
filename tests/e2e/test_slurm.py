"""A run as a job of Slurm: the script is shown first, obeys the job's signals, and goes on with its run.

Slurm's own commands are played by scripts on PATH (tests/support/cluster.py), which really run the job.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from backprop_tui.config import paths
from backprop_tui.launch.client import send_command
from backprop_tui.protocol.commands import Command, CommandName
from backprop_tui.store.layout import RunDir, list_runs
from tests.support.cluster import JOB, Cluster
from tests.support.engines import at_step, events, eventually, no_engine_left, over
from tests.support.ranks import free_port
from tests.support.terminal import BACKPROP, Terminal

QUICK = (
    "--set", "device=cpu", "--set", "max_length=128", "--set", "gradient_checkpointing=off", "--set", "samples=0",
    "--set", "eval_split=0", "--set", "schedule=constant", "--set", "save_every=5",
)  # fmt: skip


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with no_engine_left():
        there = Cluster(tmp_path / "cluster")
        yield there
        there.down()


def train(cluster: Cluster, *words: str) -> subprocess.CompletedProcess[str]:
    """`backprop train demo --slurm`, on a login node of the cluster."""
    return subprocess.run(
        [BACKPROP, "train", "demo", "-p", "demo", "--slurm", *QUICK, *words],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        env={**os.environ, "PATH": cluster.path, "OMP_NUM_THREADS": "1"},
        check=False,
    )


def _the_run() -> RunDir:
    return eventually(list_runs, 60, "the job's run")[0]


def _log() -> str:
    return (paths.data_dir() / "slurm" / f"{JOB}.log").read_text()


@pytest.mark.train
@pytest.mark.timeout(240)
def test_a_job_saves_before_its_time_is_over_and_goes_on_when_it_has_more(cluster: Cluster) -> None:
    submitted = train(cluster, "--set", "steps=50000", "--yes", "--json", "--slurm-set", "partition=gpu")
    assert submitted.returncode == 0, submitted.stderr
    assert json.loads(submitted.stdout) == {
        "job": JOB, "state": "pending (Priority)", "log": str(paths.data_dir() / "slurm" / f"{JOB}.log")
    }  # fmt: skip
    run = _the_run()
    at_step(run, 3, 90)
    cluster.time_is_almost_over()
    eventually(lambda: len(events(run, "attempt")) == 2, 90, "the job's second life")
    ends = [event.data["outcome"] for event in events(run, "end")]
    assert (ends, cluster.requeued) == (["stopped"], 1)
    resumed = events(run, "attempt")[-1].data["resume_step"]
    assert resumed == max(event.data["step"] for event in events(run, "step"))
    assert list_runs() == [run]
    at_step(run, resumed + 3, 90)
    # A person who stops the run has had enough of it.
    send_command(run, Command(CommandName.STOP))
    over(run, 60)
    assert eventually(lambda: cluster.code is not None and cluster.code + 1, 60, "the job's end") == 1
    assert cluster.requeued == 1
    assert f"goes on from step {resumed}" in _log()


@pytest.mark.train
@pytest.mark.slow
@pytest.mark.timeout(240)
def test_two_machines_of_a_job_meet_and_a_cancelled_job_does_not_come_back(cluster: Cluster) -> None:
    meeting = f"rendezvous=slurm:{free_port()}"
    done = train(cluster, "--set", "steps=50000", "--set", "nodes=2", "--set", meeting, "--yes")
    assert done.returncode == 0, done.stderr
    run = _the_run()
    at_step(run, 2, 120)
    plan = events(run, "plan")[0].data
    assert (plan["processes"], plan["machines"]) == (2, 2)
    cluster.cancel()
    assert over(run, 90)[-1].data["outcome"] == "stopped"
    eventually(lambda: cluster.code is not None, 60, "the job's end")
    assert (cluster.code, cluster.requeued) == (0, 0)
    assert "Machine 1 joins run" in _log()


def test_the_script_is_printed_and_nothing_is_submitted(cluster: Cluster) -> None:
    done = train(
        cluster, "--set", "nodes=3", "--set", "devices=8", "--set", "device=auto", "--name", "it's a $(name)",
        "--slurm-set", "time=8:00:00", "--slurm-set", "exclusive=", "--slurm-set", "signal=B:TERM@300", "--print-script",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    script = done.stdout
    options = re.findall(r"^#SBATCH (.*)$", script, re.MULTILINE)
    for option in (
        "--nodes=3", "--ntasks-per-node=1", "--gpus-per-node=8", "--time=8:00:00", "--exclusive", "--requeue",
        "--signal=B:TERM@300", "--job-name=it-s-a-name",
    ):  # fmt: skip
        assert option in options
    assert "--set rendezvous=slurm:29500" in script
    assert """--name 'it'"'"'s a $(name)'""" in script
    assert subprocess.run(["bash", "-n"], input=script, text=True, check=False).returncode == 0
    assert cluster.submitted is None
    assert list_runs() == []


def test_a_job_runs_the_reward_file_that_was_confirmed_and_no_other(cluster: Cluster, tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text("def reward(completions, **rows):\n    return [1.0 for _ in completions]\n")
    sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
    words = ("-p", "grpo", "--set", f"reward_file={file}", "--print-script")
    assert "REWARD_NOT_CONFIRMED" in train(cluster, *words).stderr
    done = train(cluster, *words, "--trust-rewards", sha256[:12])
    assert done.returncode == 0, done.stderr
    assert f"--trust-rewards {sha256}" in done.stdout


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["--slurm-set", "partition=gpu\n#SBATCH --wrap=x"], "SLURM_OPTION"),
        (["--slurm-set", "nodes=4"], "SLURM_OPTION"),
        (["--slurm-set", "signal=USR1@60"], "SLURM_OPTION"),
        (["--set", "device=auto", "--set", "devices=0"], "SLURM_GPUS"),
        (["--headless"], "USAGE"),
        ([], "CONFIRMATION_NEEDED"),
    ],
)
def test_what_would_not_do_what_it_says_is_refused(cluster: Cluster, words: list[str], code: str) -> None:
    done = train(cluster, *words)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith(f"{code}: ")
    assert cluster.submitted is None


def test_what_sbatch_says_is_said(cluster: Cluster) -> None:
    cluster.refuse()
    done = train(cluster, "--yes")
    assert done.returncode == 69
    assert "SLURM_REFUSED: sbatch did not take the job: sbatch: error: invalid partition" in done.stderr
    cluster.path = "/usr/bin:/bin"
    assert "SLURM_MISSING" in train(cluster, "--yes").stderr


def test_flags_of_a_job_without_a_job_are_refused(cluster: Cluster) -> None:
    done = subprocess.run([BACKPROP, "train", "demo", "--yes"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "Add --slurm" in done.stderr


def test_a_person_sees_the_script_and_says_no(cluster: Cluster) -> None:
    with Terminal(
        [BACKPROP, "train", "demo", "-p", "demo", "--slurm", *QUICK], env={"PATH": cluster.path}, columns=160, rows=60
    ) as terminal:
        terminal.wait_for(r"Submit it\? \[y/N\]")
        assert "#SBATCH --signal=B:TERM@120" in terminal.text
        terminal.send("n\r")
        terminal.wait_for("Nothing was submitted.")
    assert cluster.submitted is None
