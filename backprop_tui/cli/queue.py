"""`backprop queue`: what waits for its turn; its order is changed, and its runner held or let go, here."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from backprop_tui.cli import words
from backprop_tui.cli.output import Output, Style
from backprop_tui.cli.parser import Parser, add_json
from backprop_tui.cli.queue_words import to_dict
from backprop_tui.protocol.errors import EXIT_OK, UsageError
from backprop_tui.protocol.text import safe_text
from backprop_tui.store.queue import Queue, Queued, QueueState

_WHERE = ("up", "down", "first", "last")
_ACTIONS = ("list", "move", "remove", "now", "start", "stop", "clear", "wait")
#: Seconds between two looks of `wait`.
_LOOK = 0.5
_EPILOG = """\
actions (without one the queue is listed):
  move ENTRY up|down|first|last   change the order     remove ENTRY …   take out what waits
  now ENTRY                       begin at once, beside whatever runs; also tries again what could not start
  stop                            begin nothing more; what runs goes on
  start                           let it go again      clear            take out everything that waits
  wait                            until all of it has ended; a queue that is held is not waited for

ENTRY is an id, a unique prefix of it, its place, or a unique name. Put runs in by `backprop train DATA --queue`."""
_STYLES: dict[QueueState, Style] = {
    QueueState.WAITING: "plain", QueueState.STARTING: "dim", QueueState.RUNNING: "live", QueueState.FAILED: "bad",
}  # fmt: skip


def add_arguments(parser: ArgumentParser) -> None:
    """Declare what the command takes."""
    if isinstance(parser, Parser):
        parser.intermixed = True
    parser.usage = "backprop queue [ACTION] [ENTRY …] [--json]"
    parser.epilog = _EPILOG
    parser.add_argument("action", nargs="?", default="list", choices=_ACTIONS, metavar="ACTION", help="see below")
    parser.add_argument("entry", nargs="*", metavar="ENTRY …", help="whose")
    add_json(parser, "print the queue as one JSON object")


def run(args: Namespace, out: Output) -> int:
    """Do it, then list the queue."""
    from backprop_tui.launch.queueing import ensure_runner, look_after

    queue = Queue()
    _check(args)
    if args.action == "move":
        entry = queue.find(args.entry[0])
        place = queue.move(entry.id, args.entry[1])
        out.say(f"{safe_text(entry.name, limit=80)} is number {place} now.")
    elif args.action == "remove":
        for entry in [queue.find(wanted) for wanted in args.entry]:
            queue.remove(entry.id)
            out.say(f"{safe_text(entry.name, limit=80)} is out of the queue.")
    elif args.action == "now":
        entry = queue.hasten(queue.find(args.entry[0]).id)
        ensure_runner(queue)
        out.say(f"{safe_text(entry.name, limit=80)} begins now, beside whatever runs.")
    elif args.action == "stop":
        queue.hold("It was stopped by hand.")
        out.say("Nothing more begins until `backprop queue start`; what runs goes on.")
    elif args.action == "start":
        queue.let_go()
        ensure_runner(queue)
    elif args.action == "clear":
        out.say(f"{words.count(_clear(queue))} taken out.")
    look_after(queue)
    if args.action == "wait":
        _wait(queue)
    return _list(queue, out)


def _check(args: Namespace) -> None:
    action, given = args.action, args.entry
    fits = {"move": len(given) == 2 and given[-1] in _WHERE, "remove": len(given) >= 1, "now": len(given) == 1}
    if not fits.get(action, not given):
        needs = {"move": "move ENTRY up|down|first|last", "remove": "remove ENTRY …", "now": "now ENTRY"}
        raise UsageError(
            "USAGE", f"Write `backprop queue {needs.get(action, action)}`.", "`backprop queue` lists them."
        )


def _wait(queue: Queue) -> None:
    import time

    from backprop_tui.launch.queueing import has_work, look_after

    while has_work(queue):
        time.sleep(_LOOK)
        look_after(queue)


def _clear(queue: Queue) -> int:
    gone = 0
    for entry in queue.entries():
        if entry.state in (QueueState.WAITING, QueueState.FAILED):
            queue.remove(entry.id)
            gone += 1
    return gone


def _list(queue: Queue, out: Output) -> int:
    from backprop_tui.store import locks

    entries, held, at_work = queue.entries(), queue.held(), locks.is_held(queue.runner_lock)
    if out.as_json:
        listed = [to_dict(entry, queue) for entry in entries]
        out.json({"entries": listed, "held": held, "runner": at_work, "damaged": queue.damaged()})
        return EXIT_OK
    if entries:
        rows, place = [], 0
        for entry in entries:
            place += entry.state is QueueState.WAITING
            rows.append(_cells(entry, place if entry.state is QueueState.WAITING else None, out))
        out.table(("place", "id", "name", "state", "on", "added"), rows, right=(0, 5), flexible=2)
        for entry in entries:
            if entry.problem:
                next_step = entry.problem.get("next", "")
                out.say(safe_text(f"{entry.short_id}: {entry.problem.get('cause', '')} {next_step}", limit=400))
    else:
        out.say("Nothing waits. `backprop train DATA --queue` puts a run in.")
    for name in queue.damaged():
        out.say(f"{safe_text(name)} can't be read and is passed over; delete it in {safe_text(queue.root)}.")
    if held is not None:
        out.say(f"The queue is held: {safe_text(held)} `backprop queue start` lets it go.")
    return EXIT_OK


def _cells(entry: Queued, place: int | None, out: Output) -> tuple[str, ...]:
    wish = ",".join(map(str, entry.gpus)) or "any"
    given = ",".join("cpu" if device < 0 else str(device) for device in entry.given)
    return (
        words.count(place),
        entry.short_id,
        safe_text(entry.name, limit=100),
        out.style(entry.state.value + (" (now)" if entry.now and place is not None else ""), _STYLES[entry.state]),
        given or wish,
        words.age(entry.added),
    )
