"""`backprop data sort DATA -o OUT --by length`: put the rows in order, from easy to difficult."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from backprop_tui.cli.data.keys import Keys
from backprop_tui.cli.data.names import Names
from backprop_tui.cli.data.options import add_data, add_out, add_seed
from backprop_tui.cli.data.reading import Usable
from backprop_tui.cli.data.report import tell
from backprop_tui.cli.data.shuffle import put_in_order
from backprop_tui.cli.output import Output
from backprop_tui.protocol.errors import EXIT_OK, DataError
from backprop_tui.protocol.text import safe_text


def add_arguments(parser: ArgumentParser) -> None:
    """Declare what the command takes."""
    add_data(parser)
    add_out(parser)
    parser.add_argument(
        "--by",
        default="length",
        metavar="length|words|COLUMN",
        help="characters, variety and length of words, or a column of numbers such as perplexity (length)",
    )
    add_seed(parser)
    parser.epilog = (
        "The easiest row comes first, as in a run with order=curriculum; equal rows come in an order drawn from the seed.\n"
        "Rows are written unchanged. Memory grows by about 120 bytes a row; rows of other files than plain JSON Lines need\n"
        "their own size on the disk of OUT meanwhile."
    )


def run(args: Namespace, out: Output) -> int:
    """Sort."""
    from backprop_tui.data.selection import cell
    from backprop_tui.data.tools.order import BY_TEXT, column_difficulties, curriculum_order, difficulty_of

    names = Names()

    def difficulty(usable: Usable) -> object:
        if args.by in BY_TEXT:
            return difficulty_of(usable.normalised, args.by)
        names.add(usable.row.value)
        return cell(usable.row.value, args.by)

    def order(keys: Keys, rows: int) -> list[int]:
        grades = keys.noted
        if args.by not in BY_TEXT:
            if all(grade is None for grade in grades):
                raise DataError("DATA_DIFFICULTY_MISSING", *names.lack(args.by))
            # Over all rows of the set, so that an error names them by the numbers they have there.
            everywhere: list[object] = [0] * rows
            for place, grade in zip(keys.index, grades, strict=True):
                everywhere[place] = grade
            numbers = column_difficulties(everywhere, args.by)
            grades = [numbers[place] for place in keys.index]
        return curriculum_order(grades, args.seed, keys.keys)

    data, tally, lines = put_in_order(args, out, order, difficulty)
    tell(out, "sort", data, tally, {"out": lines}, {"by": safe_text(args.by), "seed": args.seed})
    return EXIT_OK
