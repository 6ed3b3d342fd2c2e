"""`backprop prune [RUN]`: delete old checkpoints by rules that never touch the newest, the best, the result or a pinned one."""

from __future__ import annotations

import re
from argparse import ArgumentParser, Namespace
from typing import Any

from backprop_tui.cli import words
from backprop_tui.cli.output import Output
from backprop_tui.cli.parser import add_json, add_run
from backprop_tui.protocol.errors import EXIT_OK, DataError, UnavailableError, UsageError
from backprop_tui.protocol.text import safe_text
from backprop_tui.store import retention
from backprop_tui.store.layout import RunDir, find_run, list_runs
from backprop_tui.store.summary import RunSummary, load_summary

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt]?)(i?)b?", re.IGNORECASE)
_WHY = {"count": "older than those kept", "size": "over the size", "damaged": "damaged"}


def add_arguments(parser: ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.epilog = "Without --keep and --size the run's own settings hold: keep and max_checkpoint_gb."
    add_run(parser)
    parser.add_argument("--all", action="store_true", help="every run, each by itself")
    parser.add_argument("--keep", type=int, metavar="N", help="newest checkpoints that stay, at least 1")
    parser.add_argument("--size", metavar="SIZE", help="what a run's checkpoints may hold, such as 20GB or 500MB")
    parser.add_argument("--dry-run", action="store_true", help="only say what would go")
    add_json(parser)


def run(args: Namespace, out: Output) -> int:
    """Plan, and delete unless it is a dry run."""
    if args.keep is not None and args.keep < 1:
        raise UsageError("USAGE", "--keep takes a number of at least 1.", "The newest checkpoint always stays.")
    if args.all and args.run:
        raise UsageError("USAGE", "Name a run or say --all, not both.", "`backprop prune --help` shows what it takes.")
    size = None if args.size is None else parse_size(args.size)
    runs = list_runs() if args.all else [find_run(args.run)]
    told = [_prune(found, args, size) for found in runs]
    if args.json:
        out.json({"dry_run": args.dry_run, "runs": told})
        return EXIT_OK
    verb = "would go" if args.dry_run else "is deleted"
    for one in told:
        for gone in one["removed"]:
            held = words.size(gone["bytes"])
            out.line(f"{one['short_id']}  step {words.count(gone['step'])}  {held}  {verb}: {_WHY[gone['why']]}")
        if one["problem"]:
            out.say(one["problem"])
    total = sum(gone["bytes"] or 0 for one in told for gone in one["removed"])
    count = sum(len(one["removed"]) for one in told)
    if not count:
        out.say("Nothing to delete.")
    else:
        out.say(f"{count} checkpoints, {words.size(total)}{', would go' if args.dry_run else ' freed'}.")
    return EXIT_OK


def parse_size(text: str) -> int:
    """Bytes of `20GB`, `1.5 GiB`, `500m` or a plain number of bytes.

    Raises:
        UsageError: SIZE_INVALID.
    """
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise UsageError("SIZE_INVALID", f"{safe_text(text, limit=40)!r} is no size.", "Write 20GB, 500MB or 1.5GiB.")
    power = " kmgt".index(match[2].lower()) if match[2] else 0
    return round(float(match[1]) * float(1024 if match[3] else 1000) ** power)


def _prune(found: RunDir, args: Namespace, size: int | None) -> dict[str, Any]:
    summary = load_summary(found)
    shelf = retention.look_at(summary)
    keep, most = args.keep, size
    if keep is None and most is None:
        keep, most = _own_rules(summary)
    removals = retention.plan(shelf, keep=keep, most_bytes=most)
    if not args.dry_run:
        try:
            removals = retention.prune(found, removals)
        except OSError as error:
            raise UnavailableError(
                "CHECKPOINT_NOT_REMOVED",
                f"A checkpoint of run {found.short_id} can't be deleted: {error.strerror}.",
                "Check the permissions of its directory.",
            ) from None
    problem = None
    if shelf.pinned is None:
        problem = f"{safe_text(found.pins_file)} is damaged: nobody can say what is pinned, so nothing is deleted."
    left = shelf.bytes - sum(gone.bytes or 0 for gone in removals)
    return {
        "run": found.id,
        "short_id": found.short_id,
        "removed": [{"step": gone.step, "bytes": gone.bytes, "why": gone.why} for gone in removals],
        "bytes_left": left,
        "problem": problem,
    }


def _own_rules(summary: RunSummary) -> tuple[int | None, int | None]:
    """The run's settings `keep` and `max_checkpoint_gb`; a run whose settings can't be read keeps everything."""
    from backprop_tui.launch.fork import parent_spec

    try:
        part = parent_spec(summary.run).run
    except (DataError, UsageError):
        return None, None
    return part.keep, round(part.max_checkpoint_gb * 1e9) or None
