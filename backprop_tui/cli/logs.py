"""`backprop logs [RUN]`: what a run said, in words; `--raw` is the worker's own output."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections import deque

from backprop_tui.cli import words
from backprop_tui.cli.follow import follow
from backprop_tui.cli.output import Output, Style
from backprop_tui.cli.parser import add_json, add_run
from backprop_tui.protocol import events as ev
from backprop_tui.protocol.errors import EXIT_OK, UsageError
from backprop_tui.protocol.events import Event
from backprop_tui.protocol.text import last_segment, safe_text
from backprop_tui.store.journal import read_events
from backprop_tui.store.layout import RunDir, find_run

_STYLES: dict[str, Style] = {"debug": "dim", "warn": "warn", "error": "bad"}
_KINDS = (ev.LOG, ev.FAULT, ev.STATE, ev.END)


def add_arguments(parser: ArgumentParser) -> None:
    """Declare what the command takes."""
    add_run(parser)
    parser.add_argument("-f", "--follow", action="store_true", help="go on until the run is over")
    parser.add_argument("-n", "--lines", type=int, metavar="N", help="only the last N lines of what is there")
    parser.add_argument("--raw", action="store_true", help="the worker's stdout and stderr instead of its events")
    add_json(parser, "print the events, a JSON object per line")


def run(args: Namespace, out: Output) -> int:
    """Print the log."""
    found = find_run(args.run)
    if args.lines is not None and args.lines < 0:
        raise UsageError("USAGE", "-n takes a number from 0 up.", "Write -n 50.")
    if args.raw:
        if args.follow:
            raise UsageError("USAGE", "--raw can't be followed.", f"Use `tail -f {found.worker_log}`.")
        return _raw(found, args.lines, out)
    recent: deque[Event] = deque(read_events(found.journal_file, kinds=_KINDS), args.lines)
    for event in recent:
        _show(event, out)
    if args.follow:
        newest = max((event.seq for event in recent), default=0)

        def handle(batch: list[Event]) -> None:
            for event in batch:
                if event.kind in _KINDS:
                    _show(event, out)

        follow(found, handle, after=newest)
    return EXIT_OK


def _show(event: Event, out: Output) -> None:
    if out.as_json:
        out.json(event.to_record())
        return
    data = event.data
    level, text = "info", ""
    if event.kind == ev.LOG:
        level, text = str(data.get("level")), str(data.get("message", ""))
    elif event.kind == ev.FAULT:
        level, text = "error", f"{data.get('code', '')}: {data.get('cause', '')} {data.get('next', '')}"
    elif event.kind == ev.STATE:
        text = f"{data.get('state', '')} {data.get('reason', '')}"
    else:
        text = f"{data.get('outcome', '')} {data.get('reason', '')}"
    shown = out.style(f"{safe_text(level, limit=8):<5}", _STYLES.get(level, "plain"))
    out.line(f"{words.clock(event.wall)}  {shown}  {safe_text(text.strip())}")


def _raw(found: RunDir, lines: int | None, out: Output) -> int:
    try:
        with found.worker_log.open(encoding="utf-8", errors="replace", newline="\n") as file:
            for line in deque(file, lines):
                out.line(safe_text(last_segment(line)))
    except OSError:
        out.say("The worker has not written anything.")
    return EXIT_OK
