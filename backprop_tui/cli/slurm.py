"""`backprop train DATA --slurm`: the run becomes a job; its script is shown, and submitted after a yes."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from backprop_tui.cli.output import Output
from backprop_tui.protocol.errors import EXIT_FAILED, EXIT_OK, UsageError
from backprop_tui.protocol.text import safe_text

if TYPE_CHECKING:
    from backprop_tui.protocol.spec import RunSpec

#: Flags that only say something about a job, by attribute.
_OF_A_JOB = {"slurm_set": "--slurm-set", "print_script": "--print-script", "yes": "--yes"}
#: Flags that say how to stay with a run, which a job is not waited for.
_OF_STAYING = {"headless": "--headless", "detach": "--detach"}


def add_arguments(parser: ArgumentParser) -> None:
    """Declare what `train` takes for jobs."""
    group = parser.add_argument_group("as a job of Slurm")
    group.add_argument("--slurm", action="store_true", help="show the job's script, ask, and submit it with sbatch")
    group.add_argument(
        "--slurm-set",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        help="an option of sbatch, such as partition=gpu or time=8:00:00; may be given often",
    )
    group.add_argument("--print-script", action="store_true", help="print the script and submit nothing")
    group.add_argument("-y", "--yes", action="store_true", help="do not ask before submitting")


def wanted(args: Namespace) -> bool:
    """Whether the run is to become a job.

    Raises:
        UsageError: a flag that would do nothing.
    """
    if not getattr(args, "slurm", False):
        given, other = [flag for name, flag in _OF_A_JOB.items() if getattr(args, name, None)], "--slurm"
        if given:
            raise UsageError("USAGE", f"{given[0]} says something about a job.", f"Add {other}, or leave it out.")
        return False
    given = [flag for name, flag in _OF_STAYING.items() if getattr(args, name)]
    if given:
        raise UsageError(
            "USAGE", f"{given[0]} does nothing for a job, which starts when Slurm lets it.", "Leave it out."
        )
    return True


def prepare(overrides: dict[str, Any]) -> None:
    """Before the run's settings are judged: several machines meet at the job's first one unless told otherwise."""
    from backprop_tui.launch.slurm import meeting_point

    meeting_point(overrides)


def run_as_job(spec: RunSpec, args: Namespace, preset: str, trusted: Sequence[str], out: Output) -> int:
    """Check the run, show its script, ask and submit; returns the exit code.

    Args:
        spec: what is to be run.
        args: of `train`.
        preset: where its settings start from.
        trusted: hashes of reward files that were confirmed.
        out: the script goes to the data with --print-script, to the words where it is asked about.
    """
    from backprop_tui.launch.preflight import check
    from backprop_tui.launch.safety import unattended
    from backprop_tui.launch.slurm import job_options, job_script, standing, submit

    spec = unattended(spec)
    options = job_options(spec, args.slurm_set)
    check(spec)
    script = job_script(options, _train_words(spec, args, preset, trusted), spec.devices.nodes)
    if args.print_script:
        if args.json:
            out.json({"script": script})
        else:
            out.raw(script)
        return EXIT_OK
    if not args.yes and not _confirmed(script, out):
        out.say("Nothing was submitted.")
        return EXIT_FAILED
    job = submit(script)
    state = standing(job)
    if args.json:
        out.json({"job": job, "state": state or None, "log": options["output"].replace("%j", job)})
        return EXIT_OK
    out.line(job)
    out.say(
        f"Job {job} is {state or 'submitted'}. `backprop runs` lists its run once it has started; "
        f"`scancel {job}` gives it up. Log: {safe_text(options['output'].replace('%j', job))}"
    )
    return EXIT_OK


def _train_words(spec: RunSpec, args: Namespace, preset: str, trusted: Sequence[str]) -> list[str]:
    """Arguments that start this very run: what the person's settings filled in is written out."""
    words = ["train", args.data, "-p", preset, "-m", spec.model.base]
    for pair in args.settings:
        words += ["--set", pair]
    if spec.devices.nodes > 1 and not any(pair.partition("=")[0].endswith("rendezvous") for pair in args.settings):
        words += ["--set", f"rendezvous={spec.devices.rendezvous}"]
    if spec.recovery.nan_action == "stop" and not any(
        pair.partition("=")[0].endswith("nan_action") for pair in args.settings
    ):
        words += ["--set", "nan_action=stop"]
    if args.name is not None:
        words += ["--name", args.name]
    for sha256 in trusted:
        words += ["--trust-rewards", sha256]
    return [*words, "--detach"]


def _confirmed(script: str, out: Output) -> bool:
    if not sys.stdin.isatty():
        raise UsageError(
            "CONFIRMATION_NEEDED", "Submitting asks first, and there is no terminal to ask on.", "Add --yes."
        )
    for line in script.splitlines():
        out.say(safe_text(line, limit=2000))
    out.say("Submit it? [y/N]")
    return sys.stdin.readline().strip().lower() in ("y", "yes")
