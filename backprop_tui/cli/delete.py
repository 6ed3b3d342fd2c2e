"""`backprop delete RUN`: asks, names the exact effect, and defaults to no."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace

from backprop_tui.cli import words
from backprop_tui.cli.output import Output
from backprop_tui.cli.parser import add_json, add_run
from backprop_tui.protocol.errors import EXIT_FAILED, EXIT_OK, UsageError
from backprop_tui.protocol.text import safe_text
from backprop_tui.store.layout import RunDir, find_run
from backprop_tui.store.summary import load_summary


def add_arguments(parser: ArgumentParser) -> None:
    """Declare what the command takes."""
    add_run(parser, required=True)
    parser.add_argument("-y", "--yes", action="store_true", help="do not ask")
    add_json(parser)


def run(args: Namespace, out: Output) -> int:
    """Delete one run after a yes."""
    from backprop_tui.store.remove import delete_run

    found = find_run(args.run)
    if not args.yes and not _confirmed(found, out):
        out.say("Nothing was deleted.")
        return EXIT_FAILED
    delete_run(found)
    if args.json:
        out.json({"deleted": found.id})
    else:
        out.say(f"Run {found.id} is deleted.")
    return EXIT_OK


def _confirmed(found: RunDir, out: Output) -> bool:
    if not sys.stdin.isatty():
        raise UsageError(
            "CONFIRMATION_NEEDED", "Deleting asks first, and there is no terminal to ask on.", "Add --yes."
        )
    summary = load_summary(found)
    held = sum(file.stat().st_size for file in found.path.rglob("*") if file.is_file() and not file.is_symlink())
    saved = len(summary.view.checkpoints)
    out.say(f"{safe_text(found.path)}: {safe_text(summary.title)}, {saved} checkpoints, {words.size(held)} in all.")
    out.say("Delete it for good? [y/N]")
    return sys.stdin.readline().strip().lower() in ("y", "yes")
