"""A run as a job of Slurm: the script, which a person can read before it is submitted, and the few words with Slurm.

The job runs the same commands a person would: `train` on its first machine, `join` on the others, `attach` for the log. What
Slurm adds is when they happen. Some time before the job's time is over it gets a signal, saves, and puts itself into the queue
again; a job that is started once more, also after a machine was lost, goes on with its run from the last checkpoint.

The script is plain shell and goes to `sbatch` as it was shown. What a job does must be readable, so nothing pickled is sent.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from backprop_tui.config import paths
from backprop_tui.engine.worker_command import JOBS_FIRST, JOBS_FIRST_VARIABLE
from backprop_tui.protocol.errors import UnavailableError, UsageError
from backprop_tui.protocol.text import safe_text

if TYPE_CHECKING:
    from backprop_tui.protocol.spec import RunSpec

#: Port at which several machines meet unless the run names one.
PORT = 29500
#: Seconds a job is told before its time is over, to save in.
NOTICE = 120
#: Seconds `sbatch` may take: a busy controller lets people wait.
_PATIENCE = 120
#: Options that follow from the run's own settings, or that the script relies on, and what to do instead.
_TAKEN = {
    "nodes": "Use --set nodes=N.",
    "ntasks": "Use --set nodes=N and --set devices=N.",
    "ntasks-per-node": "Use --set devices=N.",
    "array": "Submit a job for each run.",
    "wrap": "Leave it out: the script is made from the run's settings.",
    "parsable": "Leave it out: it is always given.",
    "requeue": "Leave it out: it is always given.",
    "chdir": "Change into that directory before submitting.",
}
_KEY = re.compile(r"[a-z][a-z0-9-]*")
_VALUE = re.compile(r"[\w.,:@/+%=*\[\]()&|-]*", re.ASCII)
_SIGNAL = re.compile(r"B:TERM@[1-9][0-9]*")
_GPUS = frozenset({"gpus", "gpus-per-node", "gpus-per-task", "gres"})


def jobs_dir() -> Path:
    """Scripts, logs and runs of jobs, by the job's number; made here, for a job whose log can't be opened does not start."""
    place = paths.data_dir() / "slurm"
    return paths.private_dir(place, "SLURM_DIR_UNSAFE", "Set BACKPROP_DATA_DIR to another place.")


def job_options(spec: RunSpec, chosen: Sequence[str]) -> dict[str, str]:
    """Options of `sbatch` by name: those the run asks for, and those a person chose, which win.

    Args:
        spec: what is to be run.
        chosen: `KEY=VALUE` words; KEY is an option of sbatch without dashes, an empty VALUE makes it a flag.

    Raises:
        UsageError: SLURM_OPTION, a word that is no option or must not be set; SLURM_GPUS, all GPUs of a machine were asked
            for, and only the person knows how many those are.
    """
    options = {
        "job-name": re.sub(r"[^\w.-]+", "-", spec.title, flags=re.ASCII).strip("-")[:60] or "backprop",
        "nodes": str(spec.devices.nodes),
        "ntasks-per-node": "1",
        "output": "",
        "open-mode": "append",
        "requeue": "",
        "signal": f"B:TERM@{NOTICE}",
    }
    chosen_by_key = dict(_option(word) for word in chosen)
    if spec.model.device != "cpu" and not _GPUS & chosen_by_key.keys():
        if not spec.devices.devices:
            raise UsageError(
                "SLURM_GPUS",
                "devices=0 takes every GPU of a machine, and Slurm must be told how many that is.",
                "Add --slurm-set gpus-per-node=N, or set devices to a number.",
            )
        options["gpus-per-node"] = str(spec.devices.devices)
    log = jobs_dir() / "%j.log"
    if not _VALUE.fullmatch(str(log)):
        raise UsageError(
            "SLURM_OPTION",
            f"sbatch can't be told to log into {safe_text(log.parent)}.",
            "Set BACKPROP_DATA_DIR to a path without spaces and quotes.",
        )
    return {**options, "output": str(log), **chosen_by_key}


def _option(word: str) -> tuple[str, str]:
    key, _, value = word.partition("=")
    key = key.strip().lower().replace("_", "-").lstrip("-")
    if not _KEY.fullmatch(key) or not _VALUE.fullmatch(value):
        raise UsageError(
            "SLURM_OPTION",
            f"--slurm-set takes KEY=VALUE without spaces and quotes, not {safe_text(word, limit=80)!r}.",
            "Write --slurm-set partition=gpu.",
        )
    if key in _TAKEN:
        raise UsageError("SLURM_OPTION", f"{key} is not chosen by --slurm-set.", _TAKEN[key])
    if key == "signal" and not _SIGNAL.fullmatch(value):
        raise UsageError(
            "SLURM_OPTION",
            f"A job saves when its shell gets SIGTERM, and signal={safe_text(value, limit=40)} does not send it.",
            f"Write --slurm-set signal=B:TERM@{NOTICE}, with the seconds you need.",
        )
    return key, value


def meeting_point(spec_words: dict[str, object]) -> None:
    """Let several machines meet at the job's first one, unless a person named another place; changes overrides in place."""
    if str(spec_words.get("nodes", "1")) not in ("", "1"):
        spec_words.setdefault("rendezvous", f"{JOBS_FIRST}:{PORT}")


