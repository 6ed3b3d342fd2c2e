"""`backprop resume [RUN]`: go on, whether the run is paused or has ended."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from backprop_tui.cli import words
from backprop_tui.cli.control import rate_in, send
from backprop_tui.cli.output import Output
from backprop_tui.cli.parser import add_json, add_run
from backprop_tui.protocol.commands import Command, CommandName
from backprop_tui.protocol.errors import EXIT_OK, TryAgainError
from backprop_tui.protocol.states import RunState
from backprop_tui.protocol.text import safe_text
from backprop_tui.store.layout import find_run
from backprop_tui.store.resuming import Candidate
from backprop_tui.store.summary import load_summary


def add_arguments(parser: ArgumentParser) -> None:
    """Declare what the command takes."""
    add_run(parser)
    rate = parser.add_mutually_exclusive_group()
    rate.add_argument("--halve-lr", action="store_true", help="go on with half the learning rate")
    rate.add_argument("--set", metavar="lr=RATE", help="go on with another learning rate")
    add_json(parser)


def run(args: Namespace, out: Output) -> int:
    """Un-pause a live run; give an ended one a new attempt from its newest sound checkpoint."""
    found = find_run(args.run)
    rate = {"learning_rate": rate_in([args.set])[1]} if args.set else {"lr_factor": 0.5} if args.halve_lr else {}
    summary = load_summary(found)
    if summary.state is RunState.PAUSED:
        return send(found, Command(CommandName.RESUME, dict(rate)), out)
    if summary.state.live:
        raise TryAgainError(
            "RUN_LIVE",
            f"Run {found.short_id} is {summary.state.value}.",
            f"`backprop attach {found.short_id}` shows it.",
        )
    from backprop_tui.hardware.extras import require
    from backprop_tui.launch.start import resume_run

    require("train")
    told: list[Candidate] = []
    resume_run(found, tell=told.append, rate=rate)
    (candidate,) = told
    if args.json:
        skipped = [{"step": info.step, "problem": info.problem} for info in candidate.skipped]
        names = {"run": found.id, "short_id": found.short_id, "path": str(found.path)}
        out.json({**names, "from": candidate.step, "skipped": skipped})
        return EXIT_OK
    out.line(found.id)
    if candidate.skipped:
        out.say(safe_text(candidate.words(), limit=1000))
    start = "step 0" if candidate.step is None else f"step {words.count(candidate.step)}"
    out.say(f"Run {found.short_id} goes on from {start}. `backprop attach {found.short_id}` shows it.")
    return EXIT_OK
