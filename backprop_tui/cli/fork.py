"""`backprop fork [RUN] --at STEP --set lr=…`: a run of its own that begins with a checkpoint of another one."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from backprop_tui.cli.output import Output
from backprop_tui.cli.parser import add_run
from backprop_tui.cli.rewards import add_trust, confirm_rewards
from backprop_tui.cli.train import add_ways_to_stay, parse_assignments, shown_on_panel, stay_with
from backprop_tui.protocol.errors import UsageError
from backprop_tui.store.layout import find_run


def add_arguments(parser: ArgumentParser) -> None:
    """Declare what the command takes."""
    add_run(parser)
    parser.add_argument("--at", type=int, metavar="STEP", help="step of the checkpoint; the newest sound one if absent")
    parser.add_argument(
        "--set",
        metavar="KEY=VALUE",
        dest="settings",
        action="append",
        default=[],
        help="change a setting; all others are those of RUN",
    )
    parser.add_argument("--name", default="", help="what the run is called")
    parser.add_argument(
        "--keep-optimizer",
        action="store_true",
        help="go on at that step with the optimiser's state and the place in the data; only rate, schedule and length may change",
    )
    add_trust(parser)
    add_ways_to_stay(parser)


def run(args: Namespace, out: Output) -> int:
    """Start the child and stay with it."""
    from backprop_tui.hardware.extras import require
    from backprop_tui.launch.fork import child_spec, fork_run, parent_spec
    from backprop_tui.launch.rewards import confirmed_for

    if args.at is not None and args.at < 0:
        raise UsageError("USAGE", "--at takes a step.", "`backprop show` lists the checkpoints.")
    require("train")
    parent, changes = find_run(args.run), parse_assignments(args.settings)
    after = child_spec(parent_spec(parent), changes, keep_optimizer=args.keep_optimizer)
    child = fork_run(
        parent,
        step=args.at,
        changes=changes,
        name=args.name,
        keep_optimizer=args.keep_optimizer,
        trusted=confirm_rewards(after, args.trust_rewards, out, known=confirmed_for(parent)),
        attended=args.detach or shown_on_panel(args, out),
    )
    return stay_with(child, args, out)
