"""`backprop attach [RUN]`: come back to a run."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from backprop_tui.cli.follow import follow_as_json, follow_as_lines, on_terminal, say_outcome, show_panel
from backprop_tui.cli.output import Output
from backprop_tui.cli.parser import add_json, add_run
from backprop_tui.cli.progress import ProgressLines
from backprop_tui.store.layout import find_run
from backprop_tui.store.summary import load_summary


def add_arguments(parser: ArgumentParser) -> None:
    """Declare what the command takes."""
    add_run(parser)
    parser.add_argument("--headless", action="store_true", help="print lines instead of opening the panel")
    add_json(parser, "print the run's events from the first one, a JSON object per line")


def run(args: Namespace, out: Output) -> int:
    """Open the panel; without a terminal, print lines until the run is over."""
    found = find_run(args.run)
    if args.json:
        return follow_as_json(found, out)
    if on_terminal(out) and not args.headless:
        return show_panel(found, out, args.preferences)
    summary = load_summary(found)
    if not summary.state.live:
        return say_outcome(found, out)
    out.line(ProgressLines(out, summary.view).now())
    return follow_as_lines(found, out, view=summary.view)
