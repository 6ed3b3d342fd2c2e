"""`backprop data inspect DATA`: what is in it, what is wrong and where, and what a model would learn from it."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from backprop_tui.cli import words
from backprop_tui.cli.data.model import add_model, find_model
from backprop_tui.cli.data.options import add_data, reader_of, whole
from backprop_tui.cli.data.overlap import Overlap, add_gate, compare
from backprop_tui.cli.data.overlap import show as show_overlap
from backprop_tui.cli.data.progress import Progress
from backprop_tui.cli.data.reading import find
from backprop_tui.cli.data.report import fact, left_out, percent, rows_of
from backprop_tui.cli.output import Output, Style
from backprop_tui.protocol.errors import EXIT_DATA, EXIT_OK, UsageError
from backprop_tui.protocol.text import safe_text

if TYPE_CHECKING:
    from backprop_tui.data.finding.places import DataSet
    from backprop_tui.data.looking.findings import Inspection
    from backprop_tui.data.looking.statistics import LengthStats
    from backprop_tui.data.rows import Problem

_PROBLEMS_SHOWN = 10
_FILES_SHOWN = 20
_LONGEST = 2048
_VERDICTS: dict[str, Style] = {"ok": "good", "warn": "warn", "bad": "bad"}


def add_arguments(parser: ArgumentParser) -> None:
    """Declare what the command takes."""
    add_data(parser)
    add_model(parser, "count tokens as this model does")
    parser.add_argument("--no-tokens", action="store_true", help="count no tokens; quicker, and needs no model")
    parser.add_argument(
        "--max-length",
        type=whole(16, 1 << 20),
        default=_LONGEST,
        metavar="N",
        help=f"longest row in tokens ({_LONGEST})",
    )
    parser.add_argument(
        "--problems",
        type=whole(0),
        default=_PROBLEMS_SHOWN,
        metavar="N",
        help=f"problems shown one by one ({_PROBLEMS_SHOWN}); 0 shows all that are listed. JSON lists them always",
    )
    parser.add_argument("--held-out", metavar="DATA", help="look for rows of this held-out set as well")
    add_gate(parser)
    parser.epilog = "Exit code 65 says that a launch would refuse the data, or that too much of it is held out."


def run(args: Namespace, out: Output) -> int:
    """Look through everything; exit 65 when a launch would refuse it."""
    if args.max_overlap is not None and args.held_out is None:
        raise UsageError("USAGE", "--max-overlap needs rows to compare with.", "Add --held-out DATA.")
    read = reader_of(args)
    data = find(args.data, out)
    held = None if args.held_out is None else find(args.held_out, out)
    found = _look(data, args, out)
    overlap = None if held is None or not found.kept else compare(data, held, read, args.max_overlap, out)
    if out.as_json:
        skipped = [{"file": safe_text(path), "reason": safe_text(why)} for path, why in _skipped(data)]
        out.json({**found.to_dict(), "skipped": skipped, "overlap": overlap.to_dict() if overlap else None})
    else:
        _show(data, found, overlap, args.problems, out)
    return EXIT_DATA if found.verdict == "bad" or (overlap is not None and overlap.refused) else EXIT_OK


def _look(data: DataSet, args: Namespace, out: Output) -> Inspection:
    from backprop_tui.data.children.remote import RemoteTokenizer
    from backprop_tui.data.looking.inspection import inspect_data
    from backprop_tui.data.looking.part import How

    with ExitStack() as stack:
        model = None if args.no_tokens else find_model(args.model, out)
        tokenizer = None if model is None else stack.enter_context(RemoteTokenizer(model, size=0))
        progress = stack.enter_context(Progress(out))
        how = How(args.format, args.columns, args.max_length)
        return inspect_data(data, tokenizer=tokenizer, how=how, on_progress=progress.bytes_read)


def _skipped(data: DataSet) -> Iterator[tuple[Any, str]]:
    for source in data.sources:
        yield from source.skipped


def _show(data: DataSet, found: Inspection, overlap: Overlap | None, problems: int, out: Output) -> None:
    fact(out, "data", f"{safe_text(found.words)}  {words.size(found.size)}")
    if len(found.files) > 1:
        for file in found.files[:_FILES_SHOWN]:
            fact(
                out,
                "file",
                f"{safe_text(file.name)}  {words.size(file.size)}  {file.kept:,} of {rows_of(file.rows)} kept",
            )
        if len(found.files) > _FILES_SHOWN:
            fact(out, "", f"… and {len(found.files) - _FILES_SHOWN:,} more files", "dim")
    for path, why in _skipped(data):
        fact(out, "not read", f"{safe_text(path)}: {safe_text(why)}", "warn")
    fact(out, "verdict", safe_text(found.headline), _VERDICTS[found.verdict])
    fact(out, "rows", f"{found.kept:,} kept of {found.rows:,}")
    left_out(out, found.dropped)
    for label, text in _facts(found):
        fact(out, label, text)
    if overlap is not None:
        show_overlap(overlap, out)
    shown = found.problems[: problems or None]
    for problem in shown:
        _show_problem(problem, out)
    more = sum(found.problem_counts.values()) - len(shown)
    if more > 0:
        out.line(out.style(f"… and {more:,} more problems", "dim"))


def _facts(found: Inspection) -> Iterator[tuple[str, str]]:
    if found.formats:
        yield "format", ", ".join(f"{safe_text(name)} {count:,}" for name, count in found.formats.most_common())
    if found.purpose:
        yield "purpose", safe_text(found.purpose)
    if found.duplicates:
        yield "duplicates", f"{found.duplicates:,}  ({percent(found.duplicates / max(1, found.kept))} of the rows kept)"
    if found.sensitive:
        kinds = ", ".join(f"{safe_text(kind)} {count:,}" for kind, count in found.sensitive.most_common())
        yield "sensitive", f"{kinds} (rows)"
    if found.quoted:
        yield "quoted", f"{rows_of(found.quoted)} with control tokens in the text, read as plain text"
    for unit, stats in (("tokens", found.tokens), ("characters", found.characters)):
        if stats is not None:
            yield unit, _lengths(stats)
    if found.trained_share is not None:
        yield "trained", f"{percent(found.trained_share)} of the tokens"
    if found.cut_rows:
        lost = f"{words.count(found.cut_tokens)} tokens lost"
        yield "cut", f"{rows_of(found.cut_rows)} longer than {found.max_length or 0:,} tokens, {lost}"
    if found.packing is not None:
        fewer = f"{found.packing.rows_per_sequence:.2g} rows share a sequence"
        yield "packing", f"{fewer}; without it {percent(found.packing.padding)} of a batch is padding"


def _lengths(stats: LengthStats) -> str:
    middle = f"median {words.count(stats.p50)}, 95 % up to {words.count(stats.p95)}"
    return f"{middle}, longest {words.count(stats.longest)}, {words.count(stats.total)} in all"


def _show_problem(problem: Problem, out: Output) -> None:
    style: Style = "bad" if problem.severity == "error" else "warn"
    where = f"{safe_text(problem.where)}  " if problem.where else ""
    value = f"  “{safe_text(problem.value)}”" if problem.value else ""
    out.line(
        f"{out.style(f'{where}{safe_text(problem.code)}', style)}: {safe_text(problem.cause)}{value} "
        f"{out.style(safe_text(problem.next_step), 'dim')}".rstrip()
    )
