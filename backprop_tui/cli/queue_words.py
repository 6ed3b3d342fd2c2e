"""What `train --queue` and `multi-run --queue` take, and how putting a run into the queue is told."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backprop_tui.cli.output import Output
from backprop_tui.protocol.errors import EXIT_OK, UsageError
from backprop_tui.protocol.text import safe_text

if TYPE_CHECKING:
    from backprop_tui.protocol.spec import RunSpec
    from backprop_tui.store.queue import Queue, Queued


def add_arguments(parser: ArgumentParser) -> None:
    """The options of whatever may wait for its turn."""
    group = parser.add_argument_group("waiting for a free device")
    group.add_argument(
        "--queue", action="store_true", help="check now, begin when those before it have ended; survives a logout"
    )
    group.add_argument("--gpu", metavar="N[,N]", help="with --queue: only on these GPUs, by index")
    group.add_argument("--first", action="store_true", help="with --queue: before what waits already")


def wanted(args: Namespace) -> bool:
    """Whether the run is to wait.

    Raises:
        UsageError: options that count only with --queue, without it.
    """
    if not args.queue and (args.gpu is not None or args.first):
        raise UsageError(
            "USAGE",
            f"{'--first' if args.first else '--gpu'} counts only with --queue.",
            "Add --queue, or leave it out.",
        )
    return bool(args.queue)


def put(spec: RunSpec, args: Namespace, trusted: Sequence[str], out: Output) -> int:
    """Check the run, queue it, see to a runner, and name the entry."""
    from backprop_tui.config.recent import remember
    from backprop_tui.launch.queueing import enqueue, ensure_runner
    from backprop_tui.store.queue import Queue

    queue = Queue()
    entry = enqueue(spec, trusted=trusted, gpus=gpu_list(args.gpu), first=args.first, queue=queue)
    if spec.data.path != "demo":
        remember("data", str(Path(spec.data.path).expanduser().absolute()))
    if queue.held() is None:
        ensure_runner(queue)
    told = to_dict(entry, queue)
    if args.json:
        out.json(told)
        return EXIT_OK
    out.line(entry.id)
    place = told["place"]
    where = f"It is number {place} of those that wait" if place is not None else "It begins now"
    held = queue.held()
    rest = f" The queue is held: {safe_text(held)} `backprop queue start` lets it go." if held is not None else ""
    out.say(f"Queued. {where}; `backprop queue` shows and changes the order.{rest}")
    return EXIT_OK


def gpu_list(text: str | None) -> list[int]:
    """`0` or `0,2` as indices.

    Raises:
        UsageError: it is something else.
    """
    if text is None:
        return []
    words = [word.strip() for word in text.split(",")]
    if not all(word.isdecimal() for word in words) or len(set(words)) != len(words):
        raise UsageError("USAGE", f"--gpu takes numbers, not {safe_text(text, limit=40)!r}.", "Write --gpu 0 or 0,1.")
    return sorted(int(word) for word in words)


def to_dict(entry: Queued, queue: Queue) -> dict[str, Any]:
    """An entry as it is now, JSON-ready."""
    from backprop_tui.store.queue import place_of

    now = queue.get(entry.id) or entry
    return {
        "id": now.id,
        "short_id": now.short_id,
        "name": now.name,
        "state": now.state.value,
        "place": place_of(queue.entries(), now),
        "added": now.added,
        "gpus": now.gpus or None,
        "given": now.given or None,
        "now": now.now,
        "sweep": now.sweep,
        "run": now.run,
        "problem": now.problem,
        "data": (now.spec.get("data") or {}).get("path"),
        "model": (now.spec.get("model") or {}).get("base"),
    }
