"""`backprop logs [RUN]`: what a run said, in words, narrowed by level, source and text, read where it lies."""

from __future__ import annotations

import time
from argparse import ArgumentParser, Namespace
from collections import deque
from collections.abc import Iterator
from typing import Any

from backprop_tui.cli import words
from backprop_tui.cli.output import Output, Style
from backprop_tui.cli.parser import add_json, add_run
from backprop_tui.protocol.errors import EXIT_OK, UsageError
from backprop_tui.store import locks
from backprop_tui.store.layout import find_run
from backprop_tui.store.log_lines import LEVELS, SOURCES, LogRow
from backprop_tui.store.log_search import LogSearch
from backprop_tui.store.log_slice import LogLines
from backprop_tui.store.logs import LogBook

_STYLES: dict[str, Style] = {"debug": "dim", "warn": "warn", "error": "bad"}
#: What `--source` takes and means.
_CHOICES: dict[str, tuple[str, ...]] = {
    "events": ("journal",),
    "worker": ("worker",),
    "host": ("host",),
    "all": SOURCES,
}
#: Seconds between two looks at the files while following.
_LOOK_EVERY = 0.25
#: Lines fetched at once.
_BATCH = 500


def add_arguments(parser: ArgumentParser) -> None:
    """Declare what the command takes."""
    add_run(parser)
    parser.add_argument("-f", "--follow", action="store_true", help="go on until the run is over")
    parser.add_argument(
        "-n", "--tail", "--lines", type=int, metavar="N", dest="tail", help="only the last N lines of what is there"
    )
    parser.add_argument("--level", choices=LEVELS, default="debug", help="the quietest level to print")
    parser.add_argument(
        "--source", choices=tuple(_CHOICES), default="events",
        help="events (the run's record), the worker's or the host's raw output, or all in the order of time",
    )  # fmt: skip
    parser.add_argument("--grep", metavar="TEXT", help="only lines that hold this text, letter case aside")
    parser.add_argument("--raw", action="store_true", help="the worker's stdout and stderr, without times")
    add_json(parser, "print a JSON object per line: events as recorded, raw lines with source and text")


def run(args: Namespace, out: Output) -> int:
    """Print the log."""
    from backprop_tui.app.narrate import tell

    found = find_run(args.run)
    if args.tail is not None and args.tail < 0:
        raise UsageError("USAGE", "--tail takes a number from 0 up.", "Write --tail 50.")
    if args.grep == "":
        raise UsageError("USAGE", "--grep takes a text to look for.", "Write --grep loss.")
    sources = _CHOICES["worker" if args.raw else args.source]
    book = LogBook(found, tell)
    lines = LogLines(book, args.level, sources)
    over = not args.follow or not locks.is_held(found.lock_file)
    book.extend()
    printed = 0
    for row in _wanted(lines, args.grep, args.tail):
        _show(row, out, args.raw)
    printed = len(lines)
    if args.raw and not printed and over:
        out.say("The worker has not written anything.")
    while not over:
        time.sleep(_LOOK_EVERY)
        # Asked before reading: what was written before the lock went free is then read for certain.
        over = not locks.is_held(found.lock_file)
        book.extend()
        for row in _since(lines, printed):
            if args.grep is None or args.grep.lower() in row.text.lower():
                _show(row, out, args.raw)
        printed = len(lines)
    book.close()
    return EXIT_OK


def _wanted(lines: LogLines, text: str | None, tail: int | None) -> Iterator[LogRow]:
    if text is None:
        yield from _since(lines, 0 if tail is None else max(0, len(lines) - tail))
        return
    search = LogSearch(lines, text)
    pieces = range(lines.book.pieces)
    if tail is None:
        for piece in pieces:
            yield from search.rows_of(piece)
        return
    # From the end, so that a few lines of a long log cost little.
    found: deque[LogRow] = deque(maxlen=tail)
    for piece in reversed(pieces):
        if len(found) >= tail:
            break
        for row in reversed(search.rows_of(piece)):
            if len(found) < tail:
                found.appendleft(row)
    yield from found


def _since(lines: LogLines, first: int) -> Iterator[LogRow]:
    while first < len(lines):
        rows = lines.rows(first, _BATCH)
        yield from rows
        first += len(rows)


def _show(row: LogRow, out: Output, bare: bool) -> None:
    if out.as_json:
        out.json(_record(row))
        return
    if bare:
        out.line(row.text)
        return
    clock = words.clock(row.wall) if row.wall is not None else words.UNKNOWN
    level = out.style(f"{row.level:<5}", _STYLES.get(row.level, "plain"))
    source = "" if row.source == "journal" else f"{row.source}: "
    out.line(f"{clock if row.timed else f'~{clock}':<9} {level}  {source}{row.text}")


def _record(row: LogRow) -> dict[str, Any]:
    if row.event is not None:
        return row.event.to_record()
    return {"wall": row.wall, "source": row.source, "level": row.level, "text": row.text}
