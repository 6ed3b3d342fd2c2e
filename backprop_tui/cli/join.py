"""`backprop join RUN --node N`: a further machine takes part in a run on several."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from backprop_tui.cli.output import Output
from backprop_tui.cli.parser import add_run
from backprop_tui.protocol.errors import EXIT_FAILED, EXIT_OK
from backprop_tui.protocol.states import RunState
from backprop_tui.store.layout import find_run


def add_arguments(parser: ArgumentParser) -> None:
    """Declare what the command takes."""
    add_run(parser)
    parser.add_argument("--node", type=int, required=True, metavar="N", help="this machine's number, from 1 up")


def run(args: Namespace, out: Output) -> int:
    """Take part until the run has ended."""
    from backprop_tui.config.view_only import refuse_if_view_only
    from backprop_tui.hardware.extras import require
    from backprop_tui.launch.join import join_run

    refuse_if_view_only()
    require("train")
    state = join_run(find_run(args.run), args.node, tell=out.say)
    return EXIT_OK if state in (RunState.COMPLETED, RunState.STOPPED) else EXIT_FAILED
