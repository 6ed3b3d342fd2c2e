"""`backprop data sample DATA -o OUT --rows N`: draw rows at random."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from backprop_tui.cli.data.keys import Keys
from backprop_tui.cli.data.options import add_data, add_out, add_seed, out_path, reader_of, share, whole
from backprop_tui.cli.data.originals import Originals, lines_to
from backprop_tui.cli.data.progress import Progress
from backprop_tui.cli.data.reading import Tally, chosen_rows, find_once, unchanged
from backprop_tui.cli.data.report import tell
from backprop_tui.cli.output import Output
from backprop_tui.protocol.errors import EXIT_OK


def add_arguments(parser: ArgumentParser) -> None:
    """Declare what the command takes."""
    add_data(parser)
    add_out(parser)
    size = parser.add_mutually_exclusive_group(required=True)
    size.add_argument("--rows", type=whole(1), metavar="N", help="rows to draw; more than there are draws all")
    size.add_argument("--share", type=share, metavar="S", help="part of the rows to draw, such as 0.1")
    add_seed(parser)
    parser.epilog = (
        "Seed and contents alone decide, not the order of the rows; a smaller sample is part of a larger one.\n"
        "Rows are written unchanged, in the order of the files."
    )


def run(args: Namespace, out: Output) -> int:
    """Draw."""
    from backprop_tui.data.tools.sampling import sample_rows

    read, tally = reader_of(args), Tally()
    data = find_once(args.data, out)
    with (
        lines_to(out_path(args), data, force=args.force) as lines,
        unchanged(data),
        Originals(data) as originals,
        Progress(out) as progress,
    ):
        keys = Keys(data, read, tally, progress)
        drawn = sample_rows(keys.keys, count=args.rows, share=args.share, seed=args.seed)
        tally.drop("not drawn", rows=len(keys.index) - len(drawn))
        for row in chosen_rows(data, keys.flags(drawn, tally.rows)):
            lines.take(row, originals)
    tell(out, "sample", data, tally, {"out": lines}, {"seed": args.seed})
    return EXIT_OK
