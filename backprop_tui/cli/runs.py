"""`backprop runs`: one line per run, newest first; and what people note of runs: tags, notes, names, archiving."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from typing import Any

from backprop_tui.cli import words
from backprop_tui.cli.output import Output
from backprop_tui.cli.parser import Parser, add_json
from backprop_tui.protocol.errors import EXIT_OK
from backprop_tui.protocol.states import RunState
from backprop_tui.protocol.text import safe_text
from backprop_tui.store.entry import Entry
from backprop_tui.store.filter import parse_filter
from backprop_tui.store.index import RunIndex
from backprop_tui.store.locks import lost_to_reboot
from backprop_tui.store.queue_rows import is_queued, queue_rows, with_queue
from backprop_tui.store.sorting import FIRST, ORDERS, ordered
from backprop_tui.store.summary import resume_step

_HEAD = ("state", "id", "name", "model", "data", "step", "loss", "best", "age")
#: Crashed runs of which is said how to go on, the newest first.
_MOST_CRASHES = 5
_EPILOG = """\
actions (without one the runs are listed):
  tag RUN TAG …       add tags             untag RUN TAG …     take them off
  note RUN [TEXT]     show or set a note   rename RUN NAME     call it otherwise ('' goes back)
  experiment RUN NAME group runs ('' ends) archive RUN …       leave it out of lists
  unarchive RUN …     list it again        compare RUN RUN …   what differs, and what explains it
With --where in place of RUN an action is done to every run that fits.

--where takes words that must all hold: loss<1.2 state:failed model~qwen age<7d tag:good lr>=1e-4 has:eval !archived.
A word without an operator is looked for in name, model, data and tags. Any setting of a run can be named."""


def add_arguments(parser: ArgumentParser) -> None:
    """Declare what the command takes."""
    from backprop_tui.cli.runs_notes import ACTIONS

    if isinstance(parser, Parser):
        parser.intermixed = True
    parser.usage = "backprop runs [--where FILTER] [--sort COLUMN] [--json]\n       backprop runs ACTION RUN … [--json]"
    parser.epilog = _EPILOG
    parser.add_argument("action", nargs="?", choices=[*ACTIONS, "compare"], metavar="ACTION", help="one of those below")
    parser.add_argument("run", nargs="*", metavar="RUN …", help="id, unique prefix of it, or name")
    parser.add_argument("--where", metavar="FILTER", default="", help="only runs that fit, see below")
    parser.add_argument("--sort", metavar="COLUMN", default=FIRST, choices=list(ORDERS), help=", ".join(ORDERS))
    parser.add_argument("--reverse", action="store_true", help="the other way round")
    parser.add_argument("--limit", type=int, default=0, metavar="N", help="the first N runs")
    parser.add_argument("--all", action="store_true", help="archived runs as well")
    add_json(parser, "print one JSON array")


def run(args: Namespace, out: Output) -> int:
    """List the runs, or note something of some."""
    index = RunIndex()
    _look_after_queue()
    if args.action == "compare":
        from backprop_tui.cli.runs_compare import compare

        return compare(args, chosen(args, index) if args.where else None, out)
    if args.action is not None:
        from backprop_tui.cli.runs_notes import change

        return change(args, chosen(args, index) if args.where else None, out)
    entries = with_queue(chosen(args, index), _waiting(args))
    if args.limit > 0:
        entries = entries[: args.limit]
    if args.json:
        _print_json(entries, index, out)
    elif entries:
        out.table(_HEAD, (_cells(entry, out) for entry in entries), right=(5, 6, 7, 8), flexible=2)
        for entry in [entry for entry in entries if entry.state is RunState.CRASHED][:_MOST_CRASHES]:
            out.say(_crash(entry, index))
    elif args.where:
        out.say("No run fits.")
    else:
        out.say("No run yet. Start one with `backprop demo` or `backprop train DATA`.")
    return EXIT_OK


def chosen(args: Namespace, index: RunIndex) -> list[Entry]:
    """The runs the options ask for, in their order.

    Raises:
        UsageError: the filter is not valid.
    """
    wanted = parse_filter(args.where)
    entries = index.look().entries
    index.fill(wanted.settings)
    archived = args.all or wanted.archived
    fits = [entry for entry in entries if (archived or not entry.archived) and wanted.matches(entry)]
    found = ordered(fits, args.sort, reverse=args.reverse)
    return found[: args.limit] if args.limit > 0 else found


def _waiting(args: Namespace) -> list[Entry]:
    """The queue as far as it fits the filter; it stands in its own order, before the runs."""
    wanted = parse_filter(args.where)
    return [row for row in queue_rows() if wanted.matches(row)]


def _look_after_queue() -> None:
    """Bring back a runner of the queue that was lost; nothing is imported where there is no queue."""
    from backprop_tui.store.queue import Queue

    if Queue().root.exists():
        from backprop_tui.launch.queueing import look_after

        look_after()


def _print_json(entries: list[Entry], index: RunIndex, out: Output) -> None:
    views = dict(index.views([entry.id for entry in entries if not is_queued(entry.id)]))
    out.json([_to_dict(entry, index, views.get(entry.id)) for entry in entries])


def _to_dict(entry: Entry, index: RunIndex, view: dict[str, Any] | None) -> dict[str, Any]:
    run = index.run(entry.id)
    return {
        "id": entry.id,
        "path": None if is_queued(entry.id) else str(run.path),
        "place": entry.place,
        "title": entry.title,
        "model": entry.model,
        "data": entry.data,
        "method": entry.method,
        "created": entry.created,
        "state": entry.state.value,
        "resume_step": None if is_queued(entry.id) else resume_step(run, entry.state),
        "tags": list(entry.tags),
        "note": entry.note,
        "experiment": entry.experiment,
        "archived": entry.archived,
        "view": view,
    }


def _cells(entry: Entry, out: Output) -> tuple[str, ...]:
    return (
        out.state(entry.state) + (f" {entry.place}" if entry.place is not None else ""),
        entry.short_id,
        safe_text(" ".join(_name_words(entry)), limit=100),
        _tail(entry.model),
        _tail(entry.data),
        words.UNKNOWN if is_queued(entry.id) else f"{words.count(entry.step)}/{words.count(entry.total_steps)}",
        words.loss(entry.loss),
        words.loss(entry.best),
        words.age(entry.updated or entry.created),
    )


def _name_words(entry: Entry) -> Iterator[str]:
    yield entry.title
    yield from (f"#{tag}" for tag in entry.tags)
    if entry.archived:
        yield "(archived)"


def _crash(entry: Entry, index: RunIndex) -> str:
    run = index.run(entry.id)
    name, step = entry.short_id, resume_step(run, entry.state)
    how = "was lost when the machine went down" if lost_to_reboot(run.identity_file) else "crashed"
    where = f"{how} before anything was saved" if step is None else f"{how}, resumable from step {words.count(step)}"
    return f"{name} {where}: `backprop resume {name}`."


def _tail(name: str) -> str:
    return words.shorten(safe_text(name.rstrip("/").rsplit("/", 1)[-1] or words.UNKNOWN), 24)