def job_script(options: dict[str, str], train: Sequence[str], machines: int) -> str:
    """The script of a job.

    Args:
        options: as `job_options` gives them.
        train: arguments of `backprop` that start the run and leave.
        machines: how many take part.
    """
    quoted = shlex.join
    program = [sys.executable, "-P", "-m", "backprop_tui.cli"]
    lines = ["#!/bin/bash"]
    lines += [f"#SBATCH --{key}={value}" if value else f"#SBATCH --{key}" for key, value in options.items()]
    lines += [
        "set -u",
        f"cd -- {quoted([os.getcwd()])} || exit",
        f"export BACKPROP_DATA_DIR={quoted([str(paths.data_dir())])}",
        f"backprop=({quoted(program)})",
        'mark="$BACKPROP_DATA_DIR/slurm/$SLURM_JOB_ID.run"',
    ]
    if machines > 1:
        lines += [
            f'{JOBS_FIRST_VARIABLE}=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)',
            f"export {JOBS_FIRST_VARIABLE}",
        ]
    lines += [
        "",
        "# A job that is started once more goes on with its run.",
        'if [ -s "$mark" ]; then',
        '    "${backprop[@]}" resume "$(cat "$mark")" || exit',
        "else",
        f'    "${{backprop[@]}}" {quoted(train)} > "$mark" || exit',
        "fi",
        'run=$(cat "$mark")',
        "",
        "# The time is almost over: save, and wait for more of it in the queue. A job that was cancelled does not come back.",
        "told= again=",
        "leave() {",
        "    told=yes",
        '    state=$(squeue --noheader --jobs "$SLURM_JOB_ID" --format %T)',
        '    "${backprop[@]}" stop "$run" && [ "$state" = RUNNING ] && again=yes',
        "}",
        "trap leave TERM",
        "",
    ]
    if machines > 1:
        lines += [
            "# Every other machine takes part.",
            'export backprop_join=$(printf \'%q \' "${backprop[@]}" join "$run")',
            f"srun --nodes={machines} --ntasks={machines} --ntasks-per-node=1 --wait=0 bash -c \\",
            '    \'[ "$SLURM_PROCID" = 0 ] || eval "exec $backprop_join --node $SLURM_PROCID"\' &',
            "",
        ]
    lines += [
        '"${backprop[@]}" attach "$run" --headless &',
        "follower=$!",
        'wait "$follower"; code=$?',
        'if [ "$told" ]; then wait "$follower"; code=$?; fi',
        "wait",
        'if [ "$again" ]; then exec scontrol requeue "$SLURM_JOB_ID"; fi',
        'exit "$code"',
    ]
    return "\n".join(lines) + "\n"


def submit(script: str) -> str:
    """Hand a script to `sbatch`; returns the job's number. A copy stays in the data directory, beside the job's log.

    Raises:
        UnavailableError: SLURM_MISSING, SLURM_REFUSED.
    """
    place = jobs_dir()
    program = _program("sbatch")
    try:
        answer = subprocess.run(
            [program, "--parsable"], input=script, capture_output=True, text=True, timeout=_PATIENCE, check=False
        )
    except subprocess.TimeoutExpired:
        raise UnavailableError(
            "SLURM_REFUSED",
            f"sbatch did not answer within {_PATIENCE} s.",
            "Look with `squeue --me` whether the job is there.",
        ) from None
    job = answer.stdout.strip().partition(";")[0]
    if answer.returncode or not job.isdecimal():
        raise UnavailableError(
            "SLURM_REFUSED",
            f"sbatch did not take the job: {safe_text((answer.stderr or answer.stdout).strip(), limit=300)}",
            "Change it with --slurm-set KEY=VALUE.",
        )
    (place / f"{job}.sh").write_text(script, encoding="utf-8")
    return job


def standing(job: str) -> str:
    """How a job stands, in Slurm's words; "" where it can't be asked."""
    program = shutil.which("squeue")
    if program is None:
        return ""
    try:
        answer = subprocess.run(
            [program, "--noheader", "--jobs", job, "--format", "%T %r"],
            capture_output=True, text=True, timeout=_PATIENCE, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return ""
    state, _, reason = safe_text(answer.stdout.strip(), limit=100).partition(" ")
    return f"{state.lower()} ({reason})" if reason not in ("", "None") else state.lower()


def _program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise UnavailableError(
            "SLURM_MISSING",
            f"There is no {name} on this machine's PATH.",
            "Submit from a login node; --print-script prints the script.",
        )
    return found
