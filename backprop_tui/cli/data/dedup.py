"""`backprop data dedup DATA -o OUT`: leave out rows that say what an earlier row says, or nearly."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError, Namespace

from backprop_tui.cli.data.options import add_data, add_out, out_path, reader_of
from backprop_tui.cli.data.originals import Originals, lines_to
from backprop_tui.cli.data.progress import Progress
from backprop_tui.cli.data.reading import Tally, find_once, unchanged, usable_rows
from backprop_tui.cli.data.report import tell
from backprop_tui.cli.output import Output
from backprop_tui.protocol.errors import EXIT_OK

_NEAR = 0.9


def add_arguments(parser: ArgumentParser) -> None:
    """Declare what the command takes."""
    add_data(parser)
    add_out(parser)
    parser.add_argument(
        "--near",
        nargs="?",
        type=_similarity,
        const=_NEAR,
        metavar="SIMILARITY",
        help=f"leave out rows that are nearly the same as well: Jaccard similarity of their text ({_NEAR})",
    )
    parser.epilog = "Of rows that say the same the first one stays, unchanged."


def run(args: Namespace, out: Output) -> int:
    """Leave repeated rows out."""
    from backprop_tui.data.tools.content import content_key
    from backprop_tui.data.tools.duplicates import ExactDuplicates, NearDuplicates
    from backprop_tui.data.tools.texts import row_text

    read = reader_of(args)
    data = find_once(args.data, out)
    tally = Tally()
    exact, near = ExactDuplicates(), NearDuplicates(args.near) if args.near is not None else None
    with (
        lines_to(out_path(args), data, force=args.force) as lines,
        unchanged(data),
        Originals(data) as originals,
        Progress(out) as progress,
    ):
        for row, _, normalised in usable_rows(data, read, tally, progress):
            if exact.add(content_key(normalised)) is not None:
                tally.drop("exact duplicate")
            elif near is not None and near.add(row_text(normalised)) is not None:
                tally.drop("near duplicate")
            else:
                lines.take(row, originals)
    tell(out, "dedup", data, tally, {"out": lines}, {"near": args.near})
    return EXIT_OK


def _similarity(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value <= 1:
        raise ArgumentTypeError("not a similarity above 0 and up to 1, such as 0.9 (DATA goes before --near)")
    return value
