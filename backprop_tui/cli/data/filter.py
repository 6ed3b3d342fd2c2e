"""`backprop data filter DATA -o OUT`: keep the rows for which an expression holds, or whose score is not extreme."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError, Namespace
from array import array
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from backprop_tui.cli.data.names import Names
from backprop_tui.cli.data.options import add_data, add_out, out_path, percentile, reader_of, whole
from backprop_tui.cli.data.originals import Originals, lines_to
from backprop_tui.cli.data.progress import Progress
from backprop_tui.cli.data.reading import Tally, Usable, chosen_rows, find_once, unchanged, usable_rows
from backprop_tui.cli.data.report import rows_of, tell
from backprop_tui.cli.output import Output
from backprop_tui.protocol.errors import EXIT_OK, DataError, UsageError
from backprop_tui.protocol.text import safe_text

if TYPE_CHECKING:
    from backprop_tui.data.finding.places import DataSet
    from backprop_tui.data.rows import Row
    from backprop_tui.data.tools.expression import Filter

_FILTERED = "left out by the filter"
_LOW, _HIGH, _UNSCORED = "below the percentile", "above the percentile", "no number in the column"


def add_arguments(parser: ArgumentParser) -> None:
    """Declare what the command takes."""
    from backprop_tui.data.tools.facts import FACTS

    add_data(parser)
    add_out(parser)
    parser.add_argument("--where", default="", metavar="EXPR", help="such as 'turns >= 2 and answer_chars > 20'")
    parser.add_argument("--min-chars", type=whole(0), metavar="N", help="least characters of a row")
    parser.add_argument("--max-chars", type=whole(0), metavar="N", help="most characters of a row")
    parser.add_argument("--min-turns", type=whole(0), metavar="N", help="least turns, system texts not counted")
    parser.add_argument("--max-turns", type=whole(0), metavar="N", help="most turns")
    parser.add_argument("--must-answer", action="store_true", help="rows with turns need an answer")
    parser.add_argument("--min-answer-chars", type=whole(0), metavar="N", help="least characters of every answer")
    parser.add_argument(
        "--percentile",
        nargs=3,
        metavar=("COLUMN", "LOW", "HIGH"),
        help="keep rows between two percentiles of a column of numbers, such as perplexity 5 95",
    )
    parser.add_argument("--need-number", action="store_true", help="with --percentile: leave out rows without a number")
    about = "\n".join(f"  {name:<15} {meaning}" for name, meaning in FACTS.items())
    parser.epilog = f"An expression speaks of columns, and of\n{about}\n\nRows are written unchanged."


def run(args: Namespace, out: Output) -> int:
    """Keep some rows."""
    from backprop_tui.data.tools.expression import compile_filter

    text, between = expression(args), _percentiles(args.percentile)
    if not text and between is None:
        raise UsageError("DATA_FILTER_INVALID", "Nothing says which rows to keep.", "Add --where or --min-chars, say.")
    keep, read, tally = compile_filter(text), reader_of(args), Tally()
    data = find_once(args.data, out)
    more: dict[str, Any] = {"filter": text}
    facts = [("filter", safe_text(text))] if text else []
    with (
        lines_to(out_path(args), data, force=args.force) as lines,
        unchanged(data),
        Originals(data) as originals,
        Progress(out) as progress,
    ):
        passing = _passing(data, usable_rows(data, read, tally, progress), keep, tally)
        if between is None:
            rows: Iterator[Row] = (usable.row for usable in passing)
        else:
            chosen, found = _between(passing, between, tally, keep_unscored=not args.need_number)
            more["percentile"] = {"column": safe_text(between[0]), **found}
            facts.append((safe_text(between[0], limit=40), f"{_number(found['low'])} to {_number(found['high'])}"))
            if found["unscored"]:
                what = "left out" if args.need_number else "kept"
                facts.append(("no number", f"{rows_of(found['unscored'])}, {what}"))
            rows = chosen_rows(data, chosen)
        for row in rows:
            lines.take(row, originals)
    tell(out, "filter", data, tally, {"out": lines}, more, facts)
    return EXIT_OK


def expression(args: Namespace) -> str:
    """All the questions as one expression; empty when none is asked."""
    from backprop_tui.data.tools.expression import quality_filter

    usual = quality_filter(
        min_chars=args.min_chars,
        max_chars=args.max_chars,
        min_turns=args.min_turns,
        max_turns=args.max_turns,
        must_answer=args.must_answer,
        min_answer_chars=args.min_answer_chars,
    )
    own: str = args.where.strip()
    return f"({own}) and {usual}" if own and usual else own or usual


def _passing(data: DataSet, rows: Iterator[Usable], keep: Filter, tally: Tally) -> Iterator[Usable]:
    """The rows the filter keeps.

    Raises:
        UsageError: DATA_FILTER_INVALID, the filter asks for a column that no row has.
    """
    from backprop_tui.data.tools.facts import facts_of

    lacking, names = set(keep.columns), Names()
    files = [path.name for path in data.files]
    for usable in rows:
        row, name, normalised = usable
        if lacking and isinstance(row.value, dict):
            lacking.difference_update(row.value)
            names.add(row.value)
        facts = facts_of(normalised, value=row.value, format=name, index=row.index, line=row.line, file=files[row.file])
        if keep.keep(facts):
            yield usable
        else:
            tally.drop(_FILTERED)
    if lacking:
        raise UsageError("DATA_FILTER_INVALID", *names.lack(min(lacking)))


def _percentiles(given: list[str] | None) -> tuple[str, float, float] | None:
    if given is None:
        return None
    try:
        low, high = percentile(given[1]), percentile(given[2])
    except ArgumentTypeError:
        low, high = 1.0, 0.0
    if low > high:
        raise UsageError(
            "PERCENTILES_INVALID",
            f"{safe_text(given[1], limit=40)!r} and {safe_text(given[2], limit=40)!r} are not two numbers from 0 to 100 in "
            "ascending order.",
            "Write for example `--percentile perplexity 5 95`.",
        )
    return given[0], low, high


def _between(
    rows: Iterator[Usable], between: tuple[str, float, float], tally: Tally, *, keep_unscored: bool
) -> tuple[bytearray, dict[str, Any]]:
    """Which places of the set stay, a byte each, and what the borders are.

    Raises:
        DataError: DATA_COLUMN_MISSING or DATA_COLUMN_NO_NUMBERS.
    """
    from backprop_tui.data.selection import cell
    from backprop_tui.data.tools.percentiles import keep_between

    column, low, high = between
    places, scores, names = array("Q"), array("d"), Names()
    there = False
    for row, _, _ in rows:
        names.add(row.value)
        found = cell(row.value, column)
        there = there or found is not None
        places.append(row.index)
        scores.append(_score(found))
    kept = keep_between(scores, low, high, keep_unscored=keep_unscored)
    if places and not there:
        raise DataError("DATA_COLUMN_MISSING", *names.lack(column))
    if places and kept.unscored == len(places):
        cause = f"The column {safe_text(column, limit=60)!r} holds no number."
        raise DataError("DATA_COLUMN_NO_NUMBERS", cause, "Choose another column.")
    tally.drop(_LOW, rows=kept.below)
    tally.drop(_HIGH, rows=kept.above)
    tally.drop(_UNSCORED, rows=0 if keep_unscored else kept.unscored)
    chosen = bytearray(tally.rows)
    for number in kept.places:
        chosen[places[number]] = 1
    return chosen, kept.to_dict()


def _score(value: Any) -> float:
    """A cell as a number; NaN for anything that is none."""
    if isinstance(value, bool) or value is None:
        return float("nan")
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return float("nan")


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:g}"
