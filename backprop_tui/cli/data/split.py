"""`backprop data split DATA -o TRAIN --held-out FILE`: hold rows out, the same ones that a run would."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from backprop_tui.cli.data.keys import Keys
from backprop_tui.cli.data.names import Names
from backprop_tui.cli.data.options import add_data, add_out, add_seed, out_path, reader_of, share
from backprop_tui.cli.data.originals import Originals, lines_to
from backprop_tui.cli.data.progress import Progress
from backprop_tui.cli.data.reading import Tally, Usable, chosen_rows, find_once, unchanged
from backprop_tui.cli.data.report import percent, tell
from backprop_tui.cli.output import Output
from backprop_tui.protocol.errors import EXIT_OK, DataError, UsageError
from backprop_tui.protocol.text import safe_text

_SHARE = 0.02


def add_arguments(parser: ArgumentParser) -> None:
    """Declare what the command takes."""
    add_data(parser)
    add_out(parser)
    parser.add_argument("--held-out", metavar="FILE", help="file for the rows held out")
    parser.add_argument(
        "--share", type=share, default=_SHARE, metavar="S", help=f"part of the rows held out ({_SHARE})"
    )
    parser.add_argument("--group-by", default="", metavar="COLUMN", help="rows with the same value stay on one side")
    add_seed(parser)
    parser.epilog = (
        "Rows of the same content are on the same side. Seed and contents alone decide, not the order of the rows.\n"
        "Rows are written unchanged, in the order of the files."
    )


def run(args: Namespace, out: Output) -> int:
    """Write two files that share no row."""
    from backprop_tui.data.selection import cell
    from backprop_tui.data.tools.split import split_rows

    train, held_out = _two_files(out_path(args), out_path(args, "held_out"))
    read, tally, names = reader_of(args), Tally(), Names()
    data = find_once(args.data, out)

    def group(usable: Usable) -> object:
        names.add(usable.row.value)
        return cell(usable.row.value, args.group_by)

    with (
        lines_to(train, data, force=args.force) as left,
        lines_to(held_out, data, force=args.force) as held,
        unchanged(data),
        Originals(data) as originals,
        Progress(out) as progress,
    ):
        keys = Keys(data, read, tally, progress, note=group if args.group_by else None)
        if args.group_by and all(value is None for value in keys.noted):
            raise DataError("DATA_GROUP_MISSING", *names.lack(args.group_by))
        chosen = split_rows(keys.keys, args.share, args.seed, keys.noted if args.group_by else None)
        if not chosen:
            raise DataError(
                "DATA_NOTHING_HELD_OUT",
                "No row is held out: the share is 0, or all rows belong together.",
                "Raise --share, or leave --group-by out.",
            )
        sides = keys.flags(list(range(len(keys.index))), tally.rows)
        for number in chosen:
            sides[keys.index[number]] = 2
        for row in chosen_rows(data, sides):
            (held if sides[row.index] == 2 else left).take(row, originals)
    facts = [("share", f"{percent(held.rows / tally.kept)} held out")]
    more = {"seed": args.seed, "share": args.share, "group_by": safe_text(args.group_by)}
    tell(out, "split", data, tally, {"out": left, "held_out": held}, more, facts)
    return EXIT_OK


def _two_files(train: Path | None, held_out: Path | None) -> tuple[Path | None, Path | None]:
    if (train is None) != (held_out is None):
        raise UsageError(
            "DATA_OUT_INVALID", "A split writes two files.", "Give -o TRAIN and --held-out FILE, or neither."
        )
    if train is not None and held_out is not None and train.resolve() == held_out.resolve():
        raise UsageError("DATA_OUT_INVALID", "Both sides of the split have the same name.", "Give two different files.")
    return train, held_out
