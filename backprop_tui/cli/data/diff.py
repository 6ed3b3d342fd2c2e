"""`backprop data diff A B`: what is different between two datasets, or a dataset and its fingerprint from before."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from backprop_tui.cli.data.options import add_reading, reader_of
from backprop_tui.cli.data.progress import Progress
from backprop_tui.cli.data.reading import find
from backprop_tui.cli.output import Output
from backprop_tui.protocol.errors import EXIT_DATA, EXIT_OK, DataError
from backprop_tui.protocol.text import safe_text

if TYPE_CHECKING:
    from backprop_tui.data.versions.compare import Side


def add_arguments(parser: ArgumentParser) -> None:
    """Declare what the command takes."""
    words = "data, or a fingerprint that `backprop data fingerprint --json` or a run wrote"
    parser.add_argument("before", metavar="A", help=words)
    parser.add_argument("after", metavar="B", help="the same")
    add_reading(parser)
    parser.add_argument("--check", action="store_true", help="exit 65 when something differs")
    parser.epilog = "Rows are compared by content: + is only in B, - only in A. Other names are no difference."


def run(args: Namespace, out: Output) -> int:
    """Compare."""
    from backprop_tui.data.versions.compare import diff_data
    from backprop_tui.protocol.spec import DataPart

    reader_of(args)
    before, after = _side(args.before, out), _side(args.after, out)
    part = None
    if args.format != "auto" or args.columns:
        part = DataPart.model_validate({"format": args.format, "columns": args.columns, "damaged": "drop"})
    with Progress(out) as progress:
        found = diff_data(before, after, part, on_progress=lambda done, total: progress.rows("reading", done, total))
    if out.as_json:
        out.json(
            {"action": "diff", "before": safe_text(args.before), "after": safe_text(args.after), **found.to_dict()}
        )
    else:
        for line in found.lines():
            line = safe_text(line)
            out.line(out.style(line, "good" if line.startswith("+ ") else "bad" if line.startswith("- ") else "plain"))
        if found.same:
            out.say("Nothing differs.")
    return EXIT_DATA if args.check and not found.same else EXIT_OK


def _side(words: str, out: Output) -> Side:
    """A dataset, or the fingerprint in a file."""
    from backprop_tui.data.versions.compare import read_fingerprint

    path = Path(words).expanduser()
    if path.suffix.lower() == ".json" and path.is_file():
        try:
            return read_fingerprint(path)
        except DataError as error:
            # Other JSON files hold rows.
            if error.code != "DATA_FINGERPRINT_INVALID":
                raise
    return find(words, out)
