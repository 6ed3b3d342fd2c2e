"""`backprop attach [RUN]`: come back to a run, or look at one that lies elsewhere."""

from __future__ import annotations

import os
from argparse import ArgumentParser, Namespace
from pathlib import Path

from backprop_tui.cli.follow import follow_as_json, follow_as_lines, on_terminal, say_outcome, say_paused, show_panel
from backprop_tui.cli.output import Output
from backprop_tui.cli.parser import add_json, add_run
from backprop_tui.cli.progress import LABEL, ProgressLines
from backprop_tui.protocol.errors import UsageError
from backprop_tui.protocol.states import RunState
from backprop_tui.protocol.text import safe_text
from backprop_tui.store.layout import RunDir, find_run
from backprop_tui.store.summary import load_summary


def add_arguments(parser: ArgumentParser) -> None:
    """Declare what the command takes."""
    add_run(parser)
    parser.add_argument("--fresh", action="store_true", help="forget how the screen was left")
    parser.add_argument("--headless", action="store_true", help="print lines instead of opening the panel")
    add_json(parser, "print the run's events from the first one, a JSON object per line")


def run(args: Namespace, out: Output) -> int:
    """Open the panel; without a terminal, print lines until the run is over."""
    found = run_meant(args.run)
    if args.json:
        return follow_as_json(found, out)
    if on_terminal(out) and not args.headless:
        return show_panel(found, out, {**args.preferences, **({"fresh": True} if args.fresh else {})})
    summary = load_summary(found)
    if not summary.state.live:
        return say_outcome(found, out)
    out.line(ProgressLines(out, summary.view).now())
    if summary.state is RunState.PAUSED:
        out.line(f"{'state':<{LABEL}}paused: {safe_text(summary.view.reason, limit=1000)}")
        say_paused(found, summary.view, out)
    return follow_as_lines(found, out, view=summary.view)


def run_meant(words: str | None) -> RunDir:
    """The run meant by an id, a prefix, a name, or the path of a run's directory.

    Raises:
        UsageError: no run, several, or a path that leads to none.
    """
    if words is None or not (os.sep in words or words in (".", "..") or words.startswith("~")):
        return find_run(words)
    place = Path(os.path.realpath(Path(words).expanduser()))
    run = RunDir(place)
    if not run.journal_file.is_file() and not run.spec_file.is_file():
        raise UsageError(
            "RUN_UNKNOWN",
            f"{safe_text(place, limit=300)} is not the directory of a run.",
            "Give the one with events.jsonl.",
        )
    return run
