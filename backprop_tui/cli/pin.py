"""`backprop pin RUN STEP` and `unpin`: what retention, size caps and `prune` leave alone."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from backprop_tui.cli import words
from backprop_tui.cli.output import Output
from backprop_tui.cli.parser import add_json, add_run
from backprop_tui.protocol.errors import EXIT_OK, UsageError
from backprop_tui.protocol.text import safe_text
from backprop_tui.store.layout import RunDir, find_run


def add_arguments(parser: ArgumentParser) -> None:
    """Declare what the commands take."""
    add_run(parser, required=True)
    also = ", `newest` or `best`" if parser.prog.endswith(" pin") else ""
    parser.add_argument("step", metavar="STEP", help=f"step of the checkpoint{also}")
    add_json(parser)


def run(args: Namespace, out: Output) -> int:
    """Pin or unpin one checkpoint."""
    from backprop_tui.store import pins

    found = find_run(args.run)
    step = _step(found, args.step)
    pinned = sorted(pins.pin(found, step) if args.command == "pin" else pins.unpin(found, step))
    if args.json:
        out.json({"run": found.id, "step": step, "pinned": pinned})
    elif args.command == "pin":
        out.say(f"The checkpoint of step {words.count(step)} of run {found.short_id} stays until it is unpinned.")
    else:
        out.say(f"The checkpoint of step {words.count(step)} of run {found.short_id} is one among the others again.")
    return EXIT_OK


def _step(found: RunDir, text: str) -> int:
    if text in ("newest", "best"):
        from backprop_tui.store.retention import look_at
        from backprop_tui.store.summary import load_summary

        shelf = look_at(load_summary(found))
        step = shelf.newest if text == "newest" else shelf.best
        if step is not None:
            return step
        raise UsageError("CHECKPOINT_UNKNOWN", f"Run {found.short_id} has no {text} checkpoint yet.", "Name a step.")
    digits = text.replace(",", "").replace("_", "")
    if not digits.isascii() or not digits.isdigit():
        raise UsageError(
            "USAGE",
            f"{safe_text(text, limit=40)!r} is no step.",
            f"`backprop show {found.short_id}` lists the checkpoints.",
        )
    return int(digits)
