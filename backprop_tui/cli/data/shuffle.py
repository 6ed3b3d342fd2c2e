"""`backprop data shuffle DATA -o OUT`: put the rows in a random order."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from contextlib import ExitStack

from backprop_tui.cli.data.keys import Keys, Noted
from backprop_tui.cli.data.options import add_data, add_out, add_seed, out_path, reader_of
from backprop_tui.cli.data.originals import Lines, Originals, Places, lines_to
from backprop_tui.cli.data.progress import Progress
from backprop_tui.cli.data.reading import Tally, find_once, unchanged
from backprop_tui.cli.data.report import tell
from backprop_tui.cli.output import Output
from backprop_tui.data.finding.places import DataSet
from backprop_tui.protocol.errors import EXIT_OK

#: What orders rows: from what was gathered and the number of rows read to numbers of usable rows.
Order = Callable[[Keys, int], list[int]]


def add_arguments(parser: ArgumentParser) -> None:
    """Declare what the command takes."""
    add_data(parser)
    add_out(parser)
    add_seed(parser)
    parser.epilog = (
        "Seed and contents alone decide, not the order the rows had. Rows are written unchanged. Memory grows by about\n"
        "90 bytes a row; rows of other files than plain JSON Lines need their own size on the disk of OUT meanwhile."
    )


def run(args: Namespace, out: Output) -> int:
    """Shuffle."""
    from backprop_tui.data.tools.sampling import shuffle_order

    data, tally, lines = put_in_order(args, out, lambda keys, rows: shuffle_order(keys.keys, args.seed))
    tell(out, "shuffle", data, tally, {"out": lines}, {"seed": args.seed})
    return EXIT_OK


def put_in_order(args: Namespace, out: Output, order: Order, note: Noted | None = None) -> tuple[DataSet, Tally, Lines]:
    """Write the usable rows in an order that is known once all have been seen.

    Args:
        args: with data, out, force, dry_run, format and columns.
        out: the command's output.
        order: what orders them.
        note: what it needs of each row besides the key.

    Raises:
        BackpropError: as the parts it is made of.
    """
    read, tally = reader_of(args), Tally()
    data = find_once(args.data, out)
    path = out_path(args)
    with (
        lines_to(path, data, force=args.force) as lines,
        unchanged(data),
        Originals(data) as originals,
        ExitStack() as stack,
        Progress(out) as progress,
    ):
        places = None if path is None else Places(originals, path.parent, stack)
        keys = Keys(data, read, tally, progress, note=note, places=places)
        ordered = order(keys, tally.rows)
        for written in [b""] * len(ordered) if places is None else places.lines(ordered):
            lines.add(written)
    return data, tally, lines
