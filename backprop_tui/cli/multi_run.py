"""`backprop multi-run DATA [DATA …]`: several runs, one after the other, merged into one adapter."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from backprop_tui.cli import train
from backprop_tui.cli.output import Output
from backprop_tui.protocol.errors import UsageError

#: Flags and the settings they stand for, as `--set` would write them.
_FLAGS = {"runs": "runs", "strategy": "merge", "gate": "gate", "replay": "replay", "lr_last": "lr_last"}


def add_arguments(parser: ArgumentParser) -> None:
    """Declare what the command takes."""
    train.add_arguments(parser, several=True)
    group = parser.add_argument_group("runs and merging (any other setting by --set)")
    group.add_argument("--runs", metavar="N", help="of one DATA: cut it into N slices, a run each")
    group.add_argument(
        "--strategy", help="slao, sequential, linear, ties, dare, random-init or from-merged (slao if absent)"
    )
    group.add_argument("--gate", help="off, drift, eval or both: refuse a merge that drifts or harms earlier runs")
    group.add_argument("--replay", metavar="SHARE", help="share of a run's rows that come from earlier runs, up to 0.5")
    group.add_argument("--lr-last", metavar="RATE", help="learning rate of the last run, from that of the first")


def run(args: Namespace, out: Output) -> int:
    """Start the multi-run and stay with it.

    Raises:
        UsageError: several DATA and --runs as well.
    """
    several = len(args.data) > 1
    if several and args.runs is not None:
        raise UsageError(
            "USAGE", f"{len(args.data)} datasets make {len(args.data)} runs.", "Leave --runs out, or give one DATA."
        )
    flags = {setting: getattr(args, flag) for flag, setting in _FLAGS.items() if getattr(args, flag) is not None}
    words = {"multi": "datasets" if several else "windows", **flags}
    args.settings = [*(f"{key}={value}" for key, value in words.items()), *args.settings]
    args.data = " + ".join(args.data)
    return train.run(args, out)
