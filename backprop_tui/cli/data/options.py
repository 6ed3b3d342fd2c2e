"""The options that actions on data share, and numbers that are checked while the words are read."""

from __future__ import annotations

import math
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from backprop_tui.protocol.errors import UsageError

if TYPE_CHECKING:
    from backprop_tui.data.formats import Reader

#: What a run starts with, so that a split made here is the split a run makes.
SEED = 42


def add_data(parser: ArgumentParser) -> None:
    """The DATA that every action reads, and how its rows are read."""
    parser.add_argument(
        "data", metavar="DATA", help="file, folder, pattern, hub dataset, `demo`, or several joined by ' + '"
    )
    add_reading(parser)


def add_reading(parser: ArgumentParser) -> None:
    """How rows are read."""
    parser.add_argument("--format", default="auto", metavar="NAME", help="format of the rows (auto looks at each)")
    parser.add_argument(
        "--columns", default="", metavar="MAPPING", help="which column is what: 'user=question assistant=answer'"
    )


def add_out(parser: ArgumentParser, kinds: str = ".jsonl or .jsonl.gz") -> None:
    """Where the result goes."""
    parser.add_argument("-o", "--out", metavar="OUT", help=f"file to write ({kinds}); without it rows are only counted")
    parser.add_argument("--force", action="store_true", help="replace OUT if it is there")
    parser.add_argument("--dry-run", action="store_true", help="count, and write nothing")


def add_seed(parser: ArgumentParser) -> None:
    """The seed of whatever is drawn."""
    parser.add_argument("--seed", type=whole(0, 2**31 - 1), default=SEED, metavar="N", help=f"of the draw ({SEED})")


def out_path(args: Namespace, name: str = "out") -> Path | None:
    """Where a result goes; None when rows are only counted.

    Raises:
        UsageError: DATA_OUT_INVALID.
    """
    written = getattr(args, name)
    if written is None or args.dry_run:
        return None
    if not written or "\0" in written:
        raise UsageError("DATA_OUT_INVALID", "The result has no usable name.", "Name a file such as out.jsonl.")
    return Path(written).expanduser()


def reader_of(args: Namespace) -> Reader:
    """The reader of rows that was asked for.

    Raises:
        UsageError: DATA_FORMAT_UNKNOWN, DATA_COLUMNS_INVALID or DATA_COLUMNS_MISPLACED.
    """
    from backprop_tui.data.formats import row_reader

    return row_reader(args.format, args.columns)


def whole(least: int, most: int | None = None) -> Callable[[str], int]:
    """A whole number from `least` to `most`."""

    def parse(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            raise ArgumentTypeError("not a whole number") from None
        if value < least or (most is not None and value > most):
            raise ArgumentTypeError(
                f"not a whole number from {least:,}" + (f" to {most:,}" if most is not None else "")
            )
        return value

    return parse


def share(text: str) -> float:
    """A part of something: a number from 0 to 1."""
    return _between(text, 0.0, 1.0, "a share from 0 to 1, such as 0.02")


def percentile(text: str) -> float:
    """A number from 0 to 100."""
    return _between(text, 0.0, 100.0, "a percentile from 0 to 100")


def _between(text: str, least: float, most: float, what: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not least <= value <= most:
        raise ArgumentTypeError(f"not {what}")
    return value
