"""`backprop replay RUN`: a past run played again on the Run screen."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from backprop_tui.cli.attach import run_meant
from backprop_tui.cli.output import Output
from backprop_tui.cli.parser import add_run
from backprop_tui.protocol.errors import UsageError
from backprop_tui.protocol.text import safe_text


def add_arguments(parser: ArgumentParser) -> None:
    """Declare what the command takes."""
    add_run(parser)
    parser.add_argument(
        "--speed", default="20", metavar="N", help="seconds of the run per second (default 20; < and > change it)"
    )


def run(args: Namespace, out: Output) -> int:
    """Open the replay; nothing is sent to the run."""
    from backprop_tui.app import run_app
    from backprop_tui.app.replay import FASTEST, SLOWEST, read_speed

    speed = read_speed(args.speed)
    if speed is None:
        raise UsageError(
            "USAGE", f"--speed {safe_text(args.speed, limit=40)!r} is no speed.", f"Give {SLOWEST:g} to {FASTEST:g}."
        )
    return run_app("runs", run_meant(args.run), replay=speed, **args.preferences)
