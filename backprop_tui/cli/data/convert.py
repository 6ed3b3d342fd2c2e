"""`backprop data convert DATA -o OUT --to FORMAT`: write the rows in another format, each unchanged or counted."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING

from backprop_tui.cli.data.model import add_model, find_model
from backprop_tui.cli.data.options import add_data, add_out, out_path, reader_of
from backprop_tui.cli.data.originals import Lines
from backprop_tui.cli.data.progress import Progress
from backprop_tui.cli.data.reading import Tally, Usable, find_once, unchanged, usable_rows
from backprop_tui.cli.data.report import tell
from backprop_tui.cli.output import Output
from backprop_tui.data.rows import Problem
from backprop_tui.protocol.errors import EXIT_OK, DataError, UsageError

if TYPE_CHECKING:
    from backprop_tui.data.finding.places import DataSet
    from backprop_tui.data.formats import Conversation, Normalised, Reader
    from backprop_tui.data.writers import Target

_TURNS = "turns in plain text"


def add_arguments(parser: ArgumentParser) -> None:
    """Declare what the command takes."""
    from backprop_tui.data.writers import TARGETS

    add_data(parser)
    add_out(parser, ".jsonl, .csv, .parquet, .jsonl.gz or .csv.gz")
    parser.add_argument("--to", choices=TARGETS, required=True, metavar="FORMAT", help=f"one of {', '.join(TARGETS)}")
    parser.add_argument(
        "--prefer",
        choices=["chosen", "rejected"],
        help="make conversations of pairs and labelled answers: of those chosen (wanted) or rejected (unwanted)",
    )
    add_model(parser, "with --to text: its chat template makes text of conversations", absent="none if absent")
    parser.epilog = (
        "`native` keeps each row's kind. What a format has no place for is left out and counted, never changed."
    )


def run(args: Namespace, out: Output) -> int:
    """Convert."""
    from backprop_tui.data.writers import write_rows

    read, path, tally = reader_of(args), out_path(args), Tally()
    data = find_once(args.data, out)
    with ExitStack() as stack:
        render = _render(args, out, stack)
        progress = stack.enter_context(Progress(out))
        rows = _asked(_unchanged_rows(data, read, tally, progress), args.prefer, args.to, render, tally)
        lines = Lines(None, path)
        if path is None:
            lines.rows = _count(rows, args.to, tally)
        else:
            written = write_rows(rows, path, args.to, overwrite=args.force, inputs=data.files)
            lines.rows = written.rows
            for reason, count in written.skipped.items():
                tally.drop(reason, rows=count)
    tell(out, "convert", data, tally, {"out": lines}, {"to": args.to}, [("to", args.to)])
    if args.to == "text" and render is None and tally.dropped[_TURNS]:
        out.say("Conversations become text with -m MODEL, by its chat template.")
    return EXIT_OK


def _unchanged_rows(data: DataSet, read: Reader, tally: Tally, progress: Progress) -> Iterator[Usable]:
    """The usable rows; a change of the data is found while the last one is waited for, before the result is in its place."""
    with unchanged(data):
        yield from usable_rows(data, read, tally, progress)


def _asked(
    rows: Iterator[Usable], prefer: str | None, to: str, render: Callable[[Conversation], str] | None, tally: Tally
) -> Iterator[Normalised]:
    """The rows as they are to be written: conversations made of pairs, text made of conversations."""
    from backprop_tui.data.formats import Conversation, PlainText, Preference, Unpaired

    for _, _, row in rows:
        if prefer is not None and to != "native":
            if isinstance(row, Preference):
                row = Conversation((*row.prompt, *(row.chosen if prefer == "chosen" else row.rejected)), row.tools)
            elif isinstance(row, Unpaired):
                if row.label is not (prefer == "chosen"):
                    tally.drop("unwanted answer" if prefer == "chosen" else "wanted answer")
                    continue
                row = Conversation((*row.prompt, *row.completion), row.tools)
        if render is not None and isinstance(row, Conversation):
            try:
                yield PlainText(render(row))
            except DataError as error:
                tally.drop("refused by the chat template", Problem(error.code, error.cause, error.next_step))
        else:
            yield row


def _render(args: Namespace, out: Output, stack: ExitStack) -> Callable[[Conversation], str] | None:
    """What makes text of a conversation; None when that is not asked for."""
    if args.model is None:
        return None
    if args.to != "text":
        raise UsageError("USAGE", f"A model has no part in --to {args.to}.", "Leave -m out, or write --to text.")
    from backprop_tui.data.children.remote import RemoteTokenizer

    model = find_model(args.model, out)
    if model is None:
        return None
    tokenizer = stack.enter_context(RemoteTokenizer(model))
    tokenizer.check()
    return lambda row: tokenizer.explain(row, max_length=None).text


def _count(rows: Iterator[Normalised], to: Target, tally: Tally) -> int:
    """How many rows could be written to a JSON Lines file; the others go into the tally."""
    import msgspec

    from backprop_tui.data.writers.targets import CannotHold, shape_of

    count = 0
    for row in rows:
        try:
            msgspec.json.encode(shape_of(row, to))
        except CannotHold as error:
            tally.drop(error.reason)
        except UnicodeEncodeError:
            tally.drop("broken character")
        else:
            count += 1
    return count
