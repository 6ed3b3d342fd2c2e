"""`backprop data overlap DATA HELD_OUT`: whether what is learnt gives away what is measured."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from backprop_tui.cli.data.options import add_data, reader_of, share
from backprop_tui.cli.data.progress import Progress
from backprop_tui.cli.data.reading import Tally, find, unchanged, usable_rows
from backprop_tui.cli.data.report import fact, left_out, percent, rows_of
from backprop_tui.cli.output import Output, Style
from backprop_tui.protocol.errors import EXIT_DATA, EXIT_OK
from backprop_tui.protocol.text import safe_text

if TYPE_CHECKING:
    from backprop_tui.data.finding.places import DataSet
    from backprop_tui.data.formats import Reader
    from backprop_tui.data.tools.overlap import OverlapReport

_SHOWN = 5
_WORDS = {
    "exact": "the same row",
    "prompt": "the same question",
    "ngram": "a passage in common",
}


@dataclass(slots=True)
class Overlap:
    """What two sets have in common.

    Args:
        held_words: the held-out set as it was named. report: the counts. most: the share that is allowed, None for any.
        tally, held: what became of the rows of either set. where: file and line of the first rows found, by place.
    """

    held_words: str
    report: OverlapReport
    most: float | None
    tally: Tally = field(default_factory=Tally)
    held: Tally = field(default_factory=Tally)
    where: dict[int, tuple[str, int | None]] = field(default_factory=dict)

    @property
    def refused(self) -> bool:
        """Whether more is in common than is allowed."""
        from backprop_tui.data.tools.overlap import exceeds

        return self.most is not None and exceeds(self.report, self.most)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready words; rows are counted from 1."""
        words = self.report.to_dict()
        words["examples"] = [
            {"row": place + 1, "file": self.where[place][0], "line": self.where[place][1], "kind": kind}
            for place, kind in self.report.examples
        ]
        return {
            "held_out": safe_text(self.held_words),
            "overlapping": self.report.overlapping,
            **words,
            "max_overlap": self.most,
            "exceeded": self.refused,
            "dropped": dict(self.tally.dropped.most_common()),
            "held_out_rows": self.held.kept,
            "held_out_dropped": dict(self.held.dropped.most_common()),
        }


def add_arguments(parser: ArgumentParser) -> None:
    """Declare what the command takes."""
    add_data(parser)
    parser.add_argument("held_out", metavar="HELD_OUT", help="the rows to measure on, named like DATA")
    add_gate(parser)
    parser.epilog = (
        "A row overlaps when it is a held-out row, asks the same question, or shares a passage of 13 words with one.\n"
        "System texts, and passages that more than ten held-out rows share, don't tell."
    )


def add_gate(parser: ArgumentParser) -> None:
    """The `--max-overlap` that makes a check of it."""
    parser.add_argument(
        "--max-overlap",
        type=share,
        metavar="SHARE",
        help="exit 65 when more of the rows than this overlap; 0 allows none",
    )


def run(args: Namespace, out: Output) -> int:
    """Compare two sets."""
    read = reader_of(args)
    data, held = find(args.data, out), find(args.held_out, out)
    found = compare(data, held, read, args.max_overlap, out)
    if out.as_json:
        out.json({"action": "overlap", "data": safe_text(data.words), **found.to_dict()})
    else:
        fact(out, "rows", f"{found.report.rows:,} against {found.held.kept:,} held out")
        left_out(out, found.tally.dropped)
        left_out(out, {f"held out: {reason}": count for reason, count in found.held.dropped.items()})
        show(found, out)
    return EXIT_DATA if found.refused else EXIT_OK


def compare(data: DataSet, held: DataSet, read: Reader, most: float | None, out: Output) -> Overlap:
    """Look for held-out rows in a set; texts of neither are kept.

    Args:
        data: the set that is learnt from.
        held: the set that is measured on.
        read: how the rows of both are read.
        most: the share of rows that may overlap, None for any.
        out: the command's output, for progress.

    Raises:
        DataError: a file can't be read, or a set has no usable row.
    """
    from backprop_tui.data.tools.overlap import HeldOut, OverlapReport

    found = Overlap(held.words, OverlapReport(), most)
    with unchanged(data, held), Progress(out) as progress:
        known = HeldOut.from_rows(row.normalised for row in usable_rows(held, read, found.held, progress))
        for row, _, normalised in usable_rows(data, read, found.tally, progress):
            kind = known.check(normalised)
            before = len(found.report.examples)
            found.report.add(row.index, kind)
            if len(found.report.examples) > before:
                found.where[row.index] = safe_text(data.files[row.file].name, limit=120), row.line
    return found


def show(found: Overlap, out: Output) -> None:
    """The counts, the first rows, and whether that is too much."""
    report = found.report
    style: Style = "bad" if found.refused else "warn" if report.overlapping else "good"
    allowed = "" if found.most is None else f"; at most {percent(found.most)} may"
    fact(
        out, "overlap", f"{rows_of(report.overlapping)} ({percent(report.share)}) are held out as well{allowed}", style
    )
    counts = {"exact": report.exact, "prompt": report.prompts, "ngram": report.ngrams}
    for kind, count in counts.items():
        if count:
            fact(out, "", f"{count:,}  {_WORDS[kind]}")
    for line in _examples(found):
        fact(out, "", line, "dim")


def _examples(found: Overlap) -> Iterator[str]:
    for place, kind in found.report.examples[:_SHOWN]:
        file, line = found.where[place]
        yield f"{file} {f'line {line:,}' if line else f'row {place + 1:,}'}: {_WORDS[kind]}"
